"""Labels that are far: told apart by whether the members agree. Every batch here has answers known beforehand."""

import json

import numpy as np
import pytest
from scipy.stats import chi

from aiida_nvp.common.vocabulary import LabelAudit
from aiida_nvp.uncertainty.residuals import Residuals
from aiida_nvp.uncertainty.suspects import (
    ENERGY_FLOOR,
    FAR,
    FAR_ENERGY,
    FEWEST_ENERGIES,
    NINE_OF_TEN,
    FreshLabels,
    audit_labels,
    suspect_ids,
)

V, O = 23, 8  # noqa: E741 - oxygen
TARGET = 0.05
SIGMA = 0.1
ERROR = 0.2
REACH = FAR * NINE_OF_TEN * ERROR


def batch(frames=6, species=(V, O, O), sigma=None, error=None, energy=None, members=None):
    """A batch in which all atoms are alike, but for those named: ``{(frame, atom): value}``, ``{frame: eV/atom}``."""
    count = len(species)
    spread, miss = np.full((frames, count), SIGMA), np.full((frames, count), ERROR)
    for values, given in ((spread, sigma), (miss, error)):
        for place, value in (given or {}).items():
            values[place] = value
    predicted = np.zeros((frames * count, 3))
    labelled = np.zeros_like(predicted)
    labelled[:, 1] = miss.ravel()
    residuals = Residuals(
        numbers=np.tile(np.array(species, dtype=np.int32), frames),
        frame=np.repeat(np.arange(frames), count),
        sigma=spread.ravel(),
        predicted=predicted,
        labelled=labelled,
    )
    # Two of three members lie on either side of the third: by 0 to 3 meV/atom in turn, or by what is asked.
    halves = 0.001 * (np.arange(frames) % 4)
    for frame, value in (members or {}).items():
        halves[frame] = value
    mean = -7.0 + 0.0001 * (np.arange(frames) % 3 - 1)
    labels = np.full(frames, -7.5)
    for frame, value in (energy or {}).items():
        labels[frame] += value
    ids = tuple(f"id-{frame}" for frame in range(frames))
    return FreshLabels(ids, residuals, np.array([mean - halves, mean, mean + halves]), labels)


def classes(rows):
    return [row["class"] for row in rows]


def test_a_batch_without_outliers_is_explained():
    rows = audit_labels(batch(), {}, TARGET)
    assert classes(rows) == ["explained"] * 6
    assert rows[3]["frame"] == "id-3"
    assert rows[3]["reach"] == pytest.approx(REACH)
    assert "even for the force on V0 the label is only 0.200 eV/angstrom away" in rows[3]["sentence"]
    json.dumps(rows, allow_nan=False)


def test_agreement_with_a_large_residual_accuses_the_label():
    rows = audit_labels(batch(sigma={(2, 0): 0.5 * SIGMA}, error={(2, 0): 1.01 * REACH}), {}, TARGET)
    assert classes(rows) == ["explained"] * 2 + ["suspect label"] + ["explained"] * 3
    found = rows[2]
    assert (found["atom"], found["species"], found["quantity"]) == (0, "V", "forces")
    assert found["residual"] == pytest.approx(1.01 * REACH)
    assert found["sigma"] == pytest.approx(0.5 * SIGMA)
    assert found["sentence"] == (
        "members agree on the force on V0 within 0.050 eV/angstrom, the label is 0.988 eV/angstrom away"
    )
    assert suspect_ids({"audit": rows}) == ("id-2",)


def test_disagreement_with_a_large_residual_is_missing_data():
    rows = audit_labels(batch(sigma={(4, 2): 1.5 * SIGMA}, error={(4, 2): 1.01 * REACH}), {}, TARGET)
    assert classes(rows) == ["explained"] * 4 + ["missing data", "explained"]
    assert (rows[4]["atom"], rows[4]["species"]) == (2, "O")
    assert rows[4]["sentence"].startswith("members disagree on the force on O2 by 0.150 eV/angstrom")
    assert suspect_ids({"audit": rows}) == ()


def test_below_its_reach_nobody_is_accused():
    rows = audit_labels(batch(sigma={(2, 0): 0.0}, error={(2, 0): 0.99 * REACH}), {}, TARGET)
    assert set(classes(rows)) == {"explained"}


def test_the_worst_atom_decides():
    """An atom on which the members agree is far, another is further and they disagree on it."""
    sigma, error = {(1, 0): 0.05, (1, 1): 3.0}, {(1, 0): 2 * REACH, (1, 1): 3 * REACH}
    assert classes(audit_labels(batch(sigma=sigma, error=error), {}, TARGET))[1] == "missing data"
    error[1, 1] = REACH
    assert classes(audit_labels(batch(sigma=sigma, error=error), {}, TARGET))[1] == "suspect label"


def test_errors_below_the_target_are_never_far():
    fresh = batch(sigma={(2, 0): 0.0}, error={(2, 0): 2 * REACH})
    assert classes(audit_labels(fresh, {}, 2.1 * REACH))[2] == "explained"
    assert classes(audit_labels(fresh, {}, 1.9 * REACH))[2] == "suspect label"


def test_the_interval_of_the_calibration_before_counts_where_it_is_wider():
    previous = {"scales": {"V": 4.0, "O": 1.0}, "quantiles": {"V": 2.0, "O": 1.0, "all": 9.0}}
    promised = FAR * 2.0 * 4.0 * SIGMA
    assert promised > REACH
    sigma = {(2, 0): 0.5 * SIGMA}
    inside = audit_labels(batch(sigma=sigma, error={(2, 0): 0.99 * promised}), previous, TARGET)
    beyond = audit_labels(batch(sigma=sigma, error={(2, 0): 1.01 * promised}), previous, TARGET)
    assert (inside[2]["class"], beyond[2]["class"]) == ("explained", "suspect label")
    assert beyond[2]["reach"] == pytest.approx(promised)


def test_two_frames_judge_each_other():
    rows = audit_labels(batch(frames=2, error={(1, 0): 1.01 * REACH}), {}, TARGET)
    assert classes(rows) == ["explained", "suspect label"]


def test_a_frame_alone_is_judged_by_the_calibration_before_or_not_at_all():
    alone = batch(frames=1, error={(0, 0): 50.0})
    (row,) = audit_labels(alone, {}, TARGET)
    assert (row["class"], row["reach"]) == ("explained", None)
    assert "no other frame" in row["sentence"]
    # A node holds no infinity.
    assert json.dumps(row, allow_nan=False)
    previous = {"scales": {"V": 1.0, "O": 1.0}, "quantiles": {"V": 2.0, "O": 2.0}}
    (row,) = audit_labels(alone, previous, TARGET)
    assert row["class"] == "suspect label"
    assert row["reach"] == pytest.approx(FAR * 2.0 * SIGMA)


def test_an_energy_that_is_off_while_forces_are_fine():
    rows = audit_labels(batch(frames=7, energy={5: 0.05}, members={5: 0.0025}), {}, TARGET)
    assert classes(rows) == ["explained"] * 5 + ["suspect label", "explained"]
    found = rows[5]
    assert (found["quantity"], found["atom"], found["species"]) == ("energy", None, None)
    assert found["residual"] == pytest.approx(0.05, abs=2e-4)
    # Each member has a shift of its own; what is left on this frame is half a meV.
    assert found["sigma"] == pytest.approx(0.0005)
    assert found["reach"] == pytest.approx(max(FAR_ENERGY * 1.4826e-4, ENERGY_FLOOR))
    assert "members agree on the energy within 0.0005 eV/atom" in found["sentence"]


def test_an_energy_on_which_the_members_disagree_is_missing_data():
    rows = audit_labels(batch(frames=7, energy={5: 0.05}, members={5: 0.04}), {}, TARGET)
    assert rows[5]["class"] == "missing data"
    assert rows[5]["sigma"] == pytest.approx(0.038)


def test_the_shift_of_all_energies_accuses_none():
    """Half an eV between labels and members, the same for all: `batch` has it, and a member may have its own."""
    fresh = batch(frames=7)
    fresh.predicted[1] += 3.0
    assert set(classes(audit_labels(fresh, {}, TARGET))) == {"explained"}


def test_a_bad_neighbourhood_explains_the_energy():
    fresh = batch(frames=7, sigma={(5, 1): 1.0}, error={(5, 1): 2 * REACH}, energy={5: 0.05})
    row = audit_labels(fresh, {}, TARGET)[5]
    assert (row["class"], row["quantity"]) == ("missing data", "forces")


def test_energies_are_compared_within_a_composition_and_not_from_a_few():
    few = batch(frames=FEWEST_ENERGIES - 1, energy={1: 0.05})
    assert set(classes(audit_labels(few, {}, TARGET))) == {"explained"}
    enough = batch(frames=FEWEST_ENERGIES, energy={1: 0.05})
    assert classes(audit_labels(enough, {}, TARGET))[1] == "suspect label"
    # A composition whose zero is not learned well is far from all others, and that is no fault of its labels.
    other = batch(frames=FEWEST_ENERGIES + 1, energy={1: 0.05})
    numbers = other.residuals.numbers.copy()
    numbers[3:6] = (V, V, O)
    residuals = Residuals(
        numbers, other.residuals.frame, other.residuals.sigma, other.residuals.predicted, other.residuals.labelled
    )
    mixed = FreshLabels(other.ids, residuals, other.predicted, other.labelled)
    assert set(classes(audit_labels(mixed, {}, TARGET))) == {"explained"}


def test_gaussian_errors_of_one_size_raise_no_alarm_and_a_flipped_label_does():
    rng = np.random.default_rng(4)
    fresh = batch(frames=24, species=(V,) * 4 + (O,) * 12)
    sigma = SIGMA * np.sqrt(rng.chisquare(6, len(fresh.residuals.numbers)) / 6)
    labelled = rng.normal(0, 2 * SIGMA, fresh.residuals.labelled.shape)
    fair = Residuals(fresh.residuals.numbers, fresh.residuals.frame, sigma, fresh.residuals.predicted, labelled)
    made = FreshLabels(fresh.ids, fair, fresh.predicted, fresh.labelled)
    assert set(classes(audit_labels(made, {}, TARGET))) == {"explained"}
    atom = 16 * 9 + int(np.argmin(sigma[16 * 9 : 16 * 9 + 4]))
    labelled[atom] += 4.0
    assert suspect_ids({"audit": audit_labels(made, {}, TARGET)}) == ("id-9",)


def test_the_constant_is_that_of_a_gaussian_vector():
    assert chi(3).ppf(0.9) / chi(3).median() == pytest.approx(NINE_OF_TEN, rel=0.01)
    assert chi(3).sf(FAR * NINE_OF_TEN * chi(3).median()) < 1e-11


def test_a_calibration_of_an_earlier_version_has_no_suspects():
    assert suspect_ids({"scales": {}}) == ()
    assert LabelAudit("suspect label") is LabelAudit.SUSPECT
