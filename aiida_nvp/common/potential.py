"""What a potential is, before any training: one typed, frozen definition that everything else is derived from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from ase.data import atomic_numbers
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from aiida_nvp.common.bounds import ElementPairs
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.validation import validated

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(gt=0)]

STATISTICS_FILE = "statistics.npz"
"""Name of the feature statistics of a potential, beside its package and in the folder of a job."""


_SHORTEST_CUTOFF = 1.0


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AllegroSettings(_Frozen):
    """Architecture of one Allegro model (Musaelian et al., doi:10.1038/s41467-023-36329-y)."""

    l_max: Annotated[int, Field(ge=0, le=3)] = 1
    num_layers: Count = 1
    num_scalar_features: Count = 32
    num_tensor_features: Count = 16
    mlp_width: Count = 32
    readout_width: Count = 16
    num_bessels: Count = 8
    zbl: bool = True


class TrainingSettings(_Frozen):
    """How one member is trained; learning rates are Adam's, weights those of nequip's loss.

    :param keep: weights of the epoch with the ``best`` validation error, or of the ``last`` epoch, which is the better
        choice where validation frames are few: the learning rate has come down by then.
    :param patience: epochs without a better validation force error after which a training ends; None for all epochs.
    :param species_forces_weights: weight of a species in the mean squared force error, which is then a weighted mean
        over the species; one that is not named has weight 1.
    :param scratch_every: each n-th cycle of a campaign starts from random weights, or from the parent that the
        campaign names, instead of from its predecessors; 0 for never.
    :param scratch_release: whether the committee that a campaign hands over begins there as well.
    """

    epochs: Count = 200
    warm_epochs: Count = 80
    batch_size: Count = 4
    learning_rate: Positive = 0.005
    warm_learning_rate: Positive = 0.002
    energy_weight: Annotated[float, Field(ge=0)] = 1.0
    forces_weight: Positive = 1.0
    stress_weight: Annotated[float, Field(ge=0)] = 0.0
    ema_decay: Share = 0.99
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    keep: Literal["best", "last"] = "best"
    patience: Count | None = None
    species_forces_weights: dict[str, Positive] = {}
    scratch_every: Annotated[int, Field(ge=0)] = 0
    scratch_release: bool = False

    @model_validator(mode="after")
    def _patience_needs_the_best(self) -> TrainingSettings:
        if self.patience is not None and self.keep == "last":
            raise ValueError("patience waits for a better epoch, so it goes with `keep: best`, not with `keep: last`")
        return self


class CommitteeSettings(_Frozen):
    """Members differ by seed and by the share of the frames that each sees.

    :param members: at least three: two cannot tell which of them is wrong.
    :param test_fraction: expected share of the trajectories whose frames no member learns from or validates on.
    """

    members: Annotated[int, Field(ge=3)] = 4
    bag_fraction: Annotated[float, Field(gt=0, le=1)] = 0.9
    test_fraction: Annotated[float, Field(ge=0, lt=0.5)] = 0.0


class PotentialDefinition(_Frozen):
    """One ``potential.yaml``.

    :param species: chemical symbols in the order that every engine uses (nequip types, LAMMPS, Quantum ESPRESSO).
    :param cutoff: angstrom.
    :param pair_cutoffs: angstrom by pair of species, ``P-O`` for example, at most ``cutoff``; it counts in both
        directions. Pairs that are not named have ``cutoff``.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    description: str
    species: tuple[str, ...]
    cutoff: Annotated[float, Field(gt=_SHORTEST_CUTOFF, le=12.0)]
    pair_cutoffs: ElementPairs = {}
    allegro: AllegroSettings = AllegroSettings()
    training: TrainingSettings = TrainingSettings()
    committee: CommitteeSettings = CommitteeSettings()

    @field_validator("species")
    @classmethod
    def _known_and_distinct(cls, species: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [symbol for symbol in species if symbol not in atomic_numbers or symbol == "X"]
        if unknown:
            raise ValueError(f"not chemical symbols: {', '.join(unknown)}")
        if not species or len(set(species)) != len(species):
            raise ValueError("species must be given, each once")
        return species

    @model_validator(mode="after")
    def _weights_are_of_the_species(self) -> PotentialDefinition:
        unknown = [symbol for symbol in self.training.species_forces_weights if symbol not in self.species]
        if unknown:
            raise ValueError(
                f"training.species_forces_weights names {', '.join(unknown)}, "
                f"which is not among the species ({', '.join(self.species)})"
            )
        return self

    @model_validator(mode="after")
    def _pairs_are_within_the_cutoff(self) -> PotentialDefinition:
        seen: set[frozenset[str]] = set()
        for pair, value in self.pair_cutoffs.items():
            species = frozenset(pair.split("-"))
            if not species <= set(self.species):
                raise ValueError(f"pair_cutoffs names {pair}, but the species are {', '.join(self.species)}")
            if species in seen:
                raise ValueError(f"pair_cutoffs names {pair} twice, once in each direction; give it once")
            if not _SHORTEST_CUTOFF < value <= self.cutoff:
                raise ValueError(
                    f"pair_cutoffs gives {pair} {value:g}; it has to lie above {_SHORTEST_CUTOFF:g} and not above "
                    f"the cutoff of {self.cutoff:g} angstrom"
                )
            seen.add(species)
        return self

    def edge_cutoffs(self) -> dict[str, dict[str, float]] | None:
        """Return the cutoff (angstrom) of each ordered pair of species; None where all share ``cutoff``."""
        if not self.pair_cutoffs:
            return None
        table = {first: dict.fromkeys(self.species, self.cutoff) for first in self.species}
        for pair, value in self.pair_cutoffs.items():
            first, second = pair.split("-")
            table[first][second] = table[second][first] = value
        return table

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values, the form in which the definition travels through AiiDA and into jobs."""
        return self.model_dump(mode="json")


def load_potential(path: str | Path) -> PotentialDefinition:
    """Read ``potential.yaml``, or the folder that holds it.

    :raises InputError: if the file is missing, not YAML, or does not fit the definition.
    """
    file = Path(path)
    file = file / "potential.yaml" if file.is_dir() else file
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"no potential definition at {file}: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{file} is not YAML: {error}.") from error
    return validated(PotentialDefinition, content, str(file), whole="file")
