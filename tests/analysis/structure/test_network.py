"""Q^n of groups, chains and sheets; linkages; polyhedra that share corners, edges and faces."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.bonds import BondRules
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.network import Ligands, Linkages, Speciation

LEGS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)


def look(frame, observable, rules):
    observable.add(Environment.of(frame, rules))
    return observable.result()


def rules_of(frame, **lengths):
    named = {name.replace("_", "-"): length for name, length in lengths.items()} or {"P-O": 1.9}
    return BondRules(frame.numbers, named, formers=sorted({name.split("-")[0] for name in named}))


def chain(length):
    """PO4 in a row along x: P at even, bridging O at odd places; the first unit has its end O too."""
    positions, numbers = [[-1.5, 0, 0]], [8]
    for unit in range(length):
        x = 3.0 * unit
        positions += [[x, 0, 0], [x, 1.5, 0], [x, -1.5, 0], [x + 1.5, 0, 0]]
        numbers += [15, 8, 8, 8]
    return positions, numbers


@pytest.mark.parametrize(("length", "mean"), [(1, 0.0), (2, 1.0), (3, 4 / 3)])
def test_isolated_group_dimer_and_trimer(frame, length, mean):
    positions, numbers = chain(length)
    one = frame(numbers, positions, np.eye(3) * 30)
    species = look(one, Speciation(rules_of(one), "P-O"), rules_of(one))
    assert species.same.mean == pytest.approx(mean)
    assert species.any_former.mean == pytest.approx(mean)


def test_endless_chain_is_q2(frame):
    positions, numbers = chain(4)
    one = frame(numbers[1:], positions[1:], np.diag([12, 20, 20]))
    rules = rules_of(one)
    assert {n: share.mean for n, share in look(one, Speciation(rules, "P-O"), rules).same.shares.items()} == {2: 1}
    kinds = look(one, Ligands(rules), rules)
    # NaPO3: one bridging oxygen for two that are not.
    assert kinds.bridging.mean == pytest.approx(1 / 3)
    assert kinds.non_bridging.mean == pytest.approx(2 / 3)
    assert kinds.free.mean == kinds.tricluster.mean == 0
    assert {name: share.mean for name, share in kinds.by_holders.items()} == pytest.approx(
        {"O(P)": 2 / 3, "O(P,P)": 1 / 3}
    )
    linkage = look(one, Linkages(rules), rules)["P-O-P"]
    assert (linkage.linkages.mean, linkage.corner.mean, linkage.edge.mean, linkage.share.mean) == (4, 4, 0, 1)


def test_sheet_is_q3(frame):
    # A honeycomb of P with O on every edge and one O on top of each P: P2O5.
    a1, a2 = np.array([3.0 * np.sqrt(3), 0, 0]), np.array([1.5 * np.sqrt(3), 4.5, 0])
    p1, p2, up = np.zeros(3), (a1 + a2) / 3, np.array([0, 0, 1.5])
    bridges = [p2 / 2, (p2 - a1) / 2, (p2 - a2) / 2]
    positions = [p1, p2, *bridges, p1 + up, p2 - up]
    one = frame([15, 15, 8, 8, 8, 8, 8], positions, [a1, a2, [0, 0, 15.0]])
    rules = rules_of(one)
    assert {n: share.mean for n, share in look(one, Speciation(rules, "P-O"), rules).same.shares.items()} == {3: 1}
    # Every oxygen of this small cell links the same two atoms, in three directions: three corners and no face.
    linkage = look(one, Linkages(rules), rules)["P-O-P"]
    assert (linkage.linkages.mean, linkage.corner.mean, linkage.face.mean) == (3, 3, 0)


@pytest.mark.parametrize("soda", [1, 2, 3])
def test_mean_q_follows_from_the_composition(frame, soda):
    """Q^n with n = 3 - x for x Na2O per P2O5 where each P holds four O and bridges only to P."""
    positions, numbers = {1: chain(4), 2: chain(2), 3: chain(1)}[soda]
    cell = np.eye(3) * 30
    if soda == 1:
        positions, numbers, cell = positions[1:], numbers[1:], np.diag([12, 30, 30])
    one = frame(numbers, positions, cell)
    phosphorus, oxygen = (one.numbers == 15).sum(), (one.numbers == 8).sum()
    charge = 2 * oxygen - 5 * phosphorus
    assert charge / phosphorus == soda
    assert look(one, Speciation(rules_of(one), "P-O"), rules_of(one)).same.mean == pytest.approx(3 - soda)


def test_two_formers_and_a_tricluster(frame):
    # P-O-P with a V on the bridge, and V-O-P on the far side of the first P.
    numbers = [15, 15, 23, 23, 8, 8, 8]
    positions = [[0, 0, 0], [3, 0, 0], [1.5, 1.7, 0], [-3.2, 0, 0], [1.5, 0, 0], [-1.5, 0, 0], [9, 9, 9]]
    one = frame(numbers, positions, np.eye(3) * 20)
    rules = rules_of(one, P_O=1.6, V_O=1.8)
    species = look(one, Speciation(rules, "P-O"), rules)
    assert {key: share.mean for key, share in species.joint.items()} == {(1, 1): 0.5, (1, 2): 0.5}
    assert {n: share.mean for n, share in species.any_former.shares.items()} == {1: 0.5, 2: 0.5}
    kinds = look(one, Ligands(rules), rules)
    third = pytest.approx(1 / 3)
    assert (kinds.free.mean, kinds.non_bridging.mean, kinds.bridging.mean, kinds.tricluster.mean) == (
        third, 0, third, third,
    )  # fmt: skip
    assert set(kinds.by_holders) == {"O()", "O(V,P)", "O(V,P,P)"}
    linkages = look(one, Linkages(rules), rules)
    assert {name: linkage.linkages.mean for name, linkage in linkages.items()} == {"V-O-V": 0, "V-O-P": 3, "P-O-P": 1}
    assert linkages["V-O-P"].share.mean == pytest.approx(3 / 4)


@pytest.mark.parametrize(("shared", "kind"), [(1, "corner"), (2, "edge"), (3, "face")])
def test_what_two_octahedra_share(frame, shared, kind):
    around = np.linspace(0, 2 * np.pi, shared, endpoint=False)
    between = np.stack([np.zeros(shared), np.cos(around), np.sin(around)], axis=1) * (0.0 if shared == 1 else 1.2)
    one = frame([23, 23] + [8] * shared, [[-1.4, 0, 0], [1.4, 0, 0], *between], np.eye(3) * 15)
    rules = rules_of(one, V_O=2.2)
    linkage = look(one, Linkages(rules), rules)["V-O-V"]
    assert linkage.linkages.mean == shared
    assert {name: getattr(linkage, name).mean for name in ("corner", "edge", "face")} == {
        **dict.fromkeys(("corner", "edge", "face"), 0), kind: 1,
    }  # fmt: skip


def test_rutile_shares_edges_along_c_and_corners_else():
    from ase.spacegroup import crystal as build

    rutile = build(["V", "O"], [(0, 0, 0), (0.3, 0.3, 0)], spacegroup=136, cellpar=[4.55, 4.55, 2.86, 90, 90, 90])
    one = Frame(rutile.numbers, rutile.positions, rutile.cell.array)
    rules = rules_of(one, V_O=2.2)
    linkage = look(one, Linkages(rules), rules)["V-O-V"]
    # Each of the two V has two neighbours across edges and eight across corners.
    assert (linkage.edge.mean, linkage.corner.mean, linkage.face.mean) == (2, 8, 0)
    assert look(one, Ligands(rules), rules).tricluster.mean == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_invariant(gas, disguised, seed):
    frame = gas(seed, atoms=90, species=(8, 8, 15, 23))
    found = []
    tripled = Frame(
        np.tile(frame.numbers, 3), np.concatenate([frame.positions + k * frame.cell[2] for k in range(3)]),
        frame.cell * np.array([[1], [1], [3]]),
    )  # fmt: skip
    for seen, size in ((frame, 1), (disguised(frame, seed), 1), (tripled, 3)):
        rules = rules_of(seen, P_O=2.4, V_O=2.6)
        linkages = look(seen, Linkages(rules), rules)
        kinds = look(seen, Ligands(rules), rules)
        found.append(
            [(name, link.linkages.mean / size, link.corner.mean / size, link.edge.mean / size, link.face.mean / size)
             for name, link in linkages.items()]
            + [(name, round(share.mean, 12)) for name, share in kinds.by_holders.items()]
        )  # fmt: skip
    assert found[0] == found[1] == found[2]
