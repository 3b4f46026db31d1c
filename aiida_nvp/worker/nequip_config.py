"""The nequip configuration of one training, as plain values that YAML can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.potential import PotentialDefinition

TRAIN_FILE = "train.npz"
VALIDATION_FILE = "validation.npz"
OUT_OF_BAG_FILE = "out_of_bag.npz"
TEST_FILE = "test.npz"
PARENT_FILE = "parent.nequip.zip"
LAST_CHECKPOINT = "last.ckpt"
BEST_CHECKPOINT = "best.ckpt"
METRICS_FILE = "csv/metrics.csv"
PACKAGE_FILE = "potential.nequip.zip"

_VALIDATION_BATCH = 32
_FINAL_RATE_SHARE = 0.02
"""Share of the learning rate that is left at the end of the cosine."""


@dataclass(frozen=True)
class TrainingPlan:
    """What differs between two trainings of one potential.

    :param seed: of initialisation and of the order of the frames.
    :param shifts: energy of a lone atom of each species, eV; unused when there is a parent.
    :param warm_start: whether ``parent.nequip.zip`` lies in the job folder and gives the first weights.
    :param refit: whether the parent's energy shifts have to be fitted to the frames, because it comes from elsewhere.
    :param parent_shifts: what they are after that, eV, of the species that the frames hold.
    :param resume: whether ``last.ckpt`` lies in the job folder and the same training goes on from there.
    :param rate_factor: factor on the learning rate, below one after a divergence.
    """

    seed: int
    shifts: Mapping[str, float] = field(default_factory=dict)
    warm_start: bool = False
    refit: bool = False
    parent_shifts: Mapping[str, float] = field(default_factory=dict)
    resume: bool = False
    rate_factor: float = 1.0


def nequip_config(definition: PotentialDefinition, plan: TrainingPlan) -> dict[str, Any]:
    """Return the content of ``train.yaml``; all paths are relative to the job folder.

    :raises InputError: if a cold start lacks the energy shift of a species.
    """
    training = definition.training
    epochs = training.warm_epochs if plan.warm_start else training.epochs
    config: dict[str, Any] = {
        "run": ["train"],
        "data": _data(definition, plan),
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "auto",
            "devices": 1,
            "max_epochs": epochs,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            # Rows are written once an epoch; a row a step costs more than a step of a small model.
            "log_every_n_steps": 10**9,
            "logger": {
                "_target_": "lightning.pytorch.loggers.CSVLogger",
                "save_dir": ".",
                "name": "csv",
                "version": "",
            },
            "callbacks": [{"_target_": "aiida_nvp.worker.training_watch.TrainingWatch"}],
        },
        "training_module": {
            **_module(
                definition, (training.warm_learning_rate if plan.warm_start else training.learning_rate), plan, epochs
            ),
            "model": _parent_model(plan) if plan.warm_start else allegro_model(definition, plan),
        },
    }
    if plan.resume:
        config["ckpt_path"] = LAST_CHECKPOINT
    return config


def allegro_model(definition: PotentialDefinition, plan: TrainingPlan) -> dict[str, Any]:
    """Return the model of a cold start; neighbour count and force scale are left to the statistics of the data.

    :raises InputError: if the energy shift of a species is missing.
    """
    missing = [symbol for symbol in definition.species if symbol not in plan.shifts]
    if missing:
        raise InputError(f"no energy shift for {', '.join(missing)}; give one for each species of `{definition.name}`.")
    allegro, species = definition.allegro, list(definition.species)
    model: dict[str, Any] = {
        "_target_": "allegro.model.AllegroModel",
        "seed": plan.seed,
        "model_dtype": "float32",
        "type_names": species,
        "r_max": definition.cutoff,
        "l_max": allegro.l_max,
        "parity": False,
        "num_layers": allegro.num_layers,
        "num_scalar_features": allegro.num_scalar_features,
        "num_tensor_features": allegro.num_tensor_features,
        "scalar_embed_mlp_hidden_layers_width": allegro.mlp_width,
        "allegro_mlp_hidden_layers_width": allegro.mlp_width,
        "readout_mlp_hidden_layers_width": allegro.readout_width,
        "radial_chemical_embed": {
            "_target_": "allegro.nn.TwoBodyBesselScalarEmbed",
            "num_bessels": allegro.num_bessels,
        },
        "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
        "per_type_energy_shifts": {symbol: float(plan.shifts[symbol]) for symbol in species},
        "per_type_energy_scales": "${training_data_stats:forces_rms}",
    }
    if definition.pair_cutoffs:
        model["per_edge_type_cutoff"] = definition.edge_cutoffs()
    if allegro.zbl:
        model["pair_potential"] = {
            "_target_": "nequip.nn.pair_potential.ZBL",
            "units": "metal",
            "chemical_species": species,
        }
    return model


def dataset_config(name: str, definition: PotentialDefinition) -> dict[str, Any]:
    """Return how nequip reads the frame set ``name`` of the job folder."""
    return {
        "_target_": "aiida_nvp.worker.training_data.FrameSetDataset",
        "file_path": name,
        "transforms": [
            {
                "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                "model_type_names": list(definition.species),
            },
            _neighbours(definition),
        ],
        "stress": definition.training.stress_weight > 0,
    }


def _neighbours(definition: PotentialDefinition) -> dict[str, Any]:
    transform = {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": definition.cutoff}
    cutoffs = definition.edge_cutoffs()
    if cutoffs is None:
        return transform
    return {**transform, "per_edge_type_cutoff": cutoffs, "type_names": list(definition.species)}


def _parent_model(plan: TrainingPlan) -> dict[str, Any]:
    parent = {"_target_": "nequip.model.ModelFromPackage", "package_path": PARENT_FILE}
    if not plan.parent_shifts:
        return parent
    shifts = {symbol: float(value) for symbol, value in plan.parent_shifts.items()}
    return {
        "_target_": "nequip.model.modify",
        "modifiers": [{"modifier": "modify_PerTypeScaleShift", "shifts": shifts}],
        "model": parent,
    }


def _data(definition: PotentialDefinition, plan: TrainingPlan) -> dict[str, Any]:
    species = list(definition.species)
    loader = "torch.utils.data.DataLoader"
    data: dict[str, Any] = {
        "_target_": "nequip.data.datamodule.NequIPDataModule",
        "seed": plan.seed,
        "train_dataset": dataset_config(TRAIN_FILE, definition),
        "val_dataset": dataset_config(VALIDATION_FILE, definition),
        "train_dataloader": {"_target_": loader, "batch_size": definition.training.batch_size, "shuffle": True},
        "val_dataloader": {"_target_": loader, "batch_size": _VALIDATION_BATCH},
    }
    if not plan.warm_start:
        data["stats_manager"] = {
            "_target_": "nequip.data.CommonDataStatisticsManager",
            "dataloader_kwargs": {"batch_size": _VALIDATION_BATCH},
            "type_names": species,
        }
    return data


def _module(definition: PotentialDefinition, rate: float, plan: TrainingPlan, epochs: int) -> dict[str, Any]:
    training = definition.training
    with_stress = training.stress_weight > 0
    kind = "EnergyForceStress" if with_stress else "EnergyForce"
    weights = {"total_energy": training.energy_weight, "forces": training.forces_weight}
    if with_stress:
        weights["stress"] = training.stress_weight
    metrics = ["per_atom_energy_rmse", "per_atom_energy_mae", "forces_rmse", "forces_mae"]
    rate *= plan.rate_factor
    loss: dict[str, Any] = {"_target_": f"nequip.train.{kind}Loss", "per_atom_energy": True, "coeffs": weights}
    if training.species_forces_weights:
        # nequip wants a coefficient for every type, and averages over types instead of over atoms then.
        loss["per_type_forces_coeffs"] = {
            symbol: training.species_forces_weights.get(symbol, 1.0) for symbol in definition.species
        }
    module: dict[str, Any] = {
        "_target_": "nequip.train.NequIPLightningModule",
        "loss": loss,
        "val_metrics": {
            "_target_": f"nequip.train.{kind}Metrics",
            "coeffs": {name: 1.0 for name in [*metrics, *(["stress_rmse"] if with_stress else [])]},
        },
        "optimizer": {"_target_": "torch.optim.Adam", "lr": rate},
        "lr_scheduler": {
            "scheduler": {
                "_target_": "torch.optim.lr_scheduler.CosineAnnealingLR",
                "T_max": epochs,
                "eta_min": rate * _FINAL_RATE_SHARE,
            },
            "interval": "epoch",
            "frequency": 1,
        },
    }
    if training.ema_decay > 0:
        module |= {"_target_": "nequip.train.EMALightningModule", "ema_decay": training.ema_decay}
    return module
