"""The command that analyses trajectory files of any origin, without a profile."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
import yaml

from aiida_nvp import __version__
from aiida_nvp.analysis.replicas import combine
from aiida_nvp.analysis.transport.arrhenius import FEWEST_TEMPERATURES
from aiida_nvp.analysis.transport.mobility_report import activation
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import read_trajectory
from aiida_nvp.common.trajectory_files import H5MD, ReadSettings, convert
from aiida_nvp.common.validation import validated
from aiida_nvp.report.analysis_page import write_analysis
from aiida_nvp.report.document import write_whole
from aiida_nvp.worker.analyse import UNITS, Arrays
from aiida_nvp.worker.analyse import analyse as analyse_trajectory
from aiida_nvp.worker.settings import AnalyseSettings

_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)
_PROGRESS_FRAMES = 100


@click.command("analyse")
@click.argument("trajectories", nargs=-1, required=True, type=_FILES)
@click.option("--config", "config", type=_FILES, help="YAML: `read`, `pairs`, `mobile`, `stages` and the rest.")
@click.option("--out", "folder", default="analysis", show_default=True, type=click.Path(path_type=Path))
@click.option("--joined", is_flag=True, help="The files are parts of one run, not replicas.")
def analyse(trajectories: tuple[Path, ...], config: Path | None, folder: Path, joined: bool) -> None:
    r"""Analyse TRAJECTORIES: structure, displacements and percolation, with error bars.

    \b
    Extended XYZ, LAMMPS text dumps, ASE .traj, XDATCAR and H5MD of this project are read. Several files are replicas
    of one system, and their spread is told beside the error bars of each, unless --joined makes them one run. Runs at
    several `temperatures` (in the configuration, one a file) give an activation energy instead.
    DIR gets results.json, results.h5 and analysis.html.
    """
    reading, values = _config(config)
    runs = [list(trajectories)] if joined else [[path] for path in trajectories]
    temperatures = _temperatures(values, len(runs))
    found = [_one(paths, reading, {**values, "temperature": t}) for paths, t in zip(runs, temperatures, strict=True)]
    results: dict[str, Any] = {
        "replicas": [
            {"files": [path.name for path in paths], **numbers} for paths, (numbers, _) in zip(runs, found, strict=True)
        ],
        **_over_all([numbers for numbers, _ in found], temperatures, values),
        "read": reading.model_dump(mode="json"),
        "version": __version__,
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = [
        write_whole(folder / "results.json", json.dumps(results, indent=1, allow_nan=False)),
        _write_curves(folder / "results.h5", [arrays for _, arrays in found], results),
        write_analysis(results, [arrays for _, arrays in found], folder / "analysis.html"),
    ]
    click.echo("\n".join(str(path) for path in written))


def _config(path: Path | None) -> tuple[ReadSettings, dict[str, Any]]:
    content: object = {}
    if path is not None:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise InputError(f"{path.name} is not YAML: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path.name if path else 'config'}: a mapping is expected, such as `pairs: {{P-O: 2.2}}`.")
    values = dict(content)
    return validated(ReadSettings, values.pop("read", {}), "`read`"), {"pairs": {}, **values}


def _temperatures(values: dict[str, Any], runs: int) -> list[float | None]:
    """Take the key ``temperatures`` out of the configuration: one a run, or one for all."""
    given = values.pop("temperatures", None)
    if given is None:
        return [None] * runs
    each = given if isinstance(given, list) else [given] * runs
    if len(each) != runs or any(isinstance(t, bool) or not isinstance(t, int | float) or not t > 0 for t in each):
        raise InputError(
            f"`temperatures` must be {runs} positive numbers in K, one a run, or a single one; it is {given}."
        )
    return [float(t) for t in each]


def _over_all(
    found: list[dict[str, Any]], temperatures: list[float | None], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the spread over replicas, or the activation energy where the runs are of different temperatures."""
    if len(set(temperatures)) < FEWEST_TEMPERATURES:
        return {"over_replicas": combine([{"stages": numbers["stages"]} for numbers in found])}
    if not values.get("mobile"):
        raise InputError("runs at several temperatures need `mobile: SPECIES`, whose activation energy is asked for.")
    stages = [stage for numbers in found for stage in numbers["stages"]]
    line = activation(stages, str(values["mobile"]), values.get("glass_transition"))
    return {"over_replicas": {}, "activation": line}


def _one(paths: list[Path], reading: ReadSettings, values: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
    """Return numbers and curves of one run."""
    name = ", ".join(path.name for path in paths)
    with tempfile.TemporaryDirectory() as scratch:
        if len(paths) == 1 and paths[0].suffix in H5MD and reading == ReadSettings():
            source = paths[0]
        else:
            source = Path(scratch) / "run.h5"
            frames = convert(paths, source, reading, _Counter(name))
            click.echo(f"{name}: {frames} frames read")
        trajectory = read_trajectory(source)
        values = dict(values)
        temperature = values.pop("temperature")
        stages = values.get("stages") or [{"index": int(index)} for index in np.unique(trajectory.stage)]
        if temperature is not None:
            stages = [{"temperature": temperature, **stage} for stage in stages]
        settings = AnalyseSettings.read({**values, "stages": stages})
        with click.progressbar(length=len(settings.stages), label=f"analysing {name}") as bar:
            return analyse_trajectory(trajectory, settings, lambda _: bar.update(1))


class _Counter:
    """Tells now and then how many frames have been read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, count: int) -> None:
        if count % _PROGRESS_FRAMES == 0:
            click.echo(f"reading {self._name}: {count} frames", err=True)


def _write_curves(path: Path, curves: list[Arrays], results: Mapping[str, Any]) -> Path:
    """Write one group a replica; every curve says its unit, the numbers lie beside it as JSON."""
    temporary = path.with_name(f"{path.name}.part")
    with h5py.File(temporary, "w") as file:
        file.attrs["creator"] = f"aiida-nvp {__version__}"
        file.create_dataset("results_json", data=json.dumps(results, allow_nan=False))
        for index, arrays in enumerate(curves):
            group = file.create_group(f"replica_{index}")
            for name, values in arrays.items():
                group.create_dataset(name, data=values).attrs["unit"] = _unit(name)
    temporary.replace(path)
    return path.resolve()


def _unit(name: str) -> str:
    # stage_3_msd_error_Na: the quantity is the first word after the number of the stage.
    return UNITS.get(name.split("_")[2], "1")
