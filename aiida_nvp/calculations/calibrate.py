"""What was predicted before labelling against what the labels say."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_nvp.common.errors import InputError
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.uncertainty.prospective import Predictions, calibration_report

ERROR_CALIBRATION = 210


@calcfunction
def calibrate(
    predictions: orm.ArrayData,
    chosen: DatasetData,
    labels: DatasetData,
    parameters: orm.Dict,
    previous: orm.Dict | None = None,
) -> orm.Dict | ExitCode:
    """Return scales, quantiles, coverage, prospective errors, thresholds and ``audit``: how each label stands.

    ``audit`` has one row a label (:func:`~aiida_nvp.uncertainty.suspects.audit_labels`); results of versions before it
    lack the key. :func:`~aiida_nvp.uncertainty.suspects.suspect_ids` names the frames whose labels are suspect.

    :param predictions: of nvp.evaluate on ``chosen``, made before the labels were known.
    :param chosen: the frames that were sent to the labeller; their origins tell temperature and random share.
    :param labels: what came back; frames that failed are absent, others are found by their id.
    :param parameters: ``target_force_error`` in eV/angstrom.
    :param previous: the calibration that the predictions were scored with; its coverage is measured, its
        intervals tell which labels are far.
    """
    frames, labelled = chosen.frames, labels.frames
    values: dict[str, Any] = previous.get_dict() if previous is not None else {}
    try:
        made = Predictions(frames, predictions.get_array("forces"), predictions.get_array("energy"))
        report = calibration_report(made, labelled, float(parameters["target_force_error"]), values)
    except (InputError, KeyError) as error:
        return ExitCode(ERROR_CALIBRATION, f"The calibration is not possible: {error}")
    return orm.Dict(report)
