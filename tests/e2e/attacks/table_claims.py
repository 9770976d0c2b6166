"""Claims that would be something else in a header (SECURITY.md 13, 22), in tokens that are valid."""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

from typing import Any

from tests.e2e.attacks.recorder import Seen
from tests.e2e.attacks.siege import Attack, Siege
from tests.e2e.attacks.sockets import Talk, pseudo, request

GROUP = "Claims: control characters, lengths and shapes"


def _both(name: str, claims: dict[str, Any], **wanted: str | None) -> list[Attack]:
    """The same by HTTP/1.1 and HTTP/2; `x_auth_name="v"` is that header's one value, None is none."""

    def clean(seen: Seen, _: Siege) -> bool:
        shown = {key: seen.all(key.replace("_", "-")) for key in ("x_auth_kind", *wanted)}
        return shown == {"x_auth_kind": ["user"]} | {
            key: [] if value is None else [value] for key, value in wanted.items()
        }

    def bearer(siege: Siege) -> str:
        return "Bearer " + siege.token(**claims)

    return [
        Attack(f"h1 {name}", lambda s: request("/api/x", f"Authorization: {bearer(s)}"), "200", "", 1, clean),
        Attack(f"h2 {name}", lambda s: Talk().headers(1, pseudo(b"/api/x", (b"authorization", bearer(s).encode()))), "200", "", 1, clean),
    ]  # fmt: skip


def _control(number: int) -> list[Attack]:
    return _both(
        f"control character {number}",
        {"nick": f"a{chr(number)}b", "team": ["x", f"a{chr(number)}"]},
        x_auth_name=None,
        x_team=None,
    )


ROWS = (
    *(row for number in (0, 1, 8, 9, 10, 11, 12, 13, 27, 31, 127) for row in _control(number)),
    *_both("a header in a name", {"nick": "a\r\nx-auth-kind: forged"}, x_auth_name=None),
    *_both("a request in a name", {"nick": "a\r\n\r\nGET /admin HTTP/1.1\r\nhost: forged\r\n\r\n"}, x_auth_name=None),
    *_both("a header in the address", {"email": "a@b.test\nbcc: forged@b.test"}, x_auth_email=None),
    *_both("a line feed in the subject", {"sub": "ann\nforged"}, x_auth_subject=None),
    *_both("a line feed in the client", {"azp": "spa\nforged"}, x_auth_client=None),
    *_both("a line feed in a role", {"roles": ["Admin\nforged", "b"]}, x_auth_roles=None),
    *_both("C1 controls", {"nick": "a\x85b\x9b"}, x_auth_name="a%C2%85b%C2%9B"),
    *_both("line separators", {"nick": "a\u2028b\u2029"}, x_auth_name="a%E2%80%A8b%E2%80%A9"),
    *_both("right-to-left override", {"nick": "\u202enimda"}, x_auth_name="%E2%80%AEnimda"),
    *_both("what is CR and LF in the low byte", {"nick": "a\u010d\u010ab"}, x_auth_name="a%C4%8D%C4%8Ab"),
    *_both("emoji", {"nick": "\U0001f600", "team": ["\u00e9", "\U0001f600"]}, x_auth_name="%F0%9F%98%80", x_team="%C3%A9,%F0%9F%98%80"),
    *_both("percent", {"nick": "100%", "team": "%0d%0ax-auth-kind: f"}, x_auth_name="100%25", x_team="%250d%250ax-auth-kind: f"),
    *_both("comma in a list", {"roles": ["a,Admin", "b"], "team": ["x,y", "z"]}, x_auth_roles="a%2CAdmin,b", x_team="x%2Cy,z"),
    *_both("a scope that is two", {"scope": "read write"}, x_auth_scopes="read write"),
    *_both("4 KiB, just", {"nick": "n" * 4096}, x_auth_name="n" * 4096),
    *_both("4 KiB and one", {"nick": "n" * 4097}, x_auth_name=None),
    *_both("4 KiB once encoded", {"nick": "\u00e9" * 683}, x_auth_name=None),
    *_both("a list of 4 KiB", {"team": ["n" * 100] * 50}, x_team=None),
    *_both("an object", {"nick": {"x": "forged"}, "team": [{"a": "forged"}]}, x_auth_name=None, x_team=None),
    *_both("numbers and truth", {"nick": 7, "team": True}, x_auth_name="7", x_team="true"),
    *_both("nothing", {"nick": "", "team": [], "email": None}, x_auth_name=None, x_team=None, x_auth_email=None),
    *_both("claims named like headers", {"x-auth-kind": "forged", "x-auth-roles": "forged", "authorization": "forged"}, x_auth_roles=None),
)  # fmt: skip
