"""What all CalcJobs over a worker program share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec

from aiida_nvp.common.potential import STATISTICS_FILE
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.worker.job import (
    ARRAYS_FILE,
    ERROR_FILE,
    FRAMES_FILE,
    INPUT_FILE,
    OUTPUT_FILE,
    PROGRESS_FILE,
    member_file,
)

_ONE_CORE = {"num_machines": 1, "num_mpiprocs_per_machine": 1}


class WorkerCalculation(CalcJob):
    """Run one stage of ``nvp-worker`` in its own folder.

    A subclass names its stage, adds its ports and outputs, and says in :meth:`worker_input` what goes into
    ``input.json``. Frames of the port ``frames`` and packages of the namespace ``committee`` are copied by themselves.
    """

    STAGE: ClassVar[str]
    RETRIEVE: ClassVar[tuple[str, ...]] = ()
    """Files beside ``output.json`` that the parser needs; a name that does not appear is no error for the engine."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare what every stage has in common."""
        super().define(spec)
        spec.input("metadata.options.parser_name", valid_type=str, default=f"nvp.{cls.__module__.rsplit('.', 1)[-1]}")
        spec.input("metadata.options.output_filename", valid_type=str, default="worker.out")
        spec.input("metadata.options.resources", valid_type=dict, default=dict(_ONE_CORE))
        spec.input("metadata.options.withmpi", valid_type=bool, default=False)
        spec.exit_code(210, "ERROR_WORKER_INPUT", message="The worker refused its input: {message}")
        spec.exit_code(300, "ERROR_NO_RETRIEVED", message="The folder of the job could not be retrieved.")
        spec.exit_code(
            301,
            "ERROR_WORKER_KILLED",
            message="The worker left neither output nor error: killed, out of memory or out of time. {message}",
            invalidates_cache=True,
        )
        spec.exit_code(302, "ERROR_OUTPUT_INVALID", message="The output of the worker cannot be used: {message}")
        spec.exit_code(
            310, "ERROR_WORKER_FAILED", message="The worker failed unexpectedly: {message}", invalidates_cache=True
        )

    def worker_input(self) -> dict[str, Any]:
        """Return the content of ``input.json``."""
        raise NotImplementedError

    def processes(self) -> int:
        """Return how many processes of one job share its cores."""
        return 1

    def extra_files(self) -> list[tuple[str, str, str]]:
        """Return more ``(node uuid, name in node, name in job)`` to copy."""
        return []

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write ``input.json`` and list the files that go in and come back."""
        content = json.dumps(self.worker_input(), indent=1, sort_keys=True)
        with folder.open(INPUT_FILE, "w", encoding="utf-8") as handle:
            handle.write(content)

        code_info = CodeInfo()
        code_info.code_uuid = self.inputs.code.uuid
        code_info.cmdline_params = [self.STAGE, INPUT_FILE]
        code_info.stdout_name = self.inputs.metadata.options.output_filename
        code_info.join_files = True

        calc_info = CalcInfo()
        calc_info.codes_info = [code_info]
        calc_info.local_copy_list = [*self._frames_and_members(), *self.extra_files()]
        calc_info.retrieve_list = [code_info.stdout_name, PROGRESS_FILE, ERROR_FILE, OUTPUT_FILE]
        calc_info.retrieve_temporary_list = list(self.RETRIEVE)
        # One thread a process unless the scheduler granted more: oversubscribed cores cost a factor, not a percent.
        cores = self.inputs.metadata.options.resources.get("num_cores_per_mpiproc", 1)
        threads = max(1, cores // self.processes())
        calc_info.prepend_text = f"export OMP_NUM_THREADS={threads}"
        return calc_info

    def _frames_and_members(self) -> list[tuple[str, str, str]]:
        files = []
        if "frames" in self.inputs:
            files.append((self.inputs.frames.uuid, DatasetData.FRAMES_FILE, FRAMES_FILE))
        members = committee_members(self.inputs.get("committee", {}))
        for index, member in enumerate(members):
            files.append((member.uuid, member.filename, member_file(index)))
        # The last layer is asked of the member that drives.
        if members and members[0].has_statistics:
            files.append((members[0].uuid, STATISTICS_FILE, STATISTICS_FILE))
        return files


def granted_cores(resources: Mapping[str, Any]) -> int:
    """Return the number of cores behind the resources of a job; one where they say nothing."""
    each = int(resources.get("num_machines", 1)) * int(resources.get("num_mpiprocs_per_machine", 1))
    return int(resources.get("tot_num_mpiprocs", each)) * int(resources.get("num_cores_per_mpiproc", 1))


def define_committee(spec: CalcJobProcessSpec) -> None:
    """Add the namespace ``committee``: potentials under keys that sort into member order (``member_0`` ...)."""
    spec.input_namespace("committee", dynamic=True, valid_type=PotentialData, help="Members of the committee.")


def committee_members(committee: Mapping[str, PotentialData]) -> list[PotentialData]:
    """Return the members in order of their number."""
    return [committee[key] for key in sorted(committee, key=lambda key: int(key.rsplit("_", 1)[-1]))]


def seed_port(spec: CalcJobProcessSpec) -> None:
    """Add the port ``seed``: no process with chance in it runs without one."""
    spec.input("seed", valid_type=orm.Int, serializer=orm.to_aiida_type, help="Seed of all random numbers of this job.")


__all__ = ("ARRAYS_FILE", "WorkerCalculation", "committee_members", "define_committee", "granted_cores", "seed_port")
