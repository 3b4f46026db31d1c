"""A second look at labels that the committee doubts: which frames, and what becomes of them."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_nvp.common.frameset import FrameSet, concatenate
from aiida_nvp.common.vocabulary import LabelStatus
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.labelling.branches import other_starts
from aiida_nvp.labelling.settings import LabelSettings, read_settings
from aiida_nvp.uncertainty.suspects import suspect_ids


def doubtful(frames: FrameSet, calibration: orm.Dict, settings: LabelSettings) -> list[int]:
    """Return the indices of the frames whose labels are suspect and that can start in another way."""
    suspects = set(suspect_ids(calibration.get_dict()))
    return [
        index
        for index, identity in enumerate(frames.ids())
        if identity in suspects and other_starts(frames.atoms(index), settings)
    ]


@calcfunction
def take_suspects(chosen: DatasetData, calibration: orm.Dict, settings: orm.Dict) -> DatasetData:
    """Return the frames of a batch whose labels are suspect and that can start in another way.

    :param chosen: the frames that were sent to the labeller.
    :param calibration: of that batch; its ``audit`` names the suspects.
    :param settings: of the labels.
    """
    indices = doubtful(chosen.frames, calibration, read_settings(settings.get_dict()))
    return DatasetData(chosen.frames.subset(indices), [chosen.sources[index] for index in indices])


@calcfunction
def settle_suspects(dataset: DatasetData, triage: orm.Dict, checked: DatasetData | None = None) -> DatasetData:
    """Return the data set with the labels of the second look in place of the suspect ones.

    A frame that was found ambiguous leaves it; one whose second look failed keeps the label that it had.

    :param triage: of the second look.
    :param checked: its labels; absent if every frame was ambiguous or failed.
    """
    gone = {row["frame"] for row in triage["frames"] if row["status"] != LabelStatus.REJECTED}
    keep = [index for index, identity in enumerate(dataset.frames.ids()) if identity not in gone]
    frames, sources = [dataset.frames.subset(keep)], [dataset.sources[index] for index in keep]
    if checked is not None:
        frames.append(checked.frames)
        sources += checked.sources
    return DatasetData(concatenate(frames), sources)
