"""The last-layer sigma of each atom as an output of the compiled model.

The read-out ends in a linear map without bias, so its last hidden values, summed over the edges of an atom, are the
features phi of :mod:`~aiida_nvp.uncertainty.last_layer`, and sigma = ``|L^-1 phi|`` needs one small matrix product. The
modules here are put into the model between its own, and are compiled with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from nequip.integrations.ase import NequIPCalculator
from scipy.linalg import solve_triangular

from aiida_nvp.common.errors import InputError
from aiida_nvp.uncertainty.committee import READOUT
from aiida_nvp.uncertainty.last_layer import FeatureStatistics

SIGMA_FIELD = "nvp_sigma"
"""Output of the compiled model: (N, 1), without unit, about one on what the model was trained on."""
_HIDDEN_FIELD = "nvp_hidden"

Data = dict[str, torch.Tensor]


class ReadoutWithHidden(torch.nn.Module):
    """A read-out that also hands out its last hidden values."""

    def __init__(self, readout: torch.nn.Module) -> None:
        """Take the layers of a read-out apart."""
        super().__init__()
        layers = list(readout.get_submodule("mlp_module.mlp").children())
        self.body, self.head = torch.nn.Sequential(*layers[:-1]), layers[-1]
        self.field, self.out_field = str(readout.field), str(readout.out_field)

    def forward(self, data: Data) -> Data:
        """Add the energies of the edges and the values that they are linear in."""
        data[_HIDDEN_FIELD] = self.body(data[self.field])
        data[self.out_field] = self.head(data[_HIDDEN_FIELD])
        return data


class LastLayerSigma(torch.nn.Module):
    """Adds :data:`SIGMA_FIELD`.

    :param statistics: of the training set of this very model.
    """

    inverse: torch.Tensor

    def __init__(self, statistics: FeatureStatistics) -> None:
        """Invert the factor once; the compiled model only multiplies."""
        super().__init__()
        inverse = solve_triangular(statistics.factor, np.eye(statistics.width), lower=True)
        self.register_buffer("inverse", torch.as_tensor(np.ascontiguousarray(inverse.T), dtype=torch.float64))

    def forward(self, data: Data) -> Data:
        """Sum the hidden values of each atom's edges and measure their length."""
        hidden = data[_HIDDEN_FIELD]
        empty = torch.zeros((data["pos"].shape[0], hidden.shape[1]), dtype=hidden.dtype, device=hidden.device)
        features = empty.index_add(0, data["edge_index"][0], hidden)
        whitened = features.to(self.inverse.dtype) @ self.inverse
        data[SIGMA_FIELD] = whitened.square().sum(dim=-1, keepdim=True).sqrt()
        return data


def graft_sigma(model: torch.nn.Module, statistics: FeatureStatistics) -> None:
    """Put the last-layer sigma into an Allegro model, in place.

    :param model: as nequip loads it from a package.
    :raises InputError: if it has no Allegro read-out, or the statistics are of another width.
    """
    chains = [module for module in model.modules() if READOUT in dict(module.named_children())]
    if len(chains) != 1:
        raise InputError(f"the potential has no `{READOUT}`: a compiled sigma needs an Allegro model.")
    (chain,) = chains
    parts = dict(chain.named_children())
    readout = ReadoutWithHidden(parts[READOUT])
    if readout.head.in_features != statistics.width:
        raise InputError(
            f"the statistics are of {statistics.width} features, the model has {readout.head.in_features}: "
            "they belong to another model."
        )
    # The chain runs its children in the order in which they were added.
    for name in parts:
        delattr(chain, name)
    for name, part in parts.items():
        chain.add_module(name, readout if name == READOUT else part)
        if name == READOUT:
            chain.add_module(SIGMA_FIELD, LastLayerSigma(statistics))


class SigmaCalculator(NequIPCalculator):  # type: ignore[misc]
    """ASE calculator of a model compiled with its sigma: ``results["last_layer_sigma"]``, (N,) without unit.

    Load with ``SigmaCalculator.from_compiled_model(path, device="cpu", chemical_species_to_atom_type_map=True)``.
    """

    @classmethod
    def _get_aoti_compile_target(cls) -> dict[str, Any]:
        target = super()._get_aoti_compile_target()
        return {**target, "output": [*target["output"], SIGMA_FIELD]}

    def save_extra_outputs(self, out: Data) -> None:
        """Keep the sigma beside energy and forces."""
        self.results["last_layer_sigma"] = out[SIGMA_FIELD].detach().cpu().numpy().reshape(-1)
