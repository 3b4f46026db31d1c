"""The files of one potential for somebody else: all of them, or none if one cannot be made."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.potential import STATISTICS_FILE
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.report.document import write_whole
from aiida_nvp.report.potential import PotentialFacts
from aiida_nvp.report.potential_card import CardFile, model_card
from aiida_nvp.worker.job import ERROR_FILE, FRAMES_FILE, INPUT_FILE, OUTPUT_FILE
from aiida_nvp.worker.nequip_config import PACKAGE_FILE
from aiida_nvp.worker.settings import COMPILED_FILE, SIGMA_TARGET

CARD_FILE = "card.md"
_COMPILED = "potential.{engine}.nequip.pt2"
_WHAT = {
    "ase": "compiled for ASE",
    "lammps": "compiled for LAMMPS (pair_allegro)",
    "torchsim": "compiled for torch-sim",
    SIGMA_TARGET: "compiled for ASE with the last-layer sigma of each atom",
}
_LAST_WORDS = 300


@dataclass(frozen=True)
class ExportRequest:
    """What to write, and where.

    :param engines: keys of the compile targets; ``device`` of torch for them.
    :param force: whether files that are there may be replaced.
    """

    folder: Path
    engines: tuple[str, ...] = ()
    device: str = "cpu"
    force: bool = False


def export_files(facts: PotentialFacts, request: ExportRequest, say: Callable[[str], None]) -> list[str]:
    """Write package, statistics, compiled files and card; return one sentence a file.

    :param say: is told what takes long.
    :raises InputError: if a file is there already, cannot be written, or a compiled one does not agree.
    """
    node = facts.node
    content = {PACKAGE_FILE: node.get_content(mode="rb")}
    what = {PACKAGE_FILE: "package of nequip: model, code and types"}
    if node.has_statistics:
        content[STATISTICS_FILE] = node.base.repository.get_object_content(STATISTICS_FILE, mode="rb")
        what[STATISTICS_FILE] = "its training set as its features see it, for distances and last-layer sigma"
    names = [*content, *(_COMPILED.format(engine=engine) for engine in request.engines), CARD_FILE]
    _refuse_to_overwrite(request, names)
    if hashlib.sha256(content[PACKAGE_FILE]).hexdigest() != node.sha256:
        raise InputError(
            f"the package of potential {node.pk} is not the one that was stored: the repository is damaged."
        )
    for engine in request.engines:
        say(f"compiling for {engine} on {request.device}, which takes a minute or more ...")
        name = _COMPILED.format(engine=engine)
        content[name], checked = compile_for(facts, engine, request.device)
        what[name] = f"{_WHAT[engine]} on {request.device}; {checked}"
    files = [CardFile(name, what[name], hashlib.sha256(data).hexdigest()) for name, data in content.items()]
    content[CARD_FILE] = model_card(facts, files).encode()
    what[CARD_FILE] = "model card"
    try:
        return [f"{write_whole(request.folder / name, data)}: {what[name]}" for name, data in content.items()]
    except OSError as error:
        raise InputError(f"{request.folder} cannot be written to: {error.strerror}.") from error


def compile_for(facts: PotentialFacts, engine: str, device: str) -> tuple[bytes, str]:
    """Return the compiled file and how well it agrees with the package.

    :raises InputError: with the sentence of the worker if it cannot be compiled or does not agree.
    """
    if engine == SIGMA_TARGET and not facts.node.has_statistics:
        raise InputError("this potential has no statistics of its training set, which a compiled sigma needs.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(facts, folder)
        (folder / INPUT_FILE).write_text(json.dumps({"engine": engine, "device": device}), encoding="utf-8")
        # A process of its own: torch's compiler leaves state behind, and says more than a user wants to read.
        command = [sys.executable, "-m", "aiida_nvp.worker.main", "compile", INPUT_FILE]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not (folder / OUTPUT_FILE).exists():
            raise InputError(f"nothing was written: {_reason(folder, done.stderr)}")
        found = json.loads((folder / OUTPUT_FILE).read_text(encoding="utf-8"))
        return (folder / COMPILED_FILE).read_bytes(), _agreement(found)


def _prepare(facts: PotentialFacts, folder: Path) -> None:
    node: PotentialData = facts.node
    (folder / PACKAGE_FILE).write_bytes(node.get_content(mode="rb"))
    if node.has_statistics:
        content: bytes = node.base.repository.get_object_content(STATISTICS_FILE, mode="rb")
        (folder / STATISTICS_FILE).write_bytes(content)
    if facts.dataset is not None:
        facts.dataset.frames.subset([0]).save(folder / FRAMES_FILE)


def _reason(folder: Path, said: str) -> str:
    if (folder / ERROR_FILE).exists():
        message = str(json.loads((folder / ERROR_FILE).read_text(encoding="utf-8"))["message"])
        return message.removeprefix("InputError: ")
    return f"the compiler ended without a reason; its last words: {said.strip()[-_LAST_WORDS:]}"


def _agreement(found: dict[str, Any]) -> str:
    said = (
        f"agrees with the package within {found['force_difference']:.1g} eV/angstrom and "
        f"{found['energy_difference_per_atom']:.1g} eV an atom"
    )
    return said + (f", its sigma within {found['sigma_difference']:.1g}" if "sigma_difference" in found else "")


def _refuse_to_overwrite(request: ExportRequest, names: Iterable[str]) -> None:
    there = [name for name in names if (request.folder / name).exists()]
    if there and not request.force:
        raise InputError(f"{request.folder} holds {', '.join(there)} already; --force replaces what is there.")
