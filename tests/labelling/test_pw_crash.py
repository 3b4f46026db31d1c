from pathlib import Path

import pytest

from aiida_nvp.labelling.pw_crash import last_words

FIXTURES = Path(__file__).parents[1] / "fixtures" / "pw"
BOX = " %%%%\n     Error in routine {} ({}):\n     {}\n %%%%\n"


def test_a_full_disk_is_named_with_the_file_that_did_not_fit():
    text = (FIXTURES / "navpo5-disk-full-7.2.tail.out").read_text()
    assert last_words(text) == (
        "pw.x gave up in write_rhog (4): error writing file ./out/aiida.save/charge-density; "
        "is the disk of the job's folder full?"
    )


@pytest.mark.parametrize("text", ["", "JOB DONE.", (FIXTURES / "na3vo4-unconverged-atomic-7.2.tail.out").read_text()])
def test_a_run_that_did_not_give_up_says_nothing(text):
    assert last_words(text) == ""


def test_the_last_of_several_errors_counts():
    text = BOX.format("cdiaghg", 121, "problems computing cholesky") + BOX.format("electrons", -1, "charge is wrong")
    assert last_words(text) == "pw.x gave up in electrons (-1): charge is wrong."
