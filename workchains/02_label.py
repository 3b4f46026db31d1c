"""Label the frames of a data set; here every ionic step of a short relaxation with the rehearsal potential.

python workchains/02_label.py DATASET

For first principles set ``labeller`` to ``quantumespresso``, ``code`` to pw.x and ``pseudos`` to one UpfData for each
element.
"""

import sys

from aiida import load_profile, orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory

from aiida_nvp.labelling.settings import LabelSettings


def main(dataset: int) -> orm.Data:
    """Label the data set with this pk and return the labelled one."""
    builder = WorkflowFactory("nvp.label").get_builder()
    builder.frames = orm.load_node(dataset)
    builder.labeller = orm.Str("rehearsal")
    builder.code = orm.load_code("nvp-worker@localhost")
    builder.settings = orm.Dict(LabelSettings(mode="relax", relax_steps=6).plain())
    builder.in_flight = orm.Int(2)
    outputs, node = run_get_node(builder)
    print(f"label<{node.pk}> made data set {outputs['dataset'].pk}: {outputs['triage']['counts']}")
    return outputs["dataset"]


if __name__ == "__main__":
    load_profile()
    main(int(sys.argv[1]))
