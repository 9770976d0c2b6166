"""What does this pod ask for? Its annotations, over what the operator says for all."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from agent.inject import names
from agent.inject.refusal import Refusal
from agent.inject.settings import Mode, Settings, image
from agent.telemetry.log import LEVELS

T = TypeVar("T")
U = TypeVar("U")
Kind = Literal["secret", "configMap", "csi", "token"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")  # RFC 1123 subdomain
_PATH = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
_AUDIENCE = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,253}")  # visible, no comma
_RESERVED = ("/etc/attache", "/run/attache", "/tmp", "/var/run/secrets/kubernetes.io")  # noqa: S108
MAX_FILES = 32  # mounts that a pod may ask for


class Unclear(ValueError):
    """An annotation that cannot be read; "reason; remedy"."""


@dataclass(frozen=True, slots=True)
class Files:
    """A volume of the agent's container: what, its name (or audience), and where it appears."""

    kind: Kind
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What one pod gets. A port is 0 where there is no such listener."""

    config_map: str
    mode: Mode
    image: str
    envoy_image: str
    log_level: str
    inbound_port: int
    outbound_port: int
    application_port: int
    exclude_inbound_ports: tuple[int, ...]
    exclude_outbound_ports: tuple[int, ...]
    exclude_outbound_cidrs: tuple[str, ...]
    files: tuple[Files, ...]


def answer(metadata: Mapping[str, Any]) -> bool | Refusal | None:
    """Whether the pod asks for an agent, refuses one, or says nothing.

    The annotation wins over the label: it is the pod's own word where a label may be shared.
    """
    for place in ("annotations", "labels"):
        said = (metadata.get(place) or {}).get(names.INJECT)
        if said is None:
            continue
        if said in ("true", "false"):
            return bool(said == "true")
        where = f"metadata.{place}['{names.INJECT}']"
        return Refusal(where, "this is neither true nor false", 'write "true" or "false"')
    return None


def mode_of(pod: Mapping[str, Any], settings: Settings) -> str:
    """The mode that a pod of whatever shape asks for, before anybody has looked at the rest."""
    metadata = pod.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    said = annotations.get(names.MODE) if isinstance(annotations, Mapping) else None
    return said if isinstance(said, str) else settings.mode


def wish(metadata: Mapping[str, Any], settings: Settings) -> Wish | Refusal:
    """Read the pod's annotations; an unknown one under our prefix is refused, for it is a typo."""
    said: Mapping[str, str] = metadata.get("annotations") or {}
    for name in said:
        if name.startswith(names.PREFIX) and name not in names.ASKED:
            return Refusal(
                f"metadata.annotations['{name}']",
                "there is no such annotation",
                "correct it; docs/inject.md lists them",
            )
    read, allowed = _Reading(said), settings.allow_images
    try:
        found = Wish(
            config_map=read(names.CONFIG, _object, settings.config_map),
            mode=read(names.MODE, _mode, settings.mode),
            image=read(names.IMAGE, _image(allowed), settings.image),
            envoy_image=read(names.ENVOY_IMAGE, _image(allowed), settings.envoy_image),
            log_level=read(names.LOG_LEVEL, _level, settings.log_level),
            inbound_port=read(names.INBOUND_PORT, _port_or_none, settings.inbound_port),
            outbound_port=read(names.OUTBOUND_PORT, _port_or_none, settings.outbound_port),
            application_port=read(names.APPLICATION_PORT, _port, settings.application_port),
            exclude_inbound_ports=read(names.EXCLUDE_INBOUND_PORTS, _ports, ()),
            exclude_outbound_ports=read(names.EXCLUDE_OUTBOUND_PORTS, _ports, ()),
            exclude_outbound_cidrs=read(names.EXCLUDE_OUTBOUND_CIDRS, _cidrs, ()),
            files=(
                *read(names.SECRETS, _mounts("secret"), ()),
                *read(names.CONFIG_MAPS, _mounts("configMap"), ()),
                *read(names.SECRET_PROVIDER_CLASSES, _mounts("csi"), ()),
                *read(names.TOKENS, _tokens, ()),
            ),
        )
    except Unclear as unclear:
        reason, _, remedy = str(unclear).rpartition("; ")
        return Refusal(f"metadata.annotations['{read.at}']", reason, remedy)
    return _together(found) or found


class _Reading:
    """Reads one annotation after another, and knows at which it is."""

    def __init__(self, said: Mapping[str, str]) -> None:
        self._said = said
        self.at = ""

    def __call__(self, name: str, reader: Callable[[str], T], otherwise: U) -> T | U:
        """What *name* says by *reader*, or *otherwise* where it says nothing."""
        self.at = name
        return reader(self._said[name].strip()) if name in self._said else otherwise


def _together(found: Wish) -> Refusal | None:
    """What each annotation may say, and not all of them at once."""
    if len(found.files) > MAX_FILES:
        return Refusal("", f"more than {MAX_FILES} mounts are asked for", "put files together")
    folders = [_folder(files) for files in found.files]
    for at, folder in enumerate(folders):
        for other in (*folders[:at], *_RESERVED):
            if folder == other:
                return Refusal(
                    "metadata.annotations", f"two volumes would be mounted at {folder}",
                    "give each a path of its own, as name=/path",
                )  # fmt: skip
    if not found.inbound_port and not found.outbound_port:
        return Refusal(
            "metadata.annotations", "the pod has neither listener", "remove one of the two ports"
        )
    if found.inbound_port and found.inbound_port == found.outbound_port:
        return Refusal(
            f"metadata.annotations['{names.INBOUND_PORT}']", "both listeners have this port",
            f"give {names.OUTBOUND_PORT} another one, and attache.yaml too",
        )  # fmt: skip
    for name, port in (
        (names.INBOUND_PORT, found.inbound_port),
        (names.OUTBOUND_PORT, found.outbound_port),
        (names.APPLICATION_PORT, found.application_port),
    ):
        if port in names.OWN_PORTS or (
            name == names.APPLICATION_PORT
            and port
            and port in (found.inbound_port, found.outbound_port)
        ):
            return Refusal(
                f"metadata.annotations['{name}']", f"the agent or its Envoy has port {port}",
                "choose another one",
            )  # fmt: skip
    excluded = found.exclude_inbound_ports, found.exclude_outbound_ports
    if found.mode == "proxy" and (any(excluded) or found.exclude_outbound_cidrs):
        return Refusal(
            "metadata.annotations", "exclusions belong to redirect mode, and this pod is in proxy "
            "mode", f'remove the exclude annotations, or write {names.MODE}: "redirect"',
        )  # fmt: skip
    return None


def _folder(files: Files) -> str:
    return files.path.rpartition("/")[0] if files.kind == "token" else files.path


def _object(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise Unclear(
            "this is not the name of an object; write lower-case letters, digits, - and ."
        )
    return text


def _mode(text: str) -> Mode:
    if text not in get_args(Mode):
        raise Unclear(f"'{text}' is no mode; write proxy or redirect")
    return "redirect" if text == "redirect" else "proxy"


def _level(text: str) -> str:
    if text not in LEVELS:
        raise Unclear(f"'{text}' is no log level; write one of {', '.join(LEVELS)}")
    return text


def _image(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not any(text.startswith(prefix) for prefix in allowed):
            raise Unclear(
                "this image is not allowed for pods; remove the annotation, or let the operator "
                "add its prefix to allowImages of the injector"
            )
        try:
            return image(text)
        except ValueError as error:
            raise Unclear(str(error)) from None

    return read


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= 65535:
        raise Unclear(f"'{text}' is no port; write a number from 1 to 65535")
    return int(text)


def _port_or_none(text: str) -> int:
    return 0 if text == "none" else _port(text)


def _list(text: str) -> list[str]:
    """What stands between commas; an annotation of nothing is a mistake, not an empty list."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise Unclear("an entry is empty; write values with one comma between two")
    return parts


def _ports(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_port(part) for part in _list(text)))


def _cidrs(text: str) -> tuple[str, ...]:
    found = []
    for part in _list(text):
        try:
            network = ipaddress.ip_network(part)
        except ValueError:
            raise Unclear(f"'{part}' is no network; write it like 10.0.0.0/8 or fd00::/8") from None
        if network.prefixlen == 0:
            raise Unclear(
                f"'{part}' is every address, so nothing would be decided on; name the networks"
            )
        found.append(str(network))
    return tuple(dict.fromkeys(found))


def _mounts(kind: Kind) -> Callable[[str], tuple[Files, ...]]:
    def read(text: str) -> tuple[Files, ...]:
        found = []
        for part in _list(text):
            name, _, path = part.partition("=")
            found.append(
                Files(kind, _object(name.strip()), _mount_path(path.strip() or "/secrets"))
            )
        return tuple(found)

    return read


def _tokens(text: str) -> tuple[Files, ...]:
    found = []
    for part in _list(text):
        audience, _, path = part.rpartition("=")
        if not _AUDIENCE.fullmatch(audience) or path.count("/") < 2:
            raise Unclear("this is no token; write audience=/folder/file")
        found.append(Files("token", audience, _mount_path(path)))
    return tuple(found)


def _mount_path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise Unclear(f"'{text}' is no path; write an absolute one, like /secrets")
    if any(text == place or text.startswith(f"{place}/") for place in _RESERVED):
        raise Unclear(f"{text} is where the agent has files of its own; choose another path")
    return text
