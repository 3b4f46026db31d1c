"""What was predicted before labelling against what the labels say."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.uncertainty.prospective import Predictions, calibration_report
from aiida_nvp.uncertainty.thresholds import Tolerance

ERROR_CALIBRATION = 210


@calcfunction
def calibrate(
    predictions: orm.ArrayData,
    chosen: DatasetData,
    labels: DatasetData,
    parameters: orm.Dict,
    previous: orm.Dict | None = None,
) -> orm.Dict | ExitCode:
    """Return error model, conformal factors, coverage, quality, prospective errors, thresholds and ``audit``.

    ``error_model`` and ``levels`` make :class:`~aiida_nvp.uncertainty.conformal.Calibration`. ``quality`` is how the
    calibration *before* held on these labels, ``audit`` how each label stands, one row a label
    (:func:`~aiida_nvp.uncertainty.suspects.audit_labels`); records of versions before them lack the keys.
    :func:`~aiida_nvp.uncertainty.suspects.suspect_ids` names the frames whose labels are suspect.

    :param predictions: of nvp.evaluate on ``chosen``, made before the labels were known.
    :param chosen: the frames that were sent to the labeller; their origins tell temperature and random share.
    :param labels: what came back; frames that failed are absent, others are found by their id.
    :param parameters: ``target_force_error`` in eV/angstrom and, if stated, ``risk``, the share of atoms that may err
        by more although their expected error is below the lower threshold.
    :param previous: the calibration that the predictions were scored with; its coverage is measured, its
        intervals tell which labels are far.
    """
    frames, labelled = chosen.frames, labels.frames
    values: dict[str, Any] = previous.get_dict() if previous is not None else {}
    try:
        made = Predictions(
            frames,
            predictions.get_array("forces"),
            predictions.get_array("energy"),
            _optional(predictions, "distance"),
            _optional(predictions, "last_layer"),
        )
        wanted = parameters.get_dict()
        tolerance = Tolerance(float(wanted["target_force_error"]), wanted.get("risk"))
        report = calibration_report(made, labelled, tolerance, values)
    except (InputError, KeyError) as error:
        return ExitCode(ERROR_CALIBRATION, f"The calibration is not possible: {error}")
    return orm.Dict(report)


def _optional(predictions: orm.ArrayData, name: str) -> NDArray[np.float64] | None:
    return np.asarray(predictions.get_array(name), dtype=float) if name in predictions.get_arraynames() else None
