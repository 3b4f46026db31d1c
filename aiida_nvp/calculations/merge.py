"""Data sets joined into one."""

from __future__ import annotations

from aiida.engine import ExitCode, calcfunction

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import concatenate
from aiida_nvp.data.dataset import DatasetData

ERROR_INPUT = 210
ERROR_MIXED_LEVELS = 211


@calcfunction
def merge(**datasets: DatasetData) -> DatasetData | ExitCode:
    """Return all frames in the order of the sorted input names; of frames with one id the first stays.

    Exit status 210 if nothing was given, 211 if the sets differ in level of theory, both with a sentence.
    """
    wrong = [name for name, dataset in datasets.items() if not isinstance(dataset, DatasetData)]
    if wrong or not datasets:
        given = ", ".join(wrong) or "nothing"
        return ExitCode(ERROR_INPUT, f"merge takes data sets, one or more; it was given {given}.")
    ordered = [datasets[name] for name in sorted(datasets)]
    try:
        joined = concatenate([dataset.frames for dataset in ordered if len(dataset)] or [ordered[0].frames])
    except InputError as error:
        return ExitCode(ERROR_MIXED_LEVELS, str(error))
    sources = [source for dataset in ordered for source in dataset.sources]
    first: dict[str, int] = {}
    for index, identity in enumerate(joined.ids()):
        first.setdefault(identity, index)
    keep = list(first.values())
    return DatasetData(joined.subset(keep), [sources[index] for index in keep])
