"""How far a campaign is, in one line: read from the graph and, for jobs on this machine, from their progress files."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.common.links import LinkType
from aiida.manage import get_manager

from aiida_nvp.data.links import calls, output
from aiida_nvp.provision.daemon import daemon_is_running, is_attached
from aiida_nvp.worker.job import PROGRESS_FILE
from aiida_nvp.workflows.continuation import loop_steps
from aiida_nvp.workflows.engines import setup_command

_POLL_S = 2.0
_PROGRESS_S = 20.0
"""Numbers inside one stage are printed this often; a new stage is printed at once."""
_ENGINE_S = 60.0
"""Daemon and broker are looked at this often: without them all waits for ever, and nothing in the graph shows it."""
_TAIL_BYTES = 4096
_CALLS = (LinkType.CALL_CALC, LinkType.CALL_WORK)
_QUIET = ("elapsed_s",)
_INNER = re.compile(r" \([^)]*\)")


def status_line(node: orm.ProcessNode) -> str:
    """Return what the campaign does now: its unfinished children, innermost first."""
    if node.is_terminated:
        return _ending(node)
    active = [_describe(label, child) for label, child in _active(node)]
    return "; ".join(active) if active else "working"


def standing(node: orm.ProcessNode) -> list[str]:
    """Return how a campaign stands after its last complete cycle: verdict, criteria not met, and what comes next."""
    steps = loop_steps(calls(node).get("active_learning", node))
    assessed = [(int(label.split("_")[1]), step) for label, step in steps.items() if label.endswith("_assess")]
    found = [(cycle, output(step, "result", orm.Dict)) for cycle, step in sorted(assessed, key=lambda pair: pair[0])]
    made = [(cycle, verdict.get_dict()) for cycle, verdict in found if verdict is not None]
    if not made:
        return []
    cycle, verdict = made[-1]
    lines = [f"after cycle {cycle}: {verdict['verdict']}; {verdict['sentence']}"]
    lines += [f"  not yet: {item['sentence']}" for item in verdict.get("criteria", ()) if not item["passed"]]
    coming = verdict.get("forecast", {}).get("sentence")
    return [*lines, *([coming] if coming else [])]


def process_node(pk: int) -> orm.ProcessNode:
    """Return the process with this pk.

    :raises click.ClickException: if there is no such node or it is something else.
    """
    try:
        node = orm.load_node(pk)
    except NotExistent as error:
        raise click.ClickException(f"no node {pk} in this profile; `aiida-nvp status` lists the campaigns.") from error
    if not isinstance(node, orm.ProcessNode):
        raise click.ClickException(
            f"node {pk} is a {type(node).__name__}, not a process; `aiida-nvp status` lists them."
        )
    return node


def watch(pk: int) -> orm.ProcessNode:
    """Print a line whenever the status changes, until the process ends.

    Where daemon or broker has died, one sentence says so, and watching goes on: after the remedy so does the campaign.
    """
    stage, printed = "", 0.0
    fault, looked = "", time.monotonic()
    while True:
        # Loaded anew each time: a node that is kept answers from memory, while its state changes elsewhere.
        node = process_node(pk)
        line = status_line(node)
        now_in = _INNER.sub("", line)
        if now_in != stage or time.monotonic() - printed > _PROGRESS_S:
            click.echo(f"{_elapsed(node)}  {line}")
            sys.stdout.flush()
            stage, printed = now_in, time.monotonic()
        if node.is_terminated:
            return node
        if time.monotonic() - looked >= _ENGINE_S:
            before, fault, looked = fault, engine_fault(), time.monotonic()
            if fault and fault != before:
                click.echo(fault)
                sys.stdout.flush()
        time.sleep(_POLL_S)


def engine_fault() -> str:
    """Return one sentence on why no submitted process can go on, with the remedy; empty where nothing is wrong."""
    profile = get_manager().get_profile()
    if profile is None:
        return ""
    if not daemon_is_running(profile):
        return (
            f"the daemon of profile {profile.name} does not run: what was submitted waits until "
            f"`{setup_command(profile.name)}` starts it (a campaign under `aiida-nvp run` does without)."
        )
    if not is_attached(profile):
        return (
            f"the daemon of profile {profile.name} runs but takes no tasks: "
            f"`verdi -p {profile.name} daemon restart` helps, and no process is lost."
        )
    return ""


def _elapsed(node: orm.ProcessNode) -> str:
    end = node.mtime if node.is_terminated else datetime.now(UTC)
    seconds = int((end - node.ctime).total_seconds())
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _ending(node: orm.ProcessNode) -> str:
    if node.is_finished_ok:
        return "finished"
    if node.is_finished:
        return f"finished with exit code {node.exit_status}: {node.exit_message}"
    reason = f": {node.exception}" if node.exception else ""
    state = node.process_state
    return f"{state.value if state is not None else 'unknown'}{reason}"


def _children(node: orm.ProcessNode) -> list[tuple[str, orm.ProcessNode]]:
    links = node.base.links.get_outgoing(link_type=_CALLS).all()
    return [(link.link_label, link.node) for link in links if isinstance(link.node, orm.ProcessNode)]


def _active(node: orm.ProcessNode) -> Iterator[tuple[str, orm.ProcessNode]]:
    """Walk down while the child is a stage made of stages; stop at what a user would call one."""
    for label, child in _children(node):
        if child.is_terminated:
            continue
        if child.process_label == "ActiveLearningWorkChain":
            yield from _active(child)
        else:
            yield label, child


def _describe(label: str, child: orm.ProcessNode) -> str:
    name = label.replace("_", " ")
    if child.process_label == "LabelWorkChain":
        frames = len(child.inputs.frames)
        children = [node for key, node in _children(child) if key.startswith("frame_")]
        done = sum(node.is_terminated for node in children)
        return f"{name} {done}/{frames}"
    progress = _progress(child)
    return f"{name} ({progress})" if progress else name


def _progress(node: orm.ProcessNode) -> str:
    """Return the last progress line of the newest job under ``node`` that lies on this machine."""
    if isinstance(node, orm.CalcJobNode):
        folder, computer = node.get_remote_workdir(), node.computer
        if folder is None or computer is None or computer.transport_type != "core.local":
            return ""
        return _last_line(Path(folder) / PROGRESS_FILE)
    running = [child for _, child in _children(node) if not child.is_terminated]
    return _progress(max(running, key=lambda child: child.ctime)) if running else ""


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            handle.seek(0, 2)
            handle.seek(max(0, handle.tell() - _TAIL_BYTES))
            lines = handle.read().decode(errors="replace").strip().splitlines()
        values = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):
        return ""
    shown = {key: value for key, value in values.items() if key not in _QUIET and value is not None}
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in shown.items()
    )
