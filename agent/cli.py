"""What can a person tell the agent to do? The console script; `attache --help`."""

from __future__ import annotations

import sys

from agent.config.finding import ConfigInvalid

INVALID = 2


def main() -> None:
    """Do what the arguments of the process say."""
    try:
        if sys.argv[1:2] == ["run"]:
            from agent.cli_run import run

            run(sys.argv[2:])
        else:
            from agent.cli_commands import app

            app()
    except ConfigInvalid as invalid:
        for finding in invalid.findings:
            print(finding, file=sys.stderr)  # noqa: T201 - this is what the person asked for
        sys.exit(INVALID)
