from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.labelling.pw_state import (
    OCCUPATION_RULES,
    HubbardTermUsed,
    OccupationRule,
    hubbard_mismatch,
    oxidation_states,
    read_state,
)
from aiida_nvp.labelling.settings import HubbardSettings

FOLDER = Path(__file__).parents[1] / "fixtures" / "pw"
PROJECTORS = ("atomic", "ortho-atomic")
CRYSTALS = {
    "na3vo4": {3: 5},
    "vopo4": {0: 5, 1: 5},
    "v2o5": {0: 5, 1: 5, 2: 5, 3: 5},
    "na2vop2o7": {4: 4, 5: 4},
    "navo2": {1: 3},
    "v2o3": {0: 3, 1: 3, 2: 3, 3: 3},
}


def content(name):
    return (FOLDER / f"{name}-7.2.xml").read_text()


def state(name):
    return read_state(content(name))


def by_hand():
    return (FOLDER / "two-sites-6.7-by-hand.xml").read_text()


def asked(projectors="atomic", u_ev=3.25, element="V", manifold="3d"):
    return HubbardSettings(projectors=projectors, terms={element: {"manifold": manifold, "u_ev": u_ev}})


@pytest.mark.parametrize("projectors", PROJECTORS)
@pytest.mark.parametrize(("crystal", "expected"), CRYSTALS.items())
def test_oxidation_states_of_crystals_are_those_of_their_formula(crystal, expected, projectors):
    found = state(f"{crystal}-{projectors}")
    assert found.hubbard.projectors == projectors
    assert oxidation_states(found) == expected


@pytest.mark.parametrize("projectors", PROJECTORS)
def test_eigenvalues_of_crystals_keep_away_from_the_bounds(projectors):
    rule = OCCUPATION_RULES[projectors]
    sites = [site for crystal in CRYSTALS for site in state(f"{crystal}-{projectors}").occupations]
    values = np.concatenate([np.ravel(site.eigenvalues) for site in sites])
    assert not ((values > rule.empty - 0.05) & (values < rule.filled + 0.15)).any()


@pytest.mark.parametrize("projectors", PROJECTORS)
def test_an_electron_that_sites_share_is_undecided(projectors):
    assert oxidation_states(state(f"vo2-{projectors}")) == {0: None, 1: None}
    assert oxidation_states(state(f"navpo5-{projectors}")) == {1: None}


def test_without_a_converged_cycle_a_rule_or_spins_nothing_is_decided():
    assert oxidation_states(state("na3vo4-unconverged-atomic")) == {3: None}
    assert oxidation_states(state("na3vo4-unpolarised-atomic")) == {3: None}
    good = state("na3vo4-atomic")
    assert oxidation_states(replace(good, hubbard=replace(good.hubbard, projectors="norm-atomic"))) == {3: None}
    assert oxidation_states(good, OccupationRule(empty=0.4, filled=0.6)) == {3: None}
    assert oxidation_states(state("na3vo4-without-u")) == {}


def test_all_quantities_of_one_run():
    found = state("na2vop2o7-atomic")
    assert (found.version, found.version_text, found.functional) == ((7, 2), "7.2", "PBE")
    assert (found.converged, found.ionic_converged, found.scf_iterations) == (True, None, 12)
    assert found.electrons == 2 * (2 * 9 + 13 + 2 * 5 + 8 * 6)
    assert found.total_magnetization == pytest.approx(2.0, abs=1e-4)
    assert found.absolute_magnetization == pytest.approx(2.94, abs=0.005)
    assert found.species == ("Na",) * 4 + ("V",) * 2 + ("P",) * 4 + ("O",) * 16
    assert len(found.site_moments) == 26
    assert found.site_moments[4] == pytest.approx(found.site_moments[5], abs=1e-3)
    assert found.site_moments[4] > 0.5
    assert found.wall_s > found.cpu_s > 70
    assert [(site.atom, site.manifold, np.shape(site.eigenvalues)) for site in found.occupations] == [
        (4, "3d", (2, 5)),
        (5, "3d", (2, 5)),
    ]


def test_energies_are_in_ev():
    """The outputs print 0.00002527 Ry as accuracy, 5.2463 eV as Fermi energy and U = 3.2500 eV."""
    assert state("na2vop2o7-atomic").scf_accuracy_ev == pytest.approx(0.00002527 * 13.605693, rel=1e-3)
    assert state("na3vo4-atomic").fermi_ev == pytest.approx(5.2463, abs=1e-4)
    assert state("na3vo4-atomic").hubbard.terms == (HubbardTermUsed("V", "3d", pytest.approx(3.25, abs=1e-6)),)


def test_eigenvalues_are_those_that_the_output_prints():
    site = state("navo2-atomic").occupations[0]
    np.testing.assert_allclose(site.eigenvalues[0], [0.269, 0.473, 0.474, 0.972, 0.972], atol=6e-4)
    np.testing.assert_allclose(site.eigenvalues[1], [0.135, 0.135, 0.148, 0.383, 0.383], atol=6e-4)
    assert site.electrons == pytest.approx(4.34395, abs=1e-5)


def test_a_run_without_spins_has_one_row_for_either_spin():
    found = state("na3vo4-unpolarised-atomic")
    assert (found.total_magnetization, found.absolute_magnetization, found.site_moments) == (0, 0, None)
    assert np.shape(found.occupations[0].eigenvalues) == (1, 5)
    assert found.occupations[0].electrons == pytest.approx(state("na3vo4-atomic").occupations[0].electrons, abs=0.01)


def test_job_done_does_not_hide_a_cycle_that_did_not_converge():
    assert "JOB DONE" in (FOLDER / "na3vo4-unconverged-atomic-7.2.tail.out").read_text()
    found = state("na3vo4-unconverged-atomic")
    assert (found.converged, found.scf_iterations) == (False, 3)
    assert found.scf_accuracy_ev == pytest.approx(0.33862811 * 13.605693, rel=1e-6)
    assert found.site_moments is None


def test_a_relaxation_tells_cycle_and_geometry_apart():
    found = state("na3vo4-relax")
    assert (found.converged, found.ionic_converged, found.scf_iterations) == (True, False, 6)


def test_release_6_7_counts_spins_in_its_index_and_writes_rydberg():
    found = read_state(by_hand())
    assert (found.version, found.version_text) == ((6, 7), "6.7MaX")
    assert found.hubbard.terms[0].u_ev == pytest.approx(3.25, abs=1e-6)
    assert [site.atom for site in found.occupations] == [1, 3]
    np.testing.assert_allclose(found.occupations[0].eigenvalues[0], [0.3, 0.4, 0.42, 0.5, 0.98])
    assert oxidation_states(found) == {1: 4, 3: 3}
    assert (found.site_moments, found.fermi_ev, found.wall_s, found.cpu_s) == (None, None, None, None)
    assert hubbard_mismatch(found, asked()) == ""


@pytest.mark.parametrize("name", ["na2vop2o7-ortho-atomic", "na3vo4-without-u", "na3vo4-unconverged-atomic"])
def test_plain_values_are_json(name):
    plain = state(name).plain()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["version_text"] == "7.2"


def test_a_file_and_bytes_are_read_like_text():
    path = FOLDER / "navo2-atomic-7.2.xml"
    with path.open("rb") as binary, path.open() as text:
        assert read_state(binary) == read_state(text) == read_state(path.read_bytes()) == state("navo2-atomic")


def test_what_was_asked_is_what_was_applied():
    assert hubbard_mismatch(state("na3vo4-atomic"), asked()) == ""
    assert hubbard_mismatch(state("v2o3-ortho-atomic"), asked("ortho-atomic")) == ""
    assert hubbard_mismatch(state("na3vo4-without-u"), None) == ""


def test_terms_of_elements_that_the_cell_lacks_ask_for_nothing():
    assert hubbard_mismatch(state("na3vo4-without-u"), asked(element="Fe")) == ""
    both = HubbardSettings(projectors="atomic", terms={"V": {"u_ev": 3.25}, "Fe": {"u_ev": 4.0}})
    assert hubbard_mismatch(state("na3vo4-atomic"), both) == ""


@pytest.mark.parametrize(
    ("name", "wanted", "sentence"),
    [
        ("na3vo4-without-u", asked(), "pw.x 7.2 ran without the U that was asked for on V"),
        ("na3vo4-atomic", None, "pw.x 7.2 applied DFT+U on V 3d, and none was asked for"),
        ("na3vo4-atomic", asked(element="Fe"), "pw.x 7.2 applied DFT+U on V 3d, and none was asked for"),
        ("na3vo4-atomic", asked("ortho-atomic"), "pw.x 7.2 used `atomic` projectors, not `ortho-atomic`"),
        ("na3vo4-atomic", asked(u_ev=3.1), "pw.x 7.2 used U = 3.25 eV on V 3d, not 3.1 eV"),
        ("na3vo4-atomic", asked(element="Na", manifold="3s"), "pw.x 7.2 used U = 0 eV on Na 3s, not 3.25 eV"),
    ],
)
def test_a_mismatch_is_named(name, wanted, sentence):
    assert hubbard_mismatch(state(name), wanted) == sentence


def test_an_old_release_that_ignored_the_card_is_named():
    old = read_state(content("na3vo4-without-u").replace('"PWSCF" VERSION="7.2"', '"PWSCF" VERSION="6.7MaX"'))
    assert hubbard_mismatch(old, asked()) == (
        "pw.x 6.7MaX ran without the U that was asked for on V; "
        "releases before 7.1 ignore the HUBBARD card and run the bare functional"
    )


def test_all_kinds_of_an_element_need_their_u():
    kinds = content("v2o5-atomic").replace('<atom name="V" index="1">', '<atom name="V4" index="1">')
    kinds = kinds.replace('specie="V" label="3d" spin="1" index="1"', 'specie="V4" label="3d" spin="1" index="1"')
    kinds = kinds.replace('specie="V" label="3d" spin="2" index="1"', 'specie="V4" label="3d" spin="2" index="1"')
    found = read_state(kinds)
    assert oxidation_states(found) == CRYSTALS["v2o5"]
    assert hubbard_mismatch(found, asked()) == "pw.x 7.2 used U = 0 eV on V4 3d, not 3.25 eV"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<lda_plus_u_kind>0", "<lda_plus_u_kind>1", "kind 1 of DFT"),
        ("<lda_plus_u_kind>", '<Hubbard_J0 specie="V">0.1</Hubbard_J0><lda_plus_u_kind>', "Hubbard_J0"),
    ],
)
def test_more_than_one_u_is_named(old, new, words):
    found = hubbard_mismatch(read_state(content("na3vo4-atomic").replace(old, new)), asked())
    assert "applied more than one U" in found
    assert words in found


def test_a_file_that_was_cut_off_is_refused():
    with pytest.raises(InputError, match=r"cut off or damaged \(.*\), the run was stopped\.$"):
        state("truncated")
    with pytest.raises(InputError, match="cut off or damaged"):
        read_state("")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<noncolin>false", "<noncolin>true", "only those along one axis"),
        ("<nelec>6.4", "<nelec>*", "`nelec` is .* not a number"),
        ("<nelec>6.400000000000000E+01", "<nelec>NaN", "`nelec` is 'NaN', not a number"),
        ("scf_error", "scf_mistake", "no `output/convergence_info/scf_conv/scf_error`"),
        ("VERSION=", "RELEASE=", "`creator` has no `VERSION`"),
        ('VERSION="7.2"', 'VERSION="next"', "`next` is no release"),
        ("<output>", "<outset>", "cut off or damaged"),
        ("qes:espresso", "qes:other", "no results"),
        ('spin="2" index="4"', 'spin="2" index="5"', "unknown order"),
        ("4.238397179481069E-01", "", "cannot be read"),
        ("4.238397179481069E-01", "NaN", "not of finite numbers"),
        ('label="3d" spin="1"', 'label="4f" spin="1"', "1 occupation matrices for 1 atoms"),
        ('spin="2" index="4"', 'spin="2" index="four"', "`index` of `Hubbard_ns` is 'four', not a number"),
        ('<atom name="V"', '<atom name="Q"', "2 occupation matrices for 0 atoms of V"),
        ('atom="8"', 'atom="9"', "site moments for 8 atoms"),
    ],
)
def test_faults_are_named(old, new, words):
    text = content("na3vo4-atomic")
    assert old in text
    with pytest.raises(InputError, match=words) as error:
        read_state(text.replace(old, new))
    assert str(error.value).startswith("pw.x output: ")


def test_a_missing_spin_is_refused():
    text = content("na3vo4-atomic")
    start = text.index("        <Hubbard_ns", text.index('spin="1" index="4"'))
    end = text.index("</Hubbard_ns>", start) + len("</Hubbard_ns>")
    with pytest.raises(InputError, match="1 occupation matrices for 1 atoms of V"):
        read_state(text[:start] + text[end:])


def test_a_species_of_no_element_is_refused():
    strange = replace(state("na3vo4-without-u"), species=("Q1",))
    with pytest.raises(InputError, match="`Q1` is of no element"):
        hubbard_mismatch(strange, asked())
