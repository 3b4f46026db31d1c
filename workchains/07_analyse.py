"""Measure a production run: distances, coordination, mobility.

python workchains/07_analyse.py TRAJECTORY
"""

import sys

from aiida import load_profile, orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory

PARAMETERS = {
    "stages": [{"index": 1, "name": "hold 900 K", "temperature": 900}],
    "pairs": {"P-O": 2.2, "V-O": 2.5, "Na-O": 3.1},
    "mobile": "Na",
    "bin_width": 0.05,
}


def main(trajectory: int) -> orm.Dict:
    """Analyse the trajectory with this pk and return the results."""
    builder = CalculationFactory("nvp.analyse").get_builder()
    builder.trajectory = orm.load_node(trajectory)
    builder.parameters = orm.Dict(PARAMETERS)
    builder.code = orm.load_code("nvp-worker@localhost")
    outputs, node = run_get_node(builder)
    print(f"analyse<{node.pk}> measured {', '.join(outputs['results'].get_dict())}")
    return outputs["results"]


if __name__ == "__main__":
    load_profile()
    main(int(sys.argv[1]))
