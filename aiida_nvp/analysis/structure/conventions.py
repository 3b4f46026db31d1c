"""The three ways to write partial structure factors, and the totals that an experiment sees.

All follow from A_ab = <rho_a rho_b*> / N, with c_a the share of species a:

* Faber-Ziman (1965, DOI 10.1080/14786436508211931): S_ab = 1 + (A_ab - c_a delta_ab) / (c_a c_b), all go to 1;
* Ashcroft-Langreth (1967, DOI 10.1103/PhysRev.156.685): A_ab / sqrt(c_a c_b), goes to 1 for like species, else to 0;
* Bhatia-Thornton (1970, DOI 10.1103/PhysRevB.2.3004): S_NN = sum A_ab of number with number, S_Na of number with the
  concentration of a, S_ab of concentrations, from rho_a - c_a rho. With two species S_aa is S_CC.

Keen (2001, DOI 10.1107/S0021889800019993) compares the names that experiments use.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from aiida_nvp.analysis.statistics import FloatArray
from aiida_nvp.common.errors import InputError

Convention = Literal["faber-ziman", "ashcroft-langreth", "bhatia-thornton"]
CONVENTIONS: tuple[Convention, ...] = ("faber-ziman", "ashcroft-langreth", "bhatia-thornton")


def partials_of(correlations: FloatArray, shares: FloatArray, convention: Convention) -> FloatArray:
    """Return partial structure factors.

    :param correlations: (S, S, Q) A_ab.
    :param shares: (S,) c_a.
    :return: (S, S, Q) for the first two conventions; (S + 1, S + 1, Q) for Bhatia-Thornton, number first.
    :raises InputError: on an unknown convention.
    """
    c = np.asarray(shares, dtype=np.float64)
    product = np.multiply.outer(c, c)[:, :, None]
    if convention == "faber-ziman":
        faber_ziman: FloatArray = 1 + (correlations - np.diag(c)[:, :, None]) / product
        return faber_ziman
    if convention == "ashcroft-langreth":
        ashcroft_langreth: FloatArray = correlations / np.sqrt(product)
        return ashcroft_langreth
    if convention == "bhatia-thornton":
        # Rows: the density of numbers, then of each species less its share of all.
        mixed = np.vstack([np.ones_like(c), np.eye(len(c)) - c[:, None]])
        bhatia_thornton: FloatArray = np.einsum("ia,abq,jb->ijq", mixed, correlations, mixed)
        return bhatia_thornton
    raise InputError(f"convention {convention!r} is unknown; known are {', '.join(CONVENTIONS)}.")


def correlations_of(faber_ziman: FloatArray, shares: FloatArray) -> FloatArray:
    """Return (S, S, Q) A_ab of Faber-Ziman partials."""
    c = np.asarray(shares, dtype=np.float64)
    correlations: FloatArray = np.diag(c)[:, :, None] + np.multiply.outer(c, c)[:, :, None] * (faber_ziman - 1)
    return correlations


def total_of(correlations: FloatArray, shares: FloatArray, weights: FloatArray, convention: Convention) -> FloatArray:
    """Return the (Q,) total structure factor of an experiment.

    The coherent intensity per atom I = sum w_a w_b A_ab becomes (I - <w^2> + <w>^2) / <w>^2 (Faber-Ziman, the S(Q) of
    most experiments), I / <w^2> (Ashcroft-Langreth) or I / <w>^2 (Bhatia-Thornton).

    :param correlations: (S, S, Q) A_ab.
    :param shares: (S,) c_a.
    :param weights: (S,) or (S, Q) scattering lengths or form factors.
    :raises InputError: on an unknown convention, or where the mean length vanishes.
    """
    c = np.asarray(shares, dtype=np.float64)
    w = np.asarray(weights, dtype=np.float64)
    w = np.broadcast_to(w[:, None] if w.ndim == 1 else w, (len(c), correlations.shape[2]))
    mean, square = c @ w, c @ w**2
    intensity: FloatArray = np.einsum("aq,abq,bq->q", w, correlations, w)
    if convention == "ashcroft-langreth":
        return np.asarray(intensity / square)
    if (mean**2 < 1e-9 * square).any():
        raise InputError(
            f"the mean scattering length vanishes, so that S(Q) by {convention} has no scale; use ashcroft-langreth."
        )
    if convention == "bhatia-thornton":
        return np.asarray(intensity / mean**2)
    if convention == "faber-ziman":
        return np.asarray((intensity - square) / mean**2 + 1)
    raise InputError(f"convention {convention!r} is unknown; known are {', '.join(CONVENTIONS)}.")
