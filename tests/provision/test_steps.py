from aiida_nvp.provision.steps import Outcome, Steps


def test_every_step_is_one_line_and_changes_are_remembered():
    lines = []
    steps = Steps(lines.append)
    assert steps.do("first", lambda value: Outcome(value * 2, "doubled", changed=True), 21) == 42
    assert steps.do("second", lambda: Outcome(None, "was there", changed=False)) is None
    assert steps.changed == ["first"]
    assert [line[0] for line in lines] == ["+", "="]
    assert "doubled" in lines[0]
    assert "was there" in lines[1]
