"""Shortest distances and forbidden pairs."""

import numpy as np
import pytest

from aiida_nvp.analysis.structure.bonds import BondRules
from aiida_nvp.analysis.structure.distances import ShortestDistances, ShortPairs
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.common.errors import InputError

CELL = np.eye(3) * 10


def test_shortest_distances_and_forbidden_pairs(frame):
    numbers = [15, 8, 11, 8]
    one = frame(numbers, [[0, 0, 0], [9.5, 0, 0], [5, 5, 5], [9.5, 1.2, 0]], CELL)
    two = frame(numbers, [[0, 0, 0], [9.6, 0, 0], [5, 5, 5], [9.6, 1.6, 0]], CELL)
    rules = BondRules(one.numbers, {"P-O": 2.0})
    shortest = ShortestDistances(one.numbers)
    close = ShortPairs(one.numbers, {"P-O": 0.45, "O-O": 1.4, "Na-Na": 3.0})
    for seen in (one, two):
        environment = Environment.of(seen, rules, reach=3.5)
        shortest.add(environment)
        close.add(environment)
    assert shortest.result()["P-O"] == pytest.approx(0.4)
    assert shortest.result()["O-O"] == pytest.approx(1.2)
    assert shortest.result()["P-Na"] is None
    found = close.result()
    assert {name: number.mean for name, number in found.by_pair.items()} == {"P-O": 0.5, "O-O": 0.5, "Na-Na": 0}
    assert found.total.mean == 1
    assert found.total.error == pytest.approx(0)
    assert found.by_pair["P-O"].error == pytest.approx(0.5)


def test_bad_limits():
    with pytest.raises(InputError, match="shortest sound distance of P-O must be positive"):
        ShortPairs(np.array([15, 8]), {"P-O": -1.0})
    with pytest.raises(InputError, match="pair 'V-O' is not two species"):
        ShortPairs(np.array([15, 8]), {"V-O": 1.0})
