"""Thin click commands over the same builders that Python users call."""

from __future__ import annotations

import click

from aiida_nvp import __version__
from aiida_nvp.cli.frame import Entry, LazyGroup, load_usual_profile, profile_option

COMMANDS = {
    "setup": Entry("aiida_nvp.cli.setup:setup", "Make profile, engines and codes; may be repeated.", False),
    "doctor": Entry("aiida_nvp.cli.setup:doctor", "Say of each part whether it works and what to do.", False),
    "converge": Entry("aiida_nvp.cli.converge:converge", "Test cutoffs and k-points on one structure, propose values."),
    "check": Entry("aiida_nvp.cli.campaign:check", "Validate a campaign file and print its plan and cost."),
    "run": Entry("aiida_nvp.cli.campaign:run", "Run a campaign file in this process, with progress."),
    "submit": Entry("aiida_nvp.cli.submit:submit", "Hand a campaign file, or any process, to the daemon."),
    "continue": Entry("aiida_nvp.cli.continuing:continue_", "Go on with a campaign that ended: add to it, or mend it."),
    "status": Entry("aiida_nvp.cli.campaign:status", "Tell how far a campaign is."),
    "report": Entry("aiida_nvp.cli.report:report", "Write the report of a campaign as one HTML page."),
    "lineage": Entry("aiida_nvp.cli.lineage:lineage", "Trace training frames to the calculations behind them."),
    "data": Entry("aiida_nvp.cli.data:data", "Take labelled frames of other origin in, and give data sets out."),
    "potential": Entry("aiida_nvp.cli.potential:potential", "List, show, take in and give out trained potentials."),
    "analyse": Entry("aiida_nvp.cli.analyse:analyse", "Analyse trajectory files of any origin, no profile.", False),
    "benchmark": Entry("aiida_nvp.cli.benchmark:benchmark", "Measure on labelled files, without a profile.", False),
    "verdi-hook": Entry("aiida_nvp.cli.setup:verdi_hook", "Add or remove `verdi process submit`.", False),
}


@click.group("nvp", cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="aiida-nvp")
@click.pass_context
def nvp(context: click.Context) -> None:
    """Active learning of machine-learned potentials for oxide glasses.

    Works in the profile given with -p, else in `nvp` where there is one, else in the default profile.
    """
    entry = COMMANDS.get(context.invoked_subcommand or "")
    if entry is not None and entry.needs_profile:
        load_usual_profile()


nvp.params.append(profile_option())
