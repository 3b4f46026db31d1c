"""Mean and spread over replicas."""

import math

import numpy as np
import pytest

from aiida_nvp.analysis.replicas import combine


def test_numbers_are_averaged_where_all_have_them():
    one = {"a": 1.0, "b": {"c": 2, "only": 3}, "list": [1, 2], "text": "x", "flag": True, "hole": None}
    other = {"a": 3.0, "b": {"c": 2}, "list": [3, 2], "text": "x", "flag": True, "hole": 1.0}
    found = combine([one, other])
    assert found["a"] == {"mean": 2.0, "error": pytest.approx(math.sqrt(2) / math.sqrt(2)), "n": 2}
    assert found["b"] == {"c": {"mean": 2.0, "error": 0.0, "n": 2}}
    assert found["list"][0]["mean"] == 2.0
    assert set(found) == {"a", "b", "list"}


def test_one_replica_has_no_spread():
    assert combine([{"a": 1.0}]) == {}


def test_error_over_replicas_and_what_one_of_them_lacks():
    values = [1.0, 2.0, 4.0]
    (found,) = combine([{"x": value} for value in values]).values()
    assert (found["mean"], found["error"]) == (pytest.approx(7 / 3), pytest.approx(np.std(values, ddof=1) / np.sqrt(3)))
    assert combine([{"x": 1.0}, {"x": None}, {"x": 2.0}]) == {}
    assert combine([]) == {}
