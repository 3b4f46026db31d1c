"""The queries of the tutorial, run as they stand on the page."""

import re
from pathlib import Path

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorials" / "first-campaign.md"


def test_queries_of_the_tutorial_find_what_they_say(built, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    names = {"campaign": built.campaign}
    for block in blocks:
        exec(block, names)
    pk, frames, compositions = names["found"][0]
    assert (pk, frames) == (built.dataset.pk, len(built.dataset))
    assert sum(compositions.values()) == frames
    assert list(names["errors"]) == ["cycle_0_calibrate", "cycle_1_calibrate"]
    assert names["errors"]["cycle_1_calibrate"] < names["errors"]["cycle_0_calibrate"]
    assert names["hottest"] in list(built.dataset.frames)
    assert str(pk) in capsys.readouterr().out
