import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.selection.settings import batch_settings

PARAMETERS = {"budget": 20, "lower": 0.1, "upper": 1.0}


@pytest.mark.parametrize(
    ("budget", "share", "count"), [(20, 0.15, 3), (20, 0.0, 0), (20, 0.001, 1), (1, 0.15, 0), (3, 1.0, 3)]
)
def test_how_many_are_drawn_at_random(budget, share, count):
    assert batch_settings({**PARAMETERS, "budget": budget, "random_share": share}, {}).n_random == count


def test_a_calibrated_threshold_goes_before_a_raw_one():
    found = batch_settings(PARAMETERS, {"lower": 0.2, "break": 3.0})
    assert (found.lower, found.upper) == (0.2, 1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": 0}, "budget: .*greater than or equal to 1"),
        ({"lower": 1.0}, "has to rise"),
        ({"random_share": 1.5}, "random_share"),
        ({"keep_most_uncertain": 0.0}, "keep_most_uncertain"),
        ({"max_per_replica": 0}, "max_per_replica"),
        ({"coordination": {"VO": 2.5}}, "`VO` is no pair of elements; write it as `P-O: 2.2`"),
        ({"min_distances": {"P-Qq": 2.5}}, "no pair of elements"),
        ({"density_g_cm3": [3.0, 2.0]}, "must rise"),
        ({"method": "best"}, "log_det"),
        ({"max_per_replcia": 3}, "max_per_replcia"),
    ],
)
def test_what_makes_no_sense_is_named(change, words):
    with pytest.raises(InputError, match=words):
        batch_settings({**PARAMETERS, **change}, {})


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="`upper` is missing"):
        batch_settings({"budget": 3, "lower": 0.1}, {})
