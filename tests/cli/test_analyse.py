"""`aiida-nvp analyse` on plain files, from the command line to the page."""

import json

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from click.testing import CliRunner

from aiida_nvp.analysis.tables import coordination_table, transport_table
from aiida_nvp.cli.analyse import analyse
from aiida_nvp.common.errors import InputError

CONFIG = "read: {interval_ps: 0.1}\npairs: {P-O: 2.2}\nmobile: Na\nbin_width: 0.1\n"


@pytest.fixture
def run(tmp_path):
    rng = np.random.default_rng(4)
    for name in ("one", "two"):
        places, frames = rng.random((40, 3)) * 9, []
        for _ in range(24):
            places = places + rng.normal(scale=0.3, size=places.shape)
            frames.append(Atoms("Na10P10O20", positions=places, cell=[9, 9, 9], pbc=True))
            frames[-1].wrap()
        write(tmp_path / f"{name}.extxyz", frames)

    def _run(*arguments, config=CONFIG):
        (tmp_path / "analysis.yaml").write_text(config)
        files = [str(tmp_path / f"{name}.extxyz") for name in ("one", "two")]
        options = ["--config", str(tmp_path / "analysis.yaml"), "--out", str(tmp_path / "out")]
        return CliRunner().invoke(analyse, [*files, *options, *arguments], catch_exceptions=False)

    _run.out = tmp_path / "out"
    return _run


def test_two_replicas(run):
    assert run().exit_code == 0
    results = json.loads((run.out / "results.json").read_text())
    means = [replica["stages"][0]["coordination"]["P-O"]["mean"] for replica in results["replicas"]]
    spread = results["over_replicas"]["stages"][0]["coordination"]["P-O"]["mean"]
    assert spread["mean"] == pytest.approx(np.mean(means))
    assert spread["error"] == pytest.approx(abs(means[0] - means[1]) / 2)
    # Free walkers: a sixth of the squared step over the interval, in m^2/s.
    found = [replica["stages"][0]["msd"]["Na"]["diffusivity_m2_s"] for replica in results["replicas"]]
    assert found == pytest.approx([3 * 0.3**2 / 0.1 / 6 * 1e-8] * 2, rel=0.5)
    with h5py.File(run.out / "results.h5") as file:
        assert file["replica_1/stage_0_msd_Na"].attrs["unit"] == "angstrom^2"
        assert file["replica_0/stage_0_lag_ps"].attrs["unit"] == "ps"
        assert json.loads(file["results_json"][()]) == results
    page = (run.out / "analysis.html").read_text()
    assert "Over 2 replicas" in page
    assert results["replicas"][1]["stages"][0]["percolation"]["sentence"] in page
    assert page.count("<svg") == 12
    with h5py.File(run.out / "results.h5") as file:
        assert file["replica_0/stage_0_q"].attrs["unit"] == "1/angstrom"
        assert file["replica_0/stage_0_bad_O_P_O"].attrs["unit"] == "1/degree"
    assert results["replicas"][0]["stages"][0]["structure"]["density_g_cm3"]["mean"] == pytest.approx(
        859.63 / 729 * 1.66054, rel=1e-4
    )
    table = coordination_table(results["replicas"][0])
    assert table["share"].sum() == pytest.approx(1)
    assert set(transport_table(results["replicas"][0])["species"]) == {"Na", "P", "O"}


def test_parts_of_one_run_must_follow_each_other(run):
    with pytest.raises(InputError, match="path is ambiguous"):
        run("--joined")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("pairs: {P-O: 2.2}\n", "give `interval_ps`"),
        ("read: {intervall: 1}\n", "`read`: intervall"),
        ("- 1\n", "a mapping is expected"),
        ("a: [\n", "is not YAML"),
        (CONFIG + "colour: red\n", "unknown parameter 'colour'"),
    ],
)
def test_a_wrong_config_gets_a_sentence(run, config, sentence):
    with pytest.raises(InputError, match=sentence):
        run(config=config)


def test_network_on_the_page(run):
    more = (
        "structure: {formers: [P], split: {P-O: 1.8}, double: {P-O: 1.5}, scan: {P-O: [1.6, 2.2, 0.2]}, "
        "measured: [{radiation: neutron, q_max: 15}]}\n"
    )
    assert run(config=CONFIG + more).exit_code == 0
    results = json.loads((run.out / "results.json").read_text())
    found = results["replicas"][0]["stages"][0]["structure"]
    assert set(found["linkages"]) == {"P-O-P"}
    assert set(found["red_flags"]["wrong_bonds"]) == {"P-P", "O-O"}
    assert "structure" in results["over_replicas"]["stages"][0]
    page = (run.out / "analysis.html").read_text()
    assert "Red flags a frame" in page
    assert "Angle P-O-P" in page
    with h5py.File(run.out / "results.h5") as file:
        assert file["replica_0/stage_0_G_neutron_0"].attrs["unit"] == "1/angstrom^2"
        assert file["replica_0/stage_0_scan_P_O"].shape == file["replica_0/stage_0_cutoff_P_O"].shape == (4,)


def test_structure_that_makes_no_sense_gives_a_sentence(run):
    with pytest.raises(InputError, match="`structure`: rings: Extra inputs are not permitted"):
        run(config=CONFIG + "structure: {rings: 10}\n")
    with pytest.raises(InputError, match="Na is to form the network but has no bond length"):
        run(config=CONFIG + "structure: {formers: [P, Na]}\n")
