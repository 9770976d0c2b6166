"""How is an agent started? `attache run`.

The library that reads the other commands takes 6 MB, and this process stays.
"""

from __future__ import annotations

import gc
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from agent.footprint import do_not_guess

SUMMARY = "Decide on requests until told to stop (SIGTERM)."


def run(arguments: Sequence[str]) -> None:
    """Run the agent that *arguments* describe; `SystemExit` where it cannot start."""
    parser = ArgumentParser("attache run", description=SUMMARY, allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True, help="attache.yaml")
    parser.add_argument("--log-level", default="info", help="debug, info, warning or error")
    parser.add_argument(
        "--probes",
        metavar="ADDRESS",
        help="In a pod: where Envoy answers /livez, /readyz and /metrics for us.",
    )
    asked = parser.parse_args(arguments)

    gc.disable()  # of what is imported nothing goes away; `settle` begins to look again
    do_not_guess()
    from agent.config.fields import Address
    from agent.config.loading import load
    from agent.groundwork import Groundwork
    from agent.telemetry.log import configure

    try:
        configure(asked.log_level)
        probes = Address.parse(asked.probes) if asked.probes else None
        ground = Groundwork.of(load(asked.config))
        ground.trust.start()  # the keys travel while the rest is imported
        from agent.app import CannotStart, run_until_stopped

        try:
            run_until_stopped(asked.config, ground, probes)
        except CannotStart as reason:
            sys.exit(f"attache: {reason}")
    except ValueError as reason:
        sys.exit(f"attache: {reason}")
