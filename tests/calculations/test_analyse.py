"""The analysis as an AiiDA process."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_nvp.common.trajectory import TrajectoryWriter

PARAMETERS = {"stages": [{"index": 0, "name": "hold"}], "pairs": {"P-O": 2.2}, "mobile": "Na"}


@pytest.fixture
def builder(aiida_profile, worker_code, tmp_path):
    from aiida import orm

    from aiida_nvp.calculations.analyse import AnalyseCalculation

    path = tmp_path / "run.h5"
    rng = np.random.default_rng(0)
    with TrajectoryWriter(path, [11, 11, 15, 8, 8, 8]) as writer:
        for step in range(12):
            writer.write(step=step, time_ps=step * 0.1, positions=rng.random((6, 3)) * 6, cell=np.eye(3) * 6)
    builder = AnalyseCalculation.get_builder()
    builder.code = worker_code
    builder.trajectory = orm.SinglefileData(path)
    builder.parameters = PARAMETERS
    return builder


def test_job_folder(builder, prepare):
    info, folder = prepare(builder)
    assert (builder.trajectory.uuid, "run.h5", "trajectory.h5") in info.local_copy_list
    assert '"mobile": "Na"' in (folder / "input.json").read_text()


def test_runs_to_nodes(builder):
    from aiida.engine import run_get_node

    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert outputs["results"].get_dict()["stages"][0]["n_frames"] == 12
    assert "stage_0_g_P_O" in outputs["arrays"].get_arraynames()


def test_bad_parameters_are_refused_before_submission(builder):
    with pytest.raises(ValueError, match="parameter 'pairs' is missing"):
        builder.parameters = {"stages": [{"index": 0}], "mobile": "Na"}
