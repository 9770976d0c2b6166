"""What does the operator say for all pods? injector.yaml, which the chart renders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from agent import __version__
from agent.config.document import Unreadable, read
from agent.config.explanation import explain
from agent.config.fields import Name, Strict, Text
from agent.config.finding import ConfigInvalid, Finding
from agent.config.loading import content_of

Mode = Literal["proxy", "redirect"]
Sidecars = Literal["native", "ordinary"]

# distribution/reference, loosely: what a shell, a log and a kubelet take as one word
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,510}")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?")


def image(value: str) -> str:
    """*value* where it is the reference of an image; else a `ValueError`."""
    if not _IMAGE.fullmatch(value):
        raise ValueError("this is not an image; write registry/name:tag")
    return value


def _quantities(value: dict[str, str]) -> dict[str, str]:
    for name, quantity in value.items():
        if name not in ("cpu", "memory", "ephemeral-storage"):
            raise ValueError(f"'{name}' is no resource here; write cpu or memory")
        if not _QUANTITY.fullmatch(quantity):
            raise ValueError("this is not a quantity; write it like 50m or 96Mi")
    return value


PortOrNone = Annotated[int, Field(ge=0, le=65535)]
Image = Annotated[str, AfterValidator(image)]
Quantities = Annotated[dict[str, str], AfterValidator(_quantities)]


class Resources(Strict):
    """As in a container; each is taken whole."""

    requests: Quantities = Field(default_factory=dict, description="What is set aside.")
    limits: Quantities = Field(default_factory=dict, description="What is never exceeded.")

    def rendered(self) -> dict[str, Any]:
        """The container's `resources`."""
        pair = {"requests": dict(self.requests), "limits": dict(self.limits)}
        return {name: value for name, value in pair.items() if value}


def _resources(cpu: str, memory: str, limit: str) -> Any:
    return Field(
        default=Resources(requests={"cpu": cpu, "memory": memory}, limits={"memory": limit}),
        description="Requests and limits of this container.",
    )


class ContainerResources(Strict):
    """By container."""

    init: Resources = _resources("10m", "64Mi", "256Mi")
    agent: Resources = _resources("50m", "96Mi", "256Mi")
    envoy: Resources = _resources("50m", "64Mi", "512Mi")


class Settings(Strict):
    """injector.yaml: what pods get that say nothing else."""

    image: Image = Field(
        default=f"localhost/attache:{__version__}", description="The agent's image."
    )
    envoy_image: Image = Field(
        default="docker.io/envoyproxy/envoy:v1.40.0", description="Envoy's image."
    )
    init_image: Image = Field(
        default=f"localhost/attache-init:{__version__}",
        description="The image that redirects packets (redirect mode); it has nft or iptables.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When kubelet fetches these images."
    )
    allow_images: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        default=(),
        description="Prefixes of images that a pod may ask for by annotation; empty: none.",
    )
    mode: Mode = Field(default="proxy", description="For pods that do not say attache.dev/mode.")
    sidecars: Sidecars = Field(
        default="native",
        description="native (Kubernetes 1.29 or later), or ordinary containers.",
    )
    config_map: Name = Field(
        default="attache", description="For pods that do not say attache.dev/config."
    )
    inbound_port: PortOrNone = Field(
        default=15006, description="listeners.inbound.port; 0: there is no inbound listener."
    )
    outbound_port: PortOrNone = Field(
        default=15001, description="listeners.outbound.port; 0: there is no outbound listener."
    )
    application_port: PortOrNone = Field(
        default=0,
        description="proxy mode: the port of listeners.inbound.application, whose probes are sent "
        "through Envoy; 0: pods say it.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The agent's, where a pod says nothing else."
    )
    envoy_concurrency: Annotated[int, Field(ge=1, le=64)] = Field(
        default=2, description="Envoy's worker threads."
    )
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=5,
        description="How long an application serves on that is to end, where it has no preStop; 0 "
        "for Kubernetes before 1.30, which has no such hook.",
    )
    resources: ContainerResources = Field(
        default_factory=ContainerResources, description="Of our three containers."
    )


def load_settings(path: Path | str) -> Settings:
    """Return what the file *path* says; raise `ConfigInvalid` with every finding."""
    return parse_settings(content_of(path), str(path))


def parse_settings(content: bytes, file: str) -> Settings:
    """Return what *content* says; *file* is its name in findings."""
    try:
        document = read(content, file)
    except Unreadable as unreadable:
        raise ConfigInvalid([unreadable.finding]) from None
    if not isinstance(document.content, dict):
        raise ConfigInvalid([Finding(1, "", "this is no mapping", "begin it with image:", file)])
    try:
        settings = Settings.model_validate(document.content)
    except ValidationError as error:
        raise ConfigInvalid(
            [*document.duplicates, *explain(error, document, file, Settings)]
        ) from None
    if document.duplicates:
        raise ConfigInvalid(document.duplicates)
    return settings
