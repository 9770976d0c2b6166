"""Microsoft's IdentityModel: metadata and keys documents, good and malformed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.identity.issuers.document import Document, Loaded, read_metadata
from agent.identity.keys import KeySet, read_keys
from agent.identity.sources import URL_PACE, State, failed, load, succeeded
from agent.identity.unusable import Unusable
from vectors.case import Case, Corpus, Origin, Said
from vectors.examination import ALL, NOW

ORIGIN = Origin(
    "ms-identitymodel",
    "https://github.com/AzureAD/azure-activedirectory-identitymodel-extensions-for-dotnet",
    "MIT",
)
_MALFORMED = ("Bad", "Unrecognized")
_KEYS = Document(group="", algorithms=ALL, keys="https://op.example/keys")
_DISCOVERY = Document(group="", algorithms=ALL, discovery=("https://op.example/d",))


def _documents(corpora: Path) -> Iterator[Case]:
    good = State()
    good = succeeded(good, Loaded("good", KeySet({})), NOW, URL_PACE, 0.0)
    for file in sorted((corpora / "ms-identitymodel" / "test").glob("*/*.json")):
        raw = file.read_bytes()
        said = Said.INVALID if any(word in file.stem for word in _MALFORMED) else Said.VALID
        if b'"keys"' in raw:
            refusal = _replaces(good, raw)
        else:
            found = read_metadata(_DISCOVERY, raw)
            refusal = found.sentence if isinstance(found, Unusable) else ""
        yield Case(file.stem, said, refusal)


def _replaces(good: State, raw: bytes) -> str:
    """Why *raw* does not replace good keys; empty where it does."""
    found = load(_KEYS, lambda *_: raw)
    if isinstance(found, Loaded):
        return ""
    after = failed(good, found, NOW + 1, URL_PACE, 0.0)
    same = after.loaded is good.loaded and isinstance(read_keys(raw, ALL), Unusable)
    return found.sentence if same else ""


CORPORA = (
    Corpus(
        "ms-identitymodel",
        "ms-identitymodel",
        "keys documents (do they replace good ones?) and metadata, to our readers",
        24,
        _documents,
    ),
)
