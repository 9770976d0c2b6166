"""Where may the list come from? What is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.attache import Attache
from agent.config.loading import ConfigInvalid, missing_files, parse

BASE = """\
workload: {name: w, namespace: shop}
listeners: {inbound: {application: "127.0.0.1:8000"}}
routes: [{path: /, anonymous: true}]
"""


def configured(section: str) -> Attache:
    return parse((BASE + f"revocation: {section}\n").encode(), "a.yaml")


GOOD = [
    "{file: /etc/attache/revoked.yaml}",
    "{file: /r.yaml, snapshot: /s.json, onLoss: notReady, maxAge: 10m}",
    "{redis: {url: 'redis://127.0.0.1:6379/3'}}",
    "{redis: {url: 'redis://redis'}}",
    "{redis: {url: 'redis://redis.shop:6379'}}",
    "{redis: {url: 'redis://10.0.0.7:6379'}}",
    "{redis: {url: 'redis://redis.example.com:6379', plaintext: true}}",
    "{redis: {url: 'rediss://redis.example.com:6380/0', username: u, passwordFile: /p, caFile: /c,"
    " key: 'shop:revoked'}}",
]


@pytest.mark.parametrize("section", GOOD)
def test_a_list_comes_from_a_file_or_from_redis(section: str) -> None:
    rules = configured(section).revocation
    assert rules is not None
    assert (rules.file is None) is (rules.redis is not None)


def test_a_redis_url_names_host_port_and_database() -> None:
    rules = configured("{redis: {url: 'rediss://[::1]:6380/12', caFile: /c}}").revocation
    assert rules is not None
    assert rules.redis is not None
    assert (str(rules.redis.address), rules.redis.database) == ("[::1]:6380", 12)
    assert rules.redis.tls


# section → path of the finding, part of what is said
REFUSED: list[tuple[str, str, str]] = [
    ("{}", "revocation", "exactly one of file, redis"),
    ("{file: /f, redis: {url: 'rediss://r'}}", "revocation", "exactly one"),
    ("{file: /f, snapshot: /f}", "revocation", "another file"),
    ("{file: /f, onLoss: ignore}", "revocation.onLoss", "'serve' or 'notReady'"),
    ("{file: /f, maxAge: 1s}", "revocation.maxAge", "at least 10"),
    ("{redis: {}}", "revocation.redis.url", "missing"),
    ("{redis: {url: 'http://r'}}", "revocation.redis.url", "rediss://host:6379/0"),
    ("{redis: {url: 'rediss://u:hunter2@r'}}", "revocation.redis.url", "passwordFile"),
    ("{redis: {url: 'rediss://r/0?ssl_cert_reqs=none'}}", "revocation.redis.url", "more than"),
    ("{redis: {url: 'rediss://r/a'}}", "revocation.redis.url", "more than"),
    ("{redis: {url: 'rediss://r:x'}}", "revocation.redis.url", "URL"),
    ("{redis: {url: 'rediss://r', password: hunter2}}", "revocation.redis.password", "File"),
    ("{redis: {url: 'rediss://r', username: u}}", "revocation.redis", "passwordFile"),
    ("{redis: {url: 'redis://r', caFile: /c}}", "revocation.redis", "rediss://"),
    ("{redis: {url: 'redis://redis.example.com'}}", "revocation.redis.url", "plain text"),
    ("{redis: {url: 'redis://redis.other'}}", "revocation.redis.url", "plain text"),
    ("{redis: {url: 'rediss://r', key: ''}}", "revocation.redis.key", "empty"),
]  # fmt: skip


@pytest.mark.must(26, 32)
@pytest.mark.parametrize(("section", "path", "part"), REFUSED)
def test_an_unsafe_or_unclear_section_is_refused_without_repeating_a_secret(
    section: str, path: str, part: str
) -> None:
    with pytest.raises(ConfigInvalid) as invalid:
        configured(section)
    (finding,) = invalid.value.findings
    assert finding.path == path
    assert part in f"{finding.reason}; {finding.remedy}"
    assert "hunter2" not in str(finding)


def test_the_list_has_to_be_there_and_the_snapshot_need_not(tmp_path: Path) -> None:
    section = f"{{file: {tmp_path}/revoked.yaml, snapshot: {tmp_path}/s.json}}"
    assert [finding.path for finding in missing_files(configured(section))] == ["revocation.file"]
