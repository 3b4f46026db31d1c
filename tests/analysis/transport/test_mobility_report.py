"""The account of the motion on runs that give little, and the words made of it."""

import json

import numpy as np
import pytest

from aiida_nvp.analysis.transport.mobility_report import MobilitySettings, activation, mobility_of
from aiida_nvp.analysis.transport.paths import MemoryPaths
from aiida_nvp.report.document import page_environment


def told(numbers):
    template = page_environment().from_string('{% import "motion.html.j2" as motion %}{{ motion.of(stage) }}')
    return template.render(stage=json.loads(json.dumps(numbers).replace("NaN", "null")))


def plain(trajectory, temperature=900.0, charges=None):
    settings = MobilitySettings("Na", {"Na": 1} if charges is None else charges)
    return mobility_of(MemoryPaths(trajectory, rest=()), ["Na"], temperature, settings)[0]


@pytest.mark.parametrize("frames", [4, 7, 40])
def test_few_frames_ions_at_rest_and_no_temperature_still_make_a_page(gas, frames):
    rattling = gas.make(np.random.default_rng(0).normal(scale=0.1, size=(frames, 1, 3)), [11])
    assert "jumps need two sites" in told(plain(rattling)) or "peaks" in told(plain(rattling))
    resting = gas.make(np.ones((frames, 3, 3)), [11] * 3)
    assert "does not move" in told(plain(resting))
    assert "needs the one temperature" in told(plain(rattling, temperature=None))
    assert "a charge of at least one species" in told(plain(rattling, charges={"Na": 0}))
    assert ".." not in told(plain(rattling))


def test_a_long_run_has_all_of_it(gas):
    found = plain(gas.brownian(0, atoms=50, frames=400))
    page = told(found)
    assert "by Nernst and Einstein" in page
    assert "depart most from a Gaussian" in page
    assert found["msd"]["Na"]["diffusive"]


def test_activation_takes_held_stages_alone(gas):
    hot, cold = (plain(gas.brownian(s, atoms=50, frames=300, diffusivity=d)) for s, d in ((0, 1.0), (1, 0.2)))
    stages = [{**hot, "temperature": 1000.0}, {**cold, "temperature": 700.0}, {**hot, "temperature": None}]
    line = activation(stages, "Na")
    assert line["temperatures"] == [1000.0, 700.0]
    kt = 8.617333262e-5
    assert line["activation_ev"] == pytest.approx(np.log(5) * kt / (1 / 700 - 1 / 1000), rel=0.15)
    assert "two temperatures" in activation(stages[:1], "Na")["sentence"]
