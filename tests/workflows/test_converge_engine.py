"""A convergence test by a real pw.x on a cell of two atoms."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from aiida.plugins import WorkflowFactory
from ase import Atoms

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.workflows.converge import ConvergeWorkChain

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.usefixtures("aiida_profile_clean")]

PW = "aiida.calculations:quantumespresso.pw"
SETTINGS = {"starting_magnetization": {}, "conv_thr_per_atom_ry": 1e-8}


def phosphide():
    """One Na and one P off any site of symmetry: an even number of electrons."""
    cell = [[3.2, 0, 0], [0.2, 3.4, 0], [0, 0.1, 3.6]]
    return Atoms("NaP", positions=[[0, 0, 0], [1.2, 1.4, 1.7]], cell=cell, pbc=True)


def test_pw_converges_and_a_label_takes_what_the_test_has_calculated(pw_code, pseudos):
    plan = {
        "cutoffs_ry": [20, 30, 45],
        "duals": [4, 8],
        "k_distances": [2.5, 1.2],
        "base_cutoff_ry": 20,
        "base_dual": 8,
        "tolerances": {"force": 0.01, "stress_gpa": 0.5, "energy_per_atom": 0.01},
    }
    inputs = {"code": pw_code, "pseudos": {symbol: pseudos[symbol] for symbol in ("Na", "P")}}
    outputs, node = run_get_node(
        ConvergeWorkChain,
        structure=orm.StructureData(ase=phosphide()),
        settings=SETTINGS,
        plan=plan,
        in_flight=1,
        **inputs,
    )
    assert node.exit_status == 0, node.exit_message
    result = outputs["result"].get_dict()
    rows = result["series"]["cutoff"]["rows"]
    for quantity in ("force_error_max", "stress_error_gpa", "energy_error_per_atom"):
        assert rows[0][quantity] > rows[1][quantity] > rows[2][quantity] == 0
    # More plane waves only lower the energy.
    assert rows[0]["energy_per_atom"] > rows[1]["energy_per_atom"] > rows[2]["energy_per_atom"]
    assert result["series"]["kpoints"]["rows"][1]["mesh"] == [2, 2, 2]
    assert result["series"]["kpoints"]["rows"][0]["force_error_max"] > 0
    jobs = [job for job in node.called_descendants if isinstance(job, orm.CalcJobNode)]
    assert len(jobs) == result["cost"]["points"] == 5
    assert result["cost"]["code_s"] > 0

    settings = {**SETTINGS, "cutoff_wfc_ry": 30, "cutoff_rho_ry": 240, "stress_converged": True}
    with enable_caching(identifier=PW):
        labels, _ = run_get_node(
            WorkflowFactory("nvp.label"),
            frames=DatasetData(FrameSet.from_atoms([phosphide()])),
            labeller="quantumespresso",
            settings=settings,
            **inputs,
        )
    assert labels["triage"]["saved"]["frames"] == 1
    label = labels["dataset"].frames
    assert label.energy[0] / 2 == pytest.approx(rows[1]["energy_per_atom"], rel=1e-12)
