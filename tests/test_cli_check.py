"""What does `attache check` say of routes: 0 with warnings, 2 with what is wrong?"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli_commands import check
from agent.config.loading import ConfigInvalid

HEAD = """
workload: {name: a}
listeners: {inbound: {application: 127.0.0.1:8000}}
routes:
"""


def written(folder: Path, *routes: str) -> Path:
    file = folder / "attache.yaml"
    file.write_text(HEAD + "".join(f"  - {route}\n" for route in routes))
    return file


def test_a_route_that_never_decides_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(written(tmp_path, '{path: "/**", anonymous: true}', "{path: /a, anonymous: true}"))
    said = capsys.readouterr()
    assert said.err.startswith("warning: routes[1] ('/a') never decides: routes[0] ('/**')")
    assert "valid" in said.out


def test_two_routes_that_contradict_each_other_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        check(
            written(
                tmp_path,
                '{path: "/a/{x}", anonymous: true}',
                '{path: "/a/{y}/", anonymous: true, cors: {allowOrigins: ["https://a.example"]}}',
            )
        )
    (finding,) = caught.value.findings
    assert (finding.line, finding.path) == (6, "routes[1]")
    assert "routes[0] is for the same requests" in finding.reason
