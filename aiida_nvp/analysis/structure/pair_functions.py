"""G(r) and T(r) as an experiment makes them: from its total S(Q), up to its Q_max, through its window.

G(r) = 4 pi r rho (g - 1) = 2/pi int Q (S(Q) - 1) M(Q) sin(Q r) dQ with the Faber-Ziman S(Q), and T(r) = G(r) + 4 pi rho
r. For X-rays the weights depend on Q, so that this is no plain sum of partial g(r): it has to be made from S(Q).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.statistics import FloatArray
from aiida_nvp.analysis.structure.rdf import Rdf
from aiida_nvp.analysis.structure.structure_factor import Radiation, from_rdf
from aiida_nvp.common.errors import InputError

Window = Literal["none", "lorch"]
_STEP_PER_RANGE = 0.25
"""Steps of Q are this share of pi over the longest distance: the transform of the transform then returns g(r)."""


@dataclass(frozen=True)
class PairFunctions:
    """Both functions on R distances.

    :param r: (R,) angstrom.
    :param big_g: (R,) G(r) in 1/angstrom^2.
    :param t: (R,) T(r) in 1/angstrom^2.
    """

    r: FloatArray
    big_g: FloatArray
    t: FloatArray


def pair_functions(
    q: FloatArray, s: FloatArray, r: FloatArray, density: float, window: Window = "lorch"
) -> PairFunctions:
    """Transform a total S(Q) that ends at Q_max.

    Below the first Q the integrand goes linearly to zero at Q = 0.

    :param q: (Q,) rising, 1/angstrom; the last is Q_max.
    :param s: (Q,) Faber-Ziman S(Q).
    :param r: (R,) angstrom.
    :param density: atoms per cubic angstrom.
    :param window: M(Q), 1 or sin(x) / x with x = pi Q / Q_max (Lorch 1969, DOI 10.1088/0022-3719/2/2/305).
    :raises InputError: if Q is too coarse for the distances, or does not rise.
    """
    if len(q) < len(("first", "last")) or not (np.diff(q) > 0).all() or not q[0] >= 0:
        raise InputError("Q must be positive and rise for a transform to G(r).")
    if np.diff(q).max() * r.max() > np.pi:
        raise InputError(
            f"points of S(Q) lie up to {np.diff(q).max():.3g} 1/angstrom apart; for G(r) up to {r.max():.3g} angstrom "
            f"they must lie within {np.pi / r.max():.3g}."
        )
    damping = np.sinc(q / q[-1]) if window == "lorch" else np.ones_like(q)
    odd = np.concatenate([[0.0], q * (s - 1) * damping])
    nodes = np.concatenate([[0.0], q])
    steps = np.zeros_like(nodes)
    steps[:-1] += np.diff(nodes) / 2
    steps[1:] += np.diff(nodes) / 2
    big_g: FloatArray = 2 / np.pi * np.sin(np.multiply.outer(r, nodes)) @ (odd * steps)
    return PairFunctions(r, big_g, big_g + 4 * np.pi * density * r)


def as_measured(
    rdf: Rdf, numbers: NDArray[Any], radiation: Radiation, q_max: float, window: Window = "lorch"
) -> PairFunctions:
    """Return what an experiment that ends at ``q_max`` shows of a structure, on the distances of ``rdf``.

    Steps and shells narrower than pi / q_max come out blurred as in the experiment, and so do the weights of X-rays.

    :param rdf: partial g(r), in bins narrower than pi / q_max.
    :param numbers: (N,) atomic numbers.
    :param q_max: 1/angstrom.
    :raises InputError: on bins that are too wide, or a range beyond the table of form factors.
    """
    if not 0 < q_max < np.pi / (rdf.r[1] - rdf.r[0]):
        raise InputError(
            f"g(r) in bins of {rdf.r[1] - rdf.r[0]:.3g} angstrom serves Q_max below "
            f"{np.pi / (rdf.r[1] - rdf.r[0]):.3g} 1/angstrom; it is {q_max}."
        )
    count = int(np.ceil(q_max / (_STEP_PER_RANGE * np.pi / rdf.r_max)))
    q = q_max * np.arange(1, count + 1) / count
    total = from_rdf(rdf, numbers, q, "none").total(radiation)
    if not np.isfinite(total).all():
        raise InputError(f"no table of form factors reaches {q_max} 1/angstrom; end sooner.")
    return pair_functions(q, total, rdf.r, rdf.density, window)
