"""Pack glass cells: oxides, a V4+ fraction and a number of atoms become neutral cells without overlaps.

python workchains/01_generate.py
"""

from aiida import load_profile, orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory


def main() -> orm.Data:
    """Make two compositions, three cells, and return the data set node."""
    cells = {
        "cells": [
            {
                "name": "NaVPO5",
                "oxides": {"Na2O": 1, "V2O5": 1, "P2O5": 1},
                "reduced": {"V": 1.0},
                "atoms": 8,
                "copies": 2,
            },
            {"name": "NaPO3", "oxides": {"Na2O": 1, "P2O5": 1}, "atoms": 10},
        ]
    }
    frames, node = run_get_node(CalculationFactory("nvp.generate"), parameters=orm.Dict(cells), seed=orm.Int(2025))
    print(f"generate<{node.pk}> made data set {frames.pk}: {frames.base.attributes.get('compositions')}")
    return frames


if __name__ == "__main__":
    load_profile()
    main()
