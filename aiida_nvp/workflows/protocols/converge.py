"""From the name of a protocol to the plan of a convergence test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiida_pseudo.data.pseudo.upf import UpfData
from aiida_quantumespresso.workflows.protocols.utils import ProtocolMixin

from aiida_nvp.common.errors import InputError
from aiida_nvp.labelling.convergence_plan import ConvergencePlan, nearest, read_plan
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.workflows.protocols.resolve import (
    CUTOFF_KEYS,
    family_pseudos,
    find_family,
    recommended_cutoffs,
    resolve,
)

_SERIES = ("cutoffs_ry", "duals", "k_distances")


class ConvergenceProtocols(ProtocolMixin):
    """The protocols of convergence tests, on the machinery of aiida-quantumespresso."""

    @classmethod
    def get_protocol_filepath(cls) -> Path:
        """Return the file that holds them."""
        return Path(__file__).with_name("converge.yaml")


def resolve_convergence(
    protocol: str | None,
    family: str,
    species: Sequence[str],
    overrides: Mapping[str, Any] | None = None,
) -> tuple[ConvergencePlan, LabelSettings, Mapping[str, UpfData], int]:
    """Return the plan, what all its points have in common, pseudopotentials by species, and jobs in flight.

    The base of the series is the value nearest to what the family recommends, or to the cutoffs among the settings. A
    family that recommends nothing needs ``cutoffs_ry``; the base is then the value in the middle.

    :param overrides: ``cutoffs_ry``, ``duals``, ``k_distances``, ``in_flight``; by name ``tolerances`` and, over those
        of the label protocol of the same name, label ``settings``.
    :raises InputError: for an unknown protocol, a missing family or pseudopotential, or values that do not fit.
    """
    given = dict(overrides or {})
    common = dict(given.get("settings", {}))
    group = find_family(family)
    family_pseudos(group, species)
    silent = recommended_cutoffs(group, species, ()) is None and not set(CUTOFF_KEYS) <= set(common)
    if silent:
        common |= _middle(given.get("cutoffs_ry"), given.get("duals"), family)
    labels = resolve(protocol, family, species, common)
    inputs = ConvergenceProtocols.get_protocol_inputs(protocol)
    recommended = labels.settings
    defaults = [round(factor * recommended.cutoff_wfc_ry) for factor in inputs["cutoff_factors"]]
    values = {name: given.get(name, inputs.get(name, defaults)) for name in _SERIES}
    values |= {
        "base_cutoff_ry": nearest(values["cutoffs_ry"], recommended.cutoff_wfc_ry),
        "base_dual": nearest(values["duals"], recommended.cutoff_rho_ry / recommended.cutoff_wfc_ry),
        "tolerances": {**inputs["tolerances"], **given.get("tolerances", {})},
    }
    return read_plan(values), recommended, labels.pseudos, int(given.get("in_flight", inputs["in_flight"]))


def _middle(cutoffs: Sequence[float] | None, duals: Sequence[float] | None, family: str) -> dict[str, float]:
    if not cutoffs:
        raise InputError(f"family `{family}` recommends no cutoffs; give a list of them, as in 30,40,50,60.")
    wave = sorted(cutoffs)[len(cutoffs) // 2]
    wanted = nearest(duals or (), 8.0)
    return dict(zip(CUTOFF_KEYS, (wave, wave * max(wanted, 4.0)), strict=True))
