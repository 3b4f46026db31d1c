"""LAMMPS dumps: every set of columns gives the same frame, and what is missing gets a sentence."""

import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.lammps_dump import read_dump

CELL = np.array([[6.0, 0, 0], [1.5, 5.0, 0], [-1.0, 0.5, 7.0]])
ORIGIN = np.array([0.5, -1.0, 2.0])
FRACTIONAL = np.array([[0.1, 0.2, 0.3], [0.9, 0.5, 0.6]])
IMAGES = np.array([[0, 0, 0], [1, -1, 0]])


def bounds():
    xy, xz, yz = CELL[1, 0], CELL[2, 0], CELL[2, 1]
    low, high = ORIGIN.copy(), ORIGIN + np.diag(CELL)
    low[0] += min(0, xy, xz, xy + xz)
    high[0] += max(0, xy, xz, xy + xz)
    low[1] += min(0, yz)
    high[1] += max(0, yz)
    return "\n".join(f"{a} {b} {t}" for a, b, t in zip(low, high, (xy, xz, yz), strict=True))


def text(columns, values, header="xy xz yz pp pp pp", head=""):
    rows = "\n".join(f"{2 - i} {2 - i} {' '.join(map(repr, map(float, row)))}" for i, row in enumerate(values))
    return (
        f"{head}ITEM: TIMESTEP\n100\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS {header}\n{bounds()}\n"
        f"ITEM: ATOMS id type {columns}\n{rows}\n"
    )


@pytest.mark.parametrize(
    ("columns", "values", "unwrapped"),
    [
        ("x y z", FRACTIONAL @ CELL + ORIGIN, False),
        ("xs ys zs", FRACTIONAL, False),
        ("x y z ix iy iz", np.hstack([FRACTIONAL @ CELL + ORIGIN, IMAGES]), True),
        ("xu yu zu", (FRACTIONAL + IMAGES) @ CELL + ORIGIN, True),
        ("xsu ysu zsu", FRACTIONAL + IMAGES, True),
    ],
)
def test_all_kinds_of_columns(tmp_path, columns, values, unwrapped):
    path = tmp_path / "dump.lammpstrj"
    path.write_text(text(columns, values))
    (frame,) = read_dump(path, ("Na", "O"))
    assert frame.unwrapped is unwrapped
    np.testing.assert_allclose(frame.cell, CELL)
    # Atoms come in the order of their ids, which the file has the other way round.
    assert frame.numbers.tolist() == [11, 8]
    expected = (FRACTIONAL + (IMAGES if unwrapped else 0)) @ CELL
    shift = frame.positions[::-1] - expected
    np.testing.assert_allclose(shift - shift[0], 0, atol=1e-9)


def test_a_frame_that_breaks_off_is_left_out(tmp_path):
    whole = text("xs ys zs", FRACTIONAL)
    (tmp_path / "d").write_text(whole + whole[:-20])
    assert len(list(read_dump(tmp_path / "d", ("Na", "O")))) == 1


@pytest.mark.parametrize(
    ("content", "species", "sentence"),
    [
        (text("xs ys zs", FRACTIONAL), (), "give `species`"),
        (text("xs ys zs", FRACTIONAL), ("Na",), "atoms of type 2, but `species` names 1"),
        (text("xs ys zs", FRACTIONAL), ("Na", "Xx"), "Xx is no chemical symbol"),
        (text("vx vy vz", FRACTIONAL), ("Na", "O"), "no columns of positions"),
        (text("xs ys zs", FRACTIONAL, "xy xz yz pp pp ff"), ("Na", "O"), "not periodic in all three"),
        (text("xs ys zs", FRACTIONAL, "abc origin pp pp pp"), ("Na", "O"), "general orientation"),
        ("1\n2\n", (), "is no LAMMPS text dump"),
    ],
)
def test_what_cannot_be_read_gets_a_sentence(tmp_path, content, species, sentence):
    (tmp_path / "d").write_text(content)
    with pytest.raises(InputError, match=sentence):
        list(read_dump(tmp_path / "d", species))
