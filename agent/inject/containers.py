"""What do our three containers and their volumes look like? The table of docs/decisions/017."""

from __future__ import annotations

from typing import Any

from agent.inject import names
from agent.inject.anatomy import Tree
from agent.inject.settings import Settings
from agent.inject.wish import Files, Wish

_CONFIG = {"name": "attache-config", "mountPath": "/etc/attache", "readOnly": True}
_RUN = {"name": "attache-run", "mountPath": "/run/attache"}
_TMP = {"name": "attache-tmp", "mountPath": "/tmp"}  # noqa: S108 - the mount, not a file
_FILE = "/etc/attache/attache.yaml"
_BOOTSTRAP = "/run/attache/envoy.json"
_LEAVE = ["touch", "/run/attache/leaving"]
_DRAIN = "20"  # seconds that ordinary containers outlive the application by
_TOKEN_LIFE = 3600  # seconds; kubelet renews at four fifths of it


def init(asked: Wish, settings: Settings) -> Tree:
    """`attache-init`: makes Envoy's bootstrap, and redirects the pod's packets where asked for."""
    redirect = asked.mode == "redirect"
    args = ["--config", _FILE, "--bootstrap", _BOOTSTRAP]
    if redirect:
        args.append("--redirect")
        for flag, values in (
            ("--exclude-inbound-ports", asked.exclude_inbound_ports),
            ("--exclude-outbound-ports", asked.exclude_outbound_ports),
            ("--exclude-outbound-cidrs", asked.exclude_outbound_cidrs),
        ):
            if values:
                args += [flag, ",".join(map(str, values))]
    context = _context(names.AGENT_UID)
    if redirect:  # the rules of the pod's network need the right to change them, and root
        context |= {"runAsNonRoot": False, "runAsUser": 0, "runAsGroup": 0}
        context["capabilities"] = {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    return {
        "name": names.INIT,
        "image": settings.init_image if redirect else asked.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["attache", "pod", "prepare"],
        "args": args,
        "securityContext": context,
        "resources": settings.resources.init.rendered(),
        "volumeMounts": [dict(_CONFIG), dict(_RUN)],
    }


def agent(asked: Wish, settings: Settings) -> Tree:
    """`attache`: the agent."""
    native = settings.sidecars == "native"
    ordinary = ["sh", "-c", f"{' '.join(_LEAVE)}; exec sleep {_DRAIN}"]
    container: Tree = {
        "name": names.AGENT,
        "image": asked.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["attache", "run"],
        "args": [
            "--config", _FILE,
            "--probes", f"0.0.0.0:{names.PROBES_PORT}",
            "--log-level", asked.log_level,
        ],
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": names.PROBES_PORT},
            "initialDelaySeconds": 10,
            "periodSeconds": 20,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "lifecycle": {"preStop": {"exec": {"command": list(_LEAVE) if native else ordinary}}},
        "securityContext": _context(names.AGENT_UID),
        "resources": settings.resources.agent.rendered(),
        "volumeMounts": [dict(_CONFIG), dict(_RUN), dict(_TMP), *_mounts(asked.files)],
    }  # fmt: skip
    return _sidecar(container, native)


def envoy(asked: Wish, settings: Settings) -> Tree:
    """`attache-envoy`: the Envoy that the agent configures."""
    native = settings.sidecars == "native"
    ports = [{"name": "attache-probes", "containerPort": names.PROBES_PORT, "protocol": "TCP"}]
    if asked.inbound_port:
        inbound = {"name": "attache-in", "containerPort": asked.inbound_port, "protocol": "TCP"}
        ports.insert(0, inbound)
    container: Tree = {
        "name": names.ENVOY,
        "image": asked.envoy_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["envoy"],
        "args": [
            "-c", _BOOTSTRAP,
            "--concurrency", str(settings.envoy_concurrency),
            "--disable-hot-restart",
            "--drain-strategy", "immediate",
            "--log-level", "warning",
        ],
        "ports": ports,
        "startupProbe": {
            "httpGet": {"path": "/livez", "port": "attache-probes"},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 60,
        },
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "attache-probes"},
            "periodSeconds": 5,
            "timeoutSeconds": 2,
            "failureThreshold": 2,
        },
        "securityContext": _context(names.ENVOY_UID),
        "resources": settings.resources.envoy.rendered(),
        "volumeMounts": [dict(_RUN)],
    }  # fmt: skip
    if not native:
        container["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", _DRAIN]}}}
    return _sidecar(container, native)


def volumes(asked: Wish) -> list[Tree]:
    """What they mount. The application mounts none of it."""
    memory = {"medium": "Memory", "sizeLimit": "16Mi"}
    return [
        {"name": "attache-config", "configMap": {"name": asked.config_map}},
        {"name": "attache-run", "emptyDir": dict(memory)},
        {"name": "attache-tmp", "emptyDir": dict(memory)},
        *({"name": _name(index), **_volume(files)} for index, files in enumerate(asked.files)),
    ]


def _sidecar(container: Tree, native: bool) -> Tree:
    return {**container, "restartPolicy": "Always"} if native else container


def _context(uid: int) -> Tree:
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": names.GROUP,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _name(index: int) -> str:
    return f"attache-secret-{index}"


def _mounts(files: tuple[Files, ...]) -> list[Tree]:
    return [
        {"name": _name(index), "mountPath": _folder(each), "readOnly": True}
        for index, each in enumerate(files)
    ]


def _folder(files: Files) -> str:
    return files.path.rpartition("/")[0] if files.kind == "token" else files.path


def _volume(files: Files) -> dict[str, Any]:
    if files.kind == "secret":
        return {"secret": {"secretName": files.name, "defaultMode": 0o444}}
    if files.kind == "configMap":
        return {"configMap": {"name": files.name}}
    if files.kind == "csi":
        attributes = {"secretProviderClass": files.name}
        driver = {"driver": "secrets-store.csi.k8s.io", "readOnly": True}
        return {"csi": {**driver, "volumeAttributes": attributes}}
    token = {
        "audience": files.name,
        "expirationSeconds": _TOKEN_LIFE,
        "path": files.path.rpartition("/")[2],
    }
    return {"projected": {"sources": [{"serviceAccountToken": token}]}}
