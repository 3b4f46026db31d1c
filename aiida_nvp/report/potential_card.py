"""The model card of a potential: what a colleague has to know before they use the file that lies beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiida_nvp import __version__
from aiida_nvp.analysis.channels.estimate import Interval
from aiida_nvp.common.vocabulary import LabellerName
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.report.dataset import find_theory
from aiida_nvp.report.document import page_environment
from aiida_nvp.report.potential import PotentialFacts
from aiida_nvp.report.potential_errors import measured_errors

_MEV = 1000.0
_COUNTS = {"train": "n_train", "validation": "n_validation", "out_of_bag": "n_out_of_bag", "test": "n_test"}
_CITE = (
    f"aiida-nvp {__version__}: active learning of machine-learned potentials for oxide glasses with full provenance.",
    "Allegro: Musaelian et al., Nature Communications 14, 579 (2023), doi:10.1038/s41467-023-36329-y.",
    "AiiDA: Huber et al., Scientific Data 7, 300 (2020), doi:10.1038/s41597-020-00638-4.",
)
_CITE_QE = (
    "Quantum ESPRESSO, which made the labels: Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017), "
    "doi:10.1088/1361-648X/aa8f79; and the pseudopotentials named above."
)


@dataclass(frozen=True)
class CardFile:
    """One file that was written beside the card."""

    name: str
    what: str
    sha256: str


def model_card(facts: PotentialFacts, files: Sequence[CardFile]) -> str:
    """Return the card in Markdown.

    :param files: what lies beside it.
    """
    theory = find_theory(facts.dataset) if facts.dataset is not None else None
    errors = measured_errors(facts.node)
    return (
        page_environment(escape=False)
        .get_template("card.md.j2")
        .render(
            title=f"Potential {facts.node.label or str(facts.node.uuid)[:8]}",
            opening=_opening(facts),
            rows=_rows(facts),
            data=_data(facts.dataset),
            theory=[(name, _plain(value)) for name, value in (theory or {}).items()],
            level=facts.level,
            errors=[
                {
                    "part": row.part.replace("_", " "),
                    "frames": row.frames,
                    "trajectories": row.trajectories,
                    "force": _interval(row.force_rmse, "{:.3f}"),
                    "energy": _interval(row.energy_rmse, "{:.1f}", _MEV),
                }
                for row in errors
            ],
            points=_points(facts),
            prospective=_prospective(facts),
            validity=_validity(facts),
            files=files,
            cite=[*_CITE, *([_CITE_QE] if (theory or {}).get("labeller") == LabellerName.QUANTUM_ESPRESSO else [])],
            maker=facts.card.strip(),
        )
    )


def _opening(facts: PotentialFacts) -> str:
    kind = "Allegro potential" if facts.node.has_statistics or not facts.node.foreign else "Potential"
    if facts.node.foreign:
        return f"{kind}, trained elsewhere and taken in by aiida-nvp {__version__} as it was."
    return f"{kind}, trained and described by aiida-nvp; every number leads back to a calculation by the UUIDs below."


def _rows(facts: PotentialFacts) -> list[tuple[str, str]]:
    node = facts.node
    rows = [
        ("potential", str(node.uuid)),
        ("types, in the order of every engine", " ".join(node.types)),
        ("cutoff", f"{node.cutoff:g} angstrom"),
        ("seed", "unknown" if node.seed is None else str(node.seed)),
        ("SHA-256 of the package", node.sha256),
        ("made with", ", ".join(f"{name} {number}" for name, number in sorted(node.versions.items())) or "unknown"),
    ]
    if facts.process is not None:
        rows.append(("made by", f"{facts.process.kind} {facts.process.uuid}"))
    if facts.top is not None and facts.process is not None and facts.top.uuid != facts.process.uuid:
        rows.append(("as part of", f"{facts.top.kind} {facts.top.uuid}"))
    if facts.dataset is not None:
        rows.append(("data set", str(facts.dataset.uuid)))
    if facts.parent is not None:
        known = "foreign potential" if facts.parent.foreign else "potential"
        rows.append(("weights began from", f"{known} {facts.parent.uuid}"))
    if shifts := facts.results.get("refitted_shifts"):
        said = ", ".join(f"{symbol} {value:.3f}" for symbol, value in shifts.items())
        rows.append(("energy shifts fitted anew, eV", said))
    return rows


def _data(dataset: DatasetData | None) -> list[str]:
    if dataset is None:
        return []
    known = dataset.base.attributes
    compositions: Mapping[str, int] = known.get("compositions")
    origins = Counter(str(_origin(info).get("kind", "unknown")) for info in dataset.frames.info)
    return [
        f"{known.get('n_frames')} labelled frames, {known.get('n_atoms')} atoms, of {' '.join(known.get('species'))}.",
        f"Compositions: {', '.join(f'{name} ({count})' for name, count in compositions.items())}.",
        f"Origins: {', '.join(f'{name} ({count})' for name, count in origins.most_common())}.",
    ]


def _points(facts: PotentialFacts) -> list[dict[str, Any]]:
    return [
        {
            "part": part.replace("_", " "),
            "frames": facts.results.get(_COUNTS[part], ""),
            "force": f"{values['force_rmse']:.3f}",
            "energy": f"{_MEV * values['energy_rmse_per_atom']:.1f}",
        }
        for part, values in facts.errors
    ]


def _prospective(facts: PotentialFacts) -> str:
    found = facts.calibration.get("prospective")
    if not found:
        return ""
    frames = facts.calibration["n_frames"]
    return (
        f"Mean of the committee on {frames} frames before these had labels ({facts.calibrated_on}): forces "
        f"{found['force_rmse']:.3f} eV/angstrom."
    )


def _validity(facts: PotentialFacts) -> list[str]:
    said = [f"Species: {' '.join(facts.node.types)}; others are refused."]
    if facts.dataset is None:
        return [*said, "Compositions and temperatures that it has seen are not known here."]
    known = facts.dataset.base.attributes
    unseen = [symbol for symbol in facts.node.types if symbol not in known.get("species")]
    if unseen:
        said.append(f"Not in the data of this training: {' '.join(unseen)}; do not use it for them without a test.")
    said.append("Compositions: those under Data; between them by interpolation, beyond them not without a test.")
    said.append(_temperatures(facts.dataset))
    if facts.calibration:
        limits = facts.calibration["thresholds"]
        told = ", ".join(f"{name} {value:.3g}" for name, value in limits.items())
        said.append(f"Calibrated thresholds of the expected force error, eV/angstrom: {told} ({facts.calibrated_on}).")
        if sentence := facts.calibration.get("threshold_sentence"):
            said.append(str(sentence))
    else:
        said.append("Its uncertainty was never calibrated: a committee's spread is no error then.")
    return said


def _temperatures(dataset: DatasetData) -> str:
    origins = [_origin(info) for info in dataset.frames.info]
    known = [float(origin["temperature"]) for origin in origins if origin.get("temperature") is not None]
    if not known:
        return "Temperatures: no frame states one."
    rest = len(origins) - len(known)
    others = f"; {rest} frames state none" if rest else ""
    return f"Temperatures: {min(known):g} to {max(known):g} K in {len(known)} frames of dynamics{others}."


def _origin(info: Mapping[str, Any]) -> Mapping[str, Any]:
    origin = info.get("origin")
    return origin if isinstance(origin, Mapping) else {"kind": origin or "unknown"}


def _interval(found: Interval, form: str, factor: float = 1.0) -> str:
    value, low, high = (form.format(factor * number) for number in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items()) or "none"
    return "none" if value is None else str(value)
