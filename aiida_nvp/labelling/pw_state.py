"""The electronic state behind a label, read back from what pw.x wrote about itself (``data-file-schema.xml``).

A finished job is no proof of the physics that was asked for: releases before 7.1 ignore the ``HUBBARD`` card, an
unconverged cycle ends with JOB DONE too, and one geometry has several self-consistent solutions. The file speaks of the
last geometry of a run. Its forces cannot show how well they are balanced: pw.x takes their sum off before it writes
them. :mod:`~aiida_nvp.labelling.pw_forces` reads that from the standard output.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any, Final

import numpy as np
from ase.data import atomic_numbers

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.units import HARTREE_EV, RYDBERG_EV
from aiida_nvp.labelling.settings import HubbardSettings

FIRST_WITH_HUBBARD_CARD: Final = (7, 1)
U_TOLERANCE_EV: Final = 1e-3
"""Constants of pw.x and ours differ in the eighth digit; values of U are chosen to the second."""
_SIMPLIFIED = 0
"""``lda_plus_u_kind`` of the rotationally invariant form with one U (Dudarev et al., doi:10.1103/PhysRevB.57.1505)."""
_PLAIN_U = {"Hubbard_U", "Hubbard_ns", "Hubbard_Occ"}
_NOT_CORRECTED = "no Hubbard"
_BOTH_SPINS = 2


@dataclass(frozen=True)
class HubbardTermUsed:
    """The correction that one species of pw.x was given.

    :param manifold: for example ``3d``.
    :param u_ev: U in eV.
    """

    species: str
    manifold: str
    u_ev: float


@dataclass(frozen=True)
class HubbardUsed:
    """DFT+U as it was applied.

    :param projectors: what occupations were measured on, in pw.x's word.
    :param kind: ``lda_plus_u_kind``: 0 for one U, 1 for U and J, 2 for U and V.
    :param others: tags of further Hubbard parameters that were set.
    """

    projectors: str
    kind: int
    terms: tuple[HubbardTermUsed, ...]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class SiteOccupations:
    """Occupation of one manifold of one atom.

    :param atom: index, from 0.
    :param species: name of its species in pw.x.
    :param eigenvalues: (S, M) eigenvalues of the occupation matrix, ascending, for spin up and down; one row that holds
        for either spin where the run was not polarised.
    """

    atom: int
    species: str
    manifold: str
    eigenvalues: tuple[tuple[float, ...], ...]

    @property
    def electrons(self) -> float:
        """Electrons of both spins: the trace."""
        return float(np.sum(self.eigenvalues)) * (_BOTH_SPINS / len(self.eigenvalues))


@dataclass(frozen=True)
class ElectronicState:
    """What a run of pw.x ended in.

    :param version: numbers of the release, for example (7, 2).
    :param version_text: the release as pw.x states it, for example ``6.7MaX``.
    :param species: (N,) names of the species of pw.x.
    :param converged: whether the last self-consistent cycle reached its threshold.
    :param ionic_converged: whether a relaxation reached its thresholds; None where nothing was relaxed.
    :param scf_iterations: of the last cycle.
    :param scf_accuracy_ev: estimated error of the energy at its end, in eV.
    :param total_magnetization: spin up less spin down, Bohr magnetons a cell.
    :param absolute_magnetization: integral of the modulus of the magnetisation; much above the total it tells of
        moments against each other.
    :param site_moments: (N,) moments in spheres whose radius pw.x takes from the distances, Bohr magnetons, so that
        they compare inside one cell only; None in releases before 7 and without spins.
    :param hubbard: None for the bare functional.
    :param fermi_ev: None where there is no single one.
    """

    version: tuple[int, ...]
    version_text: str
    functional: str
    species: tuple[str, ...]
    electrons: float
    converged: bool
    ionic_converged: bool | None
    scf_iterations: int
    scf_accuracy_ev: float
    total_magnetization: float
    absolute_magnetization: float
    site_moments: tuple[float, ...] | None
    hubbard: HubbardUsed | None
    occupations: tuple[SiteOccupations, ...]
    fermi_ev: float | None
    wall_s: float | None
    cpu_s: float | None

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return values


@dataclass(frozen=True)
class OccupationRule:
    """How to tell electrons of a d shell from what covalent bonds lend to it, by occupation eigenvalue.

    The trace cannot: it moves by 0.1 an electron. Eigenvalues between the two bounds are undecided.

    :param empty: an orbital with less than this holds no electron of the ion.
    :param filled: one with more holds one.
    """

    empty: float
    filled: float


OCCUPATION_RULES: Final[Mapping[str, OccupationRule]] = {
    "atomic": OccupationRule(empty=0.65, filled=0.80),
    "ortho-atomic": OccupationRule(empty=0.50, filled=0.80),
}
"""By projectors. Read off own runs of crystals whose valence follows from their formula, at U = 3.25 eV on V-3d and
with ultrasoft pseudopotentials generated by ld1.x; tests/fixtures/pw/README.md has the table. Largest eigenvalue of an
empty orbital in Na3VO4, VOPO4, V2O5 (V5+), Na2VOP2O7 (V4+), NaVO2 and V2O3 (V3+), some also with all atoms displaced
at random: 0.598 atomic, 0.408 ortho-atomic. Smallest of a filled one: 0.961 and 0.962, displaced 0.840 atomic. Between
them lie the electron that metallic rutile VO2 spreads over two orbitals (0.65 to 0.73, and 0.61 to 0.63) and the half
of one in a squeezed random cell with holes on oxygen (0.70, and 0.67). Other elements, values of U and pseudopotentials
were not tried."""

_CLOSED_SHELLS = {"3d": 18, "4d": 36, "5d": 68}
"""Electrons that an ion keeps with this manifold empty."""
_LARGEST_GROUP = 12


def read_state(source: str | bytes | IO[str] | IO[bytes]) -> ElectronicState:
    """Return the state that pw.x described.

    :param source: content of ``data-file-schema.xml``, or a file open for reading.
    :raises InputError: if it is cut off, not of pw.x, or lacks what every finished run writes; or for spins that are
        not along one axis.
    """
    root = _root(source if isinstance(source, str | bytes) else source.read())
    version_text = _attribute(_need(root, "general_info/creator"), "VERSION")
    output = _need(root, "output")
    magnetization = _need(output, "magnetization")
    if _flag(magnetization, "noncolin"):
        raise InputError("pw.x output: spins in all directions are not read, only those along one axis.")
    polarised = _flag(magnetization, "lsda")
    species = tuple(_attribute(atom, "name") for atom in output.findall("atomic_structure/atomic_positions/atom"))
    dft_u = output.find("dft/dftU")
    ionic = output.find("convergence_info/opt_conv")
    fermi = _optional(output, "band_structure/fermi_energy")
    return ElectronicState(
        version=_numbers(version_text),
        version_text=version_text,
        functional=_text(output, "dft/functional"),
        species=species,
        electrons=_number(output, "band_structure/nelec"),
        converged=_flag(output, "convergence_info/scf_conv/convergence_achieved"),
        ionic_converged=None if ionic is None else _flag(ionic, "convergence_achieved"),
        scf_iterations=int(_number(output, "convergence_info/scf_conv/n_scf_steps")),
        scf_accuracy_ev=HARTREE_EV * _number(output, "convergence_info/scf_conv/scf_error"),
        total_magnetization=_number(magnetization, "total") if polarised else 0.0,
        absolute_magnetization=_number(magnetization, "absolute") if polarised else 0.0,
        site_moments=_site_moments(magnetization, len(species)),
        hubbard=None if dft_u is None else _hubbard(dft_u),
        occupations=() if dft_u is None else _occupations(dft_u, species, _BOTH_SPINS if polarised else 1),
        fermi_ev=None if fermi is None else HARTREE_EV * fermi,
        wall_s=_optional(root, "timing_info/total/wall"),
        cpu_s=_optional(root, "timing_info/total/cpu"),
    )


def hubbard_mismatch(state: ElectronicState, wanted: HubbardSettings | None) -> str:
    """Return a sentence on how DFT+U was applied otherwise than asked, or an empty string.

    :param wanted: terms of elements that the cell does not have ask for nothing.
    """
    elements = {species: _element(species) for species in state.species}
    terms = {} if wanted is None else wanted.terms
    asked = {
        species: (terms[element].manifold, terms[element].u_ev)
        for species, element in elements.items()
        if element in terms
    }
    used = state.hubbard
    if used is None:
        return _ran_without(state, sorted(asked)) if asked else ""
    if wanted is None or not asked:
        return f"pw.x {state.version_text} applied DFT+U on {_names(used)}, and none was asked for"
    if used.kind != _SIMPLIFIED or used.others:
        extra = ", ".join(used.others) or f"kind {used.kind} of DFT+U"
        return f"pw.x {state.version_text} applied more than one U for each manifold: {extra}"
    if used.projectors != wanted.projectors:
        return f"pw.x {state.version_text} used `{used.projectors}` projectors, not `{wanted.projectors}`"
    return _other_terms(state.version_text, used, asked)


def _ran_without(state: ElectronicState, asked: list[str]) -> str:
    ignored = "; releases before 7.1 ignore the HUBBARD card and run the bare functional"
    why = ignored if state.version < FIRST_WITH_HUBBARD_CARD else ""
    return f"pw.x {state.version_text} ran without the U that was asked for on {', '.join(asked)}{why}"


def _names(used: HubbardUsed) -> str:
    return ", ".join(f"{term.species} {term.manifold}" for term in used.terms)


def _other_terms(version: str, used: HubbardUsed, asked: Mapping[str, tuple[str, float]]) -> str:
    found = {(term.species, term.manifold): term.u_ev for term in used.terms}
    for species, (manifold, u_ev) in sorted(asked.items()):
        u_used = found.pop((species, manifold), 0.0)
        if abs(u_used - u_ev) > U_TOLERANCE_EV:
            return f"pw.x {version} used U = {u_used:.4g} eV on {species} {manifold}, not {u_ev:.4g} eV"
    for species, manifold in found:
        return f"pw.x {version} applied U on {species} {manifold}, which was not asked for"
    return ""


def oxidation_states(state: ElectronicState, rule: OccupationRule | None = None) -> dict[int, int | None]:
    """Return the oxidation state of each atom with a corrected d shell: its group less the electrons that it holds.

    None is "undecided": an eigenvalue lies between the bounds, as for electrons that several sites share, the cycle did
    not converge, no rule is known for the projectors, or there are no spins: an unpaired electron is then half of each
    and looks like a covalent bond.

    :param rule: of :data:`OCCUPATION_RULES` by the projectors used where None.
    :returns: atom, from 0, to state; empty without U.
    """
    if rule is None and state.hubbard is not None:
        rule = OCCUPATION_RULES.get(state.hubbard.projectors)
    states: dict[int, int | None] = {}
    for site in state.occupations:
        outer = atomic_numbers[_element(site.species)] - _CLOSED_SHELLS.get(site.manifold, 0)
        if site.manifold in _CLOSED_SHELLS and 0 < outer <= _LARGEST_GROUP:
            electrons = _count(site, rule) if rule is not None and state.converged else None
            states[site.atom] = None if electrons is None else outer - electrons
    return states


def _count(site: SiteOccupations, rule: OccupationRule) -> int | None:
    values = np.array(site.eigenvalues)
    shared = (values >= rule.empty) & (values <= rule.filled)
    return None if len(values) != _BOTH_SPINS or shared.any() else int((values > rule.filled).sum())


def _hubbard(dft_u: ET.Element) -> HubbardUsed:
    # Outputs of 7.1 and later, which mark themselves, are in Hartree; 6.7 and 6.8 write their internal Rydberg.
    unit = HARTREE_EV if dft_u.get("new_format") == "true" else RYDBERG_EV
    entries = [entry for entry in dft_u.findall("Hubbard_U") if entry.get("label") != _NOT_CORRECTED]
    terms = [
        HubbardTermUsed(_attribute(entry, "specie"), _attribute(entry, "label"), unit * _value(entry))
        for entry in entries
    ]
    others = {child.tag for child in dft_u if child.tag.startswith("Hubbard_")} - _PLAIN_U
    kind = int(_number(dft_u, "lda_plus_u_kind"))
    return HubbardUsed(_text(dft_u, "U_projection_type"), kind, tuple(terms), tuple(sorted(others)))


def _occupations(dft_u: ET.Element, species: tuple[str, ...], n_spins: int) -> tuple[SiteOccupations, ...]:
    """Return the eigenvalues by atom.

    Matrices come by atom and then by spin. Their ``index`` is the atom in 7.2, in 6.7 it counts the spins of all atoms
    before it as well; only the order holds for both.
    """
    groups: dict[tuple[str, str], list[ET.Element]] = {}
    for entry in dft_u.findall("Hubbard_ns"):
        groups.setdefault((_attribute(entry, "specie"), _attribute(entry, "label")), []).append(entry)
    found: list[SiteOccupations] = []
    for (name, manifold), entries in groups.items():
        sites = [atom for atom, kind in enumerate(species) if kind == name]
        if len(entries) != len(sites) * n_spins:
            raise InputError(f"pw.x output: {len(entries)} occupation matrices for {len(sites)} atoms of {name}.")
        for rank, atom in enumerate(sites):
            spins = entries[rank * n_spins : (rank + 1) * n_spins]
            _check_order(spins, atom)
            found.append(SiteOccupations(atom, name, manifold, tuple(_eigenvalues(e, manifold) for e in spins)))
    return tuple(sorted(found, key=lambda site: (site.atom, site.manifold)))


def _check_order(spins: list[ET.Element], atom: int) -> None:
    for spin, entry in enumerate(spins):
        if _whole(entry, "index") not in (atom + 1, len(spins) * atom + spin + 1):
            raise InputError(f"pw.x output: the occupation matrices are in an unknown order at atom {atom}.")


def _eigenvalues(entry: ET.Element, manifold: str) -> tuple[float, ...]:
    size = 2 * "spdf".index(manifold[-1]) + 1
    try:
        values = np.array((entry.text or "").split(), dtype=float)
        matrix = values.reshape([int(n) for n in _attribute(entry, "dims").split()], order="F")[:size, :size]
    except ValueError as error:
        raise InputError(f"pw.x output: an occupation matrix of {manifold} cannot be read ({error}).") from error
    if matrix.shape != (size, size) or not np.isfinite(matrix).all():
        raise InputError(f"pw.x output: an occupation matrix of {manifold} is too small or not of finite numbers.")
    return tuple(np.linalg.eigvalsh((matrix + matrix.T) / 2).tolist())


def _site_moments(magnetization: ET.Element, n_atoms: int) -> tuple[float, ...] | None:
    entries = magnetization.findall("Scalar_Site_Magnetic_Moments/SiteMagnetization")
    if not entries:
        return None
    moments = {_whole(entry, "atom"): _value(entry) for entry in entries}
    if sorted(moments) != list(range(1, n_atoms + 1)):
        raise InputError(f"pw.x output: {len(moments)} site moments for {n_atoms} atoms.")
    return tuple(moments[atom] for atom in sorted(moments))


def _element(species: str) -> str:
    """Return the element of a species of pw.x, whose name is a symbol and what tells kinds apart, as in V4 or Fe_a."""
    for length in (2, 1):
        symbol = species[:length].capitalize()
        if symbol in atomic_numbers and len(symbol) == length:
            return symbol
    raise InputError(f"pw.x output: the species `{species}` is of no element.")


def _root(content: str | bytes) -> ET.Element:
    try:
        root = ET.fromstring(content)
    except ET.ParseError as error:
        raise InputError(f"pw.x output: the XML is cut off or damaged ({error}), the run was stopped.") from error
    if root.tag.rpartition("}")[2] != "espresso" or root.find("output") is None:
        raise InputError("pw.x output: the XML holds no results of Quantum ESPRESSO.")
    return root


def _numbers(version: str) -> tuple[int, ...]:
    leading = re.match(r"\d+(\.\d+)*", version)
    if leading is None:
        raise InputError(f"pw.x output: `{version}` is no release.")
    return tuple(int(number) for number in leading[0].split("."))


def _need(parent: ET.Element, path: str) -> ET.Element:
    found = parent.find(path)
    if found is None:
        raise InputError(f"pw.x output: there is no `{parent.tag}/{path}`.")
    return found


def _attribute(element: ET.Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise InputError(f"pw.x output: `{element.tag}` has no `{name}`.")
    return value.strip()


def _whole(element: ET.Element, name: str) -> int:
    value = _attribute(element, name)
    if not value.isdecimal():
        raise InputError(f"pw.x output: `{name}` of `{element.tag}` is {value!r}, not a number.")
    return int(value)


def _text(parent: ET.Element, path: str) -> str:
    return (_need(parent, path).text or "").strip()


def _flag(parent: ET.Element, path: str) -> bool:
    return _text(parent, path).lower() == "true"


def _value(element: ET.Element) -> float:
    try:
        value = float(element.text or "")
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"pw.x output: `{element.tag}` is {element.text!r}, not a number.")
    return value


def _number(parent: ET.Element, path: str) -> float:
    return _value(_need(parent, path))


def _optional(parent: ET.Element, path: str) -> float | None:
    return None if parent.find(path) is None else _number(parent, path)
