"""One level of theory for many labels: read from calculations, or stated by the user and held against them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import LabellerName
from aiida_nvp.labelling.pw_level import PwLevel, PwRun, sampled_as
from aiida_nvp.labelling.settings import LabelSettings, read_settings
from aiida_nvp.labelling.theory import VALENCE_RECIPE_VERSION, pw_theory

VALENCE_START: Final[Mapping[str, Any]] = {"recipe": "valence", "version": VALENCE_RECIPE_VERSION}
_SHARED = ("functional", "cutoff_wfc_ry", "cutoff_rho_ry", "kpoints", "smearing", "dispersion")
_SHOWN = 60


class MixedLevelsError(InputError):
    """Raised where labels of several levels of theory would meet."""


def stated_theory(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a level of theory as it was stated, in the one form in which it is hashed.

    That of Quantum ESPRESSO goes through the label settings: whole numbers, capitals and other names of one thing come
    out as ``pw_theory`` would write them. What another program did is the user's to describe.

    :param values: ``labeller`` and whatever else defines a label; for ``quantumespresso`` all keys of ``pw_theory``.
    :raises InputError: if there is no labeller, a key is missing or unknown, or a value is none that JSON knows.
    """
    theory = {str(key): value for key, value in values.items() if key != "hash"}
    if not isinstance(theory.get("labeller"), str) or not theory["labeller"]:
        raise InputError(
            "level of theory: name the program that made the labels as `labeller`, for example `labeller: vasp`."
        )
    try:
        json.dumps(theory, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"level of theory: a value cannot be written as JSON ({error}).") from error
    return _pw_form(theory) if theory["labeller"] == LabellerName.QUANTUM_ESPRESSO.value else theory


def common_theory(levels: Mapping[str, PwLevel]) -> dict[str, Any]:
    """Return the one level of theory of several calculations, in the shape of ``pw_theory``.

    :param levels: by a name that a user recognises.
    :raises MixedLevelsError: saying what differs and how many calculations have which value.
    """
    facts = _by_value((name, level.facts) for name, level in levels.items())
    spin = _by_value((name, level.spin) for name, level in levels.items())
    elements = {fact.partition(".")[2] for fact in facts if fact.startswith("pseudopotentials.")}
    one_by_element = set(spin) <= elements and all(len(by_value) == 1 for by_value in spin.values())
    by_valence = not one_by_element and all(level.by_valence for level in levels.values())
    claims = facts | ({} if by_valence else {f"spin.{name}": by_value for name, by_value in spin.items()})
    mixed = {fact: by_value for fact, by_value in claims.items() if len(by_value) > 1}
    if mixed:
        said = "; ".join(f"{fact} is {_counted(by_value)}" for fact, by_value in mixed.items())
        hint = " If one density made these meshes, state the level of theory with `distance_per_angstrom`."
        raise MixedLevelsError(
            f"{len(levels)} calculations are of several levels of theory: {said}.{hint if 'kpoints' in mixed else ''}"
        )
    only = {fact: json.loads(next(iter(by_value))) for fact, by_value in claims.items()}
    return _theory(only, by_valence)


def differences(theory: Mapping[str, Any], run: PwRun, level: PwLevel) -> dict[str, tuple[Any, Any]]:
    """Return where a calculation departs from a stated level of theory: by fact what is stated and what was found.

    :param theory: as of :func:`stated_theory`.
    """
    stated: dict[str, Any] = {fact: theory.get(fact) for fact in _SHARED} | {"other": theory.get("other", {})}
    found = dict(level.facts)
    if sampled_as(theory.get("kpoints"), run):
        stated["kpoints"] = found["kpoints"]
    terms = (theory.get("hubbard") or {}).get("terms", {})
    for element in set(run.elements.values()):
        stated[f"pseudopotentials.{element}"] = theory.get("pseudopotentials", {}).get(element)
        stated[f"hubbard.{element}"] = terms.get(element)
        if terms.get(element):
            stated["hubbard_projectors"] = theory["hubbard"]["projectors"]
    stated |= _stated_spin(theory.get("spin", {}), run, level)
    found |= {f"spin.{name}": start for name, start in level.spin.items()}
    facts = sorted(stated.keys() | found.keys())
    return {fact: (stated.get(fact), found.get(fact)) for fact in facts if stated.get(fact) != found.get(fact)}


def refuse_others(departures: Mapping[str, Mapping[str, tuple[Any, Any]]], total: int) -> None:
    """Refuse calculations of another level than the stated one.

    :param departures: as of :func:`differences`, by name of the calculation; those without any left out.
    :param total: number of calculations that were looked at.
    :raises MixedLevelsError: if there are any, saying how many depart in what.
    """
    if not departures:
        return
    claims: dict[str, list[str]] = {}
    for name, departs in departures.items():
        for fact, (stated, found) in departs.items():
            claims.setdefault(f"{fact} is {_short(found)} instead of {_short(stated)}", []).append(name)
    said = "; ".join(f"{claim} in {len(names)} ({names[0]} first)" for claim, names in claims.items())
    raise MixedLevelsError(f"{len(departures)} of {total} calculations are not of the stated level of theory: {said}.")


def _pw_form(theory: Mapping[str, Any]) -> dict[str, Any]:
    expected = set(pw_theory(LabelSettings(), {}))
    missing, unknown = sorted(expected - theory.keys()), sorted(theory.keys() - expected - {"other"})
    if missing or unknown:
        words = [f"lacks {', '.join(missing)}"] if missing else []
        words += [f"has no key {', '.join(unknown)}"] if unknown else []
        known = ", ".join(sorted(expected))
        raise InputError(f"level of theory: that of quantumespresso {' and '.join(words)}; its keys are {known}.")
    by_valence = theory["spin"] == VALENCE_START
    smearing = theory["smearing"] if isinstance(theory["smearing"], Mapping) else {}
    settings = read_settings(
        {
            **{
                name: theory[name] for name in ("functional", "cutoff_wfc_ry", "cutoff_rho_ry", "kpoints", "dispersion")
            },
            "smearing": smearing.get("kind"),
            "degauss_ry": smearing.get("degauss_ry"),
            "hubbard": theory["hubbard"],
            **({"start": "valence"} if by_valence else {"starting_magnetization": theory["spin"]}),
        }
    )
    pseudos = theory["pseudopotentials"]
    if not isinstance(pseudos, Mapping) or not all(isinstance(sha, str) for sha in pseudos.values()):
        raise InputError("level of theory: `pseudopotentials` has to be a mapping of species to SHA-256.")
    other = {"other": theory["other"]} if theory.get("other") else {}
    return {**pw_theory(settings, pseudos), **other}


def _stated_spin(spin: Mapping[str, Any], run: PwRun, level: PwLevel) -> dict[str, Any]:
    if dict(spin) == VALENCE_START:
        return {f"spin.{name}": start if level.by_valence else "by valence" for name, start in level.spin.items()}
    elements = run.elements
    return {f"spin.{name}": spin.get(name, spin.get(elements.get(name, name), 0.0)) for name in level.spin}


def _theory(facts: Mapping[str, Any], by_valence: bool) -> dict[str, Any]:
    def by_element(part: str) -> dict[str, Any]:
        names = {fact: fact.removeprefix(f"{part}.") for fact in sorted(facts) if fact.startswith(f"{part}.")}
        return {name: facts[fact] for fact, name in names.items() if facts[fact]}

    terms = by_element("hubbard")
    return {
        "labeller": LabellerName.QUANTUM_ESPRESSO.value,
        **{fact: facts[fact] for fact in _SHARED},
        "pseudopotentials": by_element("pseudopotentials"),
        "spin": dict(VALENCE_START) if by_valence else by_element("spin"),
        "hubbard": {"projectors": facts["hubbard_projectors"], "terms": terms} if terms else None,
        **({"other": facts["other"]} if facts["other"] else {}),
    }


def _by_value(claims: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, dict[str, list[str]]]:
    """Return names by fact and value, the value as JSON."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, facts in claims:
        for fact, value in facts.items():
            found.setdefault(fact, {}).setdefault(json.dumps(value, sort_keys=True), []).append(name)
    return found


def _counted(by_value: Mapping[str, list[str]]) -> str:
    return " and ".join(
        f"{_short(json.loads(value))} in {len(names)} ({names[0]} first)" for value, names in by_value.items()
    )


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
