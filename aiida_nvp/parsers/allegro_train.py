"""Parser of one training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode

from aiida_nvp.calculations.allegro_train import PACKAGE_FILE
from aiida_nvp.calculations.base import ARRAYS_FILE
from aiida_nvp.common.potential import STATISTICS_FILE
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.parsers.base import WorkerParser

_OF_THE_POTENTIAL = ("types", "cutoff", "seed")


class AllegroTrainParser(WorkerParser):
    """Attach the package, the metrics and the results."""

    def parse_output(self, output: dict[str, Any], folder: Path) -> ExitCode | None:
        """Attach outputs; a missing or damaged file is invalid output."""
        described = {name: output[name] for name in _OF_THE_POTENTIAL}
        potential = PotentialData(folder / PACKAGE_FILE, versions=output["versions"], **described)
        potential.set_origin(self.node.inputs.frames.base.attributes.get("level_of_theory"))
        potential.attach_statistics(folder / STATISTICS_FILE)
        metrics = orm.ArrayData()
        with np.load(folder / ARRAYS_FILE, allow_pickle=False) as stored:
            for name in stored.files:
                metrics.set_array(name, stored[name])
        self.out("potential", potential)
        self.out("metrics", metrics)
        self.out("results", orm.Dict(output))
        return None
