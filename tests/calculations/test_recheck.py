from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_nvp.calculations.recheck import doubtful, settle_suspects, take_suspects
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import inputs
from aiida_nvp.labelling.settings import LabelSettings

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

FORMULAS = ("V2O5", "NaV2O5", "NaPO3", "V2O4")


def frame(formula, energy=None):
    atoms = Atoms(formula, cell=[4.6] * 3, pbc=True)
    atoms.positions = 2.3 * np.array(list(np.ndindex(2, 2, 2)), dtype=float)[: len(atoms)]
    if energy is not None:
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((len(atoms), 3)))
    return atoms


def dataset(*energies, formulas=FORMULAS, by="label"):
    level = "theory" if energies else None
    frames = [frame(*pair) for pair in zip(formulas, energies or [None] * len(formulas), strict=True)]
    return DatasetData(FrameSet.from_atoms(frames, level_of_theory=level), [{by: name} for name in formulas])


def calibration(ids, classes):
    return orm.Dict({"audit": [{"frame": f, "class": c} for f, c in zip(ids, classes, strict=True)]})


def test_suspects_that_can_start_in_another_way_are_taken():
    chosen = dataset(by="select")
    found = calibration(chosen.frames.ids(), ["suspect label", "explained", "suspect label", "suspect label"])
    assert doubtful(chosen.frames, found, LabelSettings()) == [0, 3]
    taken = take_suspects(chosen, found, orm.Dict({}))
    assert taken.frames.ids() == [chosen.frames.ids()[0], chosen.frames.ids()[3]]
    assert taken.sources == [{"select": "V2O5"}, {"select": "V2O4"}]
    assert len(take_suspects(chosen, orm.Dict({"scales": {}}), orm.Dict({}))) == 0


def test_the_second_look_replaces_removes_or_leaves_a_label():
    before = dataset(-1.0, -2.0, -3.0, -4.0)
    ids = before.frames.ids()
    rows = [{"frame": ids[n], "status": s} for n, s in ((0, "converged"), (1, "ambiguous"), (3, "rejected"))]
    checked = dataset(-1.5, formulas=FORMULAS[:1], by="second")
    settled = settle_suspects(before, orm.Dict({"frames": rows}), checked)
    assert dict(zip(settled.frames.ids(), settled.frames.energy, strict=True)) == {
        ids[2]: -3.0,
        ids[3]: -4.0,
        ids[0]: -1.5,
    }
    assert settled.sources == [{"label": "NaPO3"}, {"label": "V2O4"}, {"second": "V2O5"}]
    assert settled.frames.level_of_theory == "theory"
    # A frame is followed back through the first data set that holds it: the one with the label that was kept.
    assert list(inputs(settled.creator, DatasetData)) == ["checked", "dataset"]


def test_a_second_look_that_leaves_nothing_removes_the_ambiguous():
    before = dataset(-1.0, -2.0, -3.0, -4.0)
    rows = [{"frame": before.frames.ids()[0], "status": "ambiguous"}]
    settled = settle_suspects(before, orm.Dict({"frames": rows}))
    assert settled.frames.ids() == before.frames.ids()[1:]
