"""Sphinx configuration; ``make docs`` builds with warnings as errors."""

import atexit
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

from aiida_nvp import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

# Importing AiiDA makes a configuration folder; a build of the documentation should leave no trace.
os.environ["AIIDA_PATH"] = tempfile.mkdtemp(prefix="aiida-nvp-docs-")
atexit.register(shutil.rmtree, os.environ["AIIDA_PATH"], ignore_errors=True)

logging.getLogger("alembic").setLevel(logging.WARNING)  # AiiDA's database layer greets at import

project = "aiida-nvp"
author = "The aiida-nvp developers"
project_copyright = "The aiida-nvp developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "processes",
    "campaign_model",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"
autodoc_preserve_defaults = True
# Types are spelled in the signatures; links into other projects would need the network.
nitpicky = False

html_theme = "furo"
html_title = f"aiida-nvp {__version__}"
html_static_path = ["_static"]
