"""Which packets of a pod go to Envoy, and which do not pass at all? One ruleset for nft(8).

It is in force before any other container runs. Until Envoy listens, what is redirected is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from agent.config.attache import Attache

Network = IPv4Network | IPv6Network

# Whose packets are not redirected; docs/decisions/017-shape-of-the-pod.md
AGENT_UID = 10020
ENVOY_UID = 10021
_OURS = f"meta skuid {{ {AGENT_UID}, {ENVOY_UID} }} accept"
_DNS = 53


@dataclass(frozen=True, slots=True)
class Exclusions:
    """What is left alone.

    *inbound_ports* reach the application past Envoy, and *outbound_ports* and *outbound_networks*
    are reached past it. *nameservers* may be asked for names, on port 53 only.
    """

    inbound_ports: tuple[int, ...] = ()
    outbound_ports: tuple[int, ...] = ()
    outbound_networks: tuple[Network, ...] = ()
    nameservers: tuple[Network, ...] = ()


def ruleset(config: Attache, probes: int, left_alone: Exclusions) -> str:
    """Return the text for `nft -f`, which takes the place of an earlier one; it applies whole.

    *probes* is the port on which Envoy answers kubelet. A direction without a listener is not
    touched. `inet` is IPv4 and IPv6: a listener on an IPv4 address only refuses IPv6.
    """
    inbound, outbound = config.listeners.inbound, config.listeners.outbound
    chains: list[tuple[str, Iterable[str]]] = []
    if inbound:
        open_ports = _set((inbound.port, probes, *left_alone.inbound_ports))
        chains.append(("prerouting", _callers(inbound.port, open_ports)))
        chains.append(("input", _let_in(open_ports)))
    if outbound and outbound.mode == "redirect":
        passes = list(_passes(left_alone))
        chains.append(("output_nat", _calls(outbound.port, passes)))
        if outbound.unmatched == "deny":
            chains.append(("output", _let_out(passes)))
    body = "".join(f"  chain {name} {{\n{_lines(rules)}  }}\n" for name, rules in chains)
    return f"table inet attache\ndelete table inet attache\ntable inet attache {{\n{body}}}\n"


def _callers(port: int, open_ports: str) -> Iterator[str]:
    yield "type nat hook prerouting priority dstnat; policy accept;"
    yield 'iifname "lo" accept'
    yield f"meta l4proto tcp tcp dport != {open_ports} redirect to :{port}"


def _let_in(open_ports: str) -> Iterator[str]:
    """What is not TCP cannot be redirected: it is no way round Envoy either (SECURITY.md 24)."""
    yield "type filter hook input priority filter; policy drop;"
    yield 'iifname "lo" accept'
    yield "ct state established,related accept"
    yield "meta l4proto { icmp, ipv6-icmp } accept"
    yield f"tcp dport {open_ports} accept"


def _calls(port: int, passes: list[str]) -> Iterator[str]:
    yield "type nat hook output priority -100; policy accept;"
    yield _OURS
    yield 'oifname "lo" accept'
    yield from passes
    yield f"meta l4proto tcp redirect to :{port}"


def _let_out(passes: list[str]) -> Iterator[str]:
    """`unmatched: deny` means every protocol: QUIC is no way round the destinations."""
    yield "type filter hook output priority filter; policy drop;"
    yield _OURS
    yield 'oifname "lo" accept'
    # What was redirected a moment ago still names the interface that it was meant for [M].
    yield "ip daddr 127.0.0.0/8 accept"
    yield "ip6 daddr ::1 accept"
    yield "ct state established,related accept"
    yield "meta l4proto { icmp, ipv6-icmp } accept"
    yield from passes
    yield "reject with icmpx admin-prohibited"


def _passes(left_alone: Exclusions) -> Iterator[str]:
    for server in left_alone.nameservers:
        family = _family(server)
        yield f"{family} daddr {server} meta l4proto {{ tcp, udp }} th dport {_DNS} accept"
    for network in left_alone.outbound_networks:
        yield f"{_family(network)} daddr {network} accept"
    if left_alone.outbound_ports:
        yield f"tcp dport {_set(left_alone.outbound_ports)} accept"


def _family(network: Network) -> str:
    return "ip" if network.version == 4 else "ip6"


def _set(ports: Iterable[int]) -> str:
    return f"{{ {', '.join(str(port) for port in sorted(set(ports)))} }}"


def _lines(rules: Iterable[str]) -> str:
    return "".join(f"    {rule}\n" for rule in rules)
