"""A campaign that nobody ran: nodes and links by hand, shaped as the work chains shape them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from ase import Atoms

from aiida_nvp.common.frame import canonical
from aiida_nvp.common.frameset import FrameSet, concatenate
from aiida_nvp.common.vocabulary import LabelStatus
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData

LEVEL = "a" * 64
RELAX_STEPS = 5
FRAMES_PER_CYCLE = 6
FORMULAS = ("NaVPO5", "Na2P2O6")
SPECIES = ("Na", "V", "P", "O")
SCF_FAILED = "the scf cycle did not converge in 80 iterations"


@dataclass
class Graph:
    """Stores processes with their links; ``labeller`` is the name the triage tables carry."""

    labeller: str = "quantumespresso"
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))
    error: float = 0.9

    def process(
        self, cls, name, *, caller=None, label=None, inputs=None, outputs=None, state="finished", exit_status=0
    ):
        """Store a process node with its inputs, its caller and, if it ended, its outputs."""
        node = cls()
        node.set_process_label(name)
        node.set_process_type(f"aiida.calculations:{name}")
        calculation = isinstance(node, orm.CalculationNode)
        if isinstance(node, orm.CalcJobNode):
            node.set_option("resources", {"num_machines": 1, "num_mpiprocs_per_machine": 1})
        for key, data in (inputs or {}).items():
            link = LinkType.INPUT_CALC if calculation else LinkType.INPUT_WORK
            node.base.links.add_incoming(data.store(), link, key)
        if caller is not None:
            node.base.links.add_incoming(caller, LinkType.CALL_CALC if calculation else LinkType.CALL_WORK, label)
        node.set_process_state(state)
        if state == "finished":
            node.set_exit_status(exit_status)
        node.store()
        self.give(node, outputs or {})
        return node

    def give(self, node, outputs):
        """Attach outputs: created by calculations, returned by work chains."""
        for key, data in outputs.items():
            if isinstance(node, orm.CalculationNode):
                data.base.links.add_incoming(node, LinkType.CREATE, key)
                data.store()
            else:
                data.base.links.add_incoming(node, LinkType.RETURN, key)

    def geometry(self, formula, scale=1.0):
        """Return a random cell, rounded as the generator rounds."""
        count = len(Atoms(formula))
        cell = np.diag([5.0, 5.4, 5.2]) * (count / 8) ** (1 / 3)
        atoms = Atoms(formula, positions=self.rng.uniform(0, 1, (count, 3)) @ cell * scale, cell=cell, pbc=True)
        return canonical(atoms)

    def frames(self, geometries, infos, labelled=False):
        """Return a frame set; labels are random numbers of plausible size."""
        found = FrameSet.from_atoms(geometries, infos)
        if not labelled:
            return found
        return replace(
            found,
            energy=np.array([-300.0 * len(atoms) / 8 for atoms in geometries]),
            forces=self.rng.normal(0, 1.1, (len(found.numbers), 3)),
            stress=np.zeros((len(found), 3, 3)),
            level_of_theory=LEVEL,
        )

    def potential(self):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("seed", str(self.rng.integers(1 << 30)))
        buffer.seek(0)
        versions = {"nequip": "0.19.1", "allegro": "0.8.1", "torch": "2.13.0"}
        return PotentialData(buffer, types=SPECIES, cutoff=5.0, seed=1, versions=versions)

    def generate(self, caller, label="generate", formulas=FORMULAS):
        infos = [{"origin": {"kind": "packed", "name": formula}} for formula in formulas]
        cells = DatasetData(self.frames([self.geometry(formula) for formula in formulas], infos))
        parameters = orm.Dict({"cells": [{"name": formula} for formula in formulas]})
        inputs = {"parameters": parameters, "seed": orm.Int(7)}
        self.process(
            orm.CalcFunctionNode, "generate", caller=caller, label=label, inputs=inputs, outputs={"result": cells}
        )
        return cells

    def label(self, caller, label, frames, mode, fail=()):
        """Label every frame except those in ``fail``; each by a calculation of its own."""
        chain = self.process(orm.WorkChainNode, "LabelWorkChain", caller=caller, label=label, inputs={"frames": frames})
        structures = {f"frame_{index}": orm.StructureData(ase=atoms) for index, atoms in enumerate(frames.frames)}
        self.process(
            orm.CalcFunctionNode,
            "frames_to_structures",
            caller=chain,
            label="structures",
            inputs={"frames": frames},
            outputs=structures,
        )
        inside, rows, sets = {"frames": frames}, [], []
        for index, identity in enumerate(frames.frames.ids()):
            steps = RELAX_STEPS if mode == "relax" else 1
            row = {"frame": identity, "status": "converged", "reason": "", "labels": steps, "wall_s": 9.5}
            calculation, trajectory, labelled = self.labelling_job(
                chain, structures[f"frame_{index}"], frames.frames, index, steps, failed=index in fail
            )
            row["process"] = calculation.uuid
            if index in fail:
                row |= {"status": "rejected", "reason": SCF_FAILED, "labels": 0}
            else:
                inside[f"trajectory_{index}"] = trajectory
                sets.append(labelled)
            rows.append(row)
        statuses = [row["status"] for row in rows]
        triage = orm.Dict(
            {
                "frames": rows,
                "counts": {status: statuses.count(status) for status in LabelStatus},
                "level_of_theory": {"functional": "PBE", "cutoff_wfc_ry": 30.0, "kpoints": "gamma"},
                "labeller": self.labeller,
            }
        )
        dataset = DatasetData(concatenate(sets))
        self.process(
            orm.CalcFunctionNode,
            "collect_labels",
            caller=chain,
            label="collect",
            inputs=inside,
            outputs={"dataset": dataset, "triage": triage},
        )
        self.give(chain, {"dataset": dataset, "triage": triage})
        return chain, dataset

    def labelling_job(self, chain, structure, frames, index, steps, failed):
        start = frames.atoms(index)
        path = [start]
        for _ in range(steps - 1):
            moved = path[-1].copy()
            moved.positions += self.rng.normal(0, 0.05, moved.positions.shape)
            path.append(moved)
        labelled = self.frames(path, [frames.info[index]] * steps, labelled=True)
        name = "PwCalculation" if self.labeller == "quantumespresso" else "RehearsalCalculation"
        inputs = {"structure": structure, "parameters": orm.Dict({"SYSTEM": {"ecutwfc": 30.0}})}
        trajectory = orm.TrajectoryData()
        trajectory.set_trajectory(
            [str(symbol) for symbol in start.get_chemical_symbols()],
            np.array([atoms.positions for atoms in path]),
            cells=np.array([atoms.cell.array for atoms in path]),
            pbc=(True, True, True),
        )
        trajectory.set_array("forces", labelled.forces.reshape(steps, len(start), 3))
        parameters = orm.Dict({"wall_time_seconds": 9.5, "creator_name": "pwscf", "creator_version": "7.2"})
        outputs = {} if failed else {"output_trajectory": trajectory, "output_parameters": parameters}
        base = self.process(
            orm.WorkChainNode, "PwBaseWorkChain", caller=chain, label=f"frame_{frames.ids()[index][:16]}"
        )
        job = self.process(
            orm.CalcJobNode,
            name,
            caller=base,
            label="iteration_01",
            inputs=inputs,
            outputs=outputs,
            exit_status=410 if failed else 0,
        )
        return job, trajectory, labelled

    def train(self, caller, label, dataset, members=3):
        committee = {}
        for member in range(members):
            chain = self.process(
                orm.WorkChainNode,
                "TrainWorkChain",
                caller=caller,
                label=f"{label}_{member}",
                inputs={"frames": dataset},
            )
            metrics = orm.ArrayData()
            epochs = np.arange(40)
            metrics.set_array("epoch", epochs)
            metrics.set_array("val_forces_rmse", 0.3 + np.exp(-epochs / 9))
            metrics.set_array("split", np.arange(len(dataset), dtype=float) % 4)
            potential = self.potential()
            results = orm.Dict(
                {
                    "epochs": 40,
                    "best_epoch": 38,
                    "n_train": 30,
                    "n_validation": 4,
                    "wall_s": {"train": 20.0, "package": 1.0},
                    "errors": {},
                    "versions": potential.base.attributes.get("versions"),
                }
            )
            outputs = {"potential": potential, "metrics": metrics, "results": results}
            self.process(
                orm.CalcJobNode,
                "AllegroTrainCalculation",
                caller=chain,
                label="iteration_01",
                inputs={"frames": dataset},
                outputs=outputs,
            )
            self.give(chain, outputs)
            committee[f"committee__member_{member}"] = potential
        return committee

    def evaluate(self, caller, label, dataset, committee, truth=None):
        """Predict: the truth plus an error that all members share plus one of each."""
        frames = dataset.frames
        forces = truth if truth is not None else frames.forces
        shared = self.rng.normal(0, self.error * 0.8, forces.shape)
        members = np.array([forces + shared + self.rng.normal(0, self.error * 0.5, forces.shape) for _ in committee])
        predictions = orm.ArrayData()
        predictions.set_array("energy", np.full((len(committee), len(frames)), -300.0))
        predictions.set_array("forces", members)
        predictions.set_array("offsets", frames.offsets)
        predictions.set_array("numbers", frames.numbers)
        self.process(
            orm.CalcJobNode,
            "EvaluateCalculation",
            caller=caller,
            label=label,
            inputs={"frames": dataset, **committee},
            outputs={"predictions": predictions, "results": orm.Dict({"frames": len(frames), "wall_s": 3.0})},
        )
        return predictions

    def explore(self, caller, label, cycle, start, committee):
        infos, geometries = [], []
        for index in range(40):
            temperature, replica = (300.0, 900.0, 1500.0)[index % 3], index % 8
            score = float(self.rng.gamma(2.0, self.error * (0.2 + temperature / 3000)))
            origin = {
                "kind": "exploration",
                "replica": replica,
                "step": 20 * (1 + index // 8),
                "time_ps": 0.02 * (1 + index // 8),
                "temperature": temperature,
                "stream": "stride",
                "score": score,
                "score_max_raw": score * 1.3,
                "score_species": {"V": score, "O": 0.8 * score},
            }
            infos.append({"origin": origin})
            geometries.append(self.geometry(FORMULAS[replica % 2]))
        candidates = DatasetData(self.frames(geometries, infos))
        predictions = orm.ArrayData()
        predictions.set_array("forces_std", self.rng.gamma(2.0, 0.1, len(candidates.frames.numbers)))
        replicas = [
            {
                "index": index,
                "start": index % 2,
                "schedule": index % 3,
                "steps": 200 if index % 4 else 60 + 40 * cycle,
                "stop_reason": "completed" if index % 4 else "uncertainty above the break threshold",
                "max_score": 1.2,
                "candidates": 5,
            }
            for index in range(8)
        ]
        self.process(
            orm.CalcJobNode,
            "ExploreCalculation",
            caller=caller,
            label=label,
            inputs={"frames": start, **committee},
            outputs={
                "candidates": candidates,
                "predictions": predictions,
                "results": orm.Dict({"replicas": replicas, "wall_s": 33.0}),
            },
        )
        return candidates

    def select(self, caller, label, candidates, known):
        frames = candidates.frames
        rows, taken = [], []
        for index, identity in enumerate(frames.ids()):
            origin = frames.info[index]["origin"]
            accepted = index < FRAMES_PER_CYCLE
            reason = "accepted: uncertain and unlike the rest" if accepted else "rejected: below the lower threshold"
            reason = "accepted: random share" if index == 0 else reason
            rows.append(
                {"frame": identity, "decision": "accepted" if accepted else "rejected", "reason": reason, "rank": index}
                | {key: origin[key] for key in ("score", "replica", "step", "temperature")}
            )
            taken += [index] if accepted else []
        counts = {reason: sum(row["reason"] == reason for row in rows) for reason in {row["reason"] for row in rows}}
        counts["rejected: duplicate"] = 0
        table = orm.Dict({"rows": rows, "counts": counts, "thresholds": {"lower": 0.3, "upper": 1.8}})
        chosen_frames = frames.subset(taken)
        infos = tuple(
            {"origin": {**info["origin"], "reason": rows[i]["reason"]}}
            for i, info in zip(taken, chosen_frames.info, strict=True)
        )
        chosen = DatasetData(replace(chosen_frames, info=infos))
        self.process(
            orm.CalcFunctionNode,
            "select",
            caller=caller,
            label=label,
            inputs={"candidates": candidates, "known": known},
            outputs={"chosen": chosen, "table": table},
        )
        return chosen

    def calibration(self, cycle):
        ratio = round(self.error / 1.1, 3)
        return {
            "scales": {"Na": 1.1, "V": 1.6, "P": 1.4, "O": 1.3},
            "quantiles": {"Na": 1.9, "V": 2.6, "P": 2.2, "O": 2.1},
            "coverage": None if cycle == 0 else {"Na": 0.93, "V": 0.84, "P": 0.88, "O": 0.9},
            "prospective": {
                "force_rmse": round(self.error, 3),
                "force_rms": 1.1,
                "ratio": ratio,
                "by_species": {
                    s: {"force_rmse": x, "force_rms": 1.1} for s, x in (("Na", 0.3), ("V", 0.9), ("P", 0.8), ("O", 0.5))
                },
                "by_temperature": {},
                "random": {"force_rmse": round(0.8 * self.error, 3), "force_rms": 1.0, "ratio": ratio},
            },
            "spearman": {"sigma": 0.4 + 0.2 * cycle, "force": 0.3},
            "calibrated_on": "all chosen frames",
            "thresholds": {"lower": 0.3, "upper": 1.8, "break": 3.6},
            "n_frames": FRAMES_PER_CYCLE,
            "quality": {} if cycle == 0 else self.quality(),
        }

    def quality(self):
        levels = {"0.5": 0.47, "0.9": 0.88}
        held = {"n_atoms": 70, "n_frames": 6, "coverage": levels, "rms_z": 1.07, "sharpness": 0.41, "ence": 0.13}
        held |= {"miscalibration_area": 0.03, "auroc": 0.81, "nll": 0.52, "spearman": 0.66}
        curves = {"expected": [0.2, 0.9], "found": [0.22, 1.0], "nominal": [0.1, 0.9], "achieved": [0.1, 0.86]}
        return {"calibrated": held, "curves": curves, "parts": {"V": {**held, "n_atoms": 11}}}

    def cycle(self, loop, index, dataset, fail=()):
        name = f"cycle_{index}"
        committee = self.train(loop, f"{name}_train", dataset)
        candidates = self.explore(loop, f"{name}_explore", index, dataset, committee)
        self.evaluate(loop, f"{name}_review", dataset, committee)
        chosen = self.select(loop, f"{name}_select", candidates, dataset)
        _, labels = self.label(loop, f"{name}_label", chosen, "single_point", fail)
        truth = np.zeros_like(chosen.frames.positions)
        where = {identity: labels.frames.slice_of(i) for i, identity in enumerate(labels.frames.ids())}
        for position, identity in enumerate(chosen.frames.ids()):
            if identity in where:
                truth[chosen.frames.slice_of(position)] = labels.frames.forces[where[identity]]
        predictions = self.evaluate(loop, f"{name}_predict", chosen, committee, truth)
        calibration = orm.Dict(self.calibration(index))
        self.process(
            orm.CalcFunctionNode,
            "calibrate",
            caller=loop,
            label=f"{name}_calibrate",
            inputs={"predictions": predictions, "chosen": chosen, "labels": labels},
            outputs={"result": calibration},
        )
        merged = DatasetData(concatenate([dataset.frames, labels.frames]))
        self.process(
            orm.CalcFunctionNode,
            "merge",
            caller=loop,
            label=f"{name}_merge",
            inputs={"dataset_0": dataset, "dataset_1": labels},
            outputs={"result": merged},
        )
        verdict = "continue" if index == 0 else "cycles used"
        criteria = [
            {
                "name": "prospective error",
                "passed": index > 0,
                "value": self.error,
                "limit": 0.3,
                "sentence": "The error is above the target.",
            }
        ]
        assessed = orm.Dict(
            {
                "verdict": verdict,
                "sentence": f"Cycle {index} is assessed.",
                "criteria": criteria,
                "budgets": [{"name": "labels", "used": len(merged), "limit": 90}],
                "forecast": {"sentence": f"One more cycle than {index} would help."},
                "cycle": index,
                "labels": len(merged),
            }
        )
        self.process(
            orm.CalcFunctionNode,
            "assess",
            caller=loop,
            label=f"{name}_assess",
            inputs={"calibration_0": calibration},
            outputs={"result": assessed},
        )
        self.error *= 0.55
        return merged

    def produce(self, campaign, committee):
        start = self.generate(campaign, "generate_production", ("Na20V20P20O100",))
        chain = self.process(
            orm.WorkChainNode, "ProduceWorkChain", caller=campaign, label="produce", inputs={"frames": start}
        )
        thermo = orm.ArrayData()
        time = np.linspace(0, 12, 240)
        stage = np.repeat([0, 1, 2, 3], 60)
        target = np.concatenate([np.full(60, 2500), np.linspace(2500, 900, 60), np.full(60, 900), np.full(60, 600)])
        thermo.set_array("time_ps", time)
        thermo.set_array("stage", stage)
        thermo.set_array("temperature", target + self.rng.normal(0, 40, 240))
        thermo.set_array("potential_energy", -6000 + 0.02 * target + self.rng.normal(0, 1, 240))
        thermo.set_array("uncertainty_time_ps", time[::4])
        thermo.set_array("uncertainty_score", 0.1 + target[::4] / 5000 + self.rng.normal(0, 0.02, 60))
        names = ("melt", "quench", "hold 900 K", "hold 600 K")
        results = orm.Dict(
            {
                "stages": [
                    {"index": i, "name": name, "steps": 3000, "temperature_from": 900, "temperature_to": 900}
                    for i, name in enumerate(names)
                ],
                "shortest_distance": 1.38,
                "stop_reason": "completed",
                "wall_s": 140.0,
                "versions": {"ase": "3.29.0"},
            }
        )
        trajectory = orm.SinglefileData(io.BytesIO(b"trajectory"), filename="trajectory.h5")
        outputs = {"thermo": thermo, "results": results, "trajectory": trajectory}
        self.process(
            orm.CalcJobNode,
            "MolecularDynamicsCalculation",
            caller=chain,
            label="iteration_01",
            inputs={"frames": start, **committee},
            outputs=outputs,
        )
        self.give(chain, outputs)
        return trajectory


@dataclass
class Built:
    """The nodes a test looks at."""

    graph: Graph
    campaign: orm.WorkChainNode
    loop: orm.WorkChainNode
    dataset: DatasetData
    seed: DatasetData


def build(labeller="quantumespresso", *, cycles=2, production=True, state="finished", exit_status=0):
    """Store a campaign of some cycles and return what tests look at."""
    graph = Graph(labeller)
    campaign = graph.process(orm.WorkChainNode, "CampaignWorkChain", state=state, exit_status=exit_status)
    campaign.label = "Sodium vanadium phosphate glass"
    cells = graph.generate(campaign)
    loop = graph.process(
        orm.WorkChainNode,
        "ActiveLearningWorkChain",
        caller=campaign,
        label="active_learning",
        inputs={"frames": cells},
        state=state,
        exit_status=exit_status,
    )
    _, seed = graph.label(loop, "seed_label", cells, "relax")
    dataset = seed
    for index in range(cycles):
        dataset = graph.cycle(loop, index, dataset, fail=(2,) if index == 1 else ())
    if production:
        committee = graph.train(loop, "final_train", dataset)
        graph.process(
            orm.CalcFunctionNode,
            "warm_check",
            caller=loop,
            label="final_warm_check",
            outputs={"result": orm.Dict({"ratio": 1.2, "sentence": "From the parent 0.36, from scratch 0.30."})},
        )
        graph.error = 0.15
        graph.evaluate(loop, "final_review", dataset, committee)
        trajectory = graph.produce(campaign, committee)
        analyse(graph, campaign, trajectory)
    return Built(graph, campaign, loop, dataset, seed)


def analyse(graph, campaign, trajectory):
    """Store an analysis of two holds."""
    r, lag, arrays = np.arange(0.5, 8, 0.05), np.arange(0, 4, 0.02), orm.ArrayData()
    stages = []
    for index, name, speed in ((2, "hold 900 K", 0.9), (3, "hold 600 K", 0.2)):
        prefix = f"stage_{index}_"
        arrays.set_array(f"{prefix}r", r)
        arrays.set_array(f"{prefix}lag_ps", lag)
        for pair, bond in (("P_O", 1.55), ("V_O", 1.8), ("Na_O", 2.4)):
            peak = 9 * np.exp(-(((r - bond) / 0.12) ** 2))
            arrays.set_array(f"{prefix}g_{pair}", peak + 1 / (1 + np.exp(-(r - bond - 0.8) * 6)))
        for symbol, factor in (("Na", 1.0), ("V", 0.05), ("P", 0.03), ("O", 0.08)):
            msd = speed * factor * lag + 0.1 * (1 - np.exp(-lag / 0.05))
            arrays.set_array(f"{prefix}msd_{symbol}", msd)
            arrays.set_array(f"{prefix}msd_error_{symbol}", 0.1 * msd)
        means = {"P-O": (3.98, 2.2), "V-O": (4.81, 2.5), "Na-O": (5.9, 3.1)}
        stages.append(
            {
                "index": index,
                "name": name,
                "coordination": {
                    pair: {
                        "cutoff": cutoff,
                        "mean": mean,
                        "error": 0.02,
                        "shares": {
                            str(int(mean) + 1): {"share": mean % 1, "error": 0.01},
                            str(int(mean)): {"share": 1 - mean % 1, "error": 0.01},
                        },
                    }
                    for pair, (mean, cutoff) in means.items()
                },
                "shortest_distance": {"P-O": 1.38, "V-O": 1.55, "Na-O": None},
                "msd": {symbol: {"sentence": f"{symbol} does not diffuse."} for symbol in ("Na", "V", "P", "O")},
                "percolation": {"species": "Na"},
            }
        )
    graph.process(
        orm.CalcJobNode,
        "AnalyseCalculation",
        caller=campaign,
        label="analyse",
        inputs={"trajectory": trajectory},
        outputs={"results": orm.Dict({"stages": stages}), "arrays": arrays},
    )


@pytest.fixture(scope="package")
def built(aiida_profile):
    """A finished campaign of two cycles, labelled by pw.x, with one failed label. Tests only read it."""
    return build()


@pytest.fixture
def make(aiida_profile):
    """The builder itself."""
    return build
