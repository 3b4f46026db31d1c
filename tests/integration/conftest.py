"""A whole campaign on the rehearsal labeller, as small as one can be."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml
from aiida.engine import run_get_node

from aiida_nvp.campaign.loader import load_campaign
from aiida_nvp.workflows.campaign_builder import campaign_builder
from aiida_nvp.workflows.engines import Engines, store_engines

WORKCHAINS = Path(__file__).parents[2] / "workchains"
POTENTIAL = Path(__file__).parents[2] / "potentials" / "nvp-tiny"
CELL = {"name": "NaVPO5", "oxides": {"Na2O": 1, "V2O5": 1, "P2O5": 1}, "reduced": {"V": 1.0}}
CAMPAIGN = {
    "name": "tiny",
    "title": "The smallest rehearsal",
    "seed": 11,
    "potential": str(POTENTIAL),
    "training": {"epochs": 4, "warm_epochs": 2},
    "labeller": {"kind": "rehearsal", "in_flight": 2},
    "cells": [
        {**CELL, "atoms": 8, "copies": 2},
        {"name": "NaPO3", "oxides": {"Na2O": 1, "P2O5": 1}, "atoms": 10},
        {"name": "Na3PO4", "oxides": {"Na2O": 3, "P2O5": 1}, "atoms": 8},
    ],
    "seeding": {"relax_steps": 4},
    "uncertainty": {"target_force_error": 5.0, "lower_raw": 0.001, "upper_raw": 40.0, "break_raw": 50.0},
    "exploration": {
        "replicas": 4,
        "stride": 5,
        "schedules": [[{"steps": 20, "temperature_from": 300, "temperature_to": 300}]],
    },
    "selection": {"labels_per_cycle": 4, "random_share": 0.5},
    "stop": {"max_cycles": 1, "max_labels": 100, "observables": {"formers": ["P"]}},
    "production": {
        "cell": {**CELL, "atoms": 32},
        "relax_steps": 10,
        "dump_every": 2,
        "committee_every": 10,
        "schedule": [{"name": "hold", "steps": 30, "temperature_from": 300, "temperature_to": 300}],
    },
    "analysis": {"stages": ["hold"], "pairs": {"P-O": 2.2}, "mobile": "Na"},
}


@pytest.fixture
def engines(worker_code):
    """The engines of this environment, recorded as the setup would."""
    store_engines(Engines(pw="", worker=worker_code.full_label, pseudos=""))
    return worker_code


@pytest.fixture
def campaign_file(tmp_path):
    """Return a function that writes the campaign with changes."""

    def _write(**changes):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump({**CAMPAIGN, **changes}))
        return path

    return _write


@pytest.fixture
def run_campaign(engines, campaign_file):
    """Return a function that runs the campaign in this process and returns its node."""

    def _run(**changes):
        _, node = run_get_node(campaign_builder(load_campaign(campaign_file(**changes))))
        return node

    return _run


@pytest.fixture
def recipe():
    """Return a function that gives the ``main`` of a recipe; their names begin with digits, so none can be imported."""

    def _recipe(name):
        spec = importlib.util.spec_from_file_location(f"recipe_{name}", WORKCHAINS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main

    return _recipe
