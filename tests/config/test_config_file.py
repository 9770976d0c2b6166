"""The file itself, and the files that it names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.config.loading import ConfigInvalid, load, missing_files, parse

EXAMPLE = Path(__file__).with_name("example.yaml")
GOOD = EXAMPLE.read_text()
FILE = "attache.yaml"


def test_a_missing_file_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"gone\.yaml: the file does not exist\. Remedy: check"):
        load(tmp_path / "gone.yaml")


def test_a_folder_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="this is a folder"):
        load(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "attache.yaml"
    file.write_text(GOOD)
    file.chmod(0)
    with pytest.raises(ConfigInvalid, match="not readable"):
        load(file)


def test_a_path_that_cannot_be_a_path_is_a_finding() -> None:
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load("a\x00b")


def test_a_file_is_not_read_beyond_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "attache.yaml"
    with file.open("wb") as handle:
        handle.truncate(1 << 33)  # sparse: reading it whole would fill the memory
    with pytest.raises(ConfigInvalid, match="larger than 1 MiB"):
        load(file)


# --- files that the configuration names


def test_files_that_do_not_exist_are_named_with_their_lines() -> None:
    found = missing_files(load(EXAMPLE), EXAMPLE)
    assert {finding.path for finding in found} == {
        "issuers[3].internal.jwks.file",
        "identities[0].entra.secretFile",
        "identities[1].oauth.secretFile",
        "internalTokens.keys",
    }
    lines = GOOD.split("\n")
    for finding in found:
        assert finding.path.rpartition(".")[2] in lines[finding.line - 1]
        assert "does not exist" in finding.reason
    assert str(missing_files(load(EXAMPLE))[0]).startswith("issuers[3].internal.jwks.file: '/trust")


def test_files_that_exist_are_no_findings_but_empty_ones_and_folders_are(tmp_path: Path) -> None:
    for name in ("jwks.json", "client-secret", "keycloak"):
        (tmp_path / name).write_text("content")
    (tmp_path / "signing").mkdir()
    (tmp_path / "signing" / "a.pem").write_text("content")
    text = GOOD.replace("/trust/", f"{tmp_path}/").replace("/secrets/", f"{tmp_path}/")
    config = parse(text.encode(), FILE)
    assert missing_files(config) == []

    (tmp_path / "client-secret").write_text("")
    (tmp_path / "keycloak").unlink()
    (tmp_path / "keycloak").mkdir()
    (tmp_path / "signing" / "a.pem").unlink()
    assert [(finding.path, finding.reason.split("' ")[1]) for finding in missing_files(config)] == [
        ("identities[0].entra.secretFile", "is empty"),
        ("identities[1].oauth.secretFile", "is a folder"),
        ("internalTokens.keys", "is empty"),
    ]
