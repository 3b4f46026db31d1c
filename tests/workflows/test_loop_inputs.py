"""What the loop refuses before anything is paid for: one sentence each, with the port it is about."""

import pytest
from aiida import orm

from aiida_nvp.workflows.active_learning import ActiveLearningWorkChain
from aiida_nvp.workflows.loop_inputs import refuse

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


@pytest.fixture
def inputs(tiny_definition):
    """Plain values that the loop accepts."""
    return {
        "definition": tiny_definition.plain(),
        "exploration": {
            "schedules": [[{"steps": 20, "temperature_from": 300, "temperature_to": 300}]],
            "replicas": 4,
        },
        "selection": {"budget": 2, "lower": 0.1, "upper": 2.0},
        "calibration": {"target_force_error": 0.3},
        "stop": {"target_force_error": 0.3, "max_cycles": 1, "max_labels": 100},
        "seed_settings": {"mode": "relax", "relax_steps": 3},
        "label": {"settings": {"mode": "single_point"}},
    }


def refusal(plain):
    """What is said of these values, given as the nodes that they become."""
    nodes = {name: orm.Dict(values) for name, values in plain.items() if name != "label"}
    return refuse({**nodes, "label": {"settings": orm.Dict(plain["label"]["settings"])}})


def test_what_can_lead_to_a_potential_is_not_refused(inputs):
    assert refusal(inputs) == ""
    del inputs["seed_settings"]
    assert refusal(inputs) == ""


@pytest.mark.parametrize(
    ("port", "change", "words"),
    [
        ("definition", {"cutoff": 0.5}, "`definition`: parameters: cutoff: Input should be greater than 1"),
        ("definition", {"species": ["Na", "Vd"]}, "not chemical symbols: Vd"),
        ("definition", {"allegro": {"l_maximum": 1}}, "allegro.l_maximum: Extra inputs"),
        ("exploration", {"friction_per_fs": 20}, "`exploration`: parameters: friction_per_fs: Input should be less"),
        ("exploration", {"schedules": []}, "`exploration`: parameters: schedules"),
        ("exploration", {"replica": 4}, "replica: Extra inputs"),
        ("calibration", {"target_force_error": 0}, "`calibration`: calibration: the target force error must be"),
        ("calibration", {"target_force_error": "low"}, "must be a number in eV/angstrom, not 'low'"),
        ("calibration", {"target_force_error": None}, "must be a number in eV/angstrom, not None"),
        ("seed_settings", {"relax_steps": 0}, "`seed_settings`: label settings: relax_steps"),
        ("label", {"settings": {"mode": "anneal"}}, "`label.settings`: label settings: mode"),
        ("stop", {"max_labels": 0}, "`max_labels` is 0"),
        ("selection", {"budget": 0}, "selection: budget: Input should be greater"),
    ],
)
def test_each_port_is_read_as_its_reader_will(inputs, port, change, words):
    said = refusal({**inputs, port: {**inputs[port], **change}})
    assert words in said
    assert len(said.splitlines()) == 1


def test_a_refusal_has_an_exit_code_of_its_own():
    code = ActiveLearningWorkChain.spec().exit_codes.ERROR_INPUT_REFUSED
    assert code.status == 201
    assert code.format(message="why.").message == "The loop cannot start: why."
