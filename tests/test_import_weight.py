"""Daemon, command line and analysis start without the libraries that only some jobs need."""

import subprocess
import sys

import pytest

DAEMON = (
    "aiida_nvp.workflows.campaign",
    "aiida_nvp.workflows.campaign_builder",
    "aiida_nvp.calculations.select",
    *(f"aiida_nvp.parsers.{name}" for name in ("allegro_train", "analyse", "evaluate", "explore", "md", "rehearsal")),
)
COMMANDS = tuple(
    f"aiida_nvp.cli.{name}" for name in ("campaign", "converge", "lineage", "potential", "setup", "status", "submit")
)
ANALYSIS = ("aiida_nvp.worker.analyse",)
HEAVY = ("torch", "nequip", "allegro", "matplotlib")
COMPILER = "numba"

IMPORT = """
import importlib, sys, warnings

warnings.simplefilter("ignore")
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*sys.modules)
"""


def packages(*modules):
    """Top-level names of all that a fresh process holds after it imported the modules."""
    done = subprocess.run([sys.executable, "-c", IMPORT, *modules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("modules", [DAEMON, COMMANDS], ids=["daemon", "commands"])
def test_the_aiida_side_is_light(modules):
    loaded = packages(*modules)
    assert "aiida_nvp" in loaded
    assert not loaded & {*HEAVY, COMPILER}


def test_the_analysis_compiles_but_needs_no_model():
    loaded = packages(*ANALYSIS)
    assert COMPILER in loaded
    assert not loaded & set(HEAVY)
