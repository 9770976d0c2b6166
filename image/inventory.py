"""What is in an image? Its size and packages, and a bill of materials (CycloneDX 1.6).

It is read from the image itself, as `podman save`, `docker save` and `buildah push docker-archive:`
write it: what a later layer removed is not there, and what nobody declared is.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

DPKG = "var/lib/dpkg/status"


@dataclass(frozen=True, order=True, slots=True)
class Package:
    """One package: `kind` is the purl type, `pypi` or `deb`."""

    kind: str
    name: str
    version: str
    licence: str = ""

    @property
    def purl(self) -> str:
        """Its package URL."""
        space = "debian/" if self.kind == "deb" else ""
        return f"pkg:{self.kind}/{space}{quote(self.name)}@{quote(self.version, safe='')}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one image holds; *files* are paths, *size* is in bytes, unpacked."""

    size: int
    packages: tuple[Package, ...]
    files: frozenset[str]


def inventory(archive: Path) -> Inventory:
    """Read a docker archive."""
    sizes: dict[str, int] = {}
    kept: dict[str, bytes] = {}
    with tarfile.open(archive) as image:
        manifest = json.load(_member(image, "manifest.json"))
        for name in manifest[0]["Layers"]:
            with tarfile.open(fileobj=_member(image, name)) as layer:
                for entry, content in _entries(layer):
                    _lay_over(sizes, kept, entry, content)
    packages = sorted({*_pypi(kept), *_debian(kept.get(DPKG, b"").decode())})
    return Inventory(sum(sizes.values()), tuple(packages), frozenset(sizes))


def bill(inventory: Inventory, name: str, version: str) -> dict[str, Any]:
    """Return the CycloneDX document of *inventory*; the same image gives the same document."""
    root = {"type": "container", "bom-ref": f"{name}@{version}", "name": name, "version": version}
    components = [_component(package) for package in inventory.packages]
    identity = json.dumps([root, components], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, identity)}",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
    }


def _component(package: Package) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
    }
    if package.licence:
        component["licenses"] = [{"license": {"name": package.licence}}]
    return component


def _member(archive: tarfile.TarFile, name: str) -> io.BufferedIOBase:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file of this archive; is it a docker archive?")
    return file  # type: ignore[return-value] # typeshed says IO[bytes]


def _entries(layer: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for entry in layer:
        wanted = entry.name == DPKG or entry.name.endswith(".dist-info/METADATA")
        file = layer.extractfile(entry) if wanted and entry.isfile() else None
        yield entry, file.read() if file else b""


def _lay_over(
    sizes: dict[str, int], kept: dict[str, bytes], entry: tarfile.TarInfo, content: bytes
) -> None:
    """Take one entry of a layer over those below (OCI image spec, "Whiteouts")."""
    path = entry.name.removeprefix("./").rstrip("/")
    folder, _, name = path.rpartition("/")
    gone = f"{folder}/" if name == ".wh..wh..opq" else f"{folder}/{name[4:]}".lstrip("/")
    if name.startswith(".wh."):
        for known in [k for k in sizes if k == gone or k.startswith(f"{gone.rstrip('/')}/")]:
            del sizes[known]
            kept.pop(known, None)
    elif entry.isfile():
        sizes[path] = entry.size
        if content:
            kept[path] = content
    elif not entry.isdir():
        sizes[path] = 0


def _pypi(kept: Mapping[str, bytes]) -> Iterator[Package]:
    for path, content in kept.items():
        if path.endswith("METADATA"):
            said = HeaderParser().parsestr(content.decode())
            licence = said["License-Expression"] or said["License"] or ""
            name = str(said["Name"]).lower().replace("_", "-")
            yield Package("pypi", name, said["Version"], licence if len(licence) < 80 else "")


def _debian(status: str) -> Iterator[Package]:
    for block in status.split("\n\n"):
        said = HeaderParser().parsestr(block)
        if "installed" in (said["Status"] or "").split():
            yield Package("deb", said["Package"], said["Version"])


def main() -> None:
    """Print the image's size and packages, and write its bill of materials."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--sbom", type=Path, required=True)
    asked = parser.parse_args()
    found = inventory(asked.archive)
    document = bill(found, asked.name, asked.version)
    asked.sbom.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    kinds = [package.kind for package in found.packages]
    print(  # noqa: T201 - this is what the person asked for
        f"{asked.name}:{asked.version}: {found.size / 1e6:.0f} MB unpacked, "
        f"{kinds.count('pypi')} Python packages, {kinds.count('deb')} of Debian; {asked.sbom}"
    )


if __name__ == "__main__":
    main()
