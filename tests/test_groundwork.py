"""The keys are asked for once, before the rest is there, and the agent goes on with them."""

from __future__ import annotations

from pathlib import Path

from agent.app import App
from agent.config.attache import Attache
from agent.groundwork import Groundwork
from demo.ports import Ports
from vectors.ring import Ring


def test_what_was_fetched_ahead_is_what_the_agent_verifies_with(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_bytes(Ring.new().jwks("rsa"))
    keys = {"file": str(tmp_path / "keys.json")}
    issuer = {"issuer": "https://partner.example", "audiences": ["api"], "jwks": keys}
    config = Attache.model_validate(
        {
            "workload": {"name": "api", "namespace": "test"},
            "listeners": {"inbound": {"port": 15006, "application": "127.0.0.1:8000"}},
            "issuers": [{"name": "partner", "oidc": issuer}],
            "agent": {"socket": str(tmp_path / "s"), "admin": f"127.0.0.1:{Ports().take()}"},
            "audit": {"file": str(tmp_path / "audit")},
        }
    )
    ground = Groundwork.of(config)
    ground.trust.start()
    assert ground.trust.wait_ready(10)
    (tmp_path / "keys.json").unlink()  # whoever asks again finds nothing
    app = App(tmp_path / "attache.yaml", ground)
    app.start()
    try:
        assert app.missing() == []
    finally:
        app.stop()
