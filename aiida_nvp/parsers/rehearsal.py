"""Parser of the rehearsal labeller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode

from aiida_nvp.parsers.base import WorkerParser
from aiida_nvp.worker.job import ARRAYS_FILE


class RehearsalParser(WorkerParser):
    """Turn the steps of a rehearsal job into the nodes that a pw.x job would give."""

    def parse_output(self, output: dict[str, Any], folder: Path) -> ExitCode | None:
        """Attach ``output_trajectory`` and ``output_parameters``."""
        with np.load(folder / ARRAYS_FILE, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        structure = self.node.inputs.structure
        trajectory = orm.TrajectoryData()
        trajectory.set_trajectory(
            symbols=[site.kind_name for site in structure.sites],
            positions=arrays.pop("positions"),
            cells=arrays.pop("cells"),
            stepids=np.arange(len(arrays["energy"])),
            pbc=structure.pbc,
        )
        for name, values in arrays.items():
            trajectory.set_array(name, values)
        self.out("output_trajectory", trajectory)
        self.out("output_parameters", orm.Dict(output))
        return None
