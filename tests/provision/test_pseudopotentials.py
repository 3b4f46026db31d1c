import numpy as np
import pytest
from ase.data import atomic_numbers
from hypothesis import given
from hypothesis import strategies as st

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision.pseudopotentials import (
    GHOST_BOUND_RAD,
    check_ghosts,
    check_own_family,
    generate,
    log_derivative_mismatch,
    packaged_decks,
    read_deck,
)

ENERGIES = np.arange(-12.0, 4.0, 0.002)


def _curves(*phases):
    """Logarithmic derivatives with given phases: their arctangent is the phase, up to half turns."""
    return np.column_stack([ENERGIES, *(np.tan(phase) for phase in phases)])


def _atom():
    return _curves(0.4 - 0.8 * ENERGIES, 1.1 - 0.5 * ENERGIES, 0.2 - 0.3 * ENERGIES)


@pytest.mark.parametrize(("symbol", "valence"), [("Na", 9), ("V", 13), ("P", 5), ("O", 6)])
def test_valence_of_the_packaged_decks(symbol, valence):
    deck = {deck.symbol: deck for deck in packaged_decks()}[symbol]
    assert deck.valence == valence
    assert f"zed={atomic_numbers[symbol]}." in deck.text
    assert f"prefix='{symbol}'" in deck.text
    assert "deld=0.002" in deck.text


def test_a_negative_occupation_is_no_electron():
    deck = read_deck(
        "title='O' file_pseudopw='O.UPF'\n2S 1 0 2.00 0.0 1.2\n2P 2 1 4.00 0.0 1.2\n3D 3 2 -2.00 0.1 1.4\n"
    )
    assert deck.valence == 6


def test_a_deck_without_output_file_is_refused():
    with pytest.raises(InputError, match="file_pseudopw"):
        read_deck("title='O'")


def test_equal_curves_match_across_their_poles():
    np.testing.assert_array_equal(log_derivative_mismatch(_atom(), _atom()), np.zeros(3))


@given(shift=st.floats(-0.09, 0.09))
def test_a_small_phase_error_is_measured_exactly(shift):
    pseudo = _curves(0.4 - 0.8 * ENERGIES + shift, 1.1 - 0.5 * ENERGIES, 0.2 - 0.3 * ENERGIES)
    mismatch = log_derivative_mismatch(_atom(), pseudo)
    np.testing.assert_allclose(mismatch, [abs(shift), 0, 0], atol=1e-6)
    assert check_ghosts("X", _atom(), pseudo) <= GHOST_BOUND_RAD


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_planted_ghost_is_found_in_its_channel(channel):
    # A bound state that the atom lacks turns the phase by pi within its width.
    phases = [0.4 - 0.8 * ENERGIES, 1.1 - 0.5 * ENERGIES, 0.2 - 0.3 * ENERGIES]
    phases[channel] = phases[channel] - np.arctan((ENERGIES + 4.5031) / 1e-3)
    assert log_derivative_mismatch(_atom(), _curves(*phases))[channel] > 1.0
    with pytest.raises(InputError, match=rf"ghost state.*l = {channel} "):
        check_ghosts("X", _atom(), _curves(*phases))


def test_what_happens_far_above_the_occupied_states_is_not_judged():
    phases = [0.4 - 0.8 * ENERGIES, 1.1 - 0.5 * ENERGIES, 0.2 - 0.3 * ENERGIES]
    phases[1] = phases[1] + np.where(ENERGIES > 1.0, 0.5, 0.0)
    assert log_derivative_mismatch(_atom(), _curves(*phases)).max() < 1e-6


def test_curves_on_different_energies_are_refused():
    with pytest.raises(InputError, match="same energies"):
        log_derivative_mismatch(_atom(), _atom()[:-1])
    shifted = _atom()
    shifted[:, 0] += 0.002
    with pytest.raises(InputError, match="same energies"):
        log_derivative_mismatch(_atom(), shifted)


def test_an_unknown_family_is_named(aiida_profile_clean):
    with pytest.raises(InputError, match="no pseudopotential family 'SSSP'; this profile has: none"):
        check_own_family("SSSP")


def _fake_ld1(folder, script):
    program = folder / "ld1.x"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_a_generator_that_stops_is_quoted(tmp_path):
    ld1 = _fake_ld1(tmp_path, "echo 'Error in routine ld1_setup (1):'; echo 'no wavefunction'; exit 1")
    with pytest.raises(InputError, match=r"no pseudopotential of Na: .*no wavefunction"):
        generate(packaged_decks()[0], ld1, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.engine
def test_the_oxygen_deck_is_clean_and_its_neighbour_has_a_ghost(tmp_path, quantum_espresso):
    oxygen = {deck.symbol: deck for deck in packaged_decks()}["O"]
    assert generate(oxygen, quantum_espresso / "ld1.x", tmp_path / "clean").mismatch_rad < 0.01
    haunted = read_deck(oxygen.text.replace("2S 1 0 0.00 0.30", "2S 1 0 0.00 0.05"))
    with pytest.raises(InputError, match=r"ghost state.*l = 0 "):
        generate(haunted, quantum_espresso / "ld1.x", tmp_path / "haunted")
