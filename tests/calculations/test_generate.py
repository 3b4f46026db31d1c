import io

import pytest
from aiida import orm
from ase.build import bulk
from ase.io import write

from aiida_nvp.calculations.generate import generate

pytestmark = pytest.mark.usefixtures("aiida_profile")

CELL = {"name": "NaVPO5", "oxides": {"Na2O": 1, "V2O5": 1, "P2O5": 1}, "reduced": {"V": 1.0}, "atoms": 8, "copies": 2}


def run(parameters, seed=1):
    return generate.run_get_node(parameters=orm.Dict(parameters), seed=orm.Int(seed))


def test_packed_cells_and_crystals():
    text = io.BytesIO()
    write(text, bulk("NaCl", "rocksalt", a=5.6, cubic=True), format="cif")
    crystal = {"name": "salt", "cif": text.getvalue().decode(), "rattle": 0.05, "remove": {"Na": 1}, "copies": 2}
    made, node = run({"cells": [CELL], "crystals": [crystal]})
    assert node.is_finished_ok
    assert made.base.attributes.get("n_frames") == 4
    assert not made.base.attributes.get("labelled")
    origins = [entry["origin"] for entry in made.frames.info]
    assert [(o["kind"], o["name"], o["copy"]) for o in origins] == [
        ("packed", "NaVPO5", 0),
        ("packed", "NaVPO5", 1),
        ("crystal", "salt", 0),
        ("crystal", "salt", 1),
    ]
    assert origins[0]["unpaired_electrons"] == 1
    assert len(set(made.frames.ids())) == 4
    assert len(made.frames.atoms(2)) == 7


def test_seed_decides_the_hash():
    first, again, other = (run({"cells": [CELL]}, seed)[0].frames.content_hash for seed in (5, 5, 6))
    assert first == again != other


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "nothing to generate"),
        ({"cells": [{**CELL, "atoms": 9}]}, "cells[0] (NaVPO5): no whole, neutral cell of 9 atoms"),
        ({"cells": [{**CELL, "density_g_cm3": 15.0}]}, "can be reached"),
        ({"cells": [{"name": "x", "atoms": 8}]}, "cells[0] (x): `oxides` is missing"),
        ({"crystals": [{"name": "x", "cif": "nonsense"}]}, "crystals[0] (x): "),
    ],
)
def test_bad_input_ends_with_a_sentence(parameters, words):
    _, node = run(parameters)
    assert node.exit_status == 210
    assert words in node.exit_message


def test_a_grid_stands_for_its_cells():
    grid = {"name": "NP", "oxides": {"Na2O": [1, 2], "P2O5": 1}, "atoms": 26, "copies": 2}
    frames = generate(orm.Dict({"grids": [grid]}), orm.Int(3)).frames
    assert [entry["origin"]["name"] for entry in frames.info] == ["NP Na5P5O15"] * 2 + ["NP Na8P4O14"] * 2
    _, node = generate.run_get_node(
        orm.Dict({"grids": [{**grid, "oxides": {"Na2O": 99, "P2O5": 1}, "atoms": 12}]}), orm.Int(3)
    )
    assert node.exit_status == 210
    assert "grids[0] (NP): no whole, neutral cell of about 12 atoms" in node.exit_message
