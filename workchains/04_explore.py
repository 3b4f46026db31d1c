"""Explore with MD on one member while the committee watches.

python workchains/04_explore.py DATASET POTENTIAL POTENTIAL [POTENTIAL ...]
"""

import sys

from aiida import load_profile, orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory


def main(dataset: int, *committee: int) -> orm.Data:
    """Start from the frames of the data set and return the candidates."""
    builder = CalculationFactory("nvp.explore").get_builder()
    builder.frames = orm.load_node(dataset)
    builder.committee = {f"member_{n}": orm.load_node(pk) for n, pk in enumerate(committee)}
    builder.parameters = orm.Dict(
        {
            "schedules": [[{"steps": 60, "temperature_from": 300, "temperature_to": 900}]],
            "replicas": 4,
            "stride": 10,
            "timestep_fs": 1.0,
            "friction_per_fs": 0.02,
            "break_threshold": 12.0,
            "max_temperature": 6000.0,
            "min_distance_scale": 0.6,
            "processes": 1,
        }
    )
    builder.seed = orm.Int(2025)
    builder.code = orm.load_code("nvp-worker@localhost")
    outputs, node = run_get_node(builder)
    for replica in outputs["results"]["replicas"]:
        print(f"replica {replica['index']}: {replica['steps']} steps, {replica['stop_reason']}")
    print(f"explore<{node.pk}> made data set {outputs['candidates'].pk}")
    return outputs["candidates"]


if __name__ == "__main__":
    load_profile()
    main(*(int(pk) for pk in sys.argv[1:]))
