"""A directory file is read whole, written back the same, and refused with its line."""

import pytest

from demo.idp import Directory, loading
from demo.idp.document import DocumentError
from demo.idp.dumping import dump


def test_the_readme_shows_a_whole_directory(readme_example: str) -> None:
    directory = loading.load(readme_example, "README.md")
    assert [tenant.name for tenant in directory.tenants] == [
        "contoso.example",
        "northwind.example",
        "foreign.example",
    ]
    audit = directory.app("audit")
    assert audit
    assert (audit.access_token_version, audit.roles) == (1, ("AuditLog.Write",))
    roles = {assignment.role for assignment in directory.assignments}
    assert roles == {"Admin", "Editor", "Reader", "AuditLog.Write"}


def test_a_directory_reads_back_as_it_was_written(directory: Directory) -> None:
    assert loading.load(dump(directory), "dump") == directory


GOOD = """\
tenants:
  - {id: 11111111-1111-4111-8111-111111111111, name: contoso.example}
apps:
  - name: api
    clientId: aaaaaaaa-0000-4000-8000-000000000001
    homeTenant: contoso.example
    scopes: [read]
    roles: [Admin]
users:
  - id: bbbbbbbb-0000-4000-8000-000000000001
    tenant: contoso.example
    username: A@contoso.example
    password: x
    name: A
"""


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("name: api", "nam: api", "f.yaml:4: apps[0].nam: unknown key"),
        (
            "clientId: aaaaaaaa-0000-4000-8000-000000000001",
            "clientId: seven",
            "f.yaml:5: apps[0].clientId: 'seven' is not a GUID",
        ),
        (
            "homeTenant: contoso.example",
            "homeTenant: other.example",
            "f.yaml:6: apps[0].homeTenant: no tenant has the id or name 'other.example'",
        ),
        ("scopes: [read]", "scopes: read", "f.yaml:7: apps[0].scopes: must be a list"),
        ("scopes: [read]", "scopes: [1]", "f.yaml:7: apps[0].scopes[0]: must be a string"),
        ("    password: x\n", "", "f.yaml:10: users[0]: 'password' is missing"),
        (
            "    name: A\n",
            "    name: A\n    enabled: perhaps\n",
            "f.yaml:15: users[0].enabled: must be true or false",
        ),
        (
            "roles: [Admin]",
            "accessTokenVersion: 3",
            "f.yaml:8: apps[0].accessTokenVersion: must be 1 or 2",
        ),
        (
            "roles: [Admin]",
            "secrets: [{value: x, expires: soon}]",
            "f.yaml:8: apps[0].secrets[0].expires: must be a time",
        ),
        ("roles: [Admin]", "certificates: [x]", "f.yaml:8: apps[0].certificates[0]: is not a cert"),
        ("tenants:", "tenants: [", "f.yaml:"),
        ("    name: A\n", "    name: A\n    name: B\n", "f.yaml:15: users[0].name: is given twice"),
    ],
)
def test_a_mistake_is_refused_with_its_line(was: str, becomes: str, message: str) -> None:
    assert loading.load(GOOD, "f.yaml").users
    with pytest.raises(DocumentError) as caught:
        loading.load(GOOD.replace(was, becomes, 1), "f.yaml")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "assignments: [{tenant: contoso.example, user: A@contoso.example, resource: api, "
            "roles: [Boss]}]",
            "f.yaml:15: assignments[0].roles[0]: 'Boss' is no role of api",
        ),
        (
            "assignments: [{tenant: contoso.example, resource: api, roles: []}]",
            "f.yaml:15: assignments[0]: give either 'user' or 'app'",
        ),
        (
            "consents: [{tenant: contoso.example, client: api, resource: api, scopes: [write]}]",
            "f.yaml:15: consents[0].scopes[0]: 'write' is no scope of api",
        ),
        (
            "policies: [{id: p, resource: api, demand: luck}]",
            "f.yaml:15: policies[0].demand: must be 'mfa' or 'block'",
        ),
        (
            "managedIdentities: [{app: nobody, tenant: contoso.example}]",
            "f.yaml:15: managedIdentities[0].app: no app has",
        ),
    ],
)
def test_a_dangling_reference_is_refused_with_its_line(more: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        loading.load(GOOD + more, "f.yaml")
    assert str(caught.value).startswith(message)


def test_an_empty_file_says_so() -> None:
    with pytest.raises(DocumentError, match=r"f.yaml:1: the file is empty"):
        loading.load("", "f.yaml")
