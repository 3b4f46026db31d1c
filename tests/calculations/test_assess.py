import pytest
from aiida import orm
from ase import Atoms

from aiida_nvp.calculations.assess import assess
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import StopReason, Verdict
from aiida_nvp.data.dataset import DatasetData

pytestmark = pytest.mark.usefixtures("aiida_profile")

PARAMETERS = {"target_force_error": 0.12, "max_cycles": 5, "max_labels": 50, "uncertain_share": 0.02}


def dataset(count):
    frames = [Atoms("O", cell=[5 + index] * 3, pbc=True) for index in range(count)]
    return DatasetData(FrameSet.from_atoms(frames))


def cycle(index, *, uncertain=0, error=0.1, stop=StopReason.COMPLETED, chosen=3, labelled=True):
    fresh = {"frames": 100, "uncertain": uncertain, "mean_excess": 0.5 if index == 0 else 0.01}
    found = {
        f"selection_{index}": orm.Dict({"rows": [], "fresh": fresh, "chosen": chosen}),
        f"exploration_{index}": orm.Dict({"replicas": [{"stop_reason": stop.value}]}),
    }
    if labelled:
        calibration = {
            "prospective": {"force_rmse": 9.0, "random": {"force_rmse": error}},
            "coverage": {"V": 0.9, "all": 0.5} if index else None,
            "scales": {"V": 1.0},
        }
        found[f"calibration_{index}"] = orm.Dict(calibration)
    return found


def run(history, count=3, **changes):
    return assess.run_get_node(orm.Dict({**PARAMETERS, **changes}), dataset(count), **history)


def test_converged():
    result, node = run({**cycle(0), **cycle(1), **cycle(2)})
    assert node.is_finished_ok
    found = result.get_dict()
    assert found["verdict"] == Verdict.CONVERGED
    assert found["cycle"] == 2
    assert found["labels"] == 3
    assert all(criterion["passed"] for criterion in found["criteria"])
    assert {"name", "passed", "value", "limit", "sentence"} == set(found["criteria"][0])


@pytest.mark.parametrize(
    ("stop", "passed"),
    [(StopReason.UNCERTAINTY, False), (StopReason.NOT_A_NUMBER, False), (StopReason.WALLTIME, True)],
)
def test_only_physical_breaks_count(stop, passed):
    result, _ = run(cycle(0, stop=stop))
    assert {c["name"]: c["passed"] for c in result["criteria"]}["breaks"] is passed


def test_budgets_and_continuation():
    assert run(cycle(0, error=0.9))[0]["verdict"] == Verdict.CONTINUE
    assert run(cycle(0, error=0.9), count=50)[0]["verdict"] == Verdict.LABELS_USED
    assert run(cycle(0, error=0.9), max_cycles=1)[0]["verdict"] == Verdict.CYCLES_USED
    assert run({**cycle(0), **cycle(1, chosen=0, labelled=False)})[0]["verdict"] == Verdict.NO_CANDIDATES


def test_whole_batch_stands_in_where_no_random_frame_was_labelled():
    history = cycle(0)
    history["calibration_0"] = orm.Dict({"prospective": {"force_rmse": 0.3, "random": None}, "scales": {}})
    assert {c["name"]: c["value"] for c in run(history)[0]["criteria"]}["force error"] == 0.3


@pytest.mark.parametrize(
    ("history", "changes", "words"),
    [
        ("empty", {}, "no cycle"),
        ("gap", {}, "`selection_0` is missing"),
        ("whole", {"max_labels": 0}, "max_labels"),
    ],
)
def test_bad_input_ends_with_a_sentence(history, changes, words):
    histories = {"empty": {}, "gap": cycle(1), "whole": cycle(0)}
    _, node = run(histories[history], **changes)
    assert node.exit_status == 210
    assert words in node.exit_message
