"""Pseudopotentials generated on the spot from the decks of this package, and checked before they are stored.

Each file ``decks/<symbol>.in`` is one input of Quantum ESPRESSO's ``ld1.x``; another element is another file.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida_pseudo.data.pseudo.upf import UpfData
from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily, PseudoPotentialFamily
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision.steps import Outcome

FAMILY = "nvp-local/PBE/us"
CUTOFFS_RY: Mapping[str, tuple[float, float]] = {"fast": (30, 240), "balanced": (45, 360), "stringent": (60, 480)}
"""Wave-function and density cutoffs. ``fast`` gives usable forces but no usable stress."""
DEFAULT_STRINGENCY = "balanced"

GHOST_BOUND_RAD = 0.1
"""Largest allowed difference of the arctangents of the logarithmic derivatives, wrapped to a quarter turn either way.

The decks of this package stay below 0.003 (0.037 in the d channel of Na, which has no projector). A ghost state is a
jump by half a turn of which a mesh of 0.002 Ry sees about 1 in the case that we met.
"""
GHOST_RANGE_RY = 1.0
"""Energies up to here are judged: occupied states and the first empty ones of oxides lie below."""

_ORBITAL = re.compile(r"^\d[SPDF]\s+\d+\s+\d+\s+(-?[\d.]+)\s", re.MULTILINE)
_TIMEOUT_S = 300
_IN_PARALLEL = 2
_SAME_ENERGY_RY = 1e-9


@dataclass(frozen=True)
class Deck:
    """One input of ld1.x.

    :param symbol: chemical element; also the prefix of the files with logarithmic derivatives.
    :param filename: of the UPF that it makes.
    :param valence: number of electrons left to the valence.
    """

    symbol: str
    filename: str
    valence: float
    text: str


@dataclass(frozen=True)
class Pseudopotential:
    """A generated and checked UPF file, with the largest mismatch over all angular momenta in rad."""

    deck: Deck
    path: Path
    mismatch_rad: float


def read_deck(text: str) -> Deck:
    """Read what the checks need from an ld1.x input.

    :raises InputError: if it names no element or no output file.
    """
    symbol = re.search(r"title\s*=\s*'(\w+)'", text)
    filename = re.search(r"file_pseudopw\s*=\s*'([^']+)'", text)
    if symbol is None or filename is None:
        raise InputError("an ld1.x deck needs title='<symbol>' and file_pseudopw='<name>.UPF'.")
    # A negative occupation marks a state that only shapes a projector.
    occupations = [float(value) for value in _ORBITAL.findall(text)]
    return Deck(symbol.group(1), filename.group(1), sum(value for value in occupations if value > 0), text)


def packaged_decks() -> list[Deck]:
    """Return the decks of this package, sorted by element."""
    folder = files("aiida_nvp.provision") / "decks"
    found = [read_deck(file.read_text(encoding="utf-8")) for file in folder.iterdir() if file.name.endswith(".in")]
    return sorted(found, key=lambda deck: deck.symbol)


def log_derivative_mismatch(all_electron: NDArray[np.float64], pseudo: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each angular momentum, the largest distance of two logarithmic derivatives in rad.

    :param all_electron: shape (E, 1 + L): energy in Ry, then the derivative for l = 0 .. L - 1.
    :param pseudo: the same on the same energies.
    :raises InputError: if the meshes differ or nothing lies below :data:`GHOST_RANGE_RY`.

    The arctangent maps poles, which are no flaw, onto a smooth phase (Gonze, Stumpf and Scheffler,
    doi:10.1103/PhysRevB.44.8503, on why ghosts show there).
    """
    same_shape = all_electron.shape == pseudo.shape
    if not same_shape or np.abs(all_electron[:, 0] - pseudo[:, 0]).max(initial=0.0) > _SAME_ENERGY_RY:
        raise InputError("logarithmic derivatives of atom and pseudo-atom are not on the same energies.")
    judged = all_electron[:, 0] < GHOST_RANGE_RY
    if not judged.any():
        raise InputError(f"no logarithmic derivative lies below {GHOST_RANGE_RY} Ry.")
    phase = np.arctan(all_electron[judged, 1:]) - np.arctan(pseudo[judged, 1:])
    wrapped = (phase + np.pi / 2) % np.pi - np.pi / 2
    largest: NDArray[np.float64] = np.abs(wrapped).max(axis=0)
    return largest


def generate(deck: Deck, ld1: Path, folder: Path) -> Pseudopotential:
    """Run ld1.x on a deck in ``folder`` and check what comes out.

    :raises InputError: if ld1.x fails, the valence is not the deck's, or a ghost state shows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(
        [str(ld1)], input=deck.text, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    path = folder / deck.filename
    if result.returncode or not path.is_file():
        lines = [line.strip() for line in (result.stdout + result.stderr).splitlines() if line.strip(" %")]
        raise InputError(f"ld1.x made no pseudopotential of {deck.symbol}: {' '.join(lines[-2:])}")
    with path.open("rb") as handle:
        valence = UpfData(handle).z_valence
    if valence != deck.valence:
        raise InputError(f"the pseudopotential of {deck.symbol} has {valence} valence electrons, not {deck.valence:g}.")
    curves = (folder / f"{deck.symbol}.dlog", folder / f"{deck.symbol}ps.dlog")
    return Pseudopotential(deck, path, check_ghosts(deck.symbol, *(np.loadtxt(curve) for curve in curves)))


def check_ghosts(symbol: str, all_electron: NDArray[np.float64], pseudo: NDArray[np.float64]) -> float:
    """Return the largest mismatch over all angular momenta in rad.

    :raises InputError: if it is above :data:`GHOST_BOUND_RAD`.
    """
    mismatch = log_derivative_mismatch(all_electron, pseudo)
    worst = int(mismatch.argmax())
    if mismatch[worst] > GHOST_BOUND_RAD:
        raise InputError(
            f"the pseudopotential of {symbol} has a ghost state or a poor channel: its logarithmic derivative for "
            f"l = {worst} is off by {mismatch[worst]:.2f} rad (limit {GHOST_BOUND_RAD}); correct its deck."
        )
    return float(mismatch[worst])


def ensure_family(ld1: Path) -> Outcome[str]:
    """Make the family :data:`FAMILY` from the packaged decks unless the profile has it."""
    decks = packaged_decks()
    try:
        present = load_family(FAMILY)
    except InputError:
        pass
    else:
        return Outcome(FAMILY, f"{FAMILY} is there: {', '.join(sorted(present.elements))}", changed=False)
    with TemporaryDirectory(prefix="nvp-ld1-") as name:
        made = _generate_all(decks, ld1, Path(name))
        _store(made, Path(name) / "family")
    worst = ", ".join(f"{item.deck.symbol} {item.mismatch_rad:.3f}" for item in made)
    return Outcome(FAMILY, f"{FAMILY} generated and checked; largest log-derivative mismatch in rad: {worst}", True)


def _generate_all(decks: Iterable[Deck], ld1: Path, folder: Path) -> list[Pseudopotential]:
    with ThreadPoolExecutor(_IN_PARALLEL) as pool:
        return list(pool.map(lambda deck: generate(deck, ld1, folder / deck.symbol), decks))


def _store(made: list[Pseudopotential], folder: Path) -> None:
    folder.mkdir()
    for item in made:
        item.path.rename(folder / item.path.name)
    family = CutoffsPseudoPotentialFamily.create_from_folder(
        folder,
        FAMILY,
        description="Ultrasoft, PBE, scalar relativistic; generated by ld1.x from the decks of aiida-nvp",
        pseudo_type=UpfData,
    )
    for stringency, (wave, density) in CUTOFFS_RY.items():
        cutoffs = {item.deck.symbol: {"cutoff_wfc": wave, "cutoff_rho": density} for item in made}
        family.set_cutoffs(cutoffs, stringency, unit="Ry")
    family.set_default_stringency(DEFAULT_STRINGENCY)


def load_family(label: str) -> PseudoPotentialFamily:
    """Return an installed pseudopotential family.

    :raises InputError: if there is none of that label.
    """
    try:
        group = orm.load_group(label)
    except NotExistent:
        group = None
    if not isinstance(group, PseudoPotentialFamily):
        builder = orm.QueryBuilder().append(PseudoPotentialFamily, project="label")
        known = ", ".join(sorted(builder.all(flat=True))) or "none"
        raise InputError(f"there is no pseudopotential family {label!r}; this profile has: {known}.")
    return group


def check_own_family(label: str) -> Outcome[str]:
    """Return the user's own family.

    :raises InputError: if there is none of that label, or it is not made of UPF files.
    """
    family = load_family(label)
    others = sorted(element for element, pseudo in family.pseudos.items() if not isinstance(pseudo, UpfData))
    if others:
        raise InputError(f"family {label!r} does not hold UPF files for: {', '.join(others)}.")
    return Outcome(label, f"{label} is yours: {len(family.elements)} elements", changed=False)
