"""Stage ``produce``: one cell through a thermal schedule, with the committee's uncertainty along the run.

Input: ``frames.npz`` (one frame), ``member_*.nequip.zip`` and in ``input.json`` the keys ``parameters``
(:class:`~aiida_nvp.worker.settings.ProduceSettings`), ``members``, ``seed``, and optionally ``calibration`` and
``max_wallclock_s``. Where ``checkpoint.npz`` and ``trajectory.h5`` of an earlier run lie in the folder, that run goes
on exactly as if it had never stopped: the checkpoint holds the state of the random numbers. Output:
``trajectory.h5``, ``arrays.npz``, ``output.json``.
"""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.stages import Ensemble
from aiida_nvp.common.trajectory import TrajectoryWriter
from aiida_nvp.common.units import FEMTOSECOND_ASE, GRAM_PER_CM3_IN_AMU_ANGSTROM3
from aiida_nvp.common.vocabulary import StopReason
from aiida_nvp.uncertainty.committee import Committee
from aiida_nvp.uncertainty.error_model import ErrorModel
from aiida_nvp.uncertainty.judge import Judge
from aiida_nvp.uncertainty.spread import FEWEST_MEMBERS
from aiida_nvp.worker.course import Course
from aiida_nvp.worker.drift import Drift
from aiida_nvp.worker.integrator import Integrator
from aiida_nvp.worker.job import FRAMES_FILE, Job, member_file
from aiida_nvp.worker.md import CURABLE, Walkers, closest, out_of_bounds, seconds_to_use, walker_scores
from aiida_nvp.worker.relaxation import relax
from aiida_nvp.worker.settings import CHECKPOINT_FILE, TRAJECTORY_FILE, ProduceSettings, read_settings
from aiida_nvp.worker.statistics import read_statistics

SECONDS_BETWEEN_REPORTS = 2.0
_THERMO = ("step", "time_ps", "temperature", "potential_energy", "stage", "density_g_cm3", "pressure_gpa")
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
        self.course = Course.of(settings.schedule, settings)
        self.log: dict[str, list[float]] = {name: [] for name in (*_THERMO, *_UNCERTAINTY)}
        self.step = 0
        self.begun = job.path(CHECKPOINT_FILE).exists()
        self.drift = Drift()
        self.halvings: list[dict[str, Any]] = []
        self.relaxation_steps = 0
        self.shortest_ratio = self.shortest_distance = float("inf")
        generator = np.random.default_rng(int(job.inputs["seed"]))
        walkers = Walkers.at_rest(frames)
        self.volume = walkers.volume()
        self.mass = float(walkers.masses.sum())
        if self.begun:
            self.integrator = self._restored(walkers, generator)
        else:
            self.relaxation_steps = relax(frames, walkers, committee, settings.relax_steps)
            kelvin = np.array([self.course.at(0).temperature])
            walkers.velocities += walkers.thermal_noise(kelvin, [generator])
            self.integrator = Integrator(walkers, committee.drive, [generator])

    def run(self) -> StopReason:
        """Run to the end of the schedule or to the first reason to stop, with shorter steps where they are needed."""
        start, limit = time.monotonic(), seconds_to_use(self.job.inputs)
        while True:
            reason = self._run_on(start + limit)
            if reason not in CURABLE or len(self.halvings) >= self.settings.halvings:
                return reason
            self._rewind(reason)

    def _run_on(self, deadline: float) -> StopReason:
        start = reported = time.monotonic()
        first, path, numbers = self.step, self.job.path(TRAJECTORY_FILE), self.integrator.walkers.numbers
        with TrajectoryWriter(path, numbers, append=self.begun, keep_to_step=self.step) as writer:
            fault = None if self.begun else self._record(writer)
            if not self.begun and fault is None:
                self._checkpoint(writer)
                self.begun = True
            while fault is None and self.step < self.course.total:
                if self.job.stop_requested or time.monotonic() > deadline:
                    self._checkpoint(writer)
                    return StopReason.WALLTIME
                fault = self._advance() or self._record(writer)
                if fault is None and self.step % self.settings.checkpoint_every == 0:
                    self._checkpoint(writer)
                if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS:
                    reported = time.monotonic()
                    self._report((self.step - first) / (reported - start))
        self._report((self.step - first) / max(time.monotonic() - start, 1e-9))
        return fault or StopReason.COMPLETED

    def _advance(self) -> StopReason | None:
        """Make one step of the schedule; return why its time step is too long, if it is."""
        self.step += 1
        condition = self.course.at(self.step, len(self.halvings))
        for _ in range(2 ** len(self.halvings)):
            self.integrator.step([condition])
            moved = float(self.integrator.walkers.fastest()[0]) * condition.timestep_fs * FEMTOSECOND_ASE
            if moved > self.settings.max_displacement:
                return StopReason.LARGE_STEP
        stage = self.course.stage_at(self.step)
        if self.course.stages[stage].ensemble is Ensemble.NPT:
            return None
        energy = float(self.integrator.conserved_energy()[0]) / len(self.integrator.walkers.numbers)
        slope = self.drift.add(stage, self._time_ps(), energy)
        drifts = slope is not None and 1000 * abs(slope) > self.settings.max_drift_mev_ps
        return StopReason.ENERGY_DRIFT if drifts else None

    def _rewind(self, reason: StopReason) -> None:
        """Go back to the last checkpoint, with half the time step."""
        halvings = [*self.halvings, {"step": self.step, "reason": reason.value}]
        walkers = self.integrator.walkers
        self.integrator = self._restored(walkers, self.integrator.generators[0])
        self.halvings = halvings
        self.drift.forget()
        self.job.progress(step=self.step, halvings=len(halvings), reason=reason.value)

    def _record(self, writer: TrajectoryWriter) -> StopReason | None:
        """Write down what this step calls for; return what is wrong with it, if anything."""
        walkers, settings = self.integrator.walkers, self.settings
        fault = self._wreckage()
        if fault is not None:
            return fault
        stage = self.course.stage_at(self.step)
        if self.step % settings.thermo_every == 0:
            ratio, distance = closest(walkers.numbers, walkers.positions, walkers.cells[0])
            if ratio < self.shortest_ratio:
                self.shortest_ratio, self.shortest_distance = ratio, distance
            if ratio < settings.min_distance_scale:
                return StopReason.SHORT_DISTANCE
            density = self.mass / float(walkers.volume()[0]) / GRAM_PER_CM3_IN_AMU_ANGSTROM3
            pressure = float(self.integrator.pressure_gpa()[0])
            here = (self.step, self._time_ps(), float(walkers.temperature()[0]), float(self.integrator.energy[0]))
            self._append(_THERMO, (*here, stage, density, pressure))
        if self.step % settings.committee_every == 0 and len(self.committee) >= FEWEST_MEMBERS:
            prediction = self.committee.predict(walkers, self.integrator.driven)
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
                stage=stage,
            )
        return None

    def _wreckage(self) -> StopReason | None:
        if not np.isfinite(self.integrator.forces).all():
            return StopReason.NOT_A_NUMBER
        return out_of_bounds(self.integrator.walkers, self.volume, self.settings)[0]

    def summary(self) -> dict[str, Any]:
        """Return the results of the run so far."""
        scores = self.log["uncertainty_score"]
        return {
            "steps": self.step,
            "steps_planned": self.course.total,
            "simulated_ps": self._time_ps(),
            "n_atoms": len(self.integrator.walkers.numbers),
            "stages": [self._stage(index) for index in range(len(self.settings.schedule))],
            "relaxation_steps": self.relaxation_steps,
            "shortest_distance": _finite(self.shortest_distance),
            "shortest_distance_ratio": _finite(self.shortest_ratio),
            "uncertainty_mean": float(np.mean(scores)) if scores else None,
            "uncertainty_max": float(np.max(scores)) if scores else None,
            "calibrated": self.calibrated,
            "halvings": self.halvings,
            "drift_mev_ps": self.drift.summary(),
        }

    def _stage(self, index: int) -> dict[str, Any]:
        begin, end = self.course.begin(index), self.course.ends[index]
        done = min(max(self.step - begin, 0), end - begin)
        here = np.array(self.log["stage"]) == index
        means = {
            f"mean_{name}": float(np.mean(np.array(self.log[name])[here])) if here.any() else None
            for name in ("temperature", "density_g_cm3", "pressure_gpa")
        }
        stage = self.course.stages[index].model_dump(mode="json")
        return {**stage, "index": index, "steps": end - begin, "steps_done": done, **means}

    def _append(self, names: tuple[str, ...], row: tuple[float, ...]) -> None:
        for name, value in zip(names, row, strict=True):
            self.log[name].append(value)

    def _time_ps(self) -> float:
        return self.course.time_ps(self.step)

    def _report(self, rate: float) -> None:
        stage = self.course.stages[self.course.stage_at(self.step)]
        temperature = float(self.integrator.walkers.temperature()[0])
        self.job.progress(
            step=self.step,
            steps=self.course.total,
            stage=stage.name,
            temperature=_finite(round(temperature, 1)),
            steps_per_s=round(rate, 2),
        )

    def _checkpoint(self, writer: TrajectoryWriter) -> None:
        # Frames first: a checkpoint must never be ahead of the trajectory it goes on with.
        writer.flush()
        walkers, (generator,) = self.integrator.walkers, self.integrator.generators
        state = {
            "random": generator.bit_generator.state,
            "step": self.step,
            "relaxation_steps": self.relaxation_steps,
            "heat": float(self.integrator.heat[0]),
            "drift": self.drift.plain(),
            "halvings": self.halvings,
            "shortest": [self.shortest_ratio, self.shortest_distance],
            "log": self.log,
        }
        arrays: dict[str, NDArray[Any]] = {
            "numbers": walkers.numbers,
            "positions": walkers.positions,
            "cell": walkers.cells[0],
            "velocities": walkers.velocities,
            "state": np.frombuffer(json.dumps(state).encode(), dtype=np.uint8),
        }
        self.job.write_arrays(arrays, CHECKPOINT_FILE)
        if self.step:
            # The one at the start is there to rewind to; a killed job that has no other has made no progress.
            self.job.progress(checkpoint=self.step)

    def _restored(self, walkers: Walkers, generator: np.random.Generator) -> Integrator:
        """Return an integrator that stands where the checkpoint was written."""
        try:
            with np.load(self.job.path(CHECKPOINT_FILE), allow_pickle=False) as stored:
                names = ("numbers", "positions", "velocities", "cell")
                numbers, positions, velocities, cell = (stored[name] for name in names)
                state = json.loads(bytes(stored["state"]).decode())
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"the checkpoint to go on from is damaged ({error}).") from error
        if not np.array_equal(numbers, walkers.numbers) or state["step"] > self.course.total:
            raise InputError("the checkpoint to go on from belongs to another run.")
        walkers.positions[:], walkers.velocities[:], walkers.cells[0] = positions, velocities, cell
        generator.bit_generator.state = state["random"]
        self.step, self.relaxation_steps, self.log = state["step"], state["relaxation_steps"], state["log"]
        self.shortest_ratio, self.shortest_distance = state["shortest"]
        self.drift, self.halvings = Drift.of(state["drift"]), state["halvings"]
        integrator = Integrator(walkers, self.committee.drive, [generator])
        integrator.heat[:] = state["heat"]
        return integrator


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
