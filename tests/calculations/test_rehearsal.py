from __future__ import annotations

import json

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase import Atoms

from aiida_nvp.calculations.rehearsal import RehearsalCalculation
from aiida_nvp.common.errors import WorkerError
from aiida_nvp.labelling.pw_output import check_units, stress_from_pw
from aiida_nvp.labelling.rehearsal import RehearsalPotential
from aiida_nvp.worker import rehearse
from aiida_nvp.worker.job import Job

ATOMS = Atoms(
    "NaPO3",
    positions=[[0.1, 0, 0], [2.3, 2.2, 0.1], [2.3, 0, 2.2], [0, 2.4, 2.3], [2.2, 2.3, 2.4]],
    cell=[4.6] * 3,
    pbc=True,
)


@pytest.fixture
def builder(worker_code):
    builder = RehearsalCalculation.get_builder()
    builder.code = worker_code
    builder.structure = orm.StructureData(ase=ATOMS)
    builder.parameters = orm.Dict({"mode": "single_point"})
    return builder


@pytest.mark.usefixtures("aiida_profile_clean")
def test_the_job_says_what_to_label(builder, prepare):
    info, folder = prepare(builder)
    content = json.loads((folder / "input.json").read_text())
    assert content["mode"] == "single_point"
    assert content["positions"] == ATOMS.positions.tolist()
    assert content["max_force"] == 150.0
    assert info.codes_info[0].cmdline_params == ["rehearse", "input.json"]


@pytest.mark.usefixtures("aiida_profile_clean")
def test_a_relaxation_comes_back_as_a_trajectory(builder):
    builder.parameters = orm.Dict({"mode": "relax", "relax_steps": 4})
    outputs, node = run_get_node(builder)

    assert node.exit_status == 0, node.exit_message
    trajectory = outputs["output_trajectory"]
    assert trajectory.numsteps == 4
    assert trajectory.symbols == ["Na", "P", "O", "O", "O"]
    check_units(outputs["output_parameters"].get_dict())
    expected = ATOMS.copy()
    expected.positions = trajectory.get_positions()[3]
    expected.calc = RehearsalPotential()
    assert trajectory.get_array("energy")[3] == pytest.approx(expected.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(
        stress_from_pw(trajectory.get_array("stress")[3]), expected.get_stress(voigt=False), atol=1e-12
    )


def worker_inputs(atoms, **changes):
    values = {"mode": "single_point", "relax_steps": 1, "max_force": 150.0}
    geometry = {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "pbc": [True] * 3,
    }
    return values | geometry | changes


def test_the_worker_runs_without_aiida(tmp_path):
    output = rehearse.run(Job(tmp_path, worker_inputs(ATOMS, mode="relax", relax_steps=3)))
    with np.load(tmp_path / "arrays.npz") as arrays:
        assert output["steps"] == len(arrays["energy"]) == 3
        assert (np.diff(arrays["energy"]) < 0).all()


def test_md_starts_from_rest_heats_and_repeats_itself(tmp_path):
    md = {"mode": "md", "md_steps": 30, "md_temperature": 1200.0, "md_timestep_fs": 2.0}
    runs = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        assert rehearse.run(Job(folder, worker_inputs(ATOMS, **md)))["steps"] == 30
        with np.load(folder / "arrays.npz") as arrays:
            runs.append({key: arrays[key] for key in arrays.files})
    first, second = runs
    assert (first["positions"] == second["positions"]).all()
    moved = np.linalg.norm(np.diff(first["positions"], axis=0), axis=2).mean(axis=1)
    assert moved[-10:].mean() > 2 * moved[0]
    atoms = ATOMS.copy()
    atoms.positions = first["positions"][17]
    atoms.calc = RehearsalPotential()
    np.testing.assert_allclose(first["forces"][17], atoms.get_forces(), atol=1e-10)


def test_a_relaxation_ends_at_the_minimum(tmp_path):
    output = rehearse.run(Job(tmp_path, worker_inputs(ATOMS, mode="relax", relax_steps=2000)))
    assert 3 < output["steps"] < 2000


def test_atoms_too_close_are_no_label(tmp_path):
    atoms = ATOMS.copy()
    atoms.positions[2] = atoms.positions[1] + [0, 0, 0.7]
    with pytest.raises(WorkerError, match="atoms are too close for a label") as error:
        rehearse.run(Job(tmp_path, worker_inputs(atoms)))
    assert error.value.code == "ERROR_ATOMS_TOO_CLOSE"
