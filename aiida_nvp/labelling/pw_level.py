"""The level of theory of pw.x calculations that were not made here, read from what they were given.

It comes out in the shape of :func:`~aiida_nvp.labelling.theory.pw_theory`, so that labels made elsewhere with the same
settings have the same hash. What that shape does not know (a charge, a hybrid's parameters, a field) stands under
``other``: unknown physics never passes for the usual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from ase import Atoms
from pydantic import ValidationError

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import StartRecipe
from aiida_nvp.labelling.pw_input import pw_mesh
from aiida_nvp.labelling.settings import KPointDensity, LabelSettings
from aiida_nvp.labelling.upf import Pseudo, short_name
from aiida_nvp.labelling.valence import starting_state

Namelists = Mapping[str, Mapping[str, Any]]

_SMEARING = {
    "gaussian": ("gauss", "gaussian"),
    "methfessel-paxton": ("m-p", "mp", "methfessel-paxton"),
    "marzari-vanderbilt": ("cold", "m-v", "mv", "marzari-vanderbilt"),
    "fermi-dirac": ("f-d", "fd", "fermi-dirac"),
}
_DISPERSION = {"grimme-d2": ("grimme-d2", "dft-d"), "grimme-d3": ("grimme-d3", "dft-d3"), None: ("none", "")}
_READ = {"ecutwfc", "ecutrho", "input_dft", "occupations", "smearing", "degauss", "nspin", "starting_magnetization"}
_READ |= {"vdw_corr"}
_COST_ONLY = {"ibrav", "nat", "ntyp", "nbnd", "nosym", "nosym_evc", "noinv", "no_t_rev", "force_symmorphic"}
_COST_ONLY |= {"use_all_frac", "space_group", "uniqueb", "origin_choice", "rhombohedral"}
_CONTROL_PHYSICS = ("tefield", "dipfield", "lelfield", "gate", "lfcp", "trism")
_SETTINGS_PHYSICS = ("ENVIRON", "OCCUPATIONS")
COLLINEAR: Final = 2
"""``nspin`` of pw.x for spins along one axis."""
_WITH_FORCES = ("scf", "relax", "vc-relax", "md", "vc-md")
_START_TOLERANCE = 1e-6


@dataclass(frozen=True)
class PwRun:
    """What one calculation was given, as plain values.

    :param atoms: where it started.
    :param kinds: (N,) names of the species of pw.x.
    :param parameters: namelists.
    :param settings: of the plugin, beside the namelists.
    :param mesh: of k-points, or None where they are a list.
    :param offset: of the mesh, in steps.
    :param points: (K, 4) k-points in units of the reciprocal vectors and their weights, where there is no mesh.
    :param distance: that the mesh was made from, in 1/angstrom, if one knows.
    :param pseudos: by kind.
    :param hubbard: of a ``HubbardStructureData``.
    """

    atoms: Atoms
    kinds: Sequence[str]
    parameters: Namelists
    pseudos: Mapping[str, Pseudo]
    settings: Mapping[str, Any] = field(default_factory=dict)
    mesh: tuple[int, int, int] | None = None
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    points: Sequence[Sequence[float]] = ()
    distance: float | None = None
    hubbard: Mapping[str, Any] | None = None

    @property
    def system(self) -> Mapping[str, Any]:
        """The namelist SYSTEM."""
        return self.parameters.get("SYSTEM", {})

    @property
    def calculation(self) -> str:
        """Kind of calculation."""
        return str(self.parameters.get("CONTROL", {}).get("calculation", "scf"))

    @property
    def elements(self) -> dict[str, str]:
        """Kind to chemical symbol."""
        return dict(zip(self.kinds, self.atoms.get_chemical_symbols(), strict=True))


@dataclass(frozen=True)
class PwLevel:
    """What defines the labels of one calculation.

    :param facts: by name; those by element (``pseudopotentials.V``, ``hubbard.V``) for elements of the cell only.
    :param spin: start by element, or by kind where the kinds of one element differ; 0 without one.
    :param by_valence: whether the spins start as the valence recipe would start them.
    """

    facts: Mapping[str, Any]
    spin: Mapping[str, float]
    by_valence: bool


def read_level(run: PwRun) -> PwLevel:
    """Return the level of theory of one calculation.

    :raises InputError: if its inputs do not tell, or are such that its forces are not the derivative of its energy.
    """
    _refuse(run)
    cutoff = run.system.get("ecutwfc")
    if not isinstance(cutoff, int | float):
        raise InputError("SYSTEM has no `ecutwfc`.")
    facts = {
        "functional": _functional(run),
        "cutoff_wfc_ry": float(cutoff),
        "cutoff_rho_ry": float(run.system.get("ecutrho", 4 * cutoff)),
        "kpoints": _kpoints(run),
        "smearing": _smearing(run.system),
        "dispersion": _dispersion(run.system),
    }
    facts |= {f"pseudopotentials.{element}": sha for element, sha in _checksums(run).items()}
    return PwLevel({**facts, **_hubbard(run)}, _starts(run), _starts_by_valence(run))


def _refuse(run: PwRun) -> None:
    """Refuse what gives no label, whatever the level of theory."""
    if run.calculation not in _WITH_FORCES:
        raise InputError(f"a calculation of kind `{run.calculation}` gives no forces.")
    if not run.atoms.pbc.all():
        raise InputError("its structure is not periodic in all directions.")
    held = np.any(run.settings.get("FIXED_COORDS") or False)
    if held:
        raise InputError("atoms were held fixed, and pw.x may write no force for them.")
    if run.settings.get("ATOMIC_FORCES"):
        raise InputError("external forces act on its atoms, and its energy does not contain them.")


def _functional(run: PwRun) -> str:
    stated = run.system.get("input_dft")
    if stated:
        return short_name(str(stated))
    named = {pseudo.functional for pseudo in run.pseudos.values()}
    if len(named) != 1 or "" in named:
        raise InputError(f"neither `input_dft` nor its pseudopotentials state one functional ({sorted(named)}).")
    return named.pop()


def _kpoints(run: PwRun) -> str | list[int] | dict[str, Any]:
    if run.settings.get("GAMMA_ONLY"):
        return "gamma"
    if run.mesh is None:
        return {"points": [[round(float(value), 10) for value in point] for point in run.points]}
    if any(run.offset):
        return {"mesh": list(run.mesh), "offset": [float(value) for value in run.offset]}
    if run.distance is not None:
        density = density_of(run.distance)
        if density is not None and sampled_as(density, run):
            return density
    return list(run.mesh)


def density_of(distance: float) -> dict[str, Any] | None:
    """Return k-points of one density in the shape of the label settings, or None for one that these do not take."""
    try:
        return KPointDensity(distance_per_angstrom=distance).model_dump(mode="json")
    except ValidationError:
        return None


def sampled_as(kpoints: object, run: PwRun) -> bool:
    """Return whether the calculation sampled its cell as label settings with these k-points would."""
    # Gamma with real wave functions gives the energy of a mesh of one.
    mesh = (1, 1, 1) if run.settings.get("GAMMA_ONLY") else run.mesh
    try:
        settings = LabelSettings.model_validate({"kpoints": kpoints})
    except ValidationError:
        return False
    return not any(run.offset) and mesh == pw_mesh(settings, run.atoms.cell.array)


def _smearing(system: Mapping[str, Any]) -> dict[str, Any]:
    occupations = str(system.get("occupations", "fixed")).lower()
    if occupations != "smearing":
        return {"kind": occupations, "degauss_ry": 0.0}
    given = str(system.get("smearing", "gaussian")).lower()
    kind = next((name for name, others in _SMEARING.items() if given in others), given)
    return {"kind": kind, "degauss_ry": float(system.get("degauss", 0.0))}


def _dispersion(system: Mapping[str, Any]) -> str | None:
    given = str(system.get("vdw_corr") or "none").lower()
    return next((name for name, others in _DISPERSION.items() if given in others), given)


def _checksums(run: PwRun) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, element in sorted(run.elements.items()):
        if kind not in run.pseudos:
            raise InputError(f"there is no pseudopotential for its kind `{kind}`.")
        sha = run.pseudos[kind].sha256
        if found.setdefault(element, sha) != sha:
            raise InputError(f"the kinds of {element} have different pseudopotentials.")
    return found


def _starts(run: PwRun) -> dict[str, float]:
    """Return the starting magnetisation by element where that is all there is to say, else by kind."""
    given = run.system.get("starting_magnetization") if run.system.get("nspin") == COLLINEAR else None
    if given is not None and not isinstance(given, Mapping):
        raise InputError("`starting_magnetization` has to be a mapping of kinds to numbers.")
    by_kind = {kind: float((given or {}).get(kind, 0.0)) for kind in run.elements}
    found: dict[str, float] = {}
    for element in sorted(set(run.elements.values())):
        starts = {kind: start for kind, start in by_kind.items() if run.elements[kind] == element}
        same = len(set(starts.values())) == 1
        found |= {element: next(iter(starts.values()))} if same else starts
    return found


def _starts_by_valence(run: PwRun) -> bool:
    given = run.system.get("starting_magnetization") or {}
    charges = {element: run.pseudos[kind].z_valence for kind, element in run.elements.items()}
    try:
        recipe = starting_state(run.atoms, StartRecipe.FERROMAGNETIC)
        expected = recipe.magnetization(charges)
    except InputError:
        return False
    wanted = [expected.get(kind, 0.0) for kind in recipe.kinds]
    return bool(np.allclose([given.get(kind, 0.0) for kind in run.kinds], wanted, atol=_START_TOLERANCE))


def _hubbard(run: PwRun) -> dict[str, Any]:
    """Return the facts on DFT+U, by element where a term is all there is to say, and on all physics of other names."""
    facts: dict[str, Any] = {f"hubbard.{element}": None for element in run.elements.values()}
    other = _other(run)
    parameters = (run.hubbard or {}).get("parameters", [])
    if run.hubbard is not None and parameters:
        terms = _on_site(run, parameters)
        if terms is None or run.hubbard.get("formulation", "dudarev") != "dudarev":
            other["hubbard"] = dict(run.hubbard)
        else:
            facts |= {f"hubbard.{element}": term for element, term in terms.items()}
            facts["hubbard_projectors"] = run.hubbard["projectors"]
    return {**facts, "other": other}


def _on_site(run: PwRun, parameters: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the term of each corrected element, or None for any other kind of Hubbard parameters."""
    by_kind: dict[str, dict[str, Any]] = {}
    for entry in parameters:
        here = entry["atom_index"] == entry["neighbour_index"] and not any(entry["translation"])
        if (
            not here
            or entry["hubbard_type"] not in ("U", "Ueff")
            or entry["atom_manifold"] != entry["neighbour_manifold"]
        ):
            return None
        term = {"manifold": entry["atom_manifold"], "u_ev": float(entry["value"])}
        # pw.x takes a parameter for the whole kind of the atom that it is given for.
        if by_kind.setdefault(run.kinds[entry["atom_index"]], term) != term:
            return None
    terms: dict[str, Any] = {}
    for kind, element in run.elements.items():
        if terms.setdefault(element, by_kind.get(kind)) != by_kind.get(kind):
            return None
    return {element: term for element, term in terms.items() if term is not None}


def _other(run: PwRun) -> dict[str, Any]:
    """Return the settings that bear on the physics and have no place of their own, without those at rest."""
    found = {key: value for key, value in run.system.items() if key not in _READ | _COST_ONLY}
    control = run.parameters.get("CONTROL", {})
    found |= {key: control[key] for key in _CONTROL_PHYSICS if key in control}
    found |= {key: run.settings[key] for key in _SETTINGS_PHYSICS if key in run.settings}
    if run.system.get("nspin", 1) not in (1, COLLINEAR):
        found["nspin"] = run.system["nspin"]
    return {key: value for key, value in sorted(found.items()) if value not in (None, False, 0, "", "none", [], {})}
