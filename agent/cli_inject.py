"""How does a person put agents beside pods? `attache inject`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from agent.config.attache import Attache

INVALID = 2

_SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", help="injector.yaml: images, resources, what pods get by default"),
]


def inject(
    manifests: Annotated[
        Path | None, typer.Argument(help="a file; standard input where none is named")
    ] = None,
    settings: _SettingsOption = None,
    config: Annotated[
        Path | None,
        typer.Option(help="the attache.yaml that these pods will read: its ports and its mode"),
    ] = None,
    config_map: Annotated[
        str, typer.Option("--config-map", help="with attache.yaml, for pods that name none")
    ] = "",
    mode: Annotated[str, typer.Option(help="proxy or redirect, for pods that say neither")] = "",
    sidecars: Annotated[str, typer.Option(help="native or ordinary")] = "",
    pod_security: Annotated[
        str, typer.Option(help="what the namespace enforces: privileged, baseline, restricted")
    ] = "privileged",
) -> None:
    """Put an agent beside every pod in manifests: `attache inject < before.yaml > after.yaml`.

    Pods that say attache.dev/inject: "false" stay as they are, as does all that is no pod.
    """
    from pydantic import ValidationError

    from agent.config.loading import load
    from agent.inject.levels import LEVELS
    from agent.inject.manifests import injected
    from agent.inject.settings import Settings, load_settings
    from agent.policy.routes import Routes

    said: dict[str, Any] = {"configMap": config_map, "mode": mode, "sidecars": sidecars}
    said = {name: value for name, value in said.items() if value}
    routes = None
    if config is not None:
        parsed = load(config)
        said, routes = _of(parsed) | said, Routes(parsed.routes, parsed.inbound.cors)
    base = load_settings(settings) if settings else Settings()
    level = next((each for each in LEVELS if each == pod_security), None)
    if level is None:
        _fail(f"--pod-security {pod_security}: write one of {', '.join(LEVELS)}")
    if said:
        try:
            base = Settings.model_validate({**base.model_dump(by_alias=True), **said})
        except ValidationError:
            _fail("--mode is proxy or redirect, --sidecars native or ordinary, --config-map a name")
    try:
        content = manifests.read_bytes() if manifests else sys.stdin.buffer.read()
    except OSError as error:
        _fail(f"{manifests} cannot be read: {error.strerror}; check the path")
    done = injected(content, base, level, routes)
    for warning in done.warnings:
        print(f"attache: warning: {warning}", file=sys.stderr)  # noqa: T201
    for refusal in done.errors:
        print(f"attache: {refusal}", file=sys.stderr)  # noqa: T201
    if done.errors:
        raise typer.Exit(INVALID)
    sys.stdout.buffer.write(done.content)
    sys.stdout.buffer.flush()


def _of(config: Attache) -> dict[str, Any]:
    """What attache.yaml says that a pod has to know, as settings."""
    inbound, outbound = config.listeners.inbound, config.listeners.outbound
    return {
        "inboundPort": inbound.port if inbound else 0,
        "applicationPort": inbound.application.port if inbound else 0,
        "outboundPort": outbound.port if outbound else 0,
        **({"mode": outbound.mode} if outbound else {}),
    }


def _fail(sentence: str) -> NoReturn:
    print(f"attache: {sentence}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(INVALID)
