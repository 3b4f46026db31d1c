"""Write the report of a campaign: one HTML page that needs nothing else.

python workchains/08_report.py CAMPAIGN [report.html]
"""

import sys
from pathlib import Path

from aiida import load_profile, orm

from aiida_nvp.report.page import write_report


def main(campaign: int, path: str | Path = "report.html") -> Path:
    """Write the page for the campaign with this pk, whatever state it is in."""
    write_report(orm.load_node(campaign), Path(path))
    print(f"report: {path}")
    return Path(path)


if __name__ == "__main__":
    load_profile()
    main(int(sys.argv[1]), *sys.argv[2:])
