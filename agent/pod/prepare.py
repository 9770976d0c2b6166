"""What is done in a pod before anything else runs: Envoy's bootstrap, and the redirection."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from pathlib import Path

from agent.atomic_file import replace_file
from agent.config.attache import Attache
from agent.envoy.bootstrap import bootstrap
from agent.pod.redirect import Exclusions, Network, ruleset

RESOLV_CONF = Path("/etc/resolv.conf")


class CannotPrepare(RuntimeError):
    """The pod must not start like this; the text says why and what to do."""


def write_bootstrap(config: Attache, path: Path) -> None:
    """Write what Envoy starts with; Envoy runs as another user and reads it."""
    try:
        replace_file(path, json.dumps(bootstrap(config)).encode(), 0o644)
    except OSError as error:
        raise CannotPrepare(
            f"cannot write {path}: {error.strerror}; mount a volume there"
        ) from None


def redirect(config: Attache, probes: int, left_alone: Exclusions) -> None:
    """Put the rules in force in this network namespace; raise `CannotPrepare`."""
    outbound = config.listeners.outbound
    if outbound and outbound.mode != "redirect":
        raise CannotPrepare(
            "the pod redirects but listeners.outbound.mode is proxy; write mode: redirect"
        )
    rules = ruleset(config, probes, left_alone)
    try:
        done = subprocess.run(
            ["nft", "-f", "-"],  # noqa: S607
            input=rules,
            text=True,
            capture_output=True,
            timeout=30,
            check=False,
        )
    except FileNotFoundError:
        raise CannotPrepare(
            "there is no nft in this image; use the init image (make image)"
        ) from None
    except subprocess.TimeoutExpired:
        raise CannotPrepare("nft does not end; look at the node's kernel log") from None
    if done.returncode:
        raise CannotPrepare(
            f"nft refused the rules: {done.stderr.strip()}; "
            "this container needs root with NET_ADMIN, and the node's kernel nf_tables"
        )


def nameservers(text: str) -> tuple[Network, ...]:
    """Return the servers of a resolv.conf(5); what is no address is not asked either."""
    found: list[Network] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(ipaddress.ip_network(words[1].partition("%")[0]))
            except ValueError:
                continue
    return tuple(dict.fromkeys(found))
