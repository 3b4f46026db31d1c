"""From the name of a protocol to complete label settings and pseudopotentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida_pseudo.groups.mixins import RecommendedCutoffMixin
from aiida_quantumespresso.workflows.protocols.utils import ProtocolMixin

from aiida_nvp.common.errors import InputError
from aiida_nvp.labelling.settings import LabelSettings, read_settings
from aiida_nvp.workflows.engines import setup_command

CUTOFF_KEYS = ("cutoff_wfc_ry", "cutoff_rho_ry")


class LabelProtocols(ProtocolMixin):
    """The protocols of labels, on the machinery of aiida-quantumespresso."""

    @classmethod
    def get_protocol_filepath(cls) -> Path:
        """Return the file that holds them."""
        return Path(__file__).with_name("label.yaml")


@dataclass(frozen=True)
class Resolved:
    """What a protocol comes to for one family and one set of species.

    :param settings: complete.
    :param pseudos: by species.
    :param inputs: ``in_flight``, ``max_failed_share``, ``branch_share``.
    :param warnings: a sentence each on what the user may not have meant.
    """

    settings: LabelSettings
    pseudos: Mapping[str, orm.UpfData]
    inputs: Mapping[str, Any]
    warnings: Sequence[str] = ()


def resolve(
    protocol: str | None, family: str, species: Sequence[str], overrides: Mapping[str, Any] | None = None
) -> Resolved:
    """Return complete settings: those of the protocol, cutoffs from the family, then the overrides.

    :param protocol: ``fast``, ``balanced`` or ``stringent``; the default one when None.
    :param family: label of an installed pseudopotential family.
    :param species: elements that the labels may hold.
    :param overrides: of the label settings, by name.
    :raises InputError: for an unknown protocol, a missing family or pseudopotential, or settings that do not fit.
    """
    try:
        inputs = LabelProtocols.get_protocol_inputs(protocol, {"settings": dict(overrides or {})})
    except ValueError as error:
        known = ", ".join(LabelProtocols.get_available_protocols())
        raise InputError(f"no label protocol `{protocol}`; known: {known}.") from error
    group = find_family(family)
    pseudos = family_pseudos(group, species)
    cutoffs = recommended_cutoffs(group, species, inputs.pop("cutoffs"))
    wanted = inputs.pop("settings")
    if cutoffs is None and not set(CUTOFF_KEYS) <= set(wanted):
        raise InputError(
            f"family `{family}` recommends no cutoffs; give {' and '.join(CUTOFF_KEYS)} among the label settings."
        )
    settings = read_settings({**dict(zip(CUTOFF_KEYS, cutoffs or (), strict=False)), **wanted})
    return Resolved(settings, pseudos, inputs, cutoff_warnings(settings, cutoffs, family))


def find_family(label: str) -> orm.Group:
    """Return the installed pseudopotential family.

    :raises InputError: if there is none of that label.
    """
    try:
        return orm.load_group(label)
    except NotExistent as error:
        raise InputError(f"no pseudopotential family `{label}`; run `{setup_command()}`, or install one.") from error


def family_pseudos(family: orm.Group, species: Sequence[str]) -> dict[str, orm.UpfData]:
    """Return the pseudopotential of each species.

    :raises InputError: naming the species that the family lacks.
    """
    found, missing = {}, []
    for symbol in species:
        try:
            found[symbol] = family.get_pseudo(element=symbol)
        except ValueError:
            missing.append(symbol)
    if missing:
        raise InputError(
            f"family `{family.label}` has no pseudopotential for {', '.join(missing)}; install a family that covers "
            f"{', '.join(species)}, or generate one."
        )
    return found


def recommended_cutoffs(
    family: orm.Group, species: Sequence[str], stringencies: Sequence[str]
) -> tuple[float, float] | None:
    """Return the family's cutoffs in Ry for these species, or None if it recommends none.

    :param stringencies: by preference; the family's default one if it knows none of them.
    """
    if not isinstance(family, RecommendedCutoffMixin) or not family.get_cutoff_stringencies():
        return None
    known = family.get_cutoff_stringencies()
    chosen = next((name for name in stringencies if name in known), None)
    wave, density = family.get_recommended_cutoffs(elements=tuple(species), stringency=chosen, unit="Ry")
    return float(wave), float(density)


def cutoff_warnings(settings: LabelSettings, recommended: tuple[float, float] | None, family: str) -> list[str]:
    """Return a sentence with figures for each cutoff below what the family recommends."""
    if recommended is None:
        return []
    return [
        f"{name} is {getattr(settings, name):g} Ry, but family `{family}` recommends {least:g} Ry for these species."
        for name, least in zip(CUTOFF_KEYS, recommended, strict=True)
        if getattr(settings, name) < least
    ]
