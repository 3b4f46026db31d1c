from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida_pseudo.data.pseudo.upf import UpfData
from aiida_quantumespresso.common.hubbard import Hubbard
from aiida_quantumespresso.data.hubbard_structure import HubbardStructureData
from ase import Atoms

from aiida_nvp.calculations.import_labels import import_calculations, import_extxyz
from aiida_nvp.calculations.merge import merge
from aiida_nvp.calculations.pw_nodes import PW_PLUGIN, gather
from aiida_nvp.calculations.remarks import REMARKS
from aiida_nvp.calculations.structure import to_structure
from aiida_nvp.common.frame import frame_id
from aiida_nvp.labelling.extxyz import write_extxyz
from aiida_nvp.labelling.pw_forces import force_balances
from aiida_nvp.labelling.pw_output import stress_from_pw
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.labelling.theory import pw_theory, theory_hash
from aiida_nvp.workflows.labellers import LabelRequest, PwLabeller

pytestmark = pytest.mark.usefixtures("aiida_profile")

XML = Path(__file__).parents[1] / "fixtures" / "pw"
OUTPUTS = ("output", "retrieved")
SYSTEM = {"ecutwfc": 45, "occupations": "smearing", "smearing": "gaussian", "degauss": 0.01}
VANADIUM = {"nspin": 2, "starting_magnetization": {"V": 0.3}}


def head(symbol):
    return f'<UPF version="2.0.1">\n<PP_HEADER element="{symbol}" z_valence="5.0" functional="PBE"/>\n</UPF>\n'.encode()


def upf(symbol):
    return UpfData(io.BytesIO(head(symbol)), filename=f"{symbol}.upf")


def sha(symbol):
    return hashlib.sha256(head(symbol)).hexdigest()


def level(symbols, **settings):
    return pw_theory(LabelSettings(**settings), {symbol: sha(symbol) for symbol in symbols})


def geometry(symbols, seed=0):
    rng = np.random.default_rng(seed)
    count = len(Atoms(symbols))
    grid = np.stack(np.meshgrid(*[[0.0, 2.3]] * 3), axis=-1).reshape(-1, 3)[:count]
    return Atoms(symbols, positions=grid + rng.normal(0, 0.1, (count, 3)), cell=[4.6] * 3, pbc=True)


def mesh(*counts):
    kpoints = orm.KpointsData()
    kpoints.set_kpoints_mesh(list(counts))
    return kpoints


def trajectory(path, seed=0, cells=None, extra=0):
    """What a job writes: ``extra`` labels beyond the geometries, as a variable-cell relaxation leaves one."""
    rng = np.random.default_rng(seed)
    labels = len(path) + extra
    node = orm.TrajectoryData()
    cells = np.stack([atoms.cell.array for atoms in path]) if cells is None else cells
    node.set_trajectory(
        path[0].get_chemical_symbols(), np.stack([atoms.positions for atoms in path]), cells=cells, pbc=(True,) * 3
    )
    node.set_array("energy", rng.normal(-300, 1, labels))
    node.set_array("forces", rng.normal(size=(labels, len(path[0]), 3)))
    node.set_array("stress", np.stack([np.eye(3)] * labels))
    node.set_array("scf_iterations", np.full(labels, 12))
    node.set_array("total_magnetization", np.full(labels, 1.0))
    return node


def job(path, *, system=None, control=None, kpoints=None, state="finished", status=0, caller=None, **given):
    """A pw.x calculation with its links; ``given`` replaces inputs, or leaves them out where it says None."""
    atoms = path[0]
    symbols = sorted(set(atoms.get_chemical_symbols()))
    namelists = {
        "CONTROL": {"calculation": "scf" if len(path) == 1 else "relax", **(control or {})},
        "SYSTEM": {**SYSTEM, **(VANADIUM if "V" in symbols else {}), **(system or {})},
        "ELECTRONS": {},
    }
    inputs = {
        "structure": orm.StructureData(ase=atoms),
        "parameters": orm.Dict(namelists),
        "settings": orm.Dict({"gamma_only": True}) if kpoints is None else None,
        "kpoints": kpoints or mesh(1, 1, 1),
        **{f"pseudos__{symbol}": upf(symbol) for symbol in symbols},
    }
    outputs = {
        "output_trajectory": trajectory(path, seed=len(atoms) + len(path)),
        "output_parameters": orm.Dict({"energy_units": "eV", "wall_time_seconds": 3.0}),
    }
    node = orm.CalcJobNode()
    node.set_process_type(PW_PLUGIN)
    node.set_process_label("PwCalculation")
    for name, data in (inputs | {name: data for name, data in given.items() if not name.startswith(OUTPUTS)}).items():
        if data is not None:
            node.base.links.add_incoming(data.store(), LinkType.INPUT_CALC, name)
    if caller is not None:
        node.base.links.add_incoming(caller, LinkType.CALL_CALC, "iteration_03")
    node.set_process_state(state)
    if state == "finished":
        node.set_exit_status(status)
        node.set_exit_message("the scf cycle did not converge" if status else "")
    node.store()
    for name, data in (outputs | {name: data for name, data in given.items() if name.startswith(OUTPUTS)}).items():
        if data is not None:
            data.base.links.add_incoming(node, LinkType.CREATE, name)
            data.store()
    return node


def relaxation(symbols="NaPO3", steps=3, seed=4):
    path = [geometry(symbols, seed)]
    for _ in range(steps - 1):
        moved = path[-1].copy()
        moved.positions += 0.05
        path.append(moved)
    return path


def take(jobs, theory=None, **choices):
    found = gather(jobs)
    inputs = {} if theory is None else {"theory": orm.Dict(theory)}
    return import_calculations.run_get_node(
        choices=orm.Dict({**choices, "left_out": found.left_out}), **inputs, **found.namespaces
    )


def test_single_points_and_relaxations_become_labels_with_their_history():
    jobs = [job([geometry("NaVO3")]), job(relaxation())]
    outputs, node = take(jobs)
    assert node.is_finished_ok, node.exit_message
    data = outputs["dataset"]
    assert len(data) == 4
    assert data.frames.level_of_theory == theory_hash(level(["Na", "V", "P", "O"], cutoff_rho_ry=180))
    assert [source["label"] for source in data.sources] == [jobs[0].uuid, *[jobs[1].uuid] * 3]
    assert data.frames.info[0]["origin"] == {"kind": "imported", "calculation": "scf"}
    start = frame_id(relaxation()[0])
    assert data.frames.info[2]["origin"] == {
        "kind": "relaxation",
        "step": 1,
        "start": start,
        "start_origin": {"kind": "imported", "calculation": "relax"},
    }
    assert data.frames.info[2]["label"] == {"step": 1, "scf_iterations": 12, "total_magnetization": 1.0}
    written = jobs[1].outputs.output_trajectory
    np.testing.assert_array_equal(data.frames.energy[1:], written.get_array("energy"))
    np.testing.assert_array_equal(data.frames.forces[-5:], written.get_array("forces")[2])
    assert np.isnan(data.frames.stress).all()
    links = data.creator.base.links.get_incoming(link_label_filter="trajectories__%").all()
    assert {link.node.creator.uuid for link in links} == {each.uuid for each in jobs}

    summary = outputs["summary"].get_dict()
    assert summary["counts"] == {"calculations": 2, "labels": 4, "left_out": 0}
    assert summary["level_of_theory"]["hash"] == data.frames.level_of_theory
    assert [row["kind"] for row in summary["calculations"]] == ["scf", "relax"]


@pytest.mark.parametrize(
    ("settings", "readable"),
    [
        ({}, True),
        ({"mode": "relax", "functional": "PBEsol", "kpoints": (2, 2, 2), "cutoff_wfc_ry": 60}, True),
        ({"smearing": "marzari-vanderbilt", "dispersion": "grimme-d3", "starting_magnetization": {"V": 0.5}}, True),
        ({"hubbard": {"terms": {"V": {"u_ev": 3.25}}}}, True),
        ({"start": "valence", "hubbard": {"projectors": "atomic", "terms": {"V": {"u_ev": 3.25}}}}, True),
        ({"kpoints": {"distance_per_angstrom": 0.7}}, False),
    ],
)
def test_the_hash_is_that_of_a_label_made_here(settings, readable, aiida_code_installed):
    """From the very inputs that the labeller builds; a density stands in no input, so it has to be stated."""
    choices = LabelSettings(**settings)
    code = aiida_code_installed(filepath_executable="/bin/true", default_calc_job_plugin="quantumespresso.pw")
    labeller = PwLabeller(LabelRequest(code, choices, {symbol: upf(symbol) for symbol in ("Na", "V", "P", "O")}))
    jobs = []
    for symbols in ("NaV2O5", "NaVO3", "NaPO3"):
        atoms = geometry(symbols)
        builder = labeller.builder(to_structure(atoms, choices))
        pseudos = {f"pseudos__{kind}": node for kind, node in builder.pw.pseudos.items()}
        unused = {f"pseudos__{symbol}": None for symbol in set(atoms.get_chemical_symbols()) - set(builder.pw.pseudos)}
        given = {name: builder.pw[name] for name in ("structure", "parameters", "settings")}
        jobs.append(job([atoms], **given, **pseudos, **unused, kpoints=builder.kpoints))
    theory = pw_theory(choices, {symbol: sha(symbol) for symbol in ("Na", "V", "P", "O")})
    outputs, node = take(jobs, None if readable else theory)
    assert node.is_finished_ok, node.exit_message
    assert outputs["summary"]["level_of_theory"] == {"hash": theory_hash(theory), **theory}
    assert outputs["dataset"].frames.level_of_theory == theory_hash(theory)
    stated, node = take(jobs, theory)
    assert node.is_finished_ok, node.exit_message
    assert stated["dataset"].base.caching.get_hash() == outputs["dataset"].base.caching.get_hash()


def test_a_stress_is_kept_where_it_is_trusted():
    outputs, _ = take([job([geometry("NaPO3")])], stress_converged=True)
    np.testing.assert_allclose(outputs["dataset"].frames.stress[0], stress_from_pw(np.eye(3)))


def test_a_mesh_made_from_a_distance_is_a_density():
    atoms = geometry("NaPO3")
    maker = orm.CalcFunctionNode()
    maker.set_process_label("create_kpoints_from_distance")
    distance = orm.Float(0.5).store()
    maker.base.links.add_incoming(distance, LinkType.INPUT_CALC, "distance")
    maker.store()
    kpoints = mesh(3, 3, 3)
    kpoints.base.links.add_incoming(maker, LinkType.CREATE, "result")
    outputs, node = take([job([atoms], kpoints=kpoints)])
    theory = outputs["summary"]["level_of_theory"]
    assert theory["kpoints"] == {"distance_per_angstrom": 0.5}
    assert node.base.links.get_incoming(link_label_filter="distances__%").one().node.uuid == distance.uuid


def test_hubbard_terms_of_the_structure_belong_to_the_level():
    atoms = geometry("NaVO3")
    structure = HubbardStructureData.from_structure(orm.StructureData(ase=atoms))
    structure.hubbard = Hubbard.from_list([(1, "3d", 1, "3d", 4.0, (0, 0, 0), "Ueff")])
    outputs, node = take([job([atoms], structure=structure, kpoints=mesh(1, 1, 1))])
    assert node.is_finished_ok, node.exit_message
    assert outputs["summary"]["level_of_theory"]["hubbard"] == {
        "projectors": "ortho-atomic",
        "terms": {"V": {"manifold": "3d", "u_ev": 4.0}},
    }


def test_a_release_that_ignored_the_hubbard_terms_gives_no_label():
    atoms = geometry("NaVO3")
    structure = HubbardStructureData.from_structure(orm.StructureData(ase=atoms))
    structure.hubbard = Hubbard.from_list([(1, "3d", 1, "3d", 4.0, (0, 0, 0), "Ueff")])
    old = orm.Dict({"energy_units": "eV", "creator_version": "6.7MaX"})
    _, node = take([job([atoms], structure=structure, kpoints=mesh(1, 1, 1), output_parameters=old)])
    assert node.exit_status == 210
    assert "pw.x 6.7MaX ignores the HUBBARD card" in node.exit_message


def test_mixed_levels_are_refused_with_numbers():
    jobs = [job([geometry("NaPO3", seed)]) for seed in (1, 2)] + [job([geometry("NaPO3", 3)], system={"ecutwfc": 60})]
    _, node = take(jobs)
    assert node.exit_status == 211
    assert f"45.0 in 2 (PwCalculation<{jobs[0].pk}> first) and 60.0 in 1" in node.exit_message


def test_a_stated_level_is_kept_or_what_departs_is_left_out():
    jobs = [job([geometry("NaPO3", 1)]), job([geometry("NaPO3", 3)], system={"ecutwfc": 60})]
    stated = level(["Na", "V", "P", "O"], cutoff_rho_ry=180)
    _, node = take(jobs, stated)
    assert node.exit_status == 211
    assert f"cutoff_wfc_ry is 60.0 instead of 45.0 in 1 (PwCalculation<{jobs[1].pk}> first)" in node.exit_message

    outputs, _ = take(jobs, stated, skip_others=True)
    assert outputs["dataset"].frames.level_of_theory == theory_hash(stated)
    assert len(outputs["dataset"]) == 1
    (left_out,) = outputs["summary"]["left_out"]
    assert left_out["process"] == jobs[1].uuid
    assert "another level of theory: cutoff_rho_ry, cutoff_wfc_ry" in left_out["reason"]

    _, node = take(jobs, {"labeller": "vasp"})
    assert node.exit_status == 210
    assert "the stated labeller is vasp" in node.exit_message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (lambda: {"state": "running"}, "it has not ended"),
        (lambda: {"status": 410}, "it failed: the scf cycle did not converge"),
        (lambda: {"output_trajectory": None}, "it gave no trajectory"),
        (lambda: {"kpoints": mesh(2, 2, 2), "structure": None}, "its input structure is not in this profile"),
        (lambda: {"control": {"calculation": "nscf"}}, "`nscf` gives no forces"),
        (lambda: {"output_parameters": orm.Dict({"energy_units": "Ry"})}, "`energy_units` is 'Ry'"),
        (lambda: {"settings": orm.Dict({"FIXED_COORDS": [[True] * 3] * 5})}, "atoms were held fixed"),
    ],
)
def test_a_calculation_without_a_label_is_listed(changes, reason):
    useless, good = job([geometry("NaPO3", 1)], **changes()), job([geometry("NaPO3", 2)])
    outputs, _ = take([useless, good])
    assert len(outputs["dataset"]) == 1
    (left_out,) = outputs["summary"]["left_out"]
    assert left_out["calculation"] == f"PwCalculation<{useless.pk}>"
    assert reason in left_out["reason"]


def test_nothing_at_all_is_refused():
    _, node = take([job([geometry("NaPO3")], control={"calculation": "bands"})])
    assert node.exit_status == 210
    assert "no calculation gives a label; first: PwCalculation<" in node.exit_message
    assert not len(gather([]))


def test_steps_of_a_broken_relaxation_stay_and_unconverged_ones_go():
    path = relaxation(steps=4)
    broken = job(path, status=502)
    assert len(take([broken])[0]["dataset"]) == 4
    stuck = trajectory(path)
    stuck.set_array("scf_iterations", np.array([10, 30, 10, 10]))
    outputs, _ = take([job(path, output_trajectory=stuck, parameters=stuck_parameters())])
    assert [entry["label"]["step"] for entry in outputs["dataset"].frames.info] == [0, 2, 3]
    assert outputs["summary"]["calculations"][0]["left_out"] == [
        {"step": 1, "reason": "not self-consistent after 30 iterations"}
    ]


def stuck_parameters():
    return orm.Dict({"CONTROL": {"calculation": "relax"}, "SYSTEM": SYSTEM, "ELECTRONS": {"electron_maxstep": 30}})


def test_a_changing_cell_gives_labels_while_the_cutoff_holds():
    path = relaxation(steps=3)
    cells = np.stack([atoms.cell.array for atoms in path]) * np.array([1, 1.0004, 1.01])[:, None, None]
    node = trajectory(path, cells=cells, extra=1)
    outputs, finished = take([job(path, control={"calculation": "vc-relax"}, output_trajectory=node)])
    assert finished.is_finished_ok, finished.exit_message
    assert [entry["origin"]["step"] for entry in outputs["dataset"].frames.info] == [0, 1]
    (left_out,) = outputs["summary"]["calculations"][0]["left_out"]
    assert left_out == {"step": 2, "reason": "the cell has changed at a fixed number of plane waves"}


def test_a_geometry_met_twice_is_one_label():
    outputs, _ = take([job([geometry("NaPO3")]), job(relaxation(seed=0))])
    assert len(outputs["dataset"]) == 3
    (left_out,) = outputs["summary"]["calculations"][1]["left_out"]
    assert "the geometry has a label already, and its energy is" in left_out["reason"]


def test_equal_calculations_make_equal_data_sets():
    made = [take([job([geometry("NaVO3")]), job(relaxation())])[0]["dataset"] for _ in range(2)]
    assert made[0].base.caching.get_hash() == made[1].base.caching.get_hash()


def extxyz(content, theory=None, **parameters):
    return import_extxyz.run_get_node(
        file=orm.SinglefileData.from_string(content, filename="frames.extxyz"),
        theory=orm.Dict(theory or {}),
        parameters=orm.Dict(parameters),
    )


def test_a_file_of_one_profile_comes_back_in_another(morse_frames):
    frames = morse_frames(4)
    sources = [{"label": f"uuid-{index}"} for index in range(4)]
    data, node = extxyz(write_extxyz(frames, sources))
    assert node.is_finished_ok, node.exit_message
    assert data.frames.content_hash == frames.content_hash
    assert data.sources == sources
    assert data.creator.inputs.file.filename == "frames.extxyz"


def test_a_stated_level_is_hashed_and_must_not_contradict_the_file(morse_frames):
    foreign = write_extxyz(morse_frames(4)).replace("nvp_level_of_theory=morse", "")
    stated = {"labeller": "vasp", "functional": "PBE", "encut_ev": 520}
    data, _ = extxyz(foreign, stated)
    assert data.frames.level_of_theory == theory_hash(stated)
    _, node = extxyz(foreign)
    assert node.exit_status == 210
    assert "state the level of theory" in node.exit_message
    _, node = extxyz(write_extxyz(morse_frames(4)), stated)
    assert "of level morse, the stated one is" in node.exit_message


def test_what_is_wrong_with_a_file_is_the_exit_message(morse_frames):
    content = write_extxyz(morse_frames(4)).replace("nvp_level_of_theory=morse", "")
    theory = {"labeller": "vasp"}
    _, node = extxyz(content, theory, units={"length": "nm"})
    assert node.exit_status == 210
    assert "which is no bond if lengths are in nm" in node.exit_message
    _, node = extxyz(content, theory, units={"length": "nm"}, checked=False)
    assert node.is_finished_ok
    assert "which is no bond" in node.base.extras.get(REMARKS)[0]
    _, node = extxyz(content, theory, unit="eV")
    assert "unit: Extra inputs are not permitted" in node.exit_message


def test_imported_levels_do_not_mix():
    first = take([job([geometry("NaPO3", 1)])])[0]["dataset"]
    second = take([job([geometry("NaPO3", 2)], system={"ecutwfc": 60})])[0]["dataset"]
    _, node = merge.run_get_node(a=first, b=second)
    assert node.exit_status == 211


def folder(fixture=None):
    """What a job retrieved: a file of the fixtures, or nothing."""
    node = orm.FolderData()
    if fixture is not None:
        node.base.repository.put_object_from_bytes((XML / f"{fixture}-7.2.xml").read_bytes(), "data-file-schema.xml")
    return node


def test_the_state_of_an_imported_label_is_read_from_the_file_beside_it():
    outputs, node = take([job([geometry("Na3VO4")], retrieved=folder("na3vo4-atomic"))])
    assert node.is_finished_ok, node.exit_message
    state = outputs["dataset"].frames.info[0]["label"]["state"]
    assert state["oxidation_states"] == {"3": 5}
    assert "start" not in state
    assert outputs["summary"]["calculations"][0]["flags"] == []


def test_without_a_file_the_label_is_taken_without_a_state():
    outputs, _ = take([job([geometry("Na3VO4")], retrieved=folder()), job([geometry("NaPO3")])])
    assert ["state" in info["label"] for info in outputs["dataset"].frames.info] == [False, False]


def test_an_import_that_ended_without_self_consistency_gives_no_label():
    unconverged = job([geometry("Na3VO4")], retrieved=folder("na3vo4-unconverged-atomic"))
    outputs, _ = take([unconverged, job([geometry("NaPO3")])])
    (row, other) = outputs["summary"]["calculations"]
    assert (row["labels"], other["labels"]) == (0, 1)
    assert "without self-consistency" in row["left_out"][0]["reason"]


def test_a_file_that_is_cut_off_costs_the_geometry_that_it_tells_of():
    outputs, _ = take([job([geometry("Na3VO4")], retrieved=folder("truncated")), job(relaxation())])
    assert [row["labels"] for row in outputs["summary"]["calculations"]] == [0, 3]
    outputs, _ = take([job(relaxation(), retrieved=folder("truncated"))])
    (row,) = outputs["summary"]["calculations"]
    assert (row["labels"], [entry["step"] for entry in row["left_out"]]) == (2, [2])


def test_forces_that_do_not_balance_are_told_of_the_step_that_has_them(monkeypatch):
    """Two steps of a real relaxation; the second sums to 0.049 eV/angstrom, so a limit below that finds it alone."""
    monkeypatch.setattr("aiida_nvp.labelling.outliers.NET_FORCE", 0.04)
    text = (XML / "na3vo4-forces-atomic-7.2.out").read_text()
    balances = force_balances(text)
    path = relaxation("Na3VO4", steps=2)
    labels = trajectory(path)
    labels.set_array("forces", np.stack([balance.forces for balance in balances]))
    retrieved = folder()
    retrieved.base.repository.put_object_from_bytes(text.encode(), "aiida.out")
    outputs, node = take([job(path, output_trajectory=labels, retrieved=retrieved)])
    assert node.is_finished_ok, node.exit_message
    stored = [info["label"] for info in outputs["dataset"].frames.info]
    assert [label["net_force"] for label in stored] == [round(balance.net, 6) for balance in balances]
    assert stored[1]["scf_force_correction"] > 0.1
    (flag,) = outputs["summary"]["calculations"][0]["flags"]
    assert flag.startswith("step 1: forces add up to 0.049 eV/angstrom")


def asking(start):
    """A work chain that was asked for this start of V and calls a calculation."""
    parent = orm.WorkChainNode()
    given = orm.Dict({"SYSTEM": {"nspin": 2, "starting_magnetization": {"V": start}}}).store()
    parent.base.links.add_incoming(given, LinkType.INPUT_WORK, "pw__parameters")
    return parent.store()


def test_a_label_that_a_remedy_started_higher_is_of_the_level_that_was_asked_for():
    higher = {"starting_magnetization": {"V": 0.6}}
    retried = job([geometry("NaVO3", 1)], system=higher, caller=asking(0.3))
    outputs, node = take([retried, job([geometry("NaVO3", 2)])])
    assert node.is_finished_ok, node.exit_message
    assert outputs["summary"]["level_of_theory"]["spin"] == {"V": 0.3}
    assert len(outputs["dataset"]) == 2

    alone = job([geometry("NaVO3", 3)], system=higher)
    _, node = take([alone, job([geometry("NaVO3", 2)])])
    assert node.exit_status == 211
    other = job([geometry("NaVO3", 4)], system={"starting_magnetization": {"V": 0.5}}, caller=asking(0.3))
    _, node = take([other, job([geometry("NaVO3", 2)])])
    assert node.exit_status == 211
