"""What a real pw.x wrote, taken in as if somebody else had run it: the same labels under the same level of theory."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase import Atoms

from aiida_nvp.calculations.import_labels import import_calculations, import_extxyz
from aiida_nvp.calculations.pw_nodes import gather
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import jobs_below
from aiida_nvp.labelling.extxyz import read_extxyz, write_extxyz

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.usefixtures("aiida_profile_clean")]


def test_an_imported_calculation_is_the_label_that_was_made_from_it(pw_code, pseudos):
    cell = [[3.2, 0, 0], [0.2, 3.4, 0], [0, 0.1, 3.6]]
    start = Atoms("NaO", positions=[[0, 0, 0], [1.2, 1.4, 1.7]], cell=cell, pbc=True)
    outputs, node = run_get_node(
        WorkflowFactory("nvp.label"),
        frames=DatasetData(FrameSet.from_atoms([start])),
        labeller="quantumespresso",
        code=pw_code,
        pseudos={symbol: pseudos[symbol] for symbol in ("Na", "O")},
        settings={
            "cutoff_wfc_ry": 30,
            "cutoff_rho_ry": 240,
            "mode": "relax",
            "relax_steps": 4,
            "starting_magnetization": {"O": 0.3},
        },
    )
    assert node.is_finished_ok, node.exit_message
    made_here = outputs["dataset"].frames

    found = gather(jobs_below(node))
    imported, process = import_calculations.run_get_node(
        choices=orm.Dict({"left_out": found.left_out}), **found.namespaces
    )
    assert process.is_finished_ok, process.exit_message
    frames = imported["dataset"].frames
    assert imported["summary"]["level_of_theory"] == outputs["triage"]["level_of_theory"]
    assert frames.level_of_theory == made_here.level_of_theory
    assert frames.ids() == made_here.ids()
    np.testing.assert_array_equal(frames.energy, made_here.energy)
    np.testing.assert_array_equal(frames.forces, made_here.forces)

    # The steps of one relaxation are neighbours, so the file speaks of its own units.
    text = write_extxyz(frames)
    assert read_extxyz(text).work.fine
    again = import_extxyz(orm.SinglefileData.from_string(text), orm.Dict({}), orm.Dict({}))
    assert again.frames.content_hash == frames.content_hash
