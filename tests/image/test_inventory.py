"""What the bill of materials says of an image: what its last layer leaves, and nothing else."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from image.inventory import bill, inventory

STATUS = (
    b"Package: libc6\nStatus: install ok installed\nVersion: 2.41-12\n\n"
    b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
)
SITE = "opt/attache/lib/python3.13/site-packages"


def layer(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    layers = {
        "a.tar": layer(
            {
                "var/lib/dpkg/status": STATUS,
                "usr/lib/pip/pip-1.dist-info/METADATA": b"Name: pip\nVersion: 1\n\n",
                "usr/lib/pip/code.py": b"12345",
                "etc/kept": b"123",
            }
        ),
        "b.tar": layer(
            {
                "usr/lib/.wh.pip": b"",
                f"./{SITE}/Some_Thing-2.dist-info/METADATA": (
                    b"Name: Some_Thing\nVersion: 2\nLicense-Expression: MIT\n\n"
                ),
                "etc/kept": b"1234567",
            }
        ),
    }
    content = {"manifest.json": json.dumps([{"Layers": list(layers)}]).encode(), **layers}
    path = tmp_path / "image.tar"
    path.write_bytes(layer(content))
    return path


def test_packages_are_those_of_the_last_layer(archive):
    found = inventory(archive)
    assert [(one.purl, one.licence) for one in found.packages] == [
        ("pkg:deb/debian/libc6@2.41-12", ""),
        ("pkg:pypi/some-thing@2", "MIT"),
    ]
    assert "usr/lib/pip/code.py" not in found.files


def test_the_size_is_that_of_the_files_that_are_left(archive):
    metadata = len("Name: Some_Thing\nVersion: 2\nLicense-Expression: MIT\n\n")
    assert inventory(archive).size == len(STATUS) + metadata + len("1234567")


def test_the_bill_is_cyclonedx_and_the_same_for_the_same_image(archive):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    document = bill(inventory(archive), "attache", "0.1.0")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
    assert document == bill(inventory(archive), "attache", "0.1.0")
    assert [one["name"] for one in document["components"]] == ["libc6", "some-thing"]
