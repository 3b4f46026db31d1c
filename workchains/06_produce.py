"""Production MD on a larger cell with the uncertainty along the run.

python workchains/06_produce.py POTENTIAL POTENTIAL [POTENTIAL ...]
"""

import sys

from aiida import load_profile, orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory, WorkflowFactory

CELL = {
    "cells": [
        {"name": "NaVPO5", "oxides": {"Na2O": 1, "V2O5": 1, "P2O5": 1}, "reduced": {"V": 1.0}, "atoms": 64},
    ]
}
RUN = {
    "relax_steps": 20,
    "schedule": [
        {"name": "heat", "steps": 40, "temperature_from": 300, "temperature_to": 900},
        {"name": "hold 900 K", "steps": 60, "temperature_from": 900, "temperature_to": 900},
    ],
    "timestep_fs": 1.0,
    "friction_per_fs": 0.02,
    "dump_every": 2,
    "committee_every": 20,
    "max_temperature": 8000.0,
}


def main(*committee: int) -> orm.ProcessNode:
    """Pack a cell, heat and hold it, and return the process node."""
    generate = CalculationFactory("nvp.generate")
    frames, _ = run_get_node(generate, parameters=orm.Dict(CELL), seed=orm.Int(7))
    builder = WorkflowFactory("nvp.produce").get_builder()
    builder.md.frames = frames
    builder.md.committee = {f"member_{n}": orm.load_node(pk) for n, pk in enumerate(committee)}
    builder.md.parameters = orm.Dict(RUN)
    builder.md.seed = orm.Int(7)
    builder.md.code = orm.load_code("nvp-worker@localhost")
    _, node = run_get_node(builder)
    print(f"produce<{node.pk}> ended with {node.exit_status}: {node.exit_message or 'all stages done'}")
    return node


if __name__ == "__main__":
    load_profile()
    main(*(int(pk) for pk in sys.argv[1:]))
