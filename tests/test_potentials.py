"""Each potential in the repository is a valid definition whose model can be built and evaluated."""

from pathlib import Path

import pytest

from aiida_nvp.common.potential import load_potential

ROOT = Path(__file__).parents[1] / "potentials"
FOLDERS = sorted(path.parent.name for path in ROOT.glob("*/potential.yaml"))


def parameters_in_table():
    rows = [line.split("|") for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `nvp-")]
    return {row[1].strip(" `"): float(row[3].split()[0]) * 1000 for row in rows}


def test_every_folder_is_in_the_table_and_has_a_card():
    assert set(FOLDERS) == set(parameters_in_table())
    for name in FOLDERS:
        assert (ROOT / name / "card.md").read_text().startswith(f"# {name}\n")


@pytest.mark.parametrize("name", FOLDERS)
def test_definition_carries_the_name_of_its_folder(name):
    assert load_potential(ROOT / name).name == name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FOLDERS)
def test_model_is_built_and_gives_forces(name, morse_frames):
    from hydra.utils import get_method
    from nequip.data.ase import from_ase
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
    from nequip.utils.global_state import set_global_state

    from aiida_nvp.worker.nequip_config import TrainingPlan, allegro_model

    set_global_state()
    definition = load_potential(ROOT / name)
    config = allegro_model(definition, TrainingPlan(seed=1, shifts=dict.fromkeys(definition.species, -100.0)))
    config |= {"avg_num_neighbors": 40.0, "per_type_energy_scales": 1.0}
    model = get_method(config.pop("_target_"))(**config)
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert count == pytest.approx(parameters_in_table()[name], rel=0.06)

    data = from_ase(morse_frames(1).atoms(0))
    data = ChemicalSpeciesToAtomTypeMapper(list(definition.species))(data)
    output = model(NeighborListTransform(r_max=definition.cutoff)(data))
    assert output["forces"].shape == (8, 3)
    # The sum of the shifts is by far the largest part of the energy of an untrained model.
    assert output["total_energy"].item() == pytest.approx(-800.0, rel=0.3)
    assert output["forces"].sum(dim=0).abs().max().item() < 1e-3
