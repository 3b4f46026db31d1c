"""Stage ``compile``: one file for one engine from a package, checked against the package before it is handed over.

Files in: ``potential.nequip.zip``, ``statistics.npz`` where the sigma is wanted, ``frames.npz`` with a frame to check
on if there is one (else the one in the package is taken). File out: ``compiled.nequip.pt2``, which belongs to this kind
of machine, this device and this version of torch; ``output.json`` with the largest differences.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.potential import STATISTICS_FILE
from aiida_nvp.uncertainty.last_layer import FeatureStatistics
from aiida_nvp.worker.job import FRAMES_FILE, Job
from aiida_nvp.worker.nequip_config import PACKAGE_FILE
from aiida_nvp.worker.settings import COMPILED_FILE, SIGMA_TARGET, TARGETS


def run(job: Job) -> dict[str, Any]:
    """Compile and compare.

    :raises InputError: for an unknown engine, or a sigma without statistics.
    :raises WorkerError: ``ERROR_COMPILE_FAILED`` or ``ERROR_COMPILED_DIFFERS``.
    """
    engine = str(job.inputs["engine"])
    if engine not in TARGETS:
        raise InputError(f"unknown engine {engine!r}; there are {', '.join(TARGETS)}.")
    statistics = None
    if engine == SIGMA_TARGET:
        if not job.path(STATISTICS_FILE).exists():
            raise InputError("the potential has no statistics of its training set, which its sigma needs.")
        statistics = FeatureStatistics.load(job.path(STATISTICS_FILE))
    frames = FrameSet.load(job.path(FRAMES_FILE)) if job.path(FRAMES_FILE).exists() else None
    start = time.monotonic()
    # Torch and nequip cost seconds: they wait until the input has proved good.
    compiler = importlib.import_module("aiida_nvp.worker.compile_run")
    request = compiler.Request(
        job.path(PACKAGE_FILE),
        job.path(COMPILED_FILE),
        TARGETS[engine],
        str(job.inputs.get("device", "cpu")),
        statistics,
    )
    compiler.compile_model(request)
    differences = compiler.compare(request, frames)
    return {"engine": engine, "device": request.device, **differences, "wall_s": round(time.monotonic() - start, 1)}
