import numpy as np
import pytest
from aiida import orm
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_nvp.calculations.merge import merge
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData

pytestmark = pytest.mark.usefixtures("aiida_profile")


def dataset(distances, name, level="level-a"):
    frames = []
    for distance in distances:
        atoms = Atoms("PO", positions=[[0, 0, 0], [distance, 0, 0]], cell=[8] * 3, pbc=True)
        atoms.calc = SinglePointCalculator(atoms, energy=-distance, forces=np.full((2, 3), distance))
        frames.append(atoms)
    info = [{"from": name, "distance": distance} for distance in distances]
    sources = [{"label": f"{name}-{distance}"} for distance in distances]
    return DatasetData(FrameSet.from_atoms(frames, info, level), sources)


def test_sorted_by_name_first_of_a_kind_stays():
    merged, node = merge.run_get_node(b=dataset([1.5, 1.7], "b"), a=dataset([1.6, 1.5], "a"))
    assert node.is_finished_ok
    assert [(e["from"], e["distance"]) for e in merged.frames.info] == [("a", 1.6), ("a", 1.5), ("b", 1.7)]
    assert [source["label"] for source in merged.sources] == ["a-1.6", "a-1.5", "b-1.7"]
    assert merged.frames.energy.tolist() == [-1.6, -1.5, -1.7]
    assert merged.frames.level_of_theory == "level-a"


def test_alone_it_only_drops_duplicates():
    assert len(merge(only=dataset([1.5, 1.5, 1.6], "x"))) == 2


def test_mixed_levels_are_refused():
    _, node = merge.run_get_node(a=dataset([1.5], "a"), b=dataset([1.6], "b", "level-b"))
    assert node.exit_status == 211
    assert "different levels of theory" in node.exit_message


def test_an_empty_set_changes_nothing():
    empty = DatasetData(FrameSet.from_atoms([]))
    assert len(merge(a=dataset([1.5], "a"), b=empty)) == 1
    assert len(merge(a=empty)) == 0


@pytest.mark.parametrize("inputs", [{}, {"a": {"no": "data set"}}])
def test_something_else_is_refused(inputs):
    _, node = merge.run_get_node(**{name: orm.Dict(value) for name, value in inputs.items()})
    assert node.exit_status == 210
    assert "data sets" in node.exit_message
