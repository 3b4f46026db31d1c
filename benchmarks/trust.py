"""Whether labels can be trusted: one batch on real pw.x with all that may go wrong, and the same batch once more.

    python benchmarks/trust.py --seed 1

Seventeen frames: V4+ cells, V5+ cells, cells with both, cells without vanadium, one stretched until it hardly
converges, one that is impossible; with 24 iterations at most, so that several need a remedy. In the middle of the batch
the daemon worker is killed. Printed are the fate of every frame, how often pw.x started (a line that every job writes
just before) against how many jobs there are, and what the second batch, over the same frames, had to compute. Needs a
profile on pw.x whose daemon runs (`aiida-nvp setup`).
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from aiida import orm
from aiida.engine import submit
from aiida.engine.daemon.client import get_daemon_client
from aiida.plugins import WorkflowFactory

from aiida_nvp.calculations.generate import generate
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import jobs_below
from aiida_nvp.provision.profile import load
from aiida_nvp.workflows.engines import chosen_engines
from aiida_nvp.workflows.protocols.resolve import family_pseudos, find_family

VANADATE = {"oxides": {"Na2O": 1, "V2O5": 1}, "atoms": 10, "density_g_cm3": 3.0}
MIXED = {"oxides": {"Na2O": 1, "V2O5": 2}, "reduced": {"V": 0.5}, "atoms": 8}
CELLS = [
    {"name": "V4+", "oxides": {"Na2O": 1, "V2O5": 1, "P2O5": 1}, "reduced": {"V": 1.0}, "atoms": 8, "copies": 5},
    {"name": "V5+", **VANADATE, "copies": 3},
    {"name": "V4+ and V5+", **MIXED, "copies": 4},
    {"name": "no vanadium", "oxides": {"Na2O": 3, "P2O5": 1}, "atoms": 8, "copies": 3},
    {"name": "hard", **MIXED, "density_g_cm3": 1.3},
]
SETTINGS = {
    "cutoff_wfc_ry": 30,
    "cutoff_rho_ry": 120,
    "conv_thr_per_atom_ry": 1e-6,
    "electron_maxstep": 24,
    "start": "valence",
    "hubbard": {"projectors": "atomic", "terms": {"V": {"u_ev": 3.25}}},
}
KILL_AFTER = 4
POLL_S = 1.0


def main() -> None:
    """Label, kill, label again, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="another seed makes frames that no profile has seen")
    parser.add_argument("--branch-share", type=float, default=0.25)
    arguments = parser.parse_args()
    load()
    frames = make_frames(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        starts = Path(folder) / "starts"
        starts.touch()
        first = run_batch(frames, arguments.branch_share, starts, kill=True)
        show(first, [str(info["origin"]["name"]) for info in frames.frames.info])
        print(f"{len(jobs_below(first))} jobs of pw.x, {len(starts.read_text().splitlines())} starts of the program")
        second = run_batch(frames, arguments.branch_share, starts, kill=False)
    saved = second.outputs.triage["saved"]
    computed = [job for job in jobs_below(second) if not job.base.caching.is_created_from_cache]
    print(f"second batch: {len(computed)} jobs of pw.x computed, {saved['frames']} frames found finished, ")
    print(f"{saved['core_s']:.0f} core seconds not spent again")
    for job in computed:
        print(f"    computed: {job.label or job.uuid[:8]} exit {job.exit_status} {job.exit_message or ''}")


def make_frames(seed: int) -> DatasetData:
    """Return the frames, each with what it is for; the last one has two atoms on one spot."""
    cells = [{"density_g_cm3": 3.0, "rattle": 0.05, **cell} for cell in CELLS]
    made = generate(orm.Dict({"cells": cells}), orm.Int(seed)).frames
    impossible = made.atoms(0)
    impossible.positions[1] = impossible.positions[0] + [0.2, 0.0, 0.0]
    info = [*made.info, {"origin": {"name": "impossible"}}]
    return DatasetData(FrameSet.from_atoms([*made, impossible], info))


def run_batch(frames: DatasetData, branch_share: float, starts: Path, *, kill: bool) -> orm.ProcessNode:
    """Label the frames through the daemon; kill its worker in the middle if asked to.

    :param starts: file that gets a line whenever a job is about to start pw.x.
    """
    engines = chosen_engines()
    assert engines is not None, "no engines in this profile; run `aiida-nvp setup`"
    builder = WorkflowFactory("nvp.label").get_builder()
    builder.frames, builder.code = frames, orm.load_code(engines.pw)
    builder.pseudos = family_pseudos(find_family(engines.pseudos), frames.frames.species())
    builder.labeller, builder.settings = orm.Str("quantumespresso"), orm.Dict(SETTINGS)
    builder.options = orm.Dict({"prepend_text": f"date >> {starts}"})
    builder.in_flight, builder.branch_share = orm.Int(3), orm.Float(branch_share)
    node = submit(builder)
    for ended in watch(node):
        if kill and ended >= KILL_AFTER:
            kill, workers = False, list(get_daemon_client().get_worker_info()["info"])
            for pid in workers:
                os.kill(int(pid), signal.SIGKILL)
            print(f"daemon worker {', '.join(workers)} killed after {ended} jobs")
    return node


def watch(node: orm.ProcessNode) -> Iterator[int]:
    """Yield the number of jobs that ended until the batch ends."""
    while not node.is_terminated:
        yield sum(job.is_terminated for job in jobs_below(node))
        time.sleep(POLL_S)


def show(node: orm.ProcessNode, names: list[str]) -> None:
    """Print the triage table."""
    table = node.outputs.triage.get_dict()
    print(f"exit {node.exit_status} {node.exit_message or ''}; {table['counts']}; {table['branch_check']}")
    labels = {} if "dataset" not in node.outputs else node.outputs.dataset.frames
    found = dict(zip(labels.ids(), labels.info, strict=True)) if labels else {}
    for name, row in zip(names, table["frames"], strict=True):
        state = found.get(row["frame"], {}).get("label", {}).get("state", {})
        branch = row.get("branch", {})
        spread = f"{1000 * branch['energy_spread']:.1f} meV/atom apart" if "kept" in branch else ""
        words = [name, row["status"], f"{row['attempts']} attempts", str(state.get("oxidation_states", "")), spread]
        print("  " + " | ".join([*words, *row["flags"], row["reason"]]))


if __name__ == "__main__":
    main()
