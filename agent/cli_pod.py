"""What does the init container of a pod run? `attache pod --help`."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.config.fields import Address
from agent.config.loading import load

app = typer.Typer(no_args_is_help=True, help="Parts of a pod in Kubernetes.")

Ports = Annotated[str, typer.Option(help="Ports, separated by commas, that are left alone.")]
Networks = Annotated[str, typer.Option(help="Networks, as 10.0.0.0/8, separated by commas.")]


@app.command()
def prepare(
    config: Annotated[Path, typer.Option("--config", help="attache.yaml", show_default=False)],
    bootstrap: Annotated[Path, typer.Option(help="Where Envoy's bootstrap is written.")],
    redirect: Annotated[
        bool, typer.Option("--redirect", help="Redirect the pod's packets to Envoy (root, nft).")
    ] = False,
    probes: Annotated[str, typer.Option(help="The same as for `attache run`.")] = "0.0.0.0:15021",
    exclude_inbound_ports: Ports = "",
    exclude_outbound_ports: Ports = "",
    exclude_outbound_cidrs: Networks = "",
) -> None:
    """Check the configuration, write Envoy's bootstrap, and redirect the pod's packets."""
    from agent.pod import prepare as preparation
    from agent.pod.redirect import Exclusions

    parsed = load(config)
    try:
        preparation.write_bootstrap(parsed, bootstrap)
        if redirect:
            left_alone = Exclusions(
                _ports(exclude_inbound_ports),
                _ports(exclude_outbound_ports),
                tuple(ipaddress.ip_network(each) for each in _split(exclude_outbound_cidrs)),
                preparation.nameservers(preparation.RESOLV_CONF.read_text()),
            )
            preparation.redirect(parsed, Address.parse(probes).port, left_alone)
    except (preparation.CannotPrepare, ValueError) as reason:
        print(f"attache: {reason}", file=sys.stderr)  # noqa: T201 - what kubectl logs shows
        raise typer.Exit(1) from None


@app.callback()
def _group() -> None:
    """Keep `prepare` a command of its own name, although it is the only one."""


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _ports(text: str) -> tuple[int, ...]:
    ports = []
    for part in _split(text):
        if not part.isdigit() or not 1 <= int(part) <= 65535:
            raise ValueError(f"'{part}' is no port; write numbers from 1 to 65535 and commas")
        ports.append(int(part))
    return tuple(ports)
