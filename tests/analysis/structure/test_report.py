"""The whole report: complete, plain, and in agreement with the observables on their own."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.statistics import Curve, Number
from aiida_nvp.analysis.structure.report import DEFINITIONS, UNITS, structure_of
from aiida_nvp.analysis.structure.settings import StructureSettings
from aiida_nvp.analysis.structure.values import named, record
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.validation import validated

PAIRS = {"P-O": 2.2, "V-O": 2.5, "Na-O": 3.1}
WHOLE = StructureSettings(
    formers=("P", "V"), split={"V-O": 2.0}, double={"V-O": 1.75}, scan={"V-O": (1.9, 2.8, 0.1)}, q_max=10.0,
    measured=({"radiation": "x-ray", "q_max": 15}, {"radiation": "neutron", "q_max": 20, "window": "none"}),
)  # fmt: skip


@pytest.fixture
def frames(glass):
    frame, rng = glass(500), np.random.default_rng(1)
    noise = [rng.normal(scale=0.05, size=frame.positions.shape) for _ in range(6)]
    return [Frame(frame.numbers, frame.positions + each, frame.cell) for each in noise]


def test_everything_is_there_and_plain(frames):
    numbers, curves = structure_of(frames, PAIRS, WHOLE)
    assert set(DEFINITIONS) <= set(numbers)
    text = json.dumps(numbers)
    # As text, for a number that is none is unlike itself.
    assert json.dumps(json.loads(text)) == text
    assert {name.split("_")[0] for name in curves} <= {*UNITS, "r", "cutoff"}
    assert {"q", "s_neutron", "s_xray", "s_V_O", "bad_O_V_O", "bad_P_O_V", "G_xray_0", "T_neutron_1"} <= set(curves)
    assert curves["scan_V_O"].shape == curves["cutoff_V_O"].shape == (10,)
    assert numbers["number_density"]["mean"] == pytest.approx(0.075)
    for pair in PAIRS:
        assert sum(share["mean"] for share in numbers["polyhedra"][pair]["shares"].values()) == pytest.approx(1)
    assert sum(kind["mean"] for kind in numbers["ligands"]["by_holders"].values()) == pytest.approx(1)
    # Running coordination at the cutoff is the mean of the scan there.
    edges = curves["r"] + 0.5 * (curves["r"][1] - curves["r"][0])
    reached = np.argmin(np.abs(edges - 2.5))
    assert curves["n_V_O"][reached] == pytest.approx(curves["scan_V_O"][6], abs=0.02)
    assert [entry["curve"] for entry in numbers["measured"]] == ["G_xray_0", "G_neutron_1"]


def test_without_settings_what_needs_no_names_is_there(frames):
    numbers, curves = structure_of(frames[:2], {})
    assert {"s_of_q", "voronoi", "cavities", "number_density"} <= set(numbers)
    assert not {"rings", "red_flags", "linkages"} & set(numbers)
    assert "s_neutron" in curves


def test_parts_can_be_left_out(frames):
    numbers, curves = structure_of(
        frames[:1], PAIRS, StructureSettings(formers=("P",), q_vectors=0, void_frames=0, largest_ring=0, polyhedra=())
    )
    assert not {"s_of_q", "voronoi", "cavities", "rings"} & set(numbers)
    assert numbers["polyhedra"] == {}
    assert "q" not in curves


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_invariant(gas, disguised, seed):
    frame = gas(seed, atoms=120, species=(8, 8, 8, 15, 11))
    asked = StructureSettings(formers=("P",), q_max=2.0, q_vectors=10**5, grid=1.5, void_frames=0)
    one, other = (structure_of([seen], {"P-O": 2.6, "Na-O": 3.0}, asked)[0] for seen in (frame, disguised(frame, seed)))
    for part in ("polyhedra", "linkages", "ligands", "rings", "red_flags", "angles"):
        assert _numbers(other[part]) == pytest.approx(_numbers(one[part]), nan_ok=True), part


def _numbers(value):
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in _numbers(value[key])]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"scan": {"V-O": [2.0, 2.0, 0.1]}}, "the scan of V-O goes from 2.0 to 2.0"),
        ({"q_max": 0.01}, "q_bin 0.05 must be smaller than q_max 0.01"),
        ({"measured": [{"radiation": "muon", "q_max": 5}]}, r"measured\.0\.radiation"),
        ({"ring": 3}, "ring: Extra inputs"),
    ],
)
def test_settings_that_make_no_sense(values, sentence):
    with pytest.raises(InputError, match=sentence):
        validated(StructureSettings, values, "`structure`")


def test_no_frame_and_an_element_without_a_table(frames):
    with pytest.raises(InputError, match="at least one frame"):
        structure_of([], PAIRS)
    numbers = np.where(frames[0].numbers == 11, 118, frames[0].numbers)
    strange = Frame(numbers, frames[0].positions, frames[0].cell)
    found, _ = structure_of([strange], {"P-O": 2.2}, StructureSettings(q_max=3.0, void_frames=0))
    assert "Og" in found["s_of_q"]["neutron"]["missing"]


def test_records_and_names():
    @dataclass(frozen=True)
    class Result:
        value: Number
        curve: Curve
        joint: dict

    curve = Curve(np.ones(2), np.zeros(2))
    found = record(Result(Number(1.0, 0.5), curve, {(2, 1): Number(0.25, 0.1)}))
    assert found == {"value": {"mean": 1.0, "error": 0.5}, "joint": {"2,1": {"mean": 0.25, "error": 0.1}}}
    assert list(named("s", "V-O", curve)) == ["s_V_O", "s_error_V_O"]
    with pytest.raises(TypeError, match="this is int"):
        record(3)
