from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from ase import Atoms

from aiida_nvp.calculations.label import collect_labels, frame_key, frames_to_structures
from aiida_nvp.common.frame import canonical
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.labelling.pw_output import stress_from_pw
from aiida_nvp.labelling.triage import Outcome, Rerun

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def frame(seed):
    rng = np.random.default_rng(seed)
    positions = np.array([[0, 0, 0], [2, 2, 2]]) + rng.normal(0, 0.1, (2, 3))
    return Atoms("NaO", positions=positions, cell=[4] * 3, pbc=True)


def dataset(*seeds):
    frames = FrameSet.from_atoms([frame(seed) for seed in seeds], [{"origin": {"kind": "packed"}} for _ in seeds])
    return DatasetData(frames, [{"explore": f"uuid-{seed}"} for seed in seeds])


def trajectory(frames, index, steps=1, iterations=10):
    """What a job gives, with the job."""
    atoms = frames.frames.atoms(index)
    rng = np.random.default_rng(index)
    positions = np.stack([atoms.positions + 0.05 * step * np.array([[0, 0, 0], [0, 0, 1.0]]) for step in range(steps)])
    node = orm.TrajectoryData()
    node.set_trajectory(atoms.get_chemical_symbols(), positions, cells=np.stack([atoms.cell.array] * steps))
    node.set_array("energy", rng.normal(size=steps))
    node.set_array("forces", rng.normal(size=(steps, 2, 3)))
    node.set_array("stress", np.stack([np.eye(3) * (step + 1) for step in range(steps)]))
    node.set_array("scf_iterations", np.full(steps, iterations))
    job = orm.CalcJobNode().store()
    node.base.links.add_incoming(job, link_type=LinkType.CREATE, link_label="output_trajectory")
    return node.store()


def collect(frames, trajectories, settings=None, labeller="rehearsal", parameters=None, **more):
    rows = [
        Outcome(identity, (frame_key(identity),) if frame_key(identity) in trajectories else (), "uuid", 1).plain()
        for identity in dict.fromkeys(frames.frames.ids())
    ]
    return collect_labels(
        frames=frames,
        settings=orm.Dict(settings or {}),
        labeller=orm.Str(labeller),
        outcomes=orm.Dict({"rows": rows}),
        trajectories=trajectories,
        parameters=parameters
        or {key: orm.Dict({"energy_units": "eV", "wall_time_seconds": 2.5}) for key in trajectories},
        **more,
    )


def test_structures_are_canonical_to_the_digit_and_one_a_distinct_frame():
    frames = dataset(1, 2, 1)
    structures = frames_to_structures(frames)
    ids = frames.frames.ids()
    assert set(structures) == {frame_key(ids[0]), frame_key(ids[1])}
    stored = structures[frame_key(ids[0])].get_ase()
    np.testing.assert_array_equal(stored.positions, canonical(frame(1)).positions)
    again = frames_to_structures(dataset(1))
    assert again[frame_key(ids[0])].base.caching.get_hash() == structures[frame_key(ids[0])].base.caching.get_hash()


def test_labels_keep_where_they_come_from():
    frames = dataset(1, 2, 3)
    ids = frames.frames.ids()
    nodes = {frame_key(ids[index]): trajectory(frames, index) for index in (0, 2)}
    outputs = collect(frames, nodes)

    data, triage = outputs["dataset"], outputs["triage"].get_dict()
    assert data.frames.ids() == [ids[0], ids[2]]
    assert [row["status"] for row in triage["frames"]] == ["converged", "rejected", "converged"]
    assert triage["frames"][0]["code_s"] == 2.5
    assert data.sources[1] == {"explore": "uuid-3", "label": nodes[frame_key(ids[2])].creator.uuid}
    assert data.frames.info[0] == {"origin": {"kind": "packed"}, "label": {"step": 0, "scf_iterations": 10}}
    np.testing.assert_allclose(data.frames.stress[0], stress_from_pw(np.eye(3)))
    link = data.creator.base.links.get_incoming(link_label_filter=f"trajectories__{frame_key(ids[0])}").one()
    assert link.node.uuid == nodes[frame_key(ids[0])].uuid


def test_two_equal_batches_have_one_hash_and_an_untrusted_stress_is_not_kept():
    frames = dataset(1)
    key = frame_key(frames.frames.ids()[0])
    pseudos = {"Na": orm.SinglefileData.from_string("Na"), "O": orm.SinglefileData.from_string("O")}
    made = [
        collect(frames, {key: trajectory(frames, 0)}, labeller="quantumespresso", pseudos=pseudos)["dataset"]
        for _ in range(2)
    ]
    assert made[0].base.caching.get_hash() == made[1].base.caching.get_hash()
    assert np.isnan(made[0].frames.stress).all()
    trusted = collect(
        frames, {key: trajectory(frames, 0)}, {"stress_converged": True}, "quantumespresso", pseudos=pseudos
    )
    assert np.isfinite(trusted["dataset"].frames.stress).all()
    assert trusted["dataset"].frames.level_of_theory == made[0].frames.level_of_theory


def test_relaxation_steps_name_their_start_and_unconverged_ones_are_listed():
    frames = dataset(1)
    identity = frames.frames.ids()[0]
    node = trajectory(frames, 0, steps=4)
    outputs = collect(frames, {frame_key(identity): node}, {"mode": "relax"})
    origins = [entry["origin"] for entry in outputs["dataset"].frames.info]
    assert [origin["step"] for origin in origins] == [0, 1, 2, 3]
    assert origins[2] == {"kind": "relaxation", "step": 2, "start": identity, "start_origin": {"kind": "packed"}}

    stuck = trajectory(frames, 0, steps=2, iterations=100)
    outputs = collect(frames, {frame_key(identity): stuck}, {"mode": "relax"})
    assert "dataset" not in outputs
    row = outputs["triage"]["frames"][0]
    assert row["status"] == "rejected"
    assert row["reason"] == "not self-consistent after 100 iterations"
    assert [entry["step"] for entry in row["left_out"]] == [0, 1]


def test_a_geometry_met_twice_is_one_label():
    frames = dataset(1)
    identity = frames.frames.ids()[0]
    node = trajectory(frames, 0, steps=2)
    still = np.repeat(node.get_positions()[:1], 2, axis=0)
    again = orm.TrajectoryData()
    again.set_trajectory(node.symbols, still, cells=node.get_cells())
    for name in ("energy", "forces"):
        again.set_array(name, node.get_array(name))
    again.base.links.add_incoming(orm.CalcJobNode().store(), link_type=LinkType.CREATE, link_label="output_trajectory")
    outputs = collect(frames, {frame_key(identity): again.store()}, {"mode": "relax"})
    assert len(outputs["dataset"]) == 1
    assert outputs["triage"]["counts"]["labels"] == 1


@pytest.mark.parametrize(
    ("spoil", "units", "words"),
    [
        (("energy", np.zeros(3)), "eV", "differ in number"),
        (("forces", np.zeros((1, 5, 3))), "eV", "not those of 2 atoms"),
        (None, "hartree", "`energy_units` is 'hartree'"),
    ],
    ids=["lengths", "atoms", "units"],
)
def test_output_that_cannot_be_read_costs_its_own_frame_alone(spoil, units, words):
    frames = dataset(1, 2)
    keys = [frame_key(identity) for identity in frames.frames.ids()]
    good, bad = trajectory(frames, 0), trajectory(frames, 1).clone()
    if spoil is not None:
        bad.set_array(*spoil)
    bad.base.links.add_incoming(orm.CalcJobNode().store(), link_type=LinkType.CREATE, link_label="output_trajectory")
    parameters = {
        keys[0]: orm.Dict({"energy_units": "eV"}),
        keys[1]: orm.Dict({"energy_units": units, "wall_time_seconds": 4.0}),
    }
    outputs = collect(frames, {keys[0]: good, keys[1]: bad.store()}, parameters=parameters)
    assert len(outputs["dataset"]) == 1
    kept, lost = outputs["triage"].get_dict()["frames"]
    assert (kept["status"], lost["status"]) == ("converged", "rejected")
    assert words in lost["reason"]
    assert lost["left_out"] == [{"step": None, "reason": lost["reason"]}]
    assert lost["code_s"] == 4.0


@pytest.mark.parametrize(("lower", "doubtful"), [(0.002, False), (0.02, True)])
def test_of_two_starts_the_lowest_is_the_label_unless_they_end_too_far_apart(lower, doubtful):
    frames = dataset(1)
    (identity,) = frames.frames.ids()
    usual, other = trajectory(frames, 0), trajectory(frames, 0).clone()
    other.set_array("energy", usual.get_array("energy") - lower)
    job = orm.CalcJobNode().store()
    other.base.links.add_incoming(job, link_type=LinkType.CREATE, link_label="output_trajectory")
    other.store()
    keys = (frame_key(identity), f"{frame_key(identity)}_permuted")
    outcome = Outcome(identity, keys[:1], "uuid", 1, reruns=(Rerun("permuted", "uuid", keys[1]),))
    outputs = collect_labels(
        frames=frames,
        settings=orm.Dict({"start": "valence"}),
        labeller=orm.Str("rehearsal"),
        outcomes=orm.Dict({"rows": [outcome.plain()]}),
        trajectories=dict(zip(keys, (usual, other), strict=True)),
        parameters={key: orm.Dict({"energy_units": "eV", "wall_time_seconds": 2.5}) for key in keys},
    )
    assert ("dataset" in outputs, "ambiguous" in outputs) == (not doubtful, doubtful)
    labels = outputs["ambiguous" if doubtful else "dataset"]
    assert labels.sources == [{"explore": "uuid-1", "label": job.uuid}]
    assert labels.frames.energy[0] == pytest.approx(other.get_array("energy")[0])
    branch = labels.frames.info[0]["label"]["branch"]
    assert (branch["kept"], branch["ambiguous"]) == ("permuted", doubtful)
    assert branch["energies"] == {"ferromagnetic": pytest.approx(lower / 2), "permuted": 0.0}
    (row,) = outputs["triage"]["frames"]
    assert (row["status"], row["labels"]) == (("ambiguous", 0) if doubtful else ("converged", 1))
    assert row["code_s"] == 5.0
    assert outputs["triage"]["branch_check"]["ambiguous"] == int(doubtful)
