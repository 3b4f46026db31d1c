"""Compiled files: what is refused at once, and that one of another model is not handed over."""

import json

import numpy as np
import pytest

from aiida_nvp.common.errors import InputError, WorkerError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.uncertainty.last_layer import FeatureStatistics
from aiida_nvp.worker.compile import run
from aiida_nvp.worker.job import Job
from aiida_nvp.worker.main import run_stage
from aiida_nvp.worker.settings import COMPILED_FILE, SIGMA_TARGET, TARGETS

# What the libraries still call but torch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_an_unknown_engine_and_a_sigma_without_statistics_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown engine 'gromacs'; there are ase, lammps, torchsim, ase-sigma"):
        run(Job(tmp_path, {"engine": "gromacs"}))
    with pytest.raises(InputError, match="no statistics of its training set"):
        run(Job(tmp_path, {"engine": SIGMA_TARGET}))


def test_what_cannot_be_compiled_ends_with_its_code(tmp_path):
    from aiida_nvp.worker.compile_run import Request, compile_model

    (tmp_path / "text.nequip.zip").write_text("no model")
    request = Request(tmp_path / "text.nequip.zip", tmp_path / COMPILED_FILE, "ase", "cpu")
    with pytest.raises(WorkerError, match="ase for cpu") as caught:
        compile_model(request)
    assert caught.value.code == "ERROR_COMPILE_FAILED"
    assert not request.output.exists()


@pytest.mark.slow
@pytest.mark.parametrize("engine", list(TARGETS))
def test_the_compiled_file_says_what_its_package_says(tiny_committee, tmp_path, engine):
    from aiida_nvp.uncertainty.compiled_sigma import SigmaCalculator
    from aiida_nvp.worker.compile_run import Request, compare

    trained = tiny_committee[0].parent
    for name in ("potential.nequip.zip", "statistics.npz", "frames.npz"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    (tmp_path / "input.json").write_text(json.dumps({"engine": engine}))
    assert run_stage("compile", tmp_path / "input.json") == 0, (tmp_path / "error.json").read_text()
    found = json.loads((tmp_path / "output.json").read_text())
    assert found["force_difference"] < 1e-4
    assert found["energy_difference_per_atom"] < 1e-5

    # The same file beside the package of another member, as if a cache had mixed them up.
    statistics = FeatureStatistics.load(tmp_path / "statistics.npz") if engine == SIGMA_TARGET else None
    wrong = Request(tiny_committee[1], tmp_path / COMPILED_FILE, TARGETS[engine], "cpu", statistics)
    with pytest.raises(WorkerError, match="does not agree with its package") as caught:
        compare(wrong, None)
    assert caught.value.code == "ERROR_COMPILED_DIFFERS"

    if engine == SIGMA_TARGET:
        assert found["sigma_difference"] < 1e-4
        calculator = SigmaCalculator.from_compiled_model(
            tmp_path / COMPILED_FILE, device="cpu", chemical_species_to_atom_type_map=True
        )
        atoms = FrameSet.load(tmp_path / "frames.npz").atoms(1)
        atoms.calc = calculator
        assert np.isfinite(atoms.get_potential_energy())
        assert calculator.results["last_layer_sigma"].shape == (len(atoms),)
