"""Protocols become complete settings: the protocol, the family's cutoffs, then what the user wants otherwise."""

import pytest
from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily, PseudoPotentialFamily

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.workflows.label import LabelWorkChain
from aiida_nvp.workflows.protocols.resolve import LabelProtocols, recommended_cutoffs, resolve

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

WAVE = {"Na": 40.0, "V": 50.0, "O": 45.0}


@pytest.fixture
def family(bare_upf):
    """Return a function that installs a family with cutoffs of the given stringencies (wave function times factor)."""

    def _family(label, **stringencies):
        kind = CutoffsPseudoPotentialFamily if stringencies else PseudoPotentialFamily
        group = kind(label=label).store()
        group.add_nodes([bare_upf(symbol) for symbol in WAVE])
        for name, factor in stringencies.items():
            cutoffs = {s: {"cutoff_wfc": factor * w, "cutoff_rho": 8 * factor * w} for s, w in WAVE.items()}
            group.set_cutoffs(cutoffs, name, unit="Ry")
        if stringencies:
            group.set_default_stringency(next(iter(stringencies)))
        return group

    return _family


def test_the_protocols_differ_where_they_should(family):
    family("local", fast=0.6, balanced=1.0, stringent=1.5)
    fast, balanced, stringent = (resolve(name, "local", list(WAVE)).settings for name in ("fast", None, "stringent"))
    assert (fast.cutoff_wfc_ry, balanced.cutoff_wfc_ry, stringent.cutoff_wfc_ry) == pytest.approx((30, 50, 75))
    assert balanced.cutoff_rho_ry == pytest.approx(400)
    assert fast.kpoints == "gamma"
    assert stringent.kpoints.distance_per_angstrom < balanced.kpoints.distance_per_angstrom
    assert stringent.conv_thr_per_atom_ry < balanced.conv_thr_per_atom_ry < fast.conv_thr_per_atom_ry
    assert not fast.stress_converged
    assert balanced.stress_converged
    assert {settings.start for settings in (fast, balanced, stringent)} == {"valence"}
    assert all("description" in entry for entry in LabelProtocols.get_available_protocols().values())


@pytest.mark.parametrize(
    ("stringencies", "protocol", "wave"),
    [
        ({"normal": 1.0}, "fast", 50),
        ({"low": 0.8, "normal": 1.0, "high": 1.2}, "fast", 40),
        ({"low": 0.8, "normal": 1.0, "high": 1.2}, "balanced", 50),
        ({"low": 0.8, "normal": 1.0, "high": 1.2}, "stringent", 60),
        ({"own": 0.9}, "balanced", 45),
    ],
)
def test_families_name_their_stringencies_differently(family, stringencies, protocol, wave):
    """SSSP has `normal` alone, PseudoDojo `low`, `normal` and `high`."""
    family("theirs", **stringencies)
    assert resolve(protocol, "theirs", list(WAVE)).settings.cutoff_wfc_ry == pytest.approx(wave)


def test_only_the_species_present_set_the_cutoffs(family):
    group = family("local", balanced=1.0)
    assert recommended_cutoffs(group, ["Na"], ["balanced"]) == pytest.approx((40, 320))


def test_overrides_win_and_low_cutoffs_are_told_with_figures(family):
    family("local", balanced=1.0)
    wanted = {"cutoff_wfc_ry": 30, "kpoints": "gamma", "hubbard": {"terms": {"V": {"u_ev": 3.25}}}}
    resolved = resolve("balanced", "local", list(WAVE), wanted)
    assert resolved.settings.kpoints == "gamma"
    assert resolved.settings.hubbard.terms["V"].u_ev == 3.25
    assert resolved.settings.cutoff_rho_ry == pytest.approx(400)
    assert resolved.warnings == ["cutoff_wfc_ry is 30 Ry, but family `local` recommends 50 Ry for these species."]
    assert resolve("balanced", "local", list(WAVE)).warnings == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("quick", "local", ["O"]), "no label protocol `quick`; known: fast, balanced, stringent"),
        (("fast", "elsewhere", ["O"]), "no pseudopotential family `elsewhere`"),
        (("fast", "local", ["O", "P", "Fe"]), "has no pseudopotential for P, Fe"),
        (("fast", "bare", ["O"]), "recommends no cutoffs; give cutoff_wfc_ry and cutoff_rho_ry"),
        (("fast", "local", ["O"], {"cutoff_ev": 400}), "cutoff_ev"),
    ],
)
def test_what_cannot_be_resolved_is_said(family, arguments, words):
    family("local", balanced=1.0)
    family("bare")
    with pytest.raises(InputError) as error:
        resolve(*arguments)
    assert words in str(error.value)


def test_a_family_without_cutoffs_takes_those_given(family):
    family("bare")
    settings = resolve("fast", "bare", ["O"], {"cutoff_wfc_ry": 35, "cutoff_rho_ry": 280}).settings
    assert (settings.cutoff_wfc_ry, settings.cutoff_rho_ry) == (35, 280)


def test_the_builder_is_complete(family, aiida_code_installed):
    from ase import Atoms

    family("local", balanced=1.0)
    code = aiida_code_installed("quantumespresso.pw", filepath_executable="/bin/true")
    frames = DatasetData(FrameSet.from_atoms([Atoms("NaO", [[0, 0, 0], [1, 1, 1]], cell=[4, 4, 4], pbc=True)]))
    builder = LabelWorkChain.get_builder_from_protocol(code, frames, "balanced", "local")
    assert builder.settings["cutoff_wfc_ry"] == pytest.approx(45)
    assert set(builder.pseudos) == {"Na", "O"}
    assert builder.in_flight == 8
    assert builder.labeller == "quantumespresso"
