"""The part of stage ``compile`` that needs torch and nequip."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from nequip.data import AtomicDataDict
from nequip.integrations.ase import NequIPCalculator
from nequip.model.inference_models import load_compiled_model
from nequip.model.saved_models.load_utils import load_saved_model
from nequip.scripts import compile as nequip_compile
from nequip.scripts._compile_utils import COMPILE_TARGET_DICT
from nequip.utils.aot import aot_export_model
from nequip.utils.aoti_metadata import NEQUIP_AOTI_INPUTS_KEY, NEQUIP_AOTI_OUTPUTS_KEY, serialize_aoti_keys
from nequip.utils.global_state import get_latest_global_state, set_global_state

from aiida_nvp.common.errors import WorkerError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.uncertainty.committee import AllegroMember, Committee
from aiida_nvp.uncertainty.compiled_sigma import SIGMA_FIELD, graft_sigma
from aiida_nvp.uncertainty.last_layer import FeatureStatistics
from aiida_nvp.uncertainty.probe import example_frame

ERROR_FAILED = "ERROR_COMPILE_FAILED"
ERROR_DIFFERS = "ERROR_COMPILED_DIFFERS"
ENERGY_TOLERANCE = 1e-4
"""eV per atom; single precision leaves a hundredth of it."""
FORCE_TOLERANCE = 1e-3
"""eV/angstrom, or this share of the largest force where that is above one."""
SIGMA_TOLERANCE = 1e-4
"""Relative."""
_FEWEST = 2

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Request:
    """What to compile.

    :param target: of nequip-compile.
    :param statistics: the sigma is compiled in where they are given.
    """

    package: Path
    output: Path
    target: str
    device: str
    statistics: FeatureStatistics | None = None


def compile_model(request: Request) -> None:
    """Write the compiled file.

    :raises WorkerError: ``ERROR_COMPILE_FAILED`` with the first line of what torch or the compiler said.
    """
    try:
        if request.statistics is None:
            arguments = [str(request.package), str(request.output), "--mode", "aotinductor"]
            nequip_compile.main([*arguments, "--device", request.device, "--target", request.target])
        else:
            _compile_with_sigma(request, request.statistics)
    except (RuntimeError, AssertionError, ValueError, KeyError, OSError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise WorkerError(ERROR_FAILED, f"{request.target} for {request.device}: {reason}") from error


def _compile_with_sigma(request: Request, statistics: FeatureStatistics) -> None:
    """Do as nequip-compile does, with two more modules in the model and one more output: it takes neither itself."""
    set_global_state(allow_tf32=False)
    model, data = load_saved_model(request.package, return_data_dict=True)
    metadata = {**model.metadata, **get_latest_global_state(only_metadata_related=True)}
    graft_sigma(model, statistics)
    target = COMPILE_TARGET_DICT[request.target]
    outputs = [*target["output"], SIGMA_FIELD]
    metadata |= {
        NEQUIP_AOTI_INPUTS_KEY: serialize_aoti_keys(target["input"]),
        NEQUIP_AOTI_OUTPUTS_KEY: serialize_aoti_keys(outputs),
    }
    sizes = {"graph": "num_frames", "node": "num_nodes", "edge": "num_edges"}
    ranges = {name: torch.export.Dim(size, min=_FEWEST) for name, size in sizes.items()}
    plain = {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in metadata.items()}
    aot_export_model(
        model=model,
        device=request.device,
        input_fields=target["input"],
        output_fields=outputs,
        data=target["data_settings"](_on(data, request.device)),
        batch_map=target["batch_map_settings"](ranges),
        output_path=str(request.output),
        inductor_configs={"aot_inductor.metadata": plain},
    )


def compare(request: Request, frames: FrameSet | None) -> dict[str, float]:
    """Return the largest differences between the compiled file and the package on one frame, doubled along one axis.

    A frame of another size than the one that was traced shows that sizes are free.

    :param frames: the first is taken; of the package itself where none are given.
    :raises WorkerError: ``ERROR_COMPILED_DIFFERS`` where a difference is above its tolerance or no number.
    """
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS") or 1)))
    atoms = (frames or example_frame(request.package)).atoms(0).repeat((2, 1, 1))
    atoms.calc = None
    energy, forces, compiled = _both(request, atoms)
    found = {
        "energy_difference_per_atom": abs(float(compiled["energy"]) - energy) / len(atoms),
        "force_difference": float(np.abs(compiled["forces"] - forces).max()),
    }
    limits = [ENERGY_TOLERANCE, FORCE_TOLERANCE * max(1.0, float(np.abs(forces).max()))]
    if request.statistics is not None:
        member = AllegroMember(request.package)
        features = Committee([member], member.cutoff, member.types).drive(FrameSet.from_atoms([atoms])).features
        sigma = request.statistics.sigma(np.asarray(features))
        found["sigma_difference"] = float(np.abs(compiled["sigma"] / sigma - 1.0).max())
        limits.append(SIGMA_TOLERANCE)
    if not all(value <= limit for value, limit in zip(found.values(), limits, strict=True)):
        said = ", ".join(f"{name.replace('_', ' ')} {value:.2g}" for name, value in found.items())
        raise WorkerError(ERROR_DIFFERS, f"the file for {request.target} does not agree with its package: {said}.")
    return found


def _both(request: Request, atoms: Atoms) -> tuple[float, Any, dict[str, Any]]:
    """Return energy and forces of the package, and what the compiled file says, with ghost atoms folded back."""
    calculator = NequIPCalculator._from_saved_model(
        str(request.package), device=request.device, chemical_species_to_atom_type_map=True
    )
    data: Tensors = calculator.atoms_to_data(atoms)
    eager = calculator.model(dict(data))
    target = COMPILE_TARGET_DICT[request.target]
    outputs = [*target["output"], *([SIGMA_FIELD] if request.statistics is not None else [])]
    model, _ = load_compiled_model(str(request.output), request.device, list(target["input"]), outputs)
    # The targets make what they need of a batch, of one or two frames or none.
    given = target["data_settings"](AtomicDataDict.batched_from_list([dict(data)]))
    said = {name: values.detach().cpu() for name, values in model(given).items()}
    count = len(atoms)
    forces = said["forces"][:count].clone()
    # LAMMPS has images as atoms of their own and adds the forces on them to the atoms that they are images of.
    if "edge_cell_shift" not in given:
        outside = data["edge_cell_shift"].abs().sum(dim=-1) != 0
        forces.index_add_(0, data["edge_index"][1][outside].cpu(), said["forces"][count:])
    compiled = {"energy": said["atomic_energy"][:count].sum(), "forces": forces.numpy()}
    if SIGMA_FIELD in said:
        compiled["sigma"] = said[SIGMA_FIELD][:count].numpy().reshape(-1)
    return float(eager["total_energy"].detach().sum()), eager["forces"].detach().cpu().numpy(), compiled


def _on(data: Tensors, device: str) -> Tensors:
    return {name: values.to(device) for name, values in data.items()}
