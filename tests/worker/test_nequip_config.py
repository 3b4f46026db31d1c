import json

import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.worker.nequip_config import PARENT_FILE, TrainingPlan, nequip_config


@pytest.fixture
def plan(tiny_shifts):
    return TrainingPlan(seed=7, shifts=tiny_shifts)


def changed(definition, **training):
    return definition.model_copy(update={"training": definition.training.model_copy(update=training)})


def test_cold_start_builds_the_model_of_the_definition(tiny_definition, plan):
    config = nequip_config(tiny_definition, plan)
    model = config["training_module"]["model"]
    assert (model["seed"], model["r_max"], model["type_names"]) == (7, 4.0, ["Na", "V", "P", "O"])
    assert model["per_type_energy_shifts"] == {"Na": -1.0, "V": -1.0, "P": -1.0, "O": -1.0}
    assert model["pair_potential"]["chemical_species"] == ["Na", "V", "P", "O"]
    assert config["trainer"]["max_epochs"] == tiny_definition.training.epochs
    assert "stats_manager" in config["data"]
    assert "ckpt_path" not in config


def test_warm_start_takes_the_package_beside_it(tiny_definition):
    config = nequip_config(tiny_definition, TrainingPlan(seed=1, warm_start=True))
    module = config["training_module"]
    assert module["model"] == {"_target_": "nequip.model.ModelFromPackage", "package_path": PARENT_FILE}
    assert "/" not in PARENT_FILE
    assert module["optimizer"]["lr"] == tiny_definition.training.warm_learning_rate
    assert config["trainer"]["max_epochs"] == tiny_definition.training.warm_epochs
    assert "stats_manager" not in config["data"]


def test_stress_enters_only_with_a_weight(tiny_definition, plan):
    without = nequip_config(tiny_definition, plan)["training_module"]
    with_it = nequip_config(changed(tiny_definition, stress_weight=0.2), plan)
    assert "stress" not in json.dumps(without)
    assert with_it["training_module"]["loss"]["coeffs"]["stress"] == 0.2
    assert with_it["data"]["train_dataset"]["stress"] is True


def test_species_weights_name_every_type_of_the_loss(tiny_definition, plan):
    assert "per_type_forces_coeffs" not in nequip_config(tiny_definition, plan)["training_module"]["loss"]
    loss = nequip_config(changed(tiny_definition, species_forces_weights={"V": 2.0}), plan)["training_module"]["loss"]
    assert loss["per_type_forces_coeffs"] == {"Na": 1.0, "V": 2.0, "P": 1.0, "O": 1.0}


@pytest.mark.filterwarnings("ignore")
def test_the_loss_of_nequip_weighs_the_species(tiny_definition, plan):
    import torch
    from hydra.utils import instantiate

    weighted = changed(tiny_definition, species_forces_weights={"V": 2.0}, energy_weight=0.0)
    species = list(tiny_definition.species)
    loss = instantiate(nequip_config(weighted, plan)["training_module"]["loss"], type_names=species)
    frame = {"atom_types": torch.arange(4), "num_atoms": torch.tensor([4]), "total_energy": torch.zeros(1, 1)}
    errors = torch.tensor([1.0, 3.0, 0.0, 2.0])[:, None].repeat(1, 3)
    found = loss({**frame, "forces": errors}, {**frame, "forces": torch.zeros(4, 3)})
    assert found["weighted_sum"].item() == pytest.approx((1 * 1 + 2 * 9 + 0 + 1 * 4) / 5)


def test_averaged_weights_only_with_a_decay(tiny_definition, plan):
    assert nequip_config(tiny_definition, plan)["training_module"]["ema_decay"] == 0.99
    plain = nequip_config(changed(tiny_definition, ema_decay=0.0), plan)["training_module"]
    assert plain["_target_"] == "nequip.train.NequIPLightningModule"
    assert "ema_decay" not in plain


def test_no_pair_potential_where_none_is_asked_for(tiny_definition, plan):
    bare = tiny_definition.model_copy(update={"allegro": tiny_definition.allegro.model_copy(update={"zbl": False})})
    assert "pair_potential" not in nequip_config(bare, plan)["training_module"]["model"]


def test_rate_factor_scales_the_whole_schedule(tiny_definition, tiny_shifts):
    rates = []
    for factor in (1.0, 0.3):
        module = nequip_config(tiny_definition, TrainingPlan(1, tiny_shifts, rate_factor=factor))["training_module"]
        rates.append((module["optimizer"]["lr"], module["lr_scheduler"]["scheduler"]["eta_min"]))
    assert rates[1] == pytest.approx([0.3 * value for value in rates[0]])


def test_resume_names_the_checkpoint(tiny_definition, tiny_shifts):
    assert nequip_config(tiny_definition, TrainingPlan(1, tiny_shifts, resume=True))["ckpt_path"] == "last.ckpt"


def test_missing_shift_is_refused(tiny_definition):
    with pytest.raises(InputError, match="no energy shift for P, O"):
        nequip_config(tiny_definition, TrainingPlan(seed=1, shifts={"Na": 0.0, "V": 0.0}))


def test_config_is_plain(tiny_definition, plan):
    config = nequip_config(tiny_definition, plan)
    assert json.loads(json.dumps(config)) == config
