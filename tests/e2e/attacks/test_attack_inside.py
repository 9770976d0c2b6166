"""What can somebody inside the pod, or beside it, do without going through Envoy?"""

from __future__ import annotations

import http.client
import random
import stat
from contextlib import closing
from pathlib import Path

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse

from tests.e2e.attacks.siege import Siege
from tests.e2e.attacks.sockets import Talk
from tests.e2e.attacks.table_socket import grpc

pytestmark = pytest.mark.e2e

LOOPBACK = "0100007F"  # as Linux writes it (proc_pid_net(5))
MUTANTS = 300
BATCH = 50  # so many answers fit into a connection's first window


def question(**extensions: str) -> bytes:
    """A whole CheckRequest, for a route that wants a token and gets none."""
    asked = CheckRequest()
    asked.attributes.context_extensions.update(extensions)
    http = asked.attributes.request.http
    http.method, http.path, http.host = "GET", "/api/x", "judged.test"
    http.headers["x-auth-kind"] = "forged"
    whole: bytes = asked.SerializeToString()
    return whole


def mutants() -> list[bytes]:
    """The question with bytes changed, left out and put in; always the same ones."""
    draw = random.Random(20)
    made = []
    for _ in range(MUTANTS):
        body = bytearray(question(direction="inbound"))
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(body))
            body[at : at + draw.randint(0, 2)] = draw.randbytes(draw.randint(0, 2))
        made.append(bytes(body))
    return made


def answers(siege: Siege, messages: list[bytes]) -> list[CheckResponse]:
    talk = Talk()
    for number, message in enumerate(messages):
        body = b"\0" + len(message).to_bytes(4) + message
        talk.headers(2 * number + 1, grpc(), end=False).data(2 * number + 1, body)
    heard = talk.exchange(siege.where("socket"), len(messages))
    assert heard.words == ["200"] * len(messages)
    return [CheckResponse.FromString(body[5:]) for body in heard.bodies]


def denied(answer: CheckResponse) -> bool:
    """Code 0 is OK, and what an empty answer would mean."""
    status = answer.denied_response.status.code
    return answer.status.code != 0 and not answer.HasField("ok_response") and 400 <= status <= 599


@pytest.mark.must(17)
def test_no_question_that_is_none_is_answered_with_an_allow(siege: Siege) -> None:
    whole = question(direction="inbound")
    odd = [b"", b"\xff" * 40, question(), question(direction="forged"), whole, whole[:-1]]
    assert [denied(answer) for answer in answers(siege, odd)] == [True] * len(odd)


@pytest.mark.must(17)
def test_a_question_that_was_bent_is_allowed_only_where_it_asks_for_an_open_path(
    siege: Siege,
) -> None:
    bent = mutants()
    for first in range(0, MUTANTS, BATCH):
        batch = bent[first : first + BATCH]
        for message, answer in zip(batch, answers(siege, batch), strict=True):
            assert denied(answer) or _asks_for_an_open_path(message), message


def _asks_for_an_open_path(message: bytes) -> bool:
    attributes = CheckRequest.FromString(message).attributes
    path = attributes.request.http.path
    return attributes.context_extensions["direction"] == "inbound" and not path.startswith("/api/")


@pytest.mark.must(24)
def test_the_agents_sockets_are_its_groups_alone(siege: Siege) -> None:
    for at in ("socket", "xds"):
        path = siege.where(at)
        assert isinstance(path, Path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


@pytest.mark.must(24)
def test_both_admin_ports_listen_on_loopback_only(siege: Siege) -> None:
    for port in (siege.pod.admin, siege.pod.envoy_admin):
        assert listeners(port) == {LOOPBACK}


def listeners(port: int) -> set[str]:
    """The addresses on which somebody listens at *port*."""
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            local, state = line.split()[1], line.split()[3]
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    return found


ORDERS = (
    *("/quitquitquit", "/healthcheck/fail", "/drain_listeners", "/logging?level=trace"),
    *("/runtime_modify?a=b", "/reset_counters", "/cpuprofiler?enable=y", "/heapprofiler?enable=y"),
    *("/stats/../quitquitquit", "//quitquitquit", "/statsx/../quitquitquit", "/%71uitquitquit"),
)


@pytest.mark.must(24, 47)
@pytest.mark.parametrize("order", ORDERS)
def test_envoys_admin_port_takes_no_orders(siege: Siege, order: str) -> None:
    for method in ("POST", "GET"):
        assert _ask(siege.pod.envoy_admin, method, order) in (400, 403, 404, 405)
    assert [process.poll() for process in siege.pod.processes] == [None, None]


@pytest.mark.must(47)
def test_the_agents_admin_port_only_answers_questions(siege: Siege) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "forged"):
        assert _ask(siege.pod.admin, method, "/status") in (400, 404, 405, 501)
    for path in ("/../etc/passwd", "/status/../../etc/passwd", "/%2e%2e/", "/" + "a" * 9000):
        assert _ask(siege.pod.admin, "GET", path) in (400, 404, 414)
    assert (siege.pod.page("/livez") or (0, ""))[0] == 200


def _ask(port: int, method: str, path: str) -> int:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(client):
        client.request(method, path)
        return client.getresponse().status
