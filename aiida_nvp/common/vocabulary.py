"""The words that cross a room's border, typed once."""

from __future__ import annotations

from enum import StrEnum


class LabellerName(StrEnum):
    """Who makes the labels; ``rehearsal`` is an analytic stand-in and is called so wherever it shows."""

    QUANTUM_ESPRESSO = "quantumespresso"
    REHEARSAL = "rehearsal"


class LabelMode(StrEnum):
    """One label a structure, or every ionic step of a short relaxation or of a short MD run."""

    SINGLE_POINT = "single_point"
    RELAX = "relax"
    MD = "md"

    @property
    def origin_kind(self) -> str | None:
        """What the steps of one calculation are called in the data set; None where there is one step only."""
        return {LabelMode.RELAX: "relaxation", LabelMode.MD: "labeller MD"}.get(self)


class LabelStatus(StrEnum):
    """The fate of one frame that was sent to the labeller."""

    CONVERGED = "converged"
    RETRIED = "retried"
    AMBIGUOUS = "ambiguous"
    REJECTED = "rejected"


class LabelAudit(StrEnum):
    """How a fresh label stands to what the committee predicted."""

    EXPLAINED = "explained"
    MISSING = "missing data"
    SUSPECT = "suspect label"


class Stream(StrEnum):
    """How a candidate was met: at a fixed stride whatever its score, just before its replica broke, or cycles ago."""

    STRIDE = "stride"
    BREAK = "break"
    LEFT_OVER = "left over"


class StopReason(StrEnum):
    """Why a replica ended."""

    COMPLETED = "completed"
    UNCERTAINTY = "uncertainty above the break threshold"
    SHORT_DISTANCE = "atoms too close"
    TEMPERATURE = "temperature out of bounds"
    VOLUME = "volume out of bounds"
    ENERGY_DRIFT = "energy drift"
    LARGE_STEP = "an atom moved too far in one step"
    NOT_A_NUMBER = "not a number"
    WALLTIME = "walltime"


class SelectionReason(StrEnum):
    """Why a candidate was taken or left."""

    UNCERTAIN = "accepted: uncertain and unlike the rest"
    RANDOM = "accepted: random share"
    TOO_CLOSE = "rejected: atoms too close"
    DENSITY = "rejected: density out of bounds"
    SPIKE = "rejected: temperature spike"
    DUPLICATE = "rejected: duplicate"
    BELOW = "rejected: below the lower threshold"
    KNOWN = "rejected: left over and known by now"
    ABOVE = "rejected: above the upper threshold"
    NOT_FINITE = "rejected: score is not a number"
    LESS_UNCERTAIN = "rejected: in the less uncertain half"
    QUOTA = "rejected: enough from the same replica"
    APART = "rejected: too soon before or after another of its replica"
    KIND = "rejected: enough of its kind"
    BUDGET = "rejected: budget used"


class Verdict(StrEnum):
    """How a campaign stands after a cycle. All but ``CONTINUE`` are normal finishes."""

    CONTINUE = "continue"
    CONVERGED = "converged"
    NO_CANDIDATES = "no candidate left"
    CYCLES_USED = "cycles used"
    LABELS_USED = "label budget used"
    CORE_HOURS_USED = "core hours used"


class StartRecipe(StrEnum):
    """How the spins of a label start: all up, the oxidation states on other sites, or neighbouring sites opposed."""

    FERROMAGNETIC = "ferromagnetic"
    PERMUTED = "permuted"
    ANTIFERROMAGNETIC = "antiferromagnetic"
