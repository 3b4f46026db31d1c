"""Fixtures that more than one room needs."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from uuid import uuid4

import pytest

pytest_plugins = ["aiida.tools.pytest_fixtures"]


@pytest.fixture
def worker_code(aiida_code_installed):
    """The worker of this environment as a code on localhost."""
    program = str(Path(sysconfig.get_path("scripts")) / "nvp-worker")
    code = aiida_code_installed(label="nvp-worker", filepath_executable=program)
    assert str(code.filepath_executable) == program, "a test before this one left a stand-in of that label"
    return code


@pytest.fixture(scope="session")
def quantum_espresso(tmp_path_factory):
    """Folder with ``pw.x`` and ``ld1.x``: of QEPY_PYTHON if set, else of the environment that setup made."""
    from aiida_nvp.provision.quantum_espresso import shim

    homes = [Path(os.environ.get("AIIDA_PATH", ".")), Path(__file__).parents[1]]
    made = [str(home / ".engines" / "qe" / "bin" / "python") for home in homes]
    python = next((path for path in (os.environ.get("QEPY_PYTHON"), *made) if path and Path(path).exists()), None)
    if python is None:
        pytest.skip("no pw.x: run `aiida-nvp setup` or set QEPY_PYTHON to a Python that has qepy")
    folder = tmp_path_factory.mktemp("qe")
    for program in ("pw.x", "ld1.x"):
        (folder / program).write_text(shim(Path(python), program))
        (folder / program).chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def upf_files(quantum_espresso, tmp_path_factory):
    """Chemical symbol to the UPF generated from the packaged deck."""
    from aiida_nvp.provision.pseudopotentials import generate, packaged_decks

    folder = tmp_path_factory.mktemp("upf")
    return {
        deck.symbol: generate(deck, quantum_espresso / "ld1.x", folder / deck.symbol).path for deck in packaged_decks()
    }


@pytest.fixture
def pw_code(aiida_code_installed, quantum_espresso):
    """The pw.x of the test environment as a code on localhost."""
    return aiida_code_installed(
        label="pw",
        default_calc_job_plugin="quantumespresso.pw",
        filepath_executable=str(quantum_espresso / "pw.x"),
    )


@pytest.fixture
def pseudos(upf_files):
    """Chemical symbol to pseudopotential node, not stored."""
    from aiida_pseudo.data.pseudo.upf import UpfData

    return {symbol: UpfData(path) for symbol, path in upf_files.items()}


@pytest.fixture
def bare_upf():
    """Return a function that stores a pseudopotential which has a header and nothing to run with.

    All have six valence electrons unless told otherwise.
    """
    import io

    from aiida_pseudo.data.pseudo.upf import UpfData

    def _store(symbol, electrons=6.0):
        header = f'<PP_HEADER element="{symbol}" z_valence="{electrons}" pseudo_type="NC"/>'
        text = f'<UPF version="2.0.1">{header}</UPF>'
        return UpfData(io.BytesIO(text.encode()), filename=f"{symbol}.upf").store()

    return _store


@pytest.fixture
def prepare(tmp_path):
    """Return a function that makes the job folder of a CalcJob builder without running it."""
    from aiida.common.folders import Folder
    from aiida.engine.utils import instantiate_process
    from aiida.manage import get_manager

    def _prepare(builder):
        process = instantiate_process(get_manager().get_runner(), builder)
        folder = tmp_path / "job"
        folder.mkdir(exist_ok=True)
        return process.prepare_for_submission(Folder(str(folder.absolute()))), folder

    return _prepare


@pytest.fixture(scope="session")
def morse_frames():
    """Return a function that makes labelled frames: rattled cubes of 8 atoms with exact Morse labels."""
    import numpy as np
    from ase import Atoms
    from ase.calculators.morse import MorsePotential

    from aiida_nvp.common.frameset import FrameSet

    def _make(count, seed=0, symbols=("NaVPO5", "Na2P2O4", "V2O6")):
        rng = np.random.default_rng(seed)
        grid = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        frames = []
        for index in range(count):
            atoms = Atoms(symbols[index % len(symbols)], cell=[4.6] * 3, pbc=True)
            atoms.positions = 2.3 * grid[rng.permutation(8)] + rng.normal(0, 0.12, (8, 3))
            atoms.calc = MorsePotential(epsilon=0.5, r0=2.2, rho0=3.0, rcut1=3.5, rcut2=4.0)
            frames.append(atoms)
        origins = [{"origin": {"kind": "packed"}} for _ in frames]
        return FrameSet.from_atoms(frames, info=origins, level_of_theory="morse")

    return _make


@pytest.fixture(scope="session")
def tiny_definition():
    """A potential small enough to train in a second."""
    from aiida_nvp.common.potential import AllegroSettings, PotentialDefinition, TrainingSettings

    return PotentialDefinition(
        name="tiny-test",
        description="For tests of plumbing: it fits nothing well.",
        species=("Na", "V", "P", "O"),
        cutoff=4.0,
        allegro=AllegroSettings(
            num_scalar_features=8, num_tensor_features=4, mlp_width=8, readout_width=8, num_bessels=4
        ),
        training=TrainingSettings(epochs=2, warm_epochs=1, learning_rate=0.01),
    )


@pytest.fixture(scope="session")
def tiny_shifts(tiny_definition):
    """Energy shifts that fit the Morse labels roughly."""
    return dict.fromkeys(tiny_definition.species, -1.0)


@pytest.fixture(scope="session")
def train_outside():
    """Return a function that trains jobs one after the other in one process outside pytest, and gives its exit status.

    Pytest makes errors of the warnings of torch.
    """
    import os
    import subprocess
    import sys

    program = (
        "import sys; from pathlib import Path; from aiida_nvp.worker.main import run_stage;"
        "sys.exit(max(run_stage('train', Path(job) / 'input.json') for job in sys.argv[1:]))"
    )

    def _train(*jobs):
        command = [sys.executable, "-c", program, *map(str, jobs)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, env=environment, check=False).returncode

    return _train


@pytest.fixture(scope="session")
def train_tiny(tmp_path_factory, morse_frames, tiny_definition, tiny_shifts, train_outside):
    """Return a function that trains members for two epochs on Morse labels and gives their packages.

    Settings that are given go before those of the tiny definition.
    """
    import json

    def _train(members, **settings):
        root = tmp_path_factory.mktemp("committee")
        jobs = [root / f"member_{seed}" for seed in range(members)]
        for seed, job in enumerate(jobs):
            job.mkdir()
            morse_frames(12).save(job / "frames.npz")
            content = {"definition": tiny_definition.plain() | settings, "seed": seed, "shifts": tiny_shifts}
            (job / "input.json").write_text(json.dumps(content))
        assert train_outside(*jobs) == 0
        return [job / "potential.nequip.zip" for job in jobs]

    return _train


@pytest.fixture(scope="session")
def tiny_committee(train_tiny):
    """Paths of three packages."""
    return train_tiny(3)


@pytest.fixture(scope="session")
def pair_package(train_tiny):
    """Path of a package that looks less far for some pairs than its cutoff of 4 angstrom."""
    return train_tiny(1, pair_cutoffs={"O-O": 3.0, "Na-V": 2.5, "P-O": 2.8})[0]


@pytest.fixture
def no_engines(monkeypatch):
    """A profile in which no setup has chosen engines; the record outlives a cleaned profile."""
    monkeypatch.setattr("aiida_nvp.workflows.engines._RECORD_KEY", f"aiida_nvp|engines {uuid4()}")


@pytest.fixture
def convergence_node():
    """Return a function that stores a finished convergence test: one atom moves less as the cutoff rises.

    Its forces are 0.5 eV/angstrom and off by ``scale / cutoff``; keys in ``failed`` are points that gave nothing.
    """
    import numpy as np
    from aiida import orm
    from aiida.common.links import LinkType

    from aiida_nvp.calculations.convergence import collect_convergence
    from aiida_nvp.labelling.convergence_plan import distinct_points, make_series, read_plan

    def _make(failed=(), scale=0.6, exit_status=0):
        plan = {
            "cutoffs_ry": [30, 40, 60],
            "duals": [4, 8],
            "k_distances": [2.0, 1.0],
            "base_cutoff_ry": 40,
            "base_dual": 8,
            "tolerances": {"force": 0.006, "stress_gpa": 0.5, "energy_per_atom": None},
        }
        structure = orm.StructureData(cell=(np.eye(3) * 4).tolist())
        for symbol, x in (("Na", 0.0), ("P", 2.0)):
            structure.append_atom(symbols=symbol, position=(x, 0.0, 0.0))
        structure.store()
        points = distinct_points(make_series(read_plan(plan), np.eye(3) * 4))
        outcomes, trajectories, parameters = {}, {}, {}
        for key, point in points.items():
            outcomes[key] = {"reason": "no memory" if key in failed else "", "reused": False}
            if key in failed:
                continue
            trajectory = orm.TrajectoryData()
            trajectory.set_trajectory(["Na", "P"], np.array([structure.get_ase().positions]))
            force = 0.5 + scale / point.cutoff_wfc_ry
            arrays = {"energy": np.array([-10.0]), "forces": np.array([[[force, 0, 0], [-force, 0, 0]]])}
            arrays |= {"cells": np.array([np.eye(3) * 4]), "stress": np.array([np.eye(3) * 2.0])}
            for name, values in arrays.items():
                trajectory.set_array(name, values)
            trajectories[key] = trajectory.store()
            parameters[key] = orm.Dict({"wall_time_seconds": 1.5}).store()
        result = collect_convergence(
            structure=structure,
            settings=orm.Dict({"starting_magnetization": {}}),
            plan=orm.Dict(plan),
            outcomes=orm.Dict(outcomes),
            trajectories=trajectories,
            parameters=parameters,
        )
        node = orm.WorkChainNode(process_type="aiida.workflows:nvp.converge")
        node.set_process_label("ConvergeWorkChain")
        node.set_process_state("finished")
        node.set_exit_status(exit_status)
        node.set_exit_message("the sentence of the exit code" if exit_status else "")
        node.store()
        result.base.links.add_incoming(node, LinkType.RETURN, "result")
        return node

    return _make
