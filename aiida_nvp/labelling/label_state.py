"""What is kept of the electronic state with a label, and what makes a finished run no label at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ase import Atoms

from aiida_nvp.common.vocabulary import StartRecipe
from aiida_nvp.labelling.outliers import unbalanced_forces, valence_outlier
from aiida_nvp.labelling.pw_forces import ForceBalance, balance_of
from aiida_nvp.labelling.pw_output import IonicStep
from aiida_nvp.labelling.pw_state import ElectronicState, hubbard_mismatch, oxidation_states, read_state
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.labelling.valence import starting_state

_DIGITS = 6


@dataclass(frozen=True)
class LabelState:
    """The state of the last geometry of a run.

    :param info: JSON values that are stored with the label of that geometry.
    :param fault: why no step of the run may be taken as a label, or an empty string.
    :param last_fault: why its last step may not, or an empty string.
    :param flag: what deserves a look in the label of its last step although it is taken, or an empty string.
    """

    info: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    last_fault: str = ""
    flag: str = ""


def label_state(xml: bytes, settings: LabelSettings, atoms: Atoms, recipe: StartRecipe | None = None) -> LabelState:
    """Return what pw.x's XML file says of the labels of one run.

    :param xml: content of ``data-file-schema.xml``.
    :param atoms: the frame that was sent, for the start that its valences gave.
    :param recipe: of that start; what the settings say when absent.
    :raises InputError: if the file is cut off or not of pw.x.
    """
    state = read_state(xml)
    read = _read(state, atoms)
    fault = hubbard_mismatch(state, settings.hubbard)
    if recipe is None and settings.start == "valence":
        recipe = StartRecipe.FERROMAGNETIC
    info = dict(read.info)
    if recipe is not None:
        start = starting_state(atoms, recipe)
        info["start"] = {"recipe": recipe.value, "states": start.states.tolist()}
    return LabelState(info, fault, fault or read.last_fault, read.flag)


def imported_state(xml: bytes, atoms: Atoms) -> LabelState:
    """Return what pw.x's XML file says of a run that was not made here: how it was started nobody asked for.

    :param xml: content of ``data-file-schema.xml``.
    :param atoms: where the run started.
    :raises InputError: if the file is cut off or not of pw.x.
    """
    return _read(read_state(xml), atoms)


def step_balance(balances: Sequence[ForceBalance], step: IonicStep) -> tuple[dict[str, Any], str]:
    """Return what is known of the balance of the forces of one step, and a sentence if it deserves a look.

    :param balances: of the whole output.
    """
    balance = balance_of(balances, step.index, step.atoms.get_forces())
    if balance is None:
        return {}, ""
    flag = unbalanced_forces(balance.net)
    return balance.plain(), f"step {step.index}: {flag}" if flag and len(balances) > 1 else flag


def _read(state: ElectronicState, atoms: Atoms) -> LabelState:
    unconverged = "" if state.converged else "pw.x ended without self-consistency in its last geometry"
    found = oxidation_states(state)
    flag = valence_outlier(atoms.get_chemical_symbols(), found)
    return LabelState(_info(state, found), last_fault=unconverged, flag=flag)


def _info(state: ElectronicState, found: Mapping[int, int | None]) -> dict[str, Any]:
    info: dict[str, Any] = {
        "code_version": state.version_text,
        "scf_accuracy_ev": float(f"{state.scf_accuracy_ev:.3e}"),
        "fermi_ev": None if state.fermi_ev is None else round(state.fermi_ev, _DIGITS),
    }
    if state.site_moments is not None:
        info["site_moments"] = [round(moment, _DIGITS) for moment in state.site_moments]
    if state.hubbard is not None:
        info["u_ev"] = {term.species: round(term.u_ev, _DIGITS) for term in state.hubbard.terms}
        info["projectors"] = state.hubbard.projectors
        info["occupations"] = {
            str(site.atom): [[round(value, 4) for value in spin] for spin in site.eigenvalues]
            for site in state.occupations
        }
        info["oxidation_states"] = {str(atom): number for atom, number in found.items()}
    return info
