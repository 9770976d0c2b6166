"""Which packets go to Envoy: the text of the rules, and what the kernel makes of them."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from typing import Any

import pytest

from agent.config.attache import Attache
from agent.pod.prepare import nameservers
from agent.pod.redirect import Exclusions, ruleset


def configured(mode: str = "redirect", unmatched: str = "deny", **changes: Any) -> Attache:
    listeners: dict[str, Any] = {
        "inbound": {"application": "127.0.0.1:8000"},
        "outbound": {"mode": mode, "unmatched": unmatched},
    }
    listeners.update(changes)
    return Attache.model_validate(
        {
            "workload": {"name": "tasks"},
            "listeners": {name: value for name, value in listeners.items() if value},
        }
    )


EVERYTHING = Exclusions(
    (9090,),
    (5432, 6379),
    (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")),
    (ipaddress.ip_network("10.96.0.10"), ipaddress.ip_network("fd00::a")),
)


def chains(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.strip().startswith("chain "):
            rules = found.setdefault(line.split()[1], [])
        elif line.startswith("    "):
            rules.append(line.strip())
    return found


@pytest.mark.must(24)
def test_every_tcp_port_but_envoys_own_leads_to_the_inbound_listener():
    rules = chains(ruleset(configured(), 15021, Exclusions()))
    assert rules["prerouting"][-1] == (
        "meta l4proto tcp tcp dport != { 15006, 15021 } redirect to :15006"
    )


@pytest.mark.must(24)
def test_what_is_not_tcp_does_not_come_in_at_all():
    rules = chains(ruleset(configured(), 15021, EVERYTHING))["input"]
    assert rules[0].endswith("policy drop;")
    assert rules[1:] == [
        'iifname "lo" accept',
        "ct state established,related accept",
        "meta l4proto { icmp, ipv6-icmp } accept",
        "tcp dport { 9090, 15006, 15021 } accept",
    ]


def test_the_agents_and_envoys_own_calls_pass_before_any_other_rule():
    rules = chains(ruleset(configured(), 15021, EVERYTHING))
    for chain in ("output_nat", "output"):
        assert rules[chain][1] == "meta skuid { 10020, 10021 } accept"


def test_exclusions_name_networks_ports_and_nameservers_of_both_families():
    rules = chains(ruleset(configured(), 15021, EVERYTHING))
    excluded = [
        "ip daddr 10.96.0.10/32 meta l4proto { tcp, udp } th dport 53 accept",
        "ip6 daddr fd00::a/128 meta l4proto { tcp, udp } th dport 53 accept",
        "ip daddr 10.0.0.0/8 accept",
        "ip6 daddr fd00::/8 accept",
        "tcp dport { 5432, 6379 } accept",
    ]
    assert rules["output_nat"][3:] == [*excluded, "meta l4proto tcp redirect to :15001"]
    assert rules["output"][-6:] == [*excluded, "reject with icmpx admin-prohibited"]


def test_passthrough_redirects_and_stops_nothing():
    rules = chains(ruleset(configured(unmatched="passthrough"), 15021, Exclusions()))
    assert "output_nat" in rules
    assert "output" not in rules


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"outbound": None}, {"prerouting", "input"}),
        ({"inbound": None}, {"output_nat", "output"}),
        ({}, {"prerouting", "input", "output_nat", "output"}),
    ],
)
def test_a_direction_without_a_listener_is_left_alone(changes, expected):
    assert set(chains(ruleset(configured(**changes), 15021, Exclusions()))) == expected


def test_nameservers_are_addresses_each_once():
    text = "search a.b\nnameserver 10.96.0.10\nnameserver fe80::1%eth0\nnameserver 10.96.0.10\n#x\n"
    assert [str(one) for one in nameservers(text + "nameserver nonsense\nnameserver\n")] == [
        "10.96.0.10/32",
        "fe80::1/128",
    ]


REDIRECTED = """
ip link set lo up
ip link add eth0 type veth peer name eth1
ip link set eth1 up
ip link set eth0 up
ip addr add 203.0.113.1/24 dev eth0
ip route add default via 203.0.113.2
nft -f -
exec python3 - <<'END'
import socket, threading
def answer(port, word):
    server = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = server.accept()
        connection.sendall(word)
        connection.close()
threading.Thread(target=answer, args=(15001, b"envoy"), daemon=True).start()
threading.Thread(target=answer, args=(8000, b"application"), daemon=True).start()
def ask(host, port):
    try:
        with socket.create_connection((host, port), 3) as connection:
            return connection.recv(100).decode()
    except OSError as error:
        return type(error).__name__
def send(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(b"x", ("198.51.100.1", port))
        except OSError as error:
            return type(error).__name__
    return "sent"
print(ask("198.51.100.1", 80), ask("198.51.100.1", 443), ask("127.0.0.1", 8000), send(443))
END
"""


@pytest.mark.must(24, 25)
@pytest.mark.parametrize(
    ("unmatched", "datagram"), [("deny", "PermissionError"), ("passthrough", "sent")]
)
def test_the_kernel_leads_every_call_to_envoy(unmatched, datagram):
    if not all(map(shutil.which, ("nft", "ip"))) or namespace("nft", "list", "ruleset").returncode:
        pytest.skip("needs nft, ip and the right to make a network namespace")
    rules = ruleset(configured(unmatched=unmatched), 15021, Exclusions())
    done = namespace("sh", "-ec", REDIRECTED, stdin=rules)
    assert done.stdout.split() == ["envoy", "envoy", "application", datagram], done.stderr


def namespace(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    whole = ["unshare", "--net", "--", *command]
    return subprocess.run(whole, input=stdin, text=True, capture_output=True, timeout=30)


@pytest.mark.must(24)
def test_the_kernel_takes_the_rules_and_takes_them_again():
    if not shutil.which("nft") or namespace("nft", "list", "ruleset").returncode:
        pytest.skip("needs nft and the right to make a network namespace")
    for config in (configured(), configured(unmatched="passthrough"), configured(outbound=None)):
        text = ruleset(config, 15021, EVERYTHING)
        done = namespace("nft", "-f", "-", stdin=text * 2)
        assert done.returncode == 0, done.stderr
