"""Train a committee: one Allegro model a member, each with its own seed.

python workchains/03_train.py DATASET [potentials/nvp-tiny]
"""

import sys
from pathlib import Path

from aiida import load_profile, orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_nvp.common.potential import load_potential
from aiida_nvp.common.seeds import derive_seed

DEFAULT = Path(__file__).parents[1] / "potentials" / "nvp-tiny"


def main(dataset: int, potential: str | Path = DEFAULT, epochs: int = 5) -> list[orm.Data]:
    """Train all members on the labelled data set with this pk and return their potentials."""
    definition = load_potential(potential).plain()
    definition["training"]["epochs"] = epochs
    frames = orm.load_node(dataset)
    shifts, _ = run_get_node(CalculationFactory("nvp.energy_shifts"), dataset=frames, definition=orm.Dict(definition))
    committee = []
    for member in range(definition["committee"]["members"]):
        builder = WorkflowFactory("nvp.train").get_builder()
        builder.train.frames = frames
        builder.train.definition = orm.Dict(definition)
        builder.train.shifts = shifts
        builder.train.seed = orm.Int(derive_seed(2025, "train", member))
        builder.train.code = orm.load_code("nvp-worker@localhost")
        outputs, node = run_get_node(builder)
        print(f"train<{node.pk}> made potential {outputs['potential'].pk}")
        committee.append(outputs["potential"])
    return committee


if __name__ == "__main__":
    load_profile()
    main(int(sys.argv[1]), *sys.argv[2:])
