"""Run a whole campaign from its file: the loop, then production and analysis.

python workchains/05_active_learning.py workchains/campaigns/rehearsal.yaml

The same file goes through ``aiida-nvp run``, ``aiida-nvp submit`` and ``verdi process submit``.
"""

import sys
from pathlib import Path

from aiida import load_profile, orm
from aiida.engine import run_get_node

from aiida_nvp.campaign.loader import load_campaign
from aiida_nvp.workflows.campaign_builder import campaign_builder


def main(path: str | Path) -> orm.ProcessNode:
    """Run the campaign in this process and return its node."""
    _, node = run_get_node(campaign_builder(load_campaign(path)))
    if "verdict" in node.outputs:
        print(f"campaign<{node.pk}>: {node.outputs.verdict['verdict']}, {len(node.outputs.dataset)} labelled frames")
    return node


if __name__ == "__main__":
    load_profile()
    main(sys.argv[1])
