"""The targets of the package, and targets of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_nvp.analysis.experiment.composition import glass
from aiida_nvp.analysis.experiment.measured import Curve, Metadata
from aiida_nvp.analysis.experiment.targets import UNITS, known_targets, read_targets, regime_of, targets_of
from aiida_nvp.common.errors import InputError

TARGET = """targets:
  - id: mine
    quantity: density
    of: glass
    value: 2.7
    tolerance: 0.1
    unit: g/cm3
    grade: A
    system: my glass
    composition: {oxides: {Na2O: 35, V2O5: 25, P2O5: 40}}
    reference: our laboratory
"""


def test_package_targets_are_sourced_and_general_knowledge_never_gates():
    registry = known_targets()
    assert len(registry.targets) > 15
    for target in registry.targets:
        assert target.doi or target.reference
        assert target.unit == UNITS[target.quantity]
        assert target.grade in "ABC"
        assert not (target.grade == "C" and target.gates)
    assert any(target.gates for target in registry.targets)
    by_id = {target.id: target for target in registry.targets}
    assert by_id["v4-share-50V2O5-50P2O5"].value == 0.352
    assert by_id["conductivity-35Na2O-25V2O5-40P2O5"].doi == "10.3390/ijms25053005"


def test_own_file(tmp_path):
    (tmp_path / "mine.yaml").write_text(TARGET)
    (target,) = read_targets(tmp_path / "mine.yaml").targets
    assert (target.value, target.temperature_tolerance) == (2.7, 10)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("value: 2.7", "value: 2.7\n    minimum: 2", "give one of `value`"),
        ("value: 2.7", "note: x", "give one of `value`"),
        ("tolerance: 0.1", "tolerance: 0.1\n    factor: 2", "give one of `tolerance`"),
        ("unit: g/cm3", "unit: kg/m3", "its unit is g/cm3"),
        ("quantity: density", "quantity: colour", "`quantity` is one of oxidation_share"),
        ("grade: A", "grade: C\n    gates: true", "never gates"),
        ("    reference: our laboratory\n", "", "a `doi` or a `reference`"),
        ("    composition: {oxides: {Na2O: 35, V2O5: 25, P2O5: 40}}\n", "", "belongs to a `composition`"),
        ("Na2O: 35", "NaCl: 35", "NaCl is not an oxide"),
        ("id: mine", "name: mine", "id: Field required"),
        (TARGET, TARGET + TARGET.removeprefix("targets:\n"), "target mine is there twice"),
        ("targets:", "targets: {", "is not YAML"),
    ],
)
def test_targets_that_make_no_sense_give_a_sentence(tmp_path, old, new, sentence):
    assert old in TARGET
    (tmp_path / "mine.yaml").write_text(TARGET.replace(old, new))
    with pytest.raises(InputError, match=sentence) as caught:
        read_targets(tmp_path / "mine.yaml")
    assert "mine.yaml" in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="not a readable file of targets"):
        read_targets(tmp_path / "none.yaml")


def _curve(quantity, x, y, error=None, **about):
    values = {
        "quantity": quantity,
        "technique": "31P NMR",
        "composition": glass({"Na2O": 50, "P2O5": 50}),
        "x_unit": "x",
        "y_unit": "y",
        "doi": "10.1039/a808829b",
        "species": "P",
        **about,
    }
    columns = [None if column is None else np.array(column, dtype=float) for column in (x, y, error)]
    return Curve(Metadata(**values), *columns)


def test_points_of_a_measurement_become_targets():
    first, second = targets_of(_curve("Qn", [1, 2], [0.1, 0.9], [0.02, 0.001]), "nmr", 10)
    assert (first.quantity, first.of, first.value, first.unit) == ("qn_share", "P Q1", 0.1, "1")
    assert first.tolerance == pytest.approx(0.06)
    assert second.tolerance == pytest.approx(0.09)
    (sigma,) = targets_of(_curve("conductivity", [303], [1e-8], carriers="Na"), "ours", 50)
    assert (sigma.of, sigma.temperature, sigma.unit) == ("Na", 303, "S/cm")
    (rho,) = targets_of(_curve("density", [298], [2.5]), "ours", 3)
    assert (rho.of, rho.unit, rho.tolerance) == ("glass", "g/cm3", pytest.approx(0.075))
    with pytest.raises(InputError, match="compared as a curve"):
        targets_of(_curve("g(r)", [1], [1]), "ours", 3)


@pytest.mark.parametrize(
    ("oxides", "regime"),
    [
        ({"Na2O": 20, "V2O5": 80}, "electronic"),
        ({"Na2O": 10, "V2O5": 54, "P2O5": 36}, "electronic"),
        ({"V2O5": 50, "P2O5": 50}, "electronic"),
        ({"Na2O": 35, "V2O5": 25, "P2O5": 40}, "mixed"),
        ({"Na2O": 65, "V2O5": 35}, "mixed"),
        ({"Na2O": 45, "V2O5": 5, "P2O5": 50}, "ionic"),
        ({"Na2O": 50, "P2O5": 50}, "ionic"),
    ],
)
def test_what_carries_the_current(oxides, regime):
    found, why = regime_of(glass(oxides), known_targets().regimes)
    assert found == regime
    assert ("Ungureanu" in why) == ("V2O5" in oxides)
