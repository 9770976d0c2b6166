"""One reading of a path, or none (SECURITY.md 20): what a stranger says to get at /admin.

The pod's last route lets everybody in, so whatever is not read as /admin would get through.
"""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

from tests.e2e.attacks.recorder import Seen
from tests.e2e.attacks.siege import Attack, Siege
from tests.e2e.attacks.sockets import Talk, pseudo, request

GROUP = "Paths: spellings of a protected one"

REFUSED = "400|401|403|426"

# What an application may read as /admin/x, or as /api/tasks.
SPELLINGS: tuple[bytes, ...] = (
    *(b"//admin/x", b"/admin//x", b"///admin/x", b"/./admin/x", b"/admin/./x", b"/open/../admin/x"),
    *(b"/open/x/../../admin/x", b"/../admin/x", b"/open/..//admin/x", b"/open/.././admin/x"),
    *(b"/%2e%2e/admin/x", b"/open/%2e%2e/admin/x", b"/open/.%2e/admin/x", b"/open/%2E./admin/x"),
    *(b"/%2fadmin/x", b"/admin%2fx", b"/admin%2Fx", b"/open%2f..%2fadmin/x", b"/%2e/admin/x"),
    *(b"/open/..%2fadmin/x", b"/open%2f../admin/x", b"/%2f%2fadmin/x", b"/open/%2e%2e%2fadmin"),
    *(b"/\\admin/x", b"/admin\\x", b"/open\\..\\admin/x", b"/open/..\\admin/x"),
    *(b"/%5cadmin/x", b"/admin%5cx", b"/open/..%5Cadmin/x", b"/open%5c..%5cadmin"),
    *(b"/admin%00", b"/admin%00/x", b"/open/x%00/../../admin", b"/admin/x%00.js", b"/%00admin/x"),
    *(b"/admin;/x", b"/admin;a=b/x", b"/;/admin/x", b"/open/..;/admin/x", b"/open;/../admin/x"),
    *(b"/admin/x;.js", b"/admin/x;jsessionid=forged", b"/admin%3b/x", b"/open/..%3b/admin/x"),
    *(b"/api/tasks/..;/admin", b"/api/tasks/..;x=y/admin"),
    *(b"/%61dmin/x", b"/%61%64%6d%69%6e/x", b"/adm%69n/x", b"/ADMIN/x", b"/Admin/x", b"/aDmIn/x"),
    *(b"/%41dmin/x", b"/%2561dmin/x", b"/%252fadmin/x", b"/open/%252e%252e/admin/x"),
    *(b"/%25%36%31dmin/x", b"/%25252fadmin", b"/admin%252fx", b"/admin/%252e", b"/open/%25%32%65%25%32%65/admin"),
    *(b"/open/%c0%ae%c0%ae/admin/x", b"/%c0%afadmin/x", b"/admin%c0%afx", b"/%e0%80%afadmin/x"),
    *(b"/%f0%80%80%afadmin", b"/%c1%81dmin/x", b"/open/%c0%2e%c0%2e/admin", b"/%f8%80%80%80%af"),
    *(b"/admin/%ff", b"/admin%80", b"/%ed%a0%80admin", b"/\xffadmin/x", b"/admin\xff", b"/\xc0\xafadmin"),
    *(b"/adm\xc4\xb1n/x", b"/adm%c4%b1n/x", b"/%ef%bd%81dmin/x", b"/%ef%bc%a1dmin/x", b"/\xef\xbd\x81dmin/x"),
    *(b"/%ef%bc%8fadmin/x", b"/admin%ef%bc%8fx", b"/open/%ef%bc%8e%ef%bc%8e/admin", b"/open/%e2%80%a5/admin"),
    *(b"/admin%ef%bc%bcx", b"/admin%ef%bc%9bx", b"/admin%ef%bc%85x", b"/%u0061dmin/x", b"/admin%u002fx"),
    *(b"/admin/", b"/admin//", b"/admin/.", b"/admin/x/..", b"/admin/../admin", b"/admin/%2e"),
    *(b"/admin.", b"/admin./x", b"/admin...", b"/admin%20", b"/admin%20/x", b"/%20admin/x", b"/admin%2e"),
    *(b"/admin%2e/x", b"/admin.%20", b"/admin%20.", b"/admin%c2%a0", b"/admin%e3%80%80/x", b"/admin%ef%bc%8e/x"),
    *(b"/admin%09", b"/admin%0a", b"/admin%0d%0ax-auth-kind:%20forged", b"/admin%0b/x", b"/admin%7f", b"/admin%c2%85"),
    *(b"/admin%1f", b"/admin/%0d", b"/%0aadmin/x", b"/%09/admin/x", b"/admin%c2%80"),
    *(b"/admin%", b"/admin%2", b"/admin%zz", b"/admin%%2f", b"/%/admin", b"/admin%2g/x", b"/%2%65admin"),
    *(b"/admin#", b"/admin/x#forged", b"/open/x#/../../admin", b"/#/admin", b"/admin#?x"),
    *(b"/admin?", b"/admin?x", b"/admin??", b"/admin?/../open/x", b"/admin/x?a=/open/x", b"/admin?#", b"/admin/x?;"),
    *(b"/[admin]", b"/admin["),
)  # fmt: skip
# Not bytes of a target at all (RFC 9112 §3.2).
BROKEN: tuple[bytes, ...] = (
    *(b"\\admin\\x", b"/admin\x7f", b"/admin x", b"/admin\tx", b"/admin\0", b"/admin\x01x", b"/admin\rx", b"/admin\nx", b" /admin", b"/admin\x0bx"),
    *(b"admin/x", b"", b"?/admin", b"./admin", b"../admin", b"*", b"*/admin", b"judged.test/admin", b":80/admin"),
    *(b"http:/admin", b"http://", b"http:///admin", b"ftp://judged.test/admin", b"javascript:/admin"),
    *(b"http://judged.test:80:80/admin", b"http://judged.test\\admin", b"http://[::1/admin", b"file:///admin", b"judged.test:80"),
)  # fmt: skip


def elsewhere(seen: Seen, _: Siege) -> bool:
    """What Envoy resolved, decided on as what the application got."""
    return "admin" not in seen.target.partition("?")[0]


def _h1(path: bytes, answer: str = REFUSED, saw: int = 0) -> Attack:
    return Attack(f"h1 {path!r}", lambda s: request(path), answer, saw=saw, clean=elsewhere)


def _h2(path: bytes, answer: str = REFUSED, saw: int = 0) -> Attack:
    says = lambda s: Talk().headers(1, pseudo(path))  # noqa: E731
    return Attack(f"h2 {path!r}", says, answer, saw=saw, clean=elsewhere)


# Another resource, and the application gets just what was decided on.
HARMLESS: tuple[bytes, ...] = (
    *(b"/open/;/../x", b"/admin/..", b"//judged.test:99999/open", b"/open<", b"/open>x", b"/open\"", b"/open^"),
    *(b"/open`", b"/open{", b"/open|x", b"/open/x.", b"/open/%20"),
    *(b"/open/x?/../../admin", b"/open/x?%2f..%2fadmin", b"/open/x?path=/admin/x", b"/open/x?%00", b"/open/x?;a", b"/open/x?a=b?c"),
    *(b"/open/x?%0d%0ax-auth-kind:%20f", b"/open/x?%c0%af", b"/open/x?http://judged.test/admin", b"/open/x?_method=DELETE"),
)  # fmt: skip

ROWS = (
    *(_h1(path) for path in SPELLINGS),
    *(_h2(path) for path in SPELLINGS),
    *(_h1(path) for path in BROKEN),
    *(_h2(path, "closed") for path in BROKEN),
    *(_h1(path, "200", 1) for path in HARMLESS),
    *(_h2(path, "200", 1) for path in HARMLESS),
)
