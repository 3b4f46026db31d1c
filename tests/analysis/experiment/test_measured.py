"""Files as people have them, and files that are broken."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_nvp.analysis.experiment.measured import read_curve
from aiida_nvp.common.errors import InputError

ABOUT = {
    "quantity": "S(Q)",
    "technique": "neutron diffraction",
    "composition": {"oxides": {"V2O5": 50, "P2O5": 50}},
    "x_unit": "1/angstrom",
    "y_unit": "1",
    "source": "beam time",
}
HEADER = """# quantity: S(Q)
# technique: neutron diffraction
# composition:
#   oxides: {V2O5: 50, P2O5: 50}
#   reduced: {V: 0.352}
# x_unit: 1/angstrom
# y_unit: "1"
# q_max: 30
# window: lorch
# doi: 10.1016/j.jnoncrysol.2011.09.038
"""


def write(folder, text, name="curve.dat"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "body",
    [
        "0.5 0.1\n1.0 0.2\n\n1.5 0.4\n",
        "Q,S\n0.5,0.1\n1.0, 0.2\n1.5,0.4\n",
        "1.5\t0.4\n0.5\t0.1\n1.0\t2e-1\n",
        "0.5;0.1\r\n1.0;0.2\r\n1.5;0.4\r\n",
    ],
)
def test_columns_of_any_make(tmp_path, body):
    curve = read_curve(write(tmp_path, HEADER + body))
    assert curve.x.tolist() == [0.5, 1.0, 1.5]
    assert curve.y.tolist() == [0.1, 0.2, 0.4]
    assert curve.error is None
    assert curve.about.composition.reduced == {"V": 0.352}
    assert (curve.about.q_max, curve.about.window) == (30, "lorch")


def test_yaml_and_stated_metadata(tmp_path):
    text = "quantity: S(Q)\ndata: [[0.5, 0.1, 0.01], [1.0, 0.2, 0.02]]\n"
    stated = {key: value for key, value in ABOUT.items() if key != "quantity"}
    curve = read_curve(write(tmp_path, text, "curve.yaml"), stated)
    assert curve.error.tolist() == [0.01, 0.02]
    assert curve.about.source == "beam time"
    assert read_curve(write(tmp_path, "1 2\n3 4\n"), ABOUT).y.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("quantity", "units", "row", "expected"),
    [
        ("S(Q)", ("1/nm", "1"), (15.0, 0.9, 0.1), (1.5, 0.9, 0.1)),
        ("G(r)", ("nm", "1/nm^2"), (0.16, 50.0, 2.0), (1.6, 0.5, 0.02)),
        ("T(r)", ("angstrom", "barn/angstrom^2"), (1.6, 0.5, 0.02), (1.6, 0.5, 0.02)),
        ("conductivity", ("1000/K", "log10(S/cm)"), (2.0, -6.0, 0.1), (500.0, 1e-6, 1e-6 * np.log(10) * 0.1)),
        ("conductivity", ("degC", "S/m"), (30.0, 1e-6, 1e-7), (303.15, 1e-8, 1e-9)),
        ("density", ("K", "kg/m3"), (298.0, 2820.0, 10.0), (298.0, 2.82, 0.01)),
        ("Qn", ("n", "%"), (2.0, 80.0, 3.0), (2.0, 0.8, 0.03)),
    ],
)
def test_units_are_converted_with_their_errors(tmp_path, quantity, units, row, expected):
    about = {**ABOUT, "quantity": quantity, "x_unit": units[0], "y_unit": units[1], "species": "P"}
    curve = read_curve(write(tmp_path, " ".join(map(str, row))), about)
    assert (curve.x[0], curve.y[0], curve.error[0]) == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("body", "change", "sentence"),
    [
        ("0.5 0.1\n1.0\n", {}, "line 2: two or three numbers"),
        ("0.5 0.1\n1,0;0,2\n", {}, r"decimal points are expected, not '1,0 0,2'"),
        ("0.5 0.1\n1.0 0.2 0.1\n", {}, "some rows have two"),
        ("0.5 nan\n", {}, "line 1: a value is not finite"),
        ("0.5 1\n0.5 2\n", {}, "x = 0.5 1/angstrom occurs twice"),
        ("0.5 1 0\n", {}, "third column must be positive"),
        ("", {}, "no line of numbers"),
        ("0.5 1\n", {"quantity": "colour"}, "quantity"),
        ("0.5 1\n", {"x_unit": "miles"}, r"x of S\(Q\) is given in 'miles'; known units are 1/angstrom, 1/nm"),
        ("0.5 1\n", {"source": None}, "needs a `doi` or a `source`"),
        ("0.5 1\n", {"window": "lorch"}, "needs `q_max`"),
        ("0.5 1\n", {"shoe_size": 43}, "shoe_size"),
        ("0.5 1\n", {"quantity": "Qn", "x_unit": "n"}, "needs `species`"),
        ("0.5 -1\n", {"quantity": "density", "x_unit": "K", "y_unit": "g/cm3"}, "density must be positive"),
        ("0 1\n", {"quantity": "conductivity", "x_unit": "1000/K", "y_unit": "S/m"}, "must be positive"),
        ("# {a\n1 2\n", {}, "the header is not YAML"),
        ("# just words\n1 2\n", {}, "lines `# key: value`"),
    ],
)
def test_broken_files_give_a_sentence_with_the_place(tmp_path, body, change, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        read_curve(write(tmp_path, body), {**ABOUT, **change})
    assert "curve.dat" in str(caught.value)


def test_files_that_are_no_curve(tmp_path):
    with pytest.raises(InputError, match=r"there is no measured curve none\.dat"):
        read_curve(tmp_path / "none.dat")
    (tmp_path / "bytes.dat").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="not a readable text file"):
        read_curve(tmp_path / "bytes.dat", ABOUT)
    with pytest.raises(InputError, match="`data` must be a list"):
        read_curve(write(tmp_path, "quantity: S(Q)\n", "empty.yaml"), ABOUT)
    with pytest.raises(InputError, match="row 2: two or three numbers"):
        read_curve(write(tmp_path, "data: [[1, 2], [3]]\n", "short.yaml"), ABOUT)
