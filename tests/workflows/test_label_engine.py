"""Labels by a real pw.x: unit, sign and meaning of every number, and provenance."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase import Atoms

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.usefixtures("aiida_profile_clean")]

CHEAP = {"cutoff_wfc_ry": 30, "cutoff_rho_ry": 240}


@pytest.fixture
def label(pw_code, pseudos):
    def _label(frames, settings, **more):
        return run_get_node(
            WorkflowFactory("nvp.label"),
            frames=DatasetData(FrameSet.from_atoms(frames)),
            labeller="quantumespresso",
            code=pw_code,
            pseudos=pseudos,
            settings=settings,
            in_flight=2,
            **more,
        )

    return _label


def phosphate():
    """Na3PO4 with one formula unit in a face-centred cell, shaken."""
    edge = 7.45
    legs = 1.55 / np.sqrt(3) * np.array([[2**0.5, 0, 1], [-(2**0.5), 0, 1], [0, 2**0.5, -1], [0, -(2**0.5), -1]])
    sodium = edge * np.array([[0.5] * 3, [0.25] * 3, [-0.25] * 3])
    atoms = Atoms(
        "Na3PO4",
        positions=np.concatenate([sodium, np.zeros((1, 3)), legs]),
        cell=edge / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]),
        pbc=True,
    )
    atoms.rattle(0.05, seed=3)
    return atoms


def oxide():
    """One Na and one O with an odd number of electrons: a metal at any smearing."""
    cell = [[3.2, 0, 0], [0.2, 3.4, 0], [0, 0.1, 3.6]]
    return Atoms("NaO", positions=[[0, 0, 0], [1.2, 1.4, 1.7]], cell=cell, pbc=True)


def phosphide():
    """One Na and one P: an even number of electrons, and levels so close that smearing fills them in part."""
    atoms = oxide()
    atoms.symbols[1] = "P"
    return atoms


def test_a_label_keeps_its_run(label):
    outputs, node = label([phosphate()], CHEAP)

    assert node.exit_status == 0, node.exit_message
    data = outputs["dataset"]
    assert len(data) == 1
    assert np.isnan(data.frames.stress).all()
    assert data.frames.ids() == node.inputs.frames.frames.ids()
    np.testing.assert_allclose(data.frames.forces.sum(axis=0), 0, atol=0.02)

    job = orm.load_node(data.sources[0]["label"])
    assert {"aiida.out", "data-file-schema.xml"} <= set(job.outputs.retrieved.base.repository.list_object_names())
    trajectory = job.outputs.output_trajectory
    link = data.creator.base.links.get_incoming(node_class=orm.TrajectoryData).one()
    assert link.node.uuid == trajectory.uuid
    assert link.link_label == f"trajectories__frame_{data.frames.ids()[0][:16]}"
    np.testing.assert_array_equal(data.frames.forces, trajectory.get_array("forces")[0])

    level = outputs["triage"]["level_of_theory"]
    assert level["hash"] == data.frames.level_of_theory
    assert set(level["pseudopotentials"]) == {"Na", "V", "P", "O"}


def test_relaxation_steps_are_labels_of_their_own_geometries(label):
    settings = {**CHEAP, "mode": "relax", "relax_steps": 3, "starting_magnetization": {"O": 0.3}}
    outputs, node = label([oxide()], settings)

    assert node.exit_status == 0, node.exit_message
    frames = outputs["dataset"].frames
    assert [entry["origin"]["step"] for entry in frames.info] == [0, 1, 2]
    assert frames.ids()[0] == node.inputs.frames.frames.ids()[0]
    assert (np.diff(frames.energy) < 0).all()
    assert all(entry["label"]["absolute_magnetization"] > 0.5 for entry in frames.info)
    # Over a short step the energy falls by force times displacement: pairs geometry, energy and forces of each step.
    for index in range(2):
        first, second = frames.atoms(index), frames.atoms(index + 1)
        moved = second.positions - first.positions
        moved -= np.round(moved @ np.linalg.inv(first.cell.array)) @ first.cell.array
        work = np.sum(0.5 * (first.get_forces() + second.get_forces()) * moved)
        assert frames.energy[index] - frames.energy[index + 1] == pytest.approx(work, rel=0.1)


def test_forces_and_stress_are_derivatives_of_the_energy(label):
    """Central differences under strong smearing, where the energy without -TS would not pass."""
    settings = {
        "cutoff_wfc_ry": 80,
        "cutoff_rho_ry": 640,
        "smearing": "gaussian",
        "degauss_ry": 0.03,
        "conv_thr_per_atom_ry": 1e-9,
        "starting_magnetization": {},
        "stress_converged": True,
    }
    start = phosphide()
    step, strain = 0.02, 0.01
    direction = np.array([0.6, 0.8, 0.0])
    shape = np.array([[1.0, 0.3, 0.0], [0.3, 0.7, 0.0], [0.0, 0.0, 0.8]])
    frames = [start]
    for sign in (1, -1):
        moved = start.copy()
        moved.positions[1] += sign * step * direction
        strained = start.copy()
        strained.set_cell(start.cell.array @ (np.eye(3) + sign * strain * shape), scale_atoms=True)
        frames += [moved, strained]
    outputs, node = label(frames, settings)

    assert node.exit_status == 0, node.exit_message
    labels = outputs["dataset"].frames
    first = orm.load_node(outputs["dataset"].sources[0]["label"])
    assert abs(first.outputs.output_parameters["energy_smearing"]) > 0.05
    energy = labels.energy
    force = -(energy[1] - energy[3]) / (2 * step)
    assert abs(force) > 0.3
    assert labels.atoms(0).get_forces()[1] @ direction == pytest.approx(force, rel=0.01)
    # The differences are taken at one cutoff, the stress at one set of plane waves: they meet as the cutoff rises.
    slope = (energy[2] - energy[4]) / (2 * strain)
    stress = labels.atoms(0).get_stress(voigt=False)
    assert np.sum(stress * shape) * start.get_volume() == pytest.approx(slope, rel=0.03)


def vanadate():
    """Na3VO4 with one formula unit in a face-centred cell: V5+, no odd electron."""
    edge = 7.8
    legs = 1.72 / np.sqrt(3) * np.array([[2**0.5, 0, 1], [-(2**0.5), 0, 1], [0, 2**0.5, -1], [0, -(2**0.5), -1]])
    sodium = edge * np.array([[0.5] * 3, [0.25] * 3, [-0.25] * 3])
    return Atoms(
        "Na3VO4",
        positions=np.concatenate([sodium, np.zeros((1, 3)), legs]),
        cell=edge / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]),
        pbc=True,
    )


def test_u_spins_and_valences_are_what_was_asked_for(label):
    """Vanadium with U from a valence start, and the state read back from pw.x's own file."""
    settings = {
        "cutoff_wfc_ry": 30,
        "cutoff_rho_ry": 120,
        "conv_thr_per_atom_ry": 1e-6,
        "start": "valence",
        "hubbard": {"projectors": "atomic", "terms": {"V": {"u_ev": 3.25}}},
    }
    outputs, node = label([vanadate()], settings)

    assert node.exit_status == 0, node.exit_message
    frames = outputs["dataset"].frames
    state = frames.info[0]["label"]["state"]
    assert state["u_ev"] == {"V": pytest.approx(3.25, abs=1e-4)}
    assert state["projectors"] == "atomic"
    assert state["oxidation_states"] == {"3": 5}
    assert state["start"]["states"] == [1, 1, 1, 5, -2, -2, -2, -2]
    assert state["code_version"].startswith("7.")
    assert len(state["site_moments"]) == 8
    level = outputs["triage"]["level_of_theory"]
    assert level["hubbard"]["terms"]["V"]["u_ev"] == 3.25
    assert level["spin"] == {"recipe": "valence", "version": 1}

    job = orm.load_node(outputs["dataset"].sources[0]["label"])
    links = outputs["dataset"].creator.base.links.get_incoming(node_class=orm.FolderData).all()
    assert [link.node.uuid for link in links] == [job.outputs.retrieved.uuid]


def test_opposed_spins_are_another_start_of_the_same_label(label):
    """Two V4+ in one cell: the second run starts with one spin down, and the lowest of both is the label."""
    edge, apex = 4.55, 0.3
    vanadium = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    oxygen = np.array([[apex, apex, 0], [1 - apex, 1 - apex, 0], [0.5 + apex, 0.5 - apex, 0.5]])
    oxygen = np.vstack([oxygen, [[0.5 - apex, 0.5 + apex, 0.5]]])
    rutile = Atoms("V2O4", scaled_positions=np.vstack([vanadium, oxygen]), cell=[edge, edge, 2.85], pbc=True)
    settings = {**CHEAP, "cutoff_rho_ry": 120, "conv_thr_per_atom_ry": 1e-6, "start": "valence"}
    outputs, node = label([rutile], settings, branch_share=1.0)

    assert node.exit_status in (0, 401), node.exit_message
    (row,) = outputs["triage"]["frames"]
    (rerun,) = row["branch"]["reruns"]
    assert (rerun["start"], rerun["reason"]) == ("antiferromagnetic", "")
    labels = outputs["ambiguous" if row["status"] == "ambiguous" else "dataset"]
    assert set(row["branch"]["energies"]) == {"ferromagnetic", "antiferromagnetic"}
    (structures,) = node.base.links.get_outgoing(link_label_filter="other_starts").all_nodes()
    (structure,) = structures.base.links.get_outgoing(node_class=orm.StructureData).all_nodes()
    assert structure.get_kind_names() == ["V4", "V9", "O"]
    jobs = [job for job in node.called_descendants if isinstance(job, orm.CalcJobNode)]
    energies = {job.uuid: float(job.outputs.output_parameters["energy"]) for job in jobs}
    assert len(energies) == 2
    assert labels.sources[0]["label"] == min(energies, key=energies.get)
    spread = (max(energies.values()) - min(energies.values())) / len(rutile)
    assert row["branch"]["energy_spread"] == pytest.approx(spread, abs=1e-6)
    starts = [job.inputs.parameters["SYSTEM"]["starting_magnetization"] for job in jobs]
    assert sorted(min(start.values()) < 0 for start in starts) == [False, True]
    assert labels.frames.info[0]["label"]["state"]["start"]["recipe"] == row["branch"]["kept"]


def test_a_cycle_that_never_converges_is_rejected_and_never_handed_out(label):
    settings = {**CHEAP, "cutoff_rho_ry": 120, "electron_maxstep": 3}
    outputs, node = label([phosphate()], settings)

    assert node.exit_status == 401
    (row,) = outputs["triage"]["frames"]
    assert row["status"] == "rejected"
    assert "did not reach self-consistency" in row["reason"]
    jobs = [job for job in node.called_descendants if isinstance(job, orm.CalcJobNode)]
    # The first attempt and one a remedy: the last is the detour, which fails as well.
    assert len(jobs) == 5
    assert not any(job.base.caching.is_valid_cache for job in jobs)
    inputs = [job.inputs.parameters.get_dict() for job in sorted(jobs, key=lambda job: job.ctime)]
    assert [each["ELECTRONS"]["mixing_beta"] for each in inputs] == pytest.approx([0.3, 0.15, 0.15, 0.15, 0.15])
    assert [each["SYSTEM"]["degauss"] for each in inputs] == pytest.approx([0.01] * 4 + [0.04])
