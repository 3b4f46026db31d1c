"""The sigma as a part of the model against the sigma computed beside it."""

import numpy as np
import pytest
from nequip.integrations.ase import NequIPCalculator

from aiida_nvp.common.errors import InputError
from aiida_nvp.uncertainty.committee import Committee
from aiida_nvp.uncertainty.compiled_sigma import SIGMA_FIELD, graft_sigma
from aiida_nvp.uncertainty.last_layer import FeatureStatistics

# What the libraries still call but torch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def model(tiny_committee):
    """A calculator of the first member, whose model may be changed."""
    return NequIPCalculator._from_saved_model(
        str(tiny_committee[0]), device="cpu", chemical_species_to_atom_type_map=True
    )


def test_the_model_gives_the_sigma_and_the_same_forces(model, tiny_committee, morse_frames):
    statistics = FeatureStatistics.load(tiny_committee[0].parent / "statistics.npz")
    frames = morse_frames(4, seed=11)
    expected = statistics.sigma(Committee.load([tiny_committee[0]]).drive(frames).features)
    before = [model.model(model.atoms_to_data(frames.atoms(index)))["forces"].detach() for index in range(4)]
    graft_sigma(model.model, statistics)
    said = [model.model(model.atoms_to_data(frames.atoms(index))) for index in range(4)]
    sigma = np.concatenate([each[SIGMA_FIELD].detach().numpy().reshape(-1) for each in said])
    np.testing.assert_allclose(sigma, expected, rtol=1e-4)
    assert expected.std() > 0.01
    for each, forces in zip(said, before, strict=True):
        assert (each["forces"] == forces).all()


def test_statistics_of_another_model_are_refused(model, tiny_committee):
    statistics = FeatureStatistics.load(tiny_committee[0].parent / "statistics.npz")
    narrow = FeatureStatistics(
        statistics.factor[:4, :4],
        statistics.high,
        statistics.numbers,
        statistics.means[:, :4],
        statistics.factors[:, :4, :4],
    )
    with pytest.raises(InputError, match="of 4 features, the model has 8"):
        graft_sigma(model.model, narrow)


def test_a_model_without_an_allegro_read_out_is_refused(model, tiny_committee):
    statistics = FeatureStatistics.load(tiny_committee[0].parent / "statistics.npz")
    with pytest.raises(InputError, match="needs an Allegro model"):
        graft_sigma(model.model.get_submodule("model.func.allegro"), statistics)
