"""What a loop left behind, read from the graph: the inputs with which another loop goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.common.links import LinkType

from aiida_nvp.calculations.assess import count_cycles
from aiida_nvp.common.potential import TrainingSettings
from aiida_nvp.common.vocabulary import Verdict
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import all_calls, calls, inputs, jobs_below, output, outputs
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.workflows.committee_rounds import FINAL
from aiida_nvp.workflows.earlier import NAMESPACE, RESULT
from aiida_nvp.workflows.spent import core_seconds

_SCRATCH_OUTPUTS = ("remote_folder", "retrieved", "remote_stash")
_MADE_AGAIN = ("merge", "assess", "warm_check")
"""Steps that cost nothing and depend on what comes after them: the loop makes them anew."""
MAKES_DATASET = ("settle", "merge")
"""Steps of a cycle that make a data set, the last first."""
_LABELS = ("label", "recheck")
"""Steps whose finished part counts although the step failed."""

Step = dict[str, orm.Data]


@dataclass(frozen=True)
class Remains:
    """All that a loop left.

    :param members: potentials of a whole committee.
    :param dataset: labelled frames before the open round; None where not even the seeds were finished.
    :param labelled: labelled frames with those of the open round.
    :param history: records of the complete cycles, by name.
    :param committee: the last whole committee before the open round.
    :param starts: cells that it explored from.
    :param left_over: candidates that found no place in the last batch.
    :param done: finished steps of the open round.
    :param verdict: after the last complete cycle; None before the first.
    :param open_round: ``cycle_2``, or ``final`` where the verdict asked for no more cycles.
    :param seeds_open: whether the cells that it began with still wait for labels.
    """

    loop: orm.ProcessNode
    members: int
    dataset: DatasetData | None
    labelled: DatasetData | None
    history: Mapping[str, orm.Dict]
    committee: tuple[PotentialData, ...]
    shifts: orm.Dict | None
    starts: DatasetData | None
    left_over: DatasetData | None
    done: Mapping[str, Step]
    verdict: orm.Dict | None
    open_round: str
    seeds_open: bool

    @property
    def cycles(self) -> int:
        """Complete cycles."""
        return count_cycles(self.history)

    @property
    def word(self) -> Verdict:
        """The verdict as a word."""
        return Verdict.CONTINUE if self.verdict is None else Verdict(self.verdict["verdict"])

    def inputs(self) -> dict[str, Any]:
        """Return the namespace ``earlier`` of the loop that goes on."""
        members = {f"member_{index}": potential for index, potential in enumerate(self.committee)}
        values: dict[str, Any] = {"process": orm.Str(self.loop.uuid), "history": dict(self.history)}
        values |= {"committee": members, "done": {name: dict(step) for name, step in self.done.items()}}
        optional = {"shifts": self.shifts, "starts": self.starts, "left_over": self.left_over, "verdict": self.verdict}
        return values | {name: node for name, node in optional.items() if node is not None}

    def with_another_cycle(self, training: TrainingSettings) -> Remains:
        """Return what a loop takes over that goes on with a cycle, whatever the verdict was.

        The final training becomes that of the next cycle, unless that one has to begin from random weights.
        """
        if self.open_round != FINAL:
            return replace(self, verdict=None)
        every = training.scratch_every
        from_scratch = every > 0 and self.cycles % every == 0
        done = {name: step for name, step in self.done.items() if name != "warm_train"}
        committee = self.committee
        if from_scratch and not training.scratch_release:
            committee = _committee(done, self.members) or committee
            done = {}
        elif training.scratch_release and not from_scratch and not _committee(done, self.members):
            # Some members from random weights and some from their parents would disagree for no good reason.
            done = {}
        return replace(self, verdict=None, done=done, committee=committee, open_round=f"cycle_{self.cycles}")

    def with_other_labels(self) -> Remains:
        """Return what a loop takes over that first adds labels: what was made with fewer of them is made again."""
        committee = _committee(self.done, self.members) or self.committee
        return replace(self, done={}, committee=committee, dataset=self.labelled)


def read_remains(loop: orm.ProcessNode) -> Remains:
    """Return what the loop left, finished or not; it may itself have continued another."""
    children, given = calls(loop), _inputs(loop)
    before = given.get(NAMESPACE, {})
    first = count_cycles(before.get("history", {}))
    cycles = first
    while _ok(children.get(f"cycle_{cycles}_assess")):
        cycles += 1
    assessed = children[f"cycle_{cycles - 1}_assess"] if cycles > first else None
    verdict = before.get("verdict") if assessed is None else output(assessed, RESULT, orm.Dict)
    ended = verdict is not None and verdict["verdict"] != Verdict.CONTINUE
    rounds = _Rounds(children, {_opening(before): _plain(before.get("done", {}))})
    last, open_round = f"cycle_{cycles - 1}", FINAL if ended else f"cycle_{cycles}"
    members = int(given["definition"]["committee"]["members"])
    done = rounds.finished(open_round)
    committee = _committee(rounds.finished(last), members) or tuple(_sorted(before.get("committee", {})))
    if open_round == FINAL and "final_review" in children and not _committee(done, members):
        # No label came after the last training, so that the last cycle's committee is the final one.
        done |= {name: step for name, step in rounds.finished(last).items() if name.startswith("train_")}
    dataset = _first_dataset(given, children)
    history = before.get("history", {})
    if assessed is not None:
        dataset = next(iter(inputs(assessed, DatasetData).values()))
        history = {name: node for name, node in inputs(assessed, orm.Dict).items() if name != "parameters"}
    made = [_made(done, children, f"{open_round}_", step) for step in MAKES_DATASET]
    return Remains(
        loop=loop,
        members=members,
        dataset=dataset,
        labelled=next((each for each in made if each is not None), dataset),
        history=dict(history),
        committee=committee,
        shifts=output(children.get("energy_shifts"), RESULT, orm.Dict) or before.get("shifts"),
        starts=_starts(given, children),
        left_over=before.get("left_over") if assessed is None else _left_over(rounds.finished(last)),
        done=done,
        verdict=verdict if ended else None,
        open_round=open_round,
        seeds_open="frames" in given and output(children.get("seed_merge"), RESULT, DatasetData) is None,
    )


def _made(
    done: Mapping[str, Step], children: Mapping[str, orm.ProcessNode], prefix: str, step: str
) -> DatasetData | None:
    """Return the data set that a step made, in this loop or in the one that it was taken over from."""
    taken = done.get(step, {}).get(RESULT)
    return taken if isinstance(taken, DatasetData) else output(children.get(f"{prefix}{step}"), RESULT, DatasetData)


def earlier_loop(loop: orm.ProcessNode) -> orm.ProcessNode | None:
    """Return the loop that this one continued; None if it began anew, or if that one is not in this profile."""
    before = _inputs(loop).get(NAMESPACE, {})
    if "process" not in before:
        return None
    try:
        found = orm.load_node(before["process"].value)
    except NotExistent:
        return None
    return found if isinstance(found, orm.ProcessNode) else None


def loop_chain(loop: orm.ProcessNode) -> list[orm.ProcessNode]:
    """Return the loop and those before it that led to it, the oldest first."""
    chain = [loop]
    while (before := earlier_loop(chain[0])) is not None:
        chain.insert(0, before)
    return chain


def loop_steps(loop: orm.ProcessNode) -> dict[str, orm.ProcessNode]:
    """Return all steps that led to where the loop is, by call link label, those of earlier loops among them.

    The final steps of an earlier loop count where they were taken over, under the name of the round that took them.
    """
    before = earlier_loop(loop)
    if before is None:
        return calls(loop)
    given = _inputs(loop)[NAMESPACE]
    opening = _opening(given)
    taken = set(given.get("done", {}))
    inherited = {}
    for label, child in loop_steps(before).items():
        if not label.startswith(f"{FINAL}_"):
            inherited[label] = child
        elif label.removeprefix(f"{FINAL}_") in taken:
            inherited[f"{opening}_{label.removeprefix(f'{FINAL}_')}"] = child
    return {**inherited, **calls(loop)}


def whole_campaign(node: orm.ProcessNode) -> Iterator[tuple[str, orm.ProcessNode]]:
    """Yield every step of a campaign or loop with its call link label, those of earlier loops first.

    Steps that were run again come as often as they were run.
    """
    loop = calls(node).get("active_learning", node)
    for each in loop_chain(loop):
        yield from all_calls(each)
    if loop is not node:
        yield from all_calls(node)


def spent_core_hours(loop: orm.ProcessNode) -> float:
    """Return what the loop and those before it cost; what came from the cache cost nothing."""
    return _hours(loop_chain(loop))


def cycle_cost(loop: orm.ProcessNode, name: str) -> dict[str, float]:
    """Return ``core_hours`` of a round and ``total_core_hours`` of the loop so far, earlier loops and seeds included.

    Steps that were run again count as often as they were run.
    """
    mine = [child for each in loop_chain(loop) for label, child in all_calls(each) if label.startswith(f"{name}_")]
    return {"core_hours": _hours(mine), "total_core_hours": spent_core_hours(loop)}


def _hours(steps: Iterable[orm.ProcessNode]) -> float:
    return sum(core_seconds(jobs_below(step)) for step in steps) / 3600


@dataclass(frozen=True)
class _Rounds:
    """Steps of a loop by round: those that it ran, over those that it was given."""

    children: Mapping[str, orm.ProcessNode]
    given: Mapping[str, Mapping[str, Step]]

    def finished(self, name: str) -> dict[str, Step]:
        """Return outputs of the finished steps of a round."""
        found = dict(self.given.get(name, {}))
        for label, child in self.children.items():
            step = label.removeprefix(f"{name}_")
            if step == label or step in _MADE_AGAIN:
                continue
            made = {key: node for key, node in outputs(child, orm.Data).items() if key not in _SCRATCH_OUTPUTS}
            if made and (_ok(child) or (step in _LABELS and {"dataset", "triage"} <= set(made))):
                found[step] = made
        return found


def _inputs(loop: orm.ProcessNode) -> Mapping[str, Any]:
    """Return the inputs of a loop, namespaces nested."""
    nested: Mapping[str, Any] = loop.base.links.get_incoming(link_type=LinkType.INPUT_WORK).nested()
    return nested


def _opening(before: Mapping[str, Any]) -> str:
    """Return the round with which a loop begins that takes this over."""
    return FINAL if "verdict" in before else f"cycle_{count_cycles(before.get('history', {}))}"


def _plain(given: Mapping[str, Mapping[str, orm.Data]]) -> dict[str, Step]:
    return {name: dict(step) for name, step in given.items()}


def _committee(steps: Mapping[str, Step], members: int) -> tuple[PotentialData, ...]:
    """Return the committee that the steps trained, or nothing where a member is missing."""
    found = [steps.get(f"train_{index}", {}).get("potential") for index in range(members)]
    whole = tuple(potential for potential in found if isinstance(potential, PotentialData))
    return whole if len(whole) == members else ()


def _sorted(committee: Mapping[str, PotentialData]) -> list[PotentialData]:
    return [committee[name] for name in sorted(committee, key=lambda name: (len(name), name))]


def _first_dataset(given: Mapping[str, Any], children: Mapping[str, orm.ProcessNode]) -> DatasetData | None:
    merged = output(children.get("seed_merge"), RESULT, DatasetData)
    return given.get("dataset") if merged is None else merged


def _starts(given: Mapping[str, Any], children: Mapping[str, orm.ProcessNode]) -> DatasetData | None:
    if "exploration_cells" in given:
        return None
    joined = output(children.get("join_starts"), RESULT, DatasetData)
    if joined is not None:
        return joined
    found = (given.get("frames"), given.get(NAMESPACE, {}).get("starts"), given.get("dataset"))
    return next((node for node in found if node is not None), None)


def _left_over(steps: Mapping[str, Step]) -> DatasetData | None:
    found = steps.get("select", {}).get("left_over")
    return found if isinstance(found, DatasetData) else None


def _ok(node: orm.ProcessNode | None) -> bool:
    return node is not None and node.is_finished_ok
