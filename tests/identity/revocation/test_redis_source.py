"""What a real Redis says is revoked: its changes, its mistakes, its locks, its TLS."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography.hazmat.primitives.serialization import Encoding

from agent.config.revocation import RedisList, Revocation
from agent.identity.revocation.entry import Entry, Mistake
from agent.identity.revocation.listing import MAX_ENTRIES
from agent.identity.revocation.redis_source import (
    SMALL,
    WHOLE,
    Mark,
    RedisSource,
    read_text,
    whole_due,
)
from agent.identity.revocation.state import Fresh, Look, Same, Trouble
from agent.identity.revocation.store import NotWritten, store_of
from demo.idp import certificates
from demo.ports import Ports
from demo.waiting import until

# last, now → is the list read whole?
LARGE = SMALL + 1
RULE: list[tuple[Mark | None, Mark, bool]] = [
    (None, Mark(0, LARGE, 1, 0.0), True),
    (Mark(0, SMALL, 1, 0.0), Mark(0, SMALL, 1, 0.5), True),
    (Mark(3, LARGE, 1, 0.0), Mark(3, LARGE, 1, 0.5), False),
    (Mark(3, LARGE, 1, 0.0), Mark(4, LARGE, 1, 0.5), True),
    (Mark(3, LARGE, 1, 0.0), Mark(3, LARGE + 1, 1, 0.5), True),
    (Mark(3, LARGE, 1, 0.0), Mark(3, LARGE, 2, 0.5), True),
    (Mark(3, LARGE, 1, 0.0), Mark(3, LARGE, 1, WHOLE), True),
]


@pytest.mark.parametrize(("last", "now", "due"), RULE)
def test_when_the_list_is_read_whole(last: Mark | None, now: Mark, due: bool) -> None:
    assert whole_due(last, now) is due


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (b'{"subject":"a"}', True),
        (b'{"subject":"a","subject":"b"}', False),
        (b'["a"]', False),
        (b"a", False),
        (b"\xff", False),
        (b"", False),
        (b"{}", False),
    ],
)
def test_a_value_of_the_hash_is_strict_json(text: bytes, good: bool) -> None:
    assert isinstance(read_text(text), Entry if good else Mistake)


SERVER = shutil.which("redis-server")
real = [
    pytest.mark.e2e,
    pytest.mark.skipif(not SERVER, reason="redis-server is not installed on this machine"),
]
KEY = "attache:revoked"
Start = Callable[..., int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a Redis with further options, and gives its port."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*options: str) -> int:
        port = Ports().take()
        plain = () if "--tls-port" in options else ("--port", str(port))
        words = [str(port) if word == "PORT" else word for word in options]
        command = [str(SERVER), *plain, "--bind", "127.0.0.1", "--save", "", *words]
        command += ["--dir", str(tmp_path), "--logfile", str(tmp_path / "redis.log")]
        running.append(subprocess.Popen(command))
        until(lambda: b"Ready to accept" in _log(tmp_path) or None, "Redis")
        return port

    yield begin
    for process in running:
        process.kill()
        process.wait()


def _log(folder: Path) -> bytes:
    file = folder / "redis.log"
    return file.read_bytes() if file.exists() else b""


def source(port: int, **different: Any) -> RedisSource:
    section = {"url": f"redis://127.0.0.1:{port}/0", **different}
    return RedisSource(RedisList.model_validate(section), lambda: 1000.0)


def subjects(look: Look) -> list[str]:
    assert isinstance(look, Fresh), look
    return sorted(entry.subject for entry in look.by_id.values())


class TestReal:
    pytestmark = real

    def test_changes_are_seen_with_and_without_a_version(self, start: Start) -> None:
        port = start()
        client = redis.Redis(port=port)
        looking = source(port)
        assert subjects(looking.look(0.0)) == []
        client.hset(KEY, "x", '{"subject":"x"}')
        assert subjects(looking.look(0.5)) == ["x"]
        client.hset(KEY, "x", '{"subject":"y"}')
        assert subjects(looking.look(1.0)) == ["y"]
        assert looking.look(1.5) == Same()

        many = {str(n): f'{{"subject":"s{n}"}}' for n in range(LARGE)}
        client.hset(KEY, mapping=many)
        assert len(subjects(looking.look(2.0))) == LARGE + 1
        client.hset(KEY, "x", '{"subject":"z"}')
        assert looking.look(2.5) == Same()  # in place, uncounted, and in a large list
        client.incr(f"{KEY}:version")
        assert "z" in subjects(looking.look(3.0))
        client.hset(KEY, "x", '{"subject":"w"}')
        assert "w" in subjects(looking.look(3.0 + WHOLE))
        client.delete(KEY)
        assert subjects(looking.look(20.0)) == []
        looking.close()

    @pytest.mark.must(42)
    def test_what_is_wrong_or_too_much_is_said_and_takes_nothing_away(self, start: Start) -> None:
        port = start()
        client = redis.Redis(port=port)
        looking = source(port)
        client.hset(KEY, mapping={"x": '{"subject":"x"}', "bad": "{}"})
        look = looking.look(0.0)
        assert subjects(look) == ["x"]
        assert isinstance(look, Fresh)
        assert "'bad'" in look.complaints[0]
        client.hset(KEY, "x", "no longer JSON")
        assert subjects(looking.look(0.5)) == ["x"]
        client.hset(KEY, mapping={str(n): '{"subject":"s"}' for n in range(MAX_ENTRIES)})
        trouble = looking.look(1.0)
        assert isinstance(trouble, Trouble)
        assert trouble.lasting
        assert "prune" in trouble.sentence
        with pytest.raises(NotWritten, match="prune"):
            store_of(
                Revocation.model_validate({"redis": {"url": f"redis://127.0.0.1:{port}"}})
            ).add(Entry(subject="one more"))
        client.delete(KEY)
        client.set(KEY, "a string")
        trouble = looking.look(1.5)
        assert isinstance(trouble, Trouble)
        assert "must be a hash" in trouble.sentence
        looking.close()

    @pytest.mark.must(45)
    def test_a_login_of_few_rights_is_enough_and_its_password_may_change(
        self, start: Start, tmp_path: Path
    ) -> None:
        port = start()
        admin = redis.Redis(port=port)
        commands = ("get", "hlen", "hgetall", "multi", "exec")
        rights = ("on", ">hunter2", f"~{KEY}*", *(f"+{command}" for command in commands))
        admin.execute_command("ACL", "SETUSER", "reader", *rights)
        admin.hset(KEY, "x", '{"subject":"x"}')
        admin.execute_command("ACL", "SETUSER", "default", "off")
        secret = tmp_path / "password"
        secret.write_text("wrong-hunter\n")
        looking = source(port, username="reader", passwordFile=str(secret))
        trouble = looking.look(0.0)
        assert isinstance(trouble, Trouble)
        assert "check username and passwordFile" in trouble.sentence
        assert "hunter" not in trouble.sentence
        secret.write_text("hunter2\n")
        assert subjects(looking.look(0.5)) == ["x"]
        secret.unlink()
        looking.close()
        missing = looking.look(1.0)
        assert isinstance(missing, Trouble)
        assert "password file" in missing.sentence

    def test_tls_trusts_the_configured_authority_only(self, start: Start, tmp_path: Path) -> None:
        made = certificates.authority(time.time())
        both, ours, theirs = (tmp_path / name for name in ("both.pem", "ours.pem", "theirs.pem"))
        both.write_bytes(certificates.leaf(made, ["localhost"], time.time()).pem())
        for file, ca in ((ours, made), (theirs, certificates.authority(time.time()))):
            file.write_bytes(ca.certificate.public_bytes(Encoding.PEM))
        port = start(
            "--port", "0", "--tls-port", "PORT", "--tls-cert-file", str(both),
            "--tls-key-file", str(both), "--tls-ca-cert-file", str(ours),
            "--tls-auth-clients", "no",
        )  # fmt: skip
        url = f"rediss://localhost:{port}"
        assert subjects(source(0, url=url, caFile=str(ours)).look(0.0)) == []
        for refused in ({"caFile": str(theirs)}, {}):
            trouble = source(0, url=url, **refused).look(0.0)
            assert isinstance(trouble, Trouble)
            assert "cannot be reached" in trouble.sentence
        plain = source(0, url=f"redis://localhost:{port}").look(0.0)
        assert isinstance(plain, Trouble)
