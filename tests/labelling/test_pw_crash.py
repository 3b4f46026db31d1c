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


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (
            "u-without-manifold",
            "determine_hubbard_occ (1): Mismatch between the requested and available manifolds: U was asked for on 3d "
            "of Na, whose pseudopotential has 2s 3s 2p 3p.",
        ),
        ("without-pseudopotential", "readpp (1): file ./pseudo/Na.missing.UPF not found."),
        ("overlap", "check_atoms (1): atoms #   5 and #   6 overlap!"),
        ("odd-electrons-fixed", "electrons (1): charge is wrong: smearing is needed."),
    ],
)
def test_bad_input_is_told_in_the_words_of_a_real_run(run, words):
    text = (FIXTURES / f"na3vo4-{run}-7.2.tail.out").read_text()
    assert last_words(text) == f"pw.x gave up in {words}"


def test_a_hubbard_error_of_another_kind_has_no_shells_to_tell():
    text = BOX.format("card_hubbard", 1, "Hubbard atom name missing or wrong or too long")
    assert last_words(text) == "pw.x gave up in card_hubbard (1): Hubbard atom name missing or wrong or too long."
