import pytest
from aiida import orm

from aiida_nvp.calculations.energy_shifts import energy_shifts
from aiida_nvp.common.energy_shifts import fit_energy_shifts
from aiida_nvp.data.dataset import DatasetData


@pytest.mark.usefixtures("aiida_profile_clean")
def test_node_holds_the_fit_and_bad_input_has_a_sentence(morse_frames, tiny_definition):
    frames, definition = morse_frames(6), orm.Dict(tiny_definition.plain())
    result = energy_shifts(DatasetData(frames), definition)
    assert result.get_dict() == pytest.approx(fit_energy_shifts(frames, tiny_definition.species))
    _, node = energy_shifts.run_get_node(DatasetData(frames.without_labels()), definition)
    assert node.exit_status == 210
    assert "labelled frames" in node.exit_message
