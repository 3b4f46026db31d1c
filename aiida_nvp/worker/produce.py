"""Stage ``produce``: one cell through a thermal schedule, with the committee's uncertainty along the run.

Input: ``frames.npz`` (one frame), ``member_*.nequip.zip`` and in ``input.json`` the keys ``parameters``
(:class:`~aiida_nvp.worker.settings.ProduceSettings`), ``members``, ``seed``, and optionally ``calibration`` and
``max_wallclock_s``. Where ``checkpoint.npz`` and ``trajectory.h5`` of an earlier run lie in the folder, that run goes
on exactly as if it had never stopped: the checkpoint holds the state of the random numbers. Output:
``trajectory.h5``, ``arrays.npz``, ``output.json``.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import FIRE
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.trajectory import TrajectoryWriter
from aiida_nvp.common.vocabulary import StopReason
from aiida_nvp.uncertainty.committee import Committee
from aiida_nvp.uncertainty.error_model import ErrorModel
from aiida_nvp.uncertainty.judge import Judge
from aiida_nvp.uncertainty.spread import FEWEST_MEMBERS
from aiida_nvp.worker.job import FRAMES_FILE, Job, member_file
from aiida_nvp.worker.md import (
    Langevin,
    Walkers,
    closest,
    seconds_to_use,
    stage_of_step,
    thermostat,
    walker_scores,
)
from aiida_nvp.worker.settings import CHECKPOINT_FILE, TRAJECTORY_FILE, ProduceSettings, read_settings
from aiida_nvp.worker.statistics import read_statistics

RELAXED_FORCE = 0.1
"""eV/angstrom at which a relaxation before the run ends."""
SECONDS_BETWEEN_REPORTS = 2.0
_THERMO = ("step", "time_ps", "temperature", "potential_energy", "stage")
_UNCERTAINTY = ("uncertainty_step", "uncertainty_time_ps", "uncertainty_score", "uncertainty_max")


def run(job: Job) -> dict[str, Any]:
    """Run the stage; see the module's text for the files.

    :raises InputError: on parameters that make no sense, more than one frame, or a checkpoint of another run.
    """
    settings = read_settings(ProduceSettings, job.inputs["parameters"])
    frames = FrameSet.load(job.path(FRAMES_FILE)).without_labels()
    if len(frames) != 1:
        raise InputError(f"produce: one start frame is needed, {len(frames)} were given.")
    committee = Committee.load([job.path(member_file(index)) for index in range(int(job.inputs["members"]))])
    return produce(job, settings, frames, committee)


def produce(job: Job, settings: ProduceSettings, frames: FrameSet, committee: Committee) -> dict[str, Any]:
    """Run the schedule from the start, or from the checkpoint in the folder, and write the arrays."""
    started = time.monotonic()
    production = _Production(job, settings, frames, committee)
    first = production.step
    reason = production.run()
    job.write_arrays({name: np.array(values) for name, values in production.log.items()})
    wall = time.monotonic() - started
    steps = production.step - first
    return {
        **production.summary(),
        "stop_reason": reason.value,
        "restarted_from_step": first,
        "wall_s": round(wall, 2),
        "microseconds_per_atom_step": round(1e6 * wall / max(steps * len(frames.numbers), 1), 2),
    }


class _Production:
    """The run and all that a checkpoint has to hold."""

    def __init__(self, job: Job, settings: ProduceSettings, frames: FrameSet, committee: Committee) -> None:
        self.job = job
        self.settings = settings
        self.committee = committee
        self.calibrated = bool(job.inputs.get("calibration"))
        self.judge = Judge(read_statistics(job), ErrorModel.of(job.inputs.get("calibration")))
        self.targets = thermostat(settings.schedule)
        self.stages = stage_of_step(settings.schedule)
        self.log: dict[str, list[float]] = {name: [] for name in (*_THERMO, *_UNCERTAINTY)}
        self.step = 0
        self.relaxation_steps = 0
        self.shortest_ratio = self.shortest_distance = float("inf")
        generator = np.random.default_rng(int(job.inputs["seed"]))
        walkers = Walkers.at_rest(frames)
        if job.path(CHECKPOINT_FILE).exists():
            self._restore(walkers, generator)
        else:
            self.relaxation_steps = _relax(frames, walkers, committee, settings.relax_steps)
            walkers.velocities += walkers.thermal_noise(self.targets[:1], [generator])
        self.langevin = Langevin(walkers, committee.drive, settings, [generator])

    def run(self) -> StopReason:
        """Run to the end of the schedule or to the first reason to stop."""
        start, limit = time.monotonic(), seconds_to_use(self.job.inputs)
        reported, first = start, self.step
        path, numbers = self.job.path(TRAJECTORY_FILE), self.langevin.walkers.numbers
        with TrajectoryWriter(path, numbers, append=self.step > 0, keep_to_step=self.step) as writer:
            fault = self._record(writer) if self.step == 0 else None
            while fault is None and self.step < len(self.targets) - 1:
                if self.job.stop_requested or time.monotonic() - start > limit:
                    self._checkpoint(writer)
                    return StopReason.WALLTIME
                self.step += 1
                self.langevin.step(self.targets[self.step : self.step + 1])
                fault = self._record(writer)
                if fault is None and self.step % self.settings.checkpoint_every == 0:
                    self._checkpoint(writer)
                if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS:
                    reported = time.monotonic()
                    self._report((self.step - first) / (reported - start))
        self._report((self.step - first) / max(time.monotonic() - start, 1e-9))
        return fault or StopReason.COMPLETED

    def _record(self, writer: TrajectoryWriter) -> StopReason | None:
        """Write down what this step calls for; return what is wrong with it, if anything."""
        walkers, settings = self.langevin.walkers, self.settings
        temperature = float(walkers.temperature()[0])
        if not (np.isfinite(temperature) and np.isfinite(self.langevin.forces).all()):
            return StopReason.NOT_A_NUMBER
        if temperature > settings.max_temperature:
            return StopReason.TEMPERATURE
        if self.step % settings.thermo_every == 0:
            ratio, distance = closest(walkers.numbers, walkers.positions, walkers.cells[0])
            if ratio < self.shortest_ratio:
                self.shortest_ratio, self.shortest_distance = ratio, distance
            if ratio < settings.min_distance_scale:
                return StopReason.SHORT_DISTANCE
            row = (self.step, self._time_ps(), temperature, float(self.langevin.energy[0]), int(self.stages[self.step]))
            self._append(_THERMO, row)
        if self.step % settings.committee_every == 0 and len(self.committee) >= FEWEST_MEMBERS:
            prediction = self.committee.predict(walkers, self.langevin.driven)
            scores = walker_scores(walkers, self.judge.expected(walkers.numbers, prediction))
            if not np.isfinite(scores.raw_max[0]):
                return StopReason.NOT_A_NUMBER
            self._append(_UNCERTAINTY, (self.step, self._time_ps(), float(scores.score[0]), float(scores.raw_max[0])))
        if self.step % settings.dump_every == 0:
            writer.write(
                step=self.step,
                time_ps=self._time_ps(),
                positions=walkers.positions,
                cell=walkers.cells[0],
                stage=int(self.stages[self.step]),
            )
        return None

    def summary(self) -> dict[str, Any]:
        """Return the results of the run so far."""
        scores = self.log["uncertainty_score"]
        return {
            "steps": self.step,
            "steps_planned": len(self.targets) - 1,
            "simulated_ps": self._time_ps(),
            "n_atoms": len(self.langevin.walkers.numbers),
            "stages": [self._stage(index) for index in range(len(self.settings.schedule))],
            "relaxation_steps": self.relaxation_steps,
            "shortest_distance": _finite(self.shortest_distance),
            "shortest_distance_ratio": _finite(self.shortest_ratio),
            "uncertainty_mean": float(np.mean(scores)) if scores else None,
            "uncertainty_max": float(np.max(scores)) if scores else None,
            "calibrated": self.calibrated,
        }

    def _stage(self, index: int) -> dict[str, Any]:
        stage = self.settings.schedule[index]
        done = int(min(max(self.step - sum(s.steps for s in self.settings.schedule[:index]), 0), stage.steps))
        here = np.array(self.log["stage"]) == index
        mean = float(np.mean(np.array(self.log["temperature"])[here])) if here.any() else None
        return {**stage.model_dump(), "index": index, "steps_done": done, "mean_temperature": mean}

    def _append(self, names: tuple[str, ...], row: tuple[float, ...]) -> None:
        for name, value in zip(names, row, strict=True):
            self.log[name].append(value)

    def _time_ps(self) -> float:
        return self.settings.time_ps(self.step)

    def _report(self, rate: float) -> None:
        stage = self.settings.schedule[int(self.stages[self.step])]
        temperature = float(self.langevin.walkers.temperature()[0])
        self.job.progress(
            step=self.step,
            steps=len(self.targets) - 1,
            stage=stage.name,
            temperature=_finite(round(temperature, 1)),
            steps_per_s=round(rate, 2),
        )

    def _checkpoint(self, writer: TrajectoryWriter) -> None:
        # Frames first: a checkpoint must never be ahead of the trajectory it goes on with.
        writer.flush()
        walkers, (generator,) = self.langevin.walkers, self.langevin.generators
        state = {
            "random": generator.bit_generator.state,
            "step": self.step,
            "relaxation_steps": self.relaxation_steps,
            "shortest": [self.shortest_ratio, self.shortest_distance],
            "log": self.log,
        }
        arrays: dict[str, NDArray[Any]] = {
            "numbers": walkers.numbers,
            "positions": walkers.positions,
            "velocities": walkers.velocities,
            "state": np.frombuffer(json.dumps(state).encode(), dtype=np.uint8),
        }
        self.job.write_arrays(arrays, CHECKPOINT_FILE)
        self.job.progress(checkpoint=self.step)

    def _restore(self, walkers: Walkers, generator: np.random.Generator) -> None:
        try:
            with np.load(self.job.path(CHECKPOINT_FILE), allow_pickle=False) as stored:
                numbers, positions, velocities = (stored[name] for name in ("numbers", "positions", "velocities"))
                state = json.loads(bytes(stored["state"]).decode())
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"the checkpoint to go on from is damaged ({error}).") from error
        if not np.array_equal(numbers, walkers.numbers) or state["step"] >= len(self.targets):
            raise InputError("the checkpoint to go on from belongs to another run.")
        walkers.positions[:], walkers.velocities[:] = positions, velocities
        generator.bit_generator.state = state["random"]
        self.step, self.relaxation_steps, self.log = state["step"], state["relaxation_steps"], state["log"]
        self.shortest_ratio, self.shortest_distance = state["shortest"]


class _Driver(Calculator):
    """The driving member for ASE's optimisers."""

    def __init__(self, committee: Committee) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.implemented_properties = ["energy", "forces"]
        self._committee = committee

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        assert self.atoms is not None
        here = np.ascontiguousarray(self.atoms.positions)
        offsets, cells = np.array([0, len(here)]), self.atoms.cell.array[None]
        numbers = self.atoms.numbers.astype(np.int32)
        prediction = self._committee.drive(Walkers(numbers, offsets, cells, here, np.zeros_like(here)))
        self.results = {"energy": float(prediction.energy[0, 0]), "forces": prediction.forces[0]}


def _relax(frames: FrameSet, walkers: Walkers, committee: Committee, steps: int) -> int:
    """Relax the positions in place; return the steps taken."""
    if not steps:
        return 0
    atoms = frames.atoms(0)
    atoms.calc = _Driver(committee)
    with FIRE(atoms, logfile=os.devnull) as optimiser:
        optimiser.run(fmax=RELAXED_FORCE, steps=steps)
        taken = int(optimiser.nsteps)
    if np.isfinite(atoms.positions).all():
        walkers.positions[:] = atoms.positions
    return taken


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
