"""What every labeller promises: one suite, which a new labeller inherits (docs/howto/new-labeller.md)."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida.plugins import CalculationFactory
from aiida_quantumespresso.calculations.pw import PwCalculation
from ase import Atoms

from aiida_nvp.calculations.structure import to_structure
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import LabellerName
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.workflows.labellers import LABELLERS, ONE_CORE, LabelRequest, PwLabeller, RehearsalLabeller

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

EDGE = 4.6
LABELS = ("energy", "forces")


def cell(symbols, seed=0):
    """Atoms on a jittered grid."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[[0.0, EDGE / 2]] * 3), axis=-1).reshape(-1, 3)
    count = len(Atoms(symbols))
    positions = grid[:count] + rng.normal(scale=0.1, size=(count, 3))
    return Atoms(symbols, positions=positions, cell=np.eye(3) * EDGE, pbc=True)


@dataclass(frozen=True)
class Job:
    """How a calculation ended; ``arrays`` are those of its trajectory, None where it left no outputs."""

    status: int = 0
    message: str = ""
    arrays: tuple[str, ...] | None = LABELS
    stderr: str = ""
    state: str = "finished"

    def store(self, caller=None):
        node = orm.CalcJobNode()
        node.set_option("scheduler_stderr", "stderr")
        if caller is not None:
            node.base.links.add_incoming(caller, LinkType.CALL_CALC, f"iteration_{len(caller.called):02d}")
        node.set_process_state(self.state)
        if self.state == "finished":
            node.set_exit_status(self.status)
            node.set_exit_message(self.message)
        node.store()
        retrieved = orm.FolderData()
        retrieved.base.repository.put_object_from_filelike(io.StringIO(self.stderr), "stderr")
        outputs = {"retrieved": retrieved}
        if self.arrays is not None:
            trajectory = orm.TrajectoryData()
            trajectory.set_trajectory(["O"], np.zeros((2, 1, 3)), cells=np.stack([np.eye(3)] * 2), pbc=(True,) * 3)
            for name in self.arrays:
                trajectory.set_array(name, np.zeros(2))
            outputs |= {"output_trajectory": trajectory, "output_parameters": orm.Dict({})}
        for name, data in outputs.items():
            data.base.links.add_incoming(node, LinkType.CREATE, name)
            data.store()
        return node


def leaves(namespace):
    """All nodes among the inputs of a builder, by their path."""
    found = {}
    for name, value in namespace.items():
        if isinstance(value, orm.Data):
            found[name] = value
        elif isinstance(value, Mapping):
            found |= {f"{name}.{key}": node for key, node in leaves(value).items()}
    return found


class LabellerSuite(ABC):
    """The contract. A subclass says what its labeller knows and how its children look; it may add tests of its own."""

    LABELLER: type
    NAME: LabellerName
    KNOWN = "NaPO3"
    """Frames that the labeller accepts with default settings."""
    UNKNOWN, MISSING = "NaSiO3", "Si"
    """Frames that it cannot label, and the species that it has to name."""
    STATE_FILES: tuple[str, ...] = ()
    """Names that the file on the electronic state may have; none where the labels have no such state."""

    @pytest.fixture
    def pseudos(self):
        """Pseudopotentials by species, for a labeller that needs some."""
        return {}

    @abstractmethod
    def calculation(self, builder):
        """Return the builder of the CalcJob inside ``builder``: itself where there is no work chain around it."""

    @abstractmethod
    def child(self, *jobs: Job):
        """Store a child with its jobs, ended as the last of them."""

    @pytest.fixture
    def make(self, aiida_code_installed, pseudos):
        """Return a function that makes the labeller; ``plugin`` is what its code says that it runs."""

        def _make(settings=None, options=None, plugin="own"):
            plugin = self.LABELLER.PLUGINS[0] if plugin == "own" else plugin
            code = aiida_code_installed(
                label=f"code-{plugin or 'any'}", default_calc_job_plugin=plugin, filepath_executable="/bin/true"
            )
            return self.LABELLER(LabelRequest(code, LabelSettings(**(settings or {})), pseudos, options or {}))

        return _make

    @pytest.fixture
    def built(self, make):
        """Return a function that gives the CalcJob builder for one known frame."""

        def _built(settings=None, options=None):
            labeller = make(settings, options)
            return self.calculation(labeller.builder(to_structure(cell(self.KNOWN), labeller.request.settings), None))

        return _built

    # What it refuses

    def test_it_is_found_by_its_name(self):
        assert LABELLERS[self.NAME] is self.LABELLER

    def test_known_frames_are_accepted(self, make):
        assert make().refuse(FrameSet.from_atoms([cell(self.KNOWN)])) == ""

    def test_an_unknown_species_is_refused_by_name(self, make):
        refusal = make().refuse(FrameSet.from_atoms([cell(self.KNOWN), cell(self.UNKNOWN)]))
        assert self.MISSING in refusal
        assert refusal.endswith(".")

    def test_a_code_of_another_kind_is_refused_and_one_that_does_not_say_is_not(self, make):
        frames = FrameSet.from_atoms([cell(self.KNOWN)])
        wrong = make(plugin="core.arithmetic.add")
        refusal = wrong.refuse(frames)
        for word in (wrong.request.code.full_label, "core.arithmetic.add", self.LABELLER.PLUGINS[0]):
            assert word in refusal
        assert make(plugin=None).refuse(frames) == ""

    # What it submits

    def test_the_child_can_be_submitted_as_it_is(self, make):
        labeller = make()
        builder = labeller.builder(to_structure(cell(self.KNOWN), labeller.request.settings), None)
        process = instantiate_process(get_manager().get_runner(), builder)
        assert process.spec().inputs.validate(process.inputs) is None

    def test_the_job_has_the_code_and_the_structure(self, make):
        labeller = make()
        structure = to_structure(cell(self.KNOWN), labeller.request.settings)
        job = self.calculation(labeller.builder(structure, None))
        assert job.code.uuid == labeller.request.code.uuid
        assert job.structure.uuid == structure.uuid

    def test_a_job_gets_one_core_without_mpi_unless_the_user_says_otherwise(self, built):
        options = built().metadata.options
        assert (options.resources, options.withmpi) == (ONE_CORE, False)
        given = {"resources": {"num_machines": 2, "num_mpiprocs_per_machine": 8}, "withmpi": True}
        options = built(options={**given, "queue_name": "long"}).metadata.options
        assert {name: options[name] for name in given} == given
        assert options.queue_name == "long"
        options = built(options={"max_wallclock_seconds": 60}).metadata.options
        assert (options.resources, options.withmpi, options.max_wallclock_seconds) == (ONE_CORE, False, 60)

    def test_equal_inputs_of_two_children_are_one_node(self, make):
        labeller = make()
        structures = [to_structure(cell(self.KNOWN, seed), labeller.request.settings) for seed in (1, 2)]
        first, second = (leaves(self.calculation(labeller.builder(structure, None))) for structure in structures)
        assert {name for name in first if first[name] is not second[name]} == {"structure"}
        assert "parameters" in first

    @pytest.mark.parametrize(("mode", "steps"), [("relax", {"relax_steps": 23}), ("md", {"md_steps": 17})])
    def test_the_number_of_steps_is_passed_on_and_a_single_point_has_none(self, built, mode, steps):
        (number,) = steps.values()
        assert number in numbers(built({"mode": mode, **steps}).parameters.get_dict())
        assert number not in numbers(built({"mode": "single_point", **steps}).parameters.get_dict())

    # What its jobs leave

    def test_the_job_declares_what_labels_are_read_from(self):
        for plugin in self.LABELLER.PLUGINS:
            outputs = CalculationFactory(plugin).spec().outputs
            assert {"output_trajectory", "output_parameters", "retrieved"} <= set(outputs)

    def test_the_file_on_the_state_is_retrieved_where_there_is_a_state(self, built, prepare):
        info, _ = prepare(built())
        names = {Path(entry if isinstance(entry, str) else entry[0]).name for entry in info.retrieve_list}
        assert bool(names & set(self.STATE_FILES)) == self.LABELLER.HAS_STATE

    def test_a_job_that_ended_well_is_a_label_in_every_mode(self, make):
        child = self.child(Job())
        for mode in ("single_point", "relax", "md"):
            labeller = make({"mode": mode})
            assert [job.pk for job in labeller.usable(child)] == [job.pk for job in labeller.jobs(child)]
            assert len(labeller.jobs(child)) == 1
        assert labeller.reason(child) == ""

    def test_steps_before_a_failure_are_labels_and_a_failed_single_point_is_not(self, make):
        child = self.child(Job(410, "the cycle did not converge"))
        assert make().usable(child) == []
        for mode in ("relax", "md"):
            labeller = make({"mode": mode})
            assert [job.pk for job in labeller.usable(child)] == [job.pk for job in labeller.jobs(child)]

    @pytest.mark.parametrize("arrays", [None, ("energy",), ("forces",)])
    def test_steps_without_energies_and_forces_are_no_labels(self, make, arrays):
        child = self.child(Job(410, "the cycle did not converge", arrays=arrays))
        for mode in ("single_point", "relax", "md"):
            assert make({"mode": mode}).usable(child) == []

    def test_a_failure_has_a_reason(self, make):
        child = self.child(Job(410, "the cycle did not converge", arrays=None))
        assert "the cycle did not converge" in make().reason(child)
        silent = self.child(Job(305, arrays=None))
        assert "305" in make().reason(silent)

    @pytest.mark.parametrize("state", ["excepted", "killed"])
    def test_a_child_that_was_lost_has_a_reason_and_no_label(self, make, state):
        child = self.child(Job(state=state, arrays=None))
        assert make().reason(child) == f"the process was {state}"
        assert make().usable(child) == []

    def test_a_child_that_ran_no_job_has_none(self, make):
        chain = orm.WorkChainNode()
        chain.set_process_state("excepted")
        assert make().jobs(chain.store()) == []


def numbers(values):
    """All values of nested namelists."""
    found = []
    for value in values.values():
        found += numbers(value) if isinstance(value, dict) else [value]
    return found


class TestRehearsal(LabellerSuite):
    LABELLER, NAME = RehearsalLabeller, LabellerName.REHEARSAL

    def calculation(self, builder):
        return builder

    def child(self, *jobs):
        (job,) = jobs
        return job.store()


class TestPw(LabellerSuite):
    LABELLER, NAME = PwLabeller, LabellerName.QUANTUM_ESPRESSO
    KNOWN = "Na2P2O4"
    STATE_FILES = tuple(PwCalculation.xml_filenames)

    @pytest.fixture
    def pseudos(self, bare_upf):
        return {symbol: bare_upf(symbol) for symbol in ("Na", "V", "P", "O")}

    def calculation(self, builder):
        job = PwCalculation.get_builder()
        for name, value in builder.pw.items():
            job[name] = value
        job.kpoints = builder.kpoints
        return job

    def child(self, *jobs, message=""):
        chain = orm.WorkChainNode()
        last = jobs[-1]
        chain.set_process_state(last.state)
        if last.state == "finished":
            chain.set_exit_status(last.status)
            chain.set_exit_message(message)
        chain.store()
        for job in jobs:
            job.store(chain)
        return chain

    def test_a_species_without_pseudopotential_is_named_with_those_that_have_one(self, make):
        refusal = make().refuse(FrameSet.from_atoms([cell("NaSiO3")]))
        assert refusal == "no pseudopotential for Si; given: Na, O, P, V."

    def test_an_odd_number_of_electrons_has_to_have_a_spin(self, make, bare_upf):
        """Of the stand-ins all have six electrons; here vanadium has seven."""
        frames = FrameSet.from_atoms([cell("NaVO3")])
        labeller = make({"starting_magnetization": {}})
        assert labeller.refuse(frames) == ""
        labeller.request.pseudos["V"] = bare_upf("V", 7.0)
        refusal = labeller.refuse(frames)
        assert refusal.startswith("frame 0 (NaO3V) has 31 valence electrons, an odd number, and no spin")
        assert make({"starting_magnetization": {"V": 0.5}}).refuse(frames) == ""

    def test_a_composition_without_balance_cannot_start_from_valences(self, make):
        labeller = make({"start": "valence"})
        assert labeller.refuse(FrameSet.from_atoms([cell("NaVO3")])) == ""
        assert labeller.refuse(FrameSet.from_atoms([cell("NaVO3"), cell("NaP")])).startswith("frame 1 (NaP): ")

    def test_of_several_jobs_the_last_is_the_single_point_and_all_are_steps(self, make):
        child = self.child(Job(410, "no convergence"), Job())
        jobs = make().jobs(child)
        assert [job.exit_status for job in jobs] == [410, 0]
        assert make().usable(child) == jobs[1:]
        assert make({"mode": "md"}).usable(child) == jobs

    def test_a_failure_is_told_by_chain_job_and_shell(self, make):
        child = self.child(Job(310, "stdout is missing", None, "loading\n/bin/pw.x: not found\n"), message="gave up.")
        assert make().reason(child) == "gave up. Last job: stdout is missing Its shell: /bin/pw.x: not found"


def test_every_labeller_is_held_to_the_suite():
    held = {suite.LABELLER for suite in LabellerSuite.__subclasses__()}
    assert held == set(LABELLERS.values())
