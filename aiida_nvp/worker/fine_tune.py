"""A parent whose energies have another zero than the labels: what its shifts have to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from aiida_nvp.common.energy_shifts import fit_energy_shifts
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.uncertainty.committee import AllegroMember, Committee

_SHIFT_MODULE = "per_type_energy_scale_shift"


def refitted_shifts(package: str | Path, frames: FrameSet, train: Sequence[int]) -> dict[str, float]:
    """Return the energy of a lone atom, eV, of each species of the frames, for a parent that learns from them.

    The rest of the parent's energy stays: its network and pair potential already bind the atoms, so what is fitted by
    least squares (:func:`~aiida_nvp.common.energy_shifts.fit_energy_shifts`) is label minus prediction, and added to
    the shifts that the parent has. Shifts fitted to whole energies would count the binding twice wherever the parent's
    shifts are those of isolated atoms.

    :param frames: labelled frames; ``train``: indices of those that are learned from.
    :raises InputError: if the parent has no shifts, or gives no finite energy for one of the frames.
    """
    learned = frames.subset(train)
    if learned.energy is None:
        raise InputError("energy shifts need labelled frames; this data set has none.")
    member = AllegroMember(package)
    before = _shifts(member)
    predicted = Committee([member], member.cutoff, member.types).drive(learned).energy[0]
    if not np.isfinite(predicted).all():
        raise InputError(f"the parent gives no finite energy for {int((~np.isfinite(predicted)).sum())} of the frames.")
    missing = fit_energy_shifts(replace(learned, energy=learned.energy - predicted), learned.species())
    return {symbol: before[symbol] + value for symbol, value in missing.items()}


def _shifts(member: AllegroMember) -> dict[str, float]:
    for name, module in member.model.named_modules():
        if name.rsplit(".", 1)[-1] == _SHIFT_MODULE and module.has_shifts:
            values = module.shifts.detach().double().reshape(-1).cpu().numpy()
            return dict(zip(member.types, np.broadcast_to(values, len(member.types)).tolist(), strict=True))
    raise InputError(
        "the parent has no energy shift by species to fit to the labels; train from random weights instead."
    )
