"""``nvp-worker STAGE input.json``: run one stage in the folder of its input file.

Exit status 0 when ``output.json`` was written, 1 when ``error.json`` says why not.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from aiida_nvp.common.errors import InputError, WorkerError
from aiida_nvp.worker.job import ERROR_FILE, OUTPUT_FILE, Job

STAGES = ("train", "explore", "evaluate", "produce", "analyse", "rehearse", "compile")
"""Each is a module of this package with ``run(job) -> dict``, the content of ``output.json``."""

ERROR_INPUT = "ERROR_WORKER_INPUT"
ERROR_UNEXPECTED = "ERROR_WORKER_FAILED"


def run_stage(stage: str, input_file: Path) -> int:
    """Run ``stage`` on ``input_file`` and return the exit status; every failure is written to ``error.json``."""
    folder = input_file.resolve().parent
    job = Job(folder, {})
    try:
        job = Job(folder, json.loads(input_file.read_text(encoding="utf-8")))
        job.listen_for_stop()
        output = importlib.import_module(f"aiida_nvp.worker.{stage}").run(job)
        job.write_json(OUTPUT_FILE, output)
    except WorkerError as error:
        return _fail(job, error.code, error.message)
    except (InputError, json.JSONDecodeError, FileNotFoundError, KeyError) as error:
        traceback.print_exc()
        return _fail(job, ERROR_INPUT, f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - the job's last line of defence: nothing may end without a reason
        traceback.print_exc()
        return _fail(job, ERROR_UNEXPECTED, f"{type(error).__name__}: {error}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = argparse.ArgumentParser(prog="nvp-worker", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("input", type=Path, help="input.json; output goes to its folder")
    arguments = parser.parse_args(argv)
    return run_stage(arguments.stage, arguments.input)


def _fail(job: Job, code: str, message: str) -> int:
    job.write_json(ERROR_FILE, {"code": code, "message": message})
    return 1


if __name__ == "__main__":
    sys.exit(main())
