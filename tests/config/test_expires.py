"""How is it written when a secret ends?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.config.fields import instant
from agent.config.finding import ConfigInvalid
from agent.config.loading import parse

ENTRA = {"tenant": "t", "clientId": "c"}
OAUTH = {"tokenUrl": "https://x.example/token", "clientId": "c"}


def identity(**kind: Any) -> Any:
    whole = {
        "workload": {"name": "w"},
        "listeners": {"outbound": {}},
        "identities": [{"name": "us", **kind}],
    }
    return parse(json.dumps(whole).encode(), "a.yaml").identities[0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T00:00:00.5Z", 0.5),
    ],
)
def test_a_day_begins_in_utc_and_a_time_has_a_zone(text: str, seconds: float) -> None:
    assert instant(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13-01", "2026-01-01T10:00:00", "31.12.2026", "٢٠٢٦-01-01", 5, None]
)
def test_what_is_no_time_is_refused_without_repeating_it(text: object) -> None:
    with pytest.raises(ValueError, match=r"^this is not a time; write it like 2026-12-31"):
        instant(text)


def test_a_secrets_end_stands_beside_its_file_only() -> None:
    end = {"expires": "2027-01-01"}
    assert identity(entra=ENTRA | {"secretFile": "/s"} | end).entra.expires == instant("2027-01-01")
    assert identity(oauth=OAUTH | {"secretFile": "/s"} | end).oauth.expires == instant("2027-01-01")
    for kind in (
        {"entra": ENTRA | {"certificateFile": "/c"} | end},
        {"oauth": OAUTH | {"keyFile": "/k"} | end},
    ):
        with pytest.raises(ConfigInvalid) as caught:
            identity(**kind)
        assert "expires is the end of the secret in secretFile" in str(caught.value.findings[0])
