"""Where does the configuration name things that expire? Certificates, authorities and secrets.

Found by the names of their keys, wherever they stand: a new part of the configuration that names a
`certificateFile` is watched without a line here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from agent.config.attache import Attache
from agent.config.own_credentials import SecretFile
from agent.expiry.table import Kind

_KINDS = {
    "certificateFile": Kind.CERTIFICATE,
    "caFile": Kind.AUTHORITY,
    "secretFile": Kind.SECRET,
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file whose content ends. `expires` is the end that the configuration says, UTC seconds."""

    kind: Kind
    name: str
    file: Path
    expires: float | None = None


def sources(config: Attache) -> tuple[Source, ...]:
    """Every file of *config* that has an end. Pure."""
    return tuple(_of(config, ()))


def _of(value: object, at: tuple[str, ...]) -> Iterator[Source]:
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _of(item, (*at, str(getattr(item, "name", index))))
        return
    if not isinstance(value, BaseModel):
        return
    for name, info in type(value).model_fields.items():
        inner, alias = getattr(value, name), str(info.alias)
        if not isinstance(inner, Path):
            yield from _of(inner, (*at, alias))
            continue
        kind = Kind.SECRET if isinstance(value, SecretFile) else _KINDS.get(alias)
        if kind is not None:
            said = getattr(value, "expires", None) if kind is Kind.SECRET else None
            yield Source(kind, ".".join((*at, alias)), inner, said)
