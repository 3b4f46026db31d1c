"""What pw.x failures lead to, handler by handler, without running pw.x."""

import pytest
from aiida import orm
from aiida.common import AttributeDict, LinkType
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida_quantumespresso.calculations.pw import PwCalculation
from plumpy import ProcessState

from aiida_nvp.labelling.pw_input import pw_parameters
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.workflows.pw_label import PwLabelWorkChain

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

CODES = PwCalculation.exit_codes


@pytest.fixture
def chain(aiida_code_installed, bare_upf):
    """A work chain set up as if it had begun; ``chain.after(code)`` lets a job end with that exit code."""
    code = aiida_code_installed("quantumespresso.pw", filepath_executable="/bin/true")
    structure = orm.StructureData(cell=[[4, 0, 0], [0, 4, 0], [0, 0, 4]])
    structure.append_atom(symbols="O", position=(0, 0, 0))
    kpoints = orm.KpointsData()
    kpoints.set_kpoints_mesh([1, 1, 1])
    builder = PwLabelWorkChain.get_builder()
    builder.pw.code, builder.pw.structure, builder.pw.pseudos = code, structure, {"O": bare_upf("O")}
    builder.pw.parameters = orm.Dict(pw_parameters(LabelSettings(), {"O": 0.3}, 1))
    builder.pw.metadata = {"options": {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}}
    builder.kpoints = kpoints
    builder.max_iterations = orm.Int(6)
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    process.ctx.children = []

    def after(exit_code, inspect=True):
        job = orm.CalcJobNode(computer=code.computer, process_type=process._process_class.build_process_type())
        job.set_process_label("PwCalculation")
        job.set_process_state(ProcessState.FINISHED)
        job.set_exit_status(exit_code.status if exit_code else 0)
        job.set_exit_message(exit_code.message if exit_code else "")
        job.store()
        folder = orm.RemoteData(remote_path="/nowhere", computer=code.computer)
        folder.base.links.add_incoming(job, LinkType.CREATE, "remote_folder")
        folder.store()
        process.ctx.children.append(job)
        process.ctx.iteration = len(process.ctx.children)
        process.ctx.inputs = AttributeDict(process.ctx.inputs)
        job.seal()
        return process.inspect_process() if inspect else None, job

    process.after = after
    return process


def parameters(chain):
    return chain.ctx.inputs.parameters


def test_remedies_come_in_their_order_and_end(chain):
    failure = CODES.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED
    seen = []
    for _ in range(4):
        result, job = chain.after(failure)
        assert result is None or result.status == 0
        assert not job.base.caching.is_valid_cache
        assert parameters(chain)["CONTROL"]["restart_mode"] == "from_scratch"
        system, electrons = parameters(chain)["SYSTEM"], parameters(chain)["ELECTRONS"]
        start = system["starting_magnetization"]["O"]
        seen.append((electrons["mixing_beta"], start, electrons.get("diagonalization"), system["degauss"]))
    assert seen == [
        (0.15, 0.3, None, 0.01),
        (0.15, 0.6, None, 0.01),
        (0.15, 0.6, "cg", 0.01),
        (0.15, 0.6, "cg", 0.04),
    ]
    result, _ = chain.after(failure)
    assert result.status == failure.status
    assert not chain.ctx.is_finished


def test_a_detour_leads_back_to_the_smearing_that_was_asked_for(chain):
    for _ in range(4):
        chain.after(CODES.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED)
    assert parameters(chain)["SYSTEM"]["degauss"] == pytest.approx(0.04)
    _, job = chain.after(None, inspect=False)
    chain.return_from_detour(job)
    assert parameters(chain)["SYSTEM"]["degauss"] == pytest.approx(0.01)
    assert parameters(chain)["ELECTRONS"]["startingpot"] == "file"
    assert "parent_folder" in chain.ctx.inputs
    assert not chain.ctx.is_finished


def test_a_lost_job_is_tried_once_more_and_not_twice(chain):
    result, job = chain.after(CODES.ERROR_OUTPUT_STDOUT_INCOMPLETE)
    assert result is None or result.status == 0
    assert not job.base.caching.is_valid_cache
    result, _ = chain.after(CODES.ERROR_SCHEDULER_NODE_FAILURE)
    assert result.status == CODES.ERROR_SCHEDULER_NODE_FAILURE.status


def test_without_memory_it_is_tried_with_less(chain):
    chain.after(CODES.ERROR_SCHEDULER_OUT_OF_MEMORY)
    assert parameters(chain)["ELECTRONS"]["mixing_ndim"] == 4
    result, _ = chain.after(CODES.ERROR_SCHEDULER_OUT_OF_MEMORY)
    assert result.status == CODES.ERROR_SCHEDULER_OUT_OF_MEMORY.status


def test_a_relaxation_without_minimum_has_done_its_work(chain):
    _, job = chain.after(CODES.ERROR_IONIC_CYCLE_EXCEEDED_NSTEP)
    assert chain.ctx.is_finished
    assert job.base.caching.is_valid_cache
