"""Measured curves from plain files: two or three columns of text or CSV, or YAML, with what is known about them.

Text and CSV files begin with lines ``# key: value``, which together are YAML; YAML files hold the same keys and the
columns under ``data``. A third column is the standard error of the second::

    # quantity: T(r)
    # technique: neutron diffraction
    # composition: {oxides: {V2O5: 50, P2O5: 50}, reduced: {V: 0.352}}
    # x_unit: angstrom
    # y_unit: barn/angstrom^2
    # q_max: 30
    # window: lorch
    # doi: 10.1016/j.jnoncrysol.2011.09.038
    1.20  0.013
    1.22  0.017
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiida_nvp.analysis.experiment.composition import GlassComposition
from aiida_nvp.analysis.experiment.units import QUANTITIES, unit_of
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.validation import validated

Positive = Annotated[float, Field(gt=0)]

_COLUMNS = (2, 3)
_YAML = {".yaml", ".yml"}


class Metadata(BaseModel):
    """What is known about a measurement.

    :param quantity: ``S(Q)``, ``g(r)``, ``G(r)``, ``T(r)``, ``conductivity``, ``density`` or ``Qn``.
    :param technique: in words, for example ``neutron diffraction``, ``impedance spectroscopy`` or ``31P NMR``.
    :param composition: of the sample.
    :param x_unit, y_unit: of the columns of the file; values are converted when it is read.
    :param temperature: of the sample in K.
    :param q_max: end of the measured range behind a function of r (1/angstrom); its absence means that the curve is
        not broadened by it.
    :param window: how the range was ended in the transform: ``none`` for a step, or ``lorch``.
    :param resolution: full width at half maximum of the instrument in Q (1/angstrom).
    :param normalisation: in words, for example ``Faber-Ziman``.
    :param species: of Q^n: the former.
    :param carriers: of a conductivity: ``total``, as measured by impedance, or the ion that carries the current.
    :param doi, source: where the curve is from; one of them is needed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantity: Literal["S(Q)", "g(r)", "G(r)", "T(r)", "conductivity", "density", "Qn"]
    technique: str
    composition: GlassComposition
    x_unit: str
    y_unit: str
    temperature: Positive | None = None
    q_max: Positive | None = None
    window: Literal["none", "lorch"] = "none"
    resolution: Positive | None = None
    normalisation: str | None = None
    species: str | None = None
    carriers: str = "total"
    doi: str | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if not (self.doi or self.source):
            raise ValueError("a measurement needs a `doi` or a `source`")
        if self.quantity == "Qn" and not self.species:
            raise ValueError("Qn needs `species`, the former whose Q^n it is")
        if self.window != "none" and self.q_max is None:
            raise ValueError(f"window {self.window} needs `q_max`")
        return self


@dataclass(frozen=True)
class Curve:
    """A measured curve of P points, converted to the units that its quantity is kept in.

    :param about: what is known about it, with the units that it has now.
    :param x: (P,) rising.
    :param y: (P,).
    :param error: (P,) standard errors of ``y``, or None.
    """

    about: Metadata
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    error: NDArray[np.float64] | None


def read_curve(path: str | Path, about: Mapping[str, Any] | None = None) -> Curve:
    """Read a measured curve.

    :param about: metadata that go before those of the file, for files without any.
    :raises InputError: if the file is missing or no text, a line has not two or three numbers, a value is not finite,
        a point occurs twice, an error is not positive, or the metadata do not fit; the message names the line.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"there is no measured curve {file.name}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file.name} is not a readable text file: {error}.") from error
    stated, table = _from_yaml(file.name, text) if file.suffix in _YAML else _from_text(file.name, text)
    metadata = validated(Metadata, {**stated, **(about or {})}, f"{file.name}", "metadata")
    return _curve(file.name, metadata, table)


def _from_yaml(name: str, text: str) -> tuple[dict[str, Any], NDArray[np.float64]]:
    values = _parsed(name, text)
    rows = values.pop("data", None)
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{name}: `data` must be a list of rows of two or three numbers.")
    return values, _table(name, [(f"row {number}", row) for number, row in enumerate(rows, 1)])


def _from_text(name: str, text: str) -> tuple[dict[str, Any], NDArray[np.float64]]:
    header, rows = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            header.append(line[1:].removeprefix(" "))
        elif line.strip():
            rows.append((f"line {number}", _fields(line)))
    # One line of column names, as spreadsheets write it.
    if rows and not _is_number(rows[0][1][0]):
        rows = rows[1:]
    if not rows:
        raise InputError(f"{name} has no line of numbers.")
    return _parsed(name, "\n".join(header)), _table(name, rows)


def _fields(line: str) -> list[str]:
    for separator in (";", ",", "\t"):
        if separator in line:
            return [field.strip() for field in line.split(separator)]
    return line.split()


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _parsed(name: str, text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{name}: the header is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise InputError(f"{name}: the header must be lines `# key: value`.")
    return values


def _table(name: str, rows: list[tuple[str, Any]]) -> NDArray[np.float64]:
    widths = set()
    for where, row in rows:
        if not isinstance(row, list) or len(row) not in _COLUMNS or not all(map(_is_number, row)):
            shown = row if isinstance(row, str) else " ".join(map(str, row)) if isinstance(row, list) else str(row)
            raise InputError(f"{name}, {where}: two or three numbers with decimal points are expected, not {shown!r}.")
        widths.add(len(row))
    if len(widths) > 1:
        raise InputError(f"{name}: some rows have two numbers and some have three.")
    table = np.array([[float(value) for value in row] for _, row in rows])
    if not np.isfinite(table).all():
        where = rows[int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])][0]
        raise InputError(f"{name}, {where}: a value is not finite.")
    return table


def _curve(name: str, about: Metadata, table: NDArray[np.float64]) -> Curve:
    try:
        x_unit, y_unit = unit_of(about.quantity, "x", about.x_unit), unit_of(about.quantity, "y", about.y_unit)
    except InputError as fault:
        raise InputError(f"{name}: {fault}") from fault
    if about.x_unit == "1000/K" and (table[:, 0] <= 0).any():
        raise InputError(f"{name}: inverse temperatures must be positive.")
    x, y = x_unit.convert(table[:, 0]), y_unit.convert(table[:, 1])
    error = np.abs(y_unit.slope(table[:, 1])) * table[:, 2] if table.shape[1] == max(_COLUMNS) else None
    order = np.argsort(x, kind="stable")
    if (np.diff(x[order]) == 0).any():
        twice = x[order][1:][np.diff(x[order]) == 0][0]
        raise InputError(f"{name}: x = {twice:g} {x_unit.kept} occurs twice.")
    if error is not None and not (error > 0).all():
        raise InputError(f"{name}: every standard error in the third column must be positive.")
    if QUANTITIES[about.quantity].positive and not (y > 0).all():
        raise InputError(f"{name}: a {about.quantity} must be positive.")
    kept = about.model_copy(update={"x_unit": x_unit.kept, "y_unit": y_unit.kept})
    return Curve(kept, x[order], y[order], None if error is None else error[order])
