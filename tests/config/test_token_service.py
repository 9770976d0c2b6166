"""What may a configuration say of the TokenService?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.config.finding import ConfigInvalid
from agent.config.loading import missing_files, parse

OWN = {"secretFile": {"file": "/key"}}


def config(service: dict[str, Any] | None, *destinations: dict[str, Any], **more: Any) -> Any:
    whole = {
        "workload": {"name": "w"},
        "listeners": {"inbound": {"application": "127.0.0.1:8000"}},
        "destinations": list(destinations) or [{"name": "db", "credential": OWN}],
        "tokenService": service,
    }
    return parse(json.dumps(whole | more).encode(), "a.yaml")


def test_it_is_off_unless_it_is_written() -> None:
    assert (
        config(None, {"name": "a", "hosts": ["a"]}, listeners={"outbound": {}}).token_service
        is None
    )


def test_a_destination_without_hosts_is_for_it_alone() -> None:
    made = config({"http": "127.0.0.1:5178", "destinations": ["db"]})
    assert made.called == ()
    assert made.token_service.uids == ()
    both = {"name": "crm", "hosts": ["crm"], "credential": OWN}
    made = config(
        {"socket": "/s", "uids": [0, 7], "destinations": ["db", "crm"]},
        {"name": "db", "credential": OWN},
        both,
        listeners={"outbound": {}},
    )
    assert [each.name for each in made.called] == ["crm"]


def test_an_agent_may_do_nothing_else() -> None:
    config({"socket": "/s", "destinations": ["db"]}, listeners={})


WRONG = [
    ({"destinations": ["db"]}, {}, "nobody could ask"),
    ({"http": "127.0.0.1:5178", "destinations": []}, {}, "at least one"),
    ({"http": "0.0.0.0:5178", "destinations": ["db"]}, {}, "from outside the pod"),
    ({"http": "127.0.0.1:15020", "destinations": ["db"]}, {}, "port 15020 is taken by agent.admin"),
    ({"http": "127.0.0.1:1", "uids": [1], "destinations": ["db"]}, {}, "on the socket only"),
    ({"socket": "tokens.sock", "destinations": ["db"]}, {}, "relative"),
    ({"socket": "/" + "s" * 107, "destinations": ["db"]}, {}, "shorten it"),
    ({"socket": "/run/attache/agent.sock", "destinations": ["db"]}, {}, "socket of Envoy's"),
    ({"socket": "/run/attache/agent-xds.sock", "destinations": ["db"]}, {}, "socket of Envoy's"),
    ({"socket": "/s", "uids": [-1], "destinations": ["db"]}, {}, "at least 0"),
    ({"socket": "/s", "uids": ["root"], "destinations": ["db"]}, {}, "number"),
    ({"socket": "/s", "destinations": ["db", "x"]}, {}, "destination 'x' does not exist"),
    ({"socket": "/s", "mode": "0666", "destinations": ["db"]}, {}, "mode"),
    ({"socket": "/s", "destinations": ["db"]}, {"credential": "none"}, "no credential to hand out"),
    ({"socket": "/s", "destinations": ["db"]}, {"tls": {}}, "no host leads here"),
    ({"socket": "/s", "destinations": ["db"]}, {"delivery": "sds"}, "no host leads here"),
    (None, {}, "no host leads to it"),
]


@pytest.mark.must(24, 43)
@pytest.mark.parametrize(("service", "destination", "told"), WRONG, ids=range(len(WRONG)))
def test_what_would_not_do_is_said(
    service: dict[str, Any] | None, destination: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        config(service, {"name": "db", "credential": OWN} | destination)
    said = "; ".join(f"{finding}" for finding in caught.value.findings)
    assert told in said


def test_its_socket_need_not_be_there_before(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    key = {"name": "db", "credential": {"secretFile": {"file": f"{tmp_path}/key"}}}
    made = config({"socket": f"{tmp_path}/t.sock", "destinations": ["db"]}, key)
    assert missing_files(made) == []
