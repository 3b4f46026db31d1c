"""What the checkout promises by its layout: tables that name real things, folders that hold nothing else."""

import ast
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from plumpy.ports import PortNamespace

from aiida_nvp.campaign.loader import json_schema, load_campaign
from aiida_nvp.common.potential import load_potential

ROOT = Path(__file__).parents[1]
WORKCHAINS = ROOT / "workchains"
RECIPES = sorted(WORKCHAINS.glob("*.py"))
CAMPAIGNS = sorted((WORKCHAINS / "campaigns").iterdir())
POTENTIALS = sorted(path for path in (ROOT / "potentials").iterdir() if path.is_dir())
PAGES = (ROOT / "README.md", WORKCHAINS / "README.md", ROOT / "potentials" / "README.md")
GROUPS = ("aiida.calculations", "aiida.workflows", "aiida.parsers", "aiida.data")
PURE = (
    "common",
    "structures",
    "labelling",
    "uncertainty",
    "selection",
    "convergence",
    "analysis",
    "campaign",
    "worker",
    "benchmark",
)

IMPORT_WITHOUT_AIIDA = """
import importlib, pkgutil, sys, warnings

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("aiida", "plumpy", "aiida_quantumespresso", "aiida_pseudo"):
            raise ImportError(f"{name} is out of reach here")

sys.meta_path.insert(0, Blocker())
warnings.simplefilter("ignore")
for room in sys.argv[1:]:
    package = importlib.import_module(f"aiida_nvp.{room}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print("imported")
"""


def rows(file):
    """Cells of the stage table of a page, header and rule left out."""
    lines = [line for line in file.read_text().splitlines() if line.startswith("|")]
    start = next(index for index, line in enumerate(lines) if line.startswith("| stage"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 :]]


def own_entry_points(*groups, classes_only=False):
    found = [entry for group in groups for entry in entry_points(group=group) if entry.name.startswith("nvp.")]
    found = [entry for entry in found if entry.attr[0].isupper() or not classes_only]
    return [pytest.param(entry, id=f"{entry.group.removeprefix('aiida.')}:{entry.name}") for entry in found]


@pytest.mark.parametrize("page", PAGES[:2], ids=lambda page: page.parent.name)
def test_stage_table_names_processes_and_recipes_that_exist(page):
    table = rows(page)
    assert [row[0] for row in table] == [
        "generate",
        "label",
        "merge",
        "train",
        "explore",
        "evaluate",
        "calibrate",
        "select",
        "assess",
        "loop",
        "produce",
        "analyse",
        "whole",
        "report",
    ]
    known = {entry.name: entry for group in GROUPS[:2] for entry in entry_points(group=group)}
    for stage, _, process, _, _ in table:
        names = re.findall(r"`(nvp\.\w+)`", process)
        assert names or stage == "report"
        for name in names:
            assert callable(known[name].load()), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_links_of_a_page_lead_to_files(page):
    targets = re.findall(r"(?:\]\(|src=\")([^)\"#]+)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_has_a_text_and_a_main(recipe):
    tree = ast.parse(recipe.read_text())
    assert f"python workchains/{recipe.name}" in (ast.get_docstring(tree) or "")
    assert "main" in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("file", CAMPAIGNS, ids=lambda path: path.stem)
def test_campaign_loads(file):
    assert load_campaign(file).campaign.name == file.stem


@pytest.mark.parametrize("folder", POTENTIALS, ids=lambda path: path.name)
def test_potential_loads_under_its_folder_name(folder):
    assert load_potential(folder).name == folder.name
    assert sorted(path.name for path in folder.iterdir()) == ["card.md", "potential.yaml"]


def test_nothing_else_lies_in_workchains_and_potentials():
    def visible(folder):
        return {path.name for path in folder.iterdir() if path.name != "__pycache__"}

    assert visible(WORKCHAINS) == {"README.md", "campaigns", *(recipe.name for recipe in RECIPES)}
    assert all(re.fullmatch(r"\d\d_[a-z_]+\.py", recipe.name) for recipe in RECIPES)
    assert {file.suffix for file in CAMPAIGNS} == {".yaml"}
    assert visible(ROOT / "potentials") == {"README.md", *(folder.name for folder in POTENTIALS)}


@pytest.mark.parametrize("entry", own_entry_points(*GROUPS))
def test_entry_point_loads(entry):
    loaded = entry.load()
    assert loaded.__module__.startswith("aiida_nvp.")
    assert loaded.__doc__


@pytest.mark.parametrize("entry", own_entry_points("aiida.calculations", "aiida.workflows", classes_only=True))
def test_inputs_and_exit_codes_say_what_they_are(entry):
    spec = entry.load().spec()
    assert [name for name, port in ports(spec.inputs) if not port.help] == []
    assert [name for name, port in ports(spec.outputs) if not port.help] == []
    assert all(code.message for code in spec.exit_codes.values())


def ports(namespace, prefix=""):
    for name, port in namespace.items():
        if name in {"metadata", "monitors"}:
            continue
        if isinstance(port, PortNamespace) and len(port):
            yield from ports(port, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", port


def test_pure_rooms_import_without_aiida():
    command = [sys.executable, "-c", IMPORT_WITHOUT_AIIDA, *PURE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.endswith("imported\n"), done.stderr


@pytest.mark.parametrize("room", [room for room in PURE if room != "worker"])
def test_every_module_of_a_pure_room_is_on_the_page_on_python(room):
    """The jobs of the room ``worker`` are programs, not functions to call."""
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    shown = [name for name in re.findall(r"automodule:: (\S+)", page) if name.startswith(f"aiida_nvp.{room}.")]
    files = (ROOT / "aiida_nvp" / room).rglob("*.py")
    there = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if file.name != "__init__.py"]
    # The model of the campaign file has a page of its own.
    assert shown == sorted(set(there) - {"aiida_nvp.campaign.schema"})


def test_published_schema_is_that_of_the_model():
    stored = (ROOT / "docs" / "reference" / "campaign.schema.json").read_text()
    assert stored == json_schema(), "run: aiida-nvp check --schema > docs/reference/campaign.schema.json"
