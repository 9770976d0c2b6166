"""How does the shop look on a cluster? As values for charts/attache."""

from __future__ import annotations

import re
from string import Template
from typing import Any

from ruamel.yaml import YAML

from demo.pod import CONFIGURATIONS, PROPAGATION, SERVICES, Service

PORTS = {"notification": 8001, "audit": 8002, "gateway": 8003, "orders": 8004, "inventory": 8005}
ON_CLUSTER = ("notification", "audit", "inventory", "orders", "gateway", "tasks")
APPLICATION = 8000

# Where the chart mounts what the configurations name.
_PLACES = {
    "run": "/run/attache",
    "ca": "/idp/ca.pem",
    "secrets": "/secrets",
    "trust": "/trust/trust.json",
    "keys": "/keys",
    "inbound": "15006",
    "outbound": "15001",
    "application": str(APPLICATION),
    "admin": "15020",
    "envoy_admin": "15000",
}


def authority(namespace: str) -> str:
    """The identity provider's base URL in *namespace*."""
    return f"https://idp.{namespace}:8443"


def values(name: str, namespace: str, image: str, *, redirect: bool = False) -> dict[str, Any]:
    """Return the values with which charts/attache deploys the service *name*.

    Secrets come from `NAME-secrets` (client secrets), `NAME-sessions` (what seals cookies),
    `NAME-keys` (signing keys), and the ConfigMaps `idp-ca` and `trust`. *image* is that of
    demo/Dockerfile.
    """
    (service,) = [one for one in SERVICES if one.name == name]
    config = configuration(name, namespace)
    if redirect and "outbound" in config["listeners"]:
        config["listeners"]["outbound"]["mode"] = "redirect"
    return {
        "fullnameOverride": name,
        "config": config,
        "interception": {"mode": "redirect" if redirect else "proxy"},
        "secrets": _secrets(service, config),
        "envoy": {"concurrency": 1},
        "service": {"port": PORTS.get(name, 80)},
        "workload": {
            "image": image,
            "replicas": 1,
            "args": _program(service),
            "command": ["opentelemetry-instrument"],
            "env": _variables(service, namespace),
            "podSecurityContext": {"runAsUser": 10001},
            "readinessProbe": {
                "httpGet": {"path": "/healthz", "port": 15006},
                "periodSeconds": 2,
                "failureThreshold": 30,
            },
        },
    }


def configuration(name: str, namespace: str) -> dict[str, Any]:
    """Return demo/configuration/NAME.yaml as it is on a cluster."""
    called = {each.name: "0" for each in SERVICES}
    places = {**_PLACES, **called, "authority": authority(namespace)}
    text = Template((CONFIGURATIONS / f"{name}.yaml").read_text()).substitute(places)
    text = re.sub(r"\.shop:", f".{namespace}:", text)
    config: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    config["workload"]["namespace"] = namespace
    for listener in config["listeners"].values():
        del listener["address"]  # the defaults are a pod's
    for destination in config.get("destinations", []):
        del destination["address"]  # it is where the application calls
    for own in ("agent", "envoy", "audit"):
        del config[own]
    if "sessions" in config:
        config["sessions"]["keyFile"] = "/sessions/session-keys"
    return config


def _secrets(service: Service, config: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"mountPath": "/idp", "existingConfigMap": "idp-ca"}]
    if "identities" in config:
        found.append({"mountPath": "/secrets", "existingSecret": f"{service.name}-secrets"})
    if "sessions" in config:
        found.append({"mountPath": "/sessions", "existingSecret": f"{service.name}-sessions"})
    if any("internal" in issuer for issuer in config.get("issuers", [])):
        found.append({"mountPath": "/trust", "existingConfigMap": "trust"})
    if service.signs:
        found.append({"mountPath": "/keys", "existingSecret": f"{service.name}-keys"})
    return found


def _program(service: Service) -> list[str]:
    module, port = f"demo.services.{service.name}", str(APPLICATION)
    if service.runs == "flask":
        return ["flask", "--app", module, "run", "--host", "127.0.0.1", "--port", port]
    return [
        *("uvicorn", f"{module}:app", "--host", "127.0.0.1", "--port", port),
        *("--timeout-keep-alive", "75"),
    ]


def _variables(service: Service, namespace: str) -> list[dict[str, str]]:
    called = {
        f"{name.upper()}_URL": f"http://{name}.{namespace}:{PORTS[name]}" for name in service.calls
    }
    return [{"name": name, "value": value} for name, value in {**PROPAGATION, **called}.items()]
