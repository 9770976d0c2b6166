"""Where are the packages that a package.json names? In the user's cache, installed once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path


class NotInstalled(RuntimeError):
    """Node.js, npm or the registry's packages cannot be had on this machine: why not."""


def installed(package: Path) -> Path:
    """A folder with what *package* (a package.json) names; `NotInstalled` where that cannot be had.

    It lies in the user's cache, one for each content of the file, and is made once.
    """
    if not shutil.which("node") or not shutil.which("npm"):
        raise NotInstalled("Node.js and npm are not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attache-peers"
    folder = cache / hashlib.sha256(package.read_bytes()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "complete").exists():
                shutil.copy(package, folder / "package.json")
                command = ["npm", "install", "--no-package-lock", "--ignore-scripts"]
                command += ["--no-audit", "--no-fund", "--loglevel=error"]
                subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=180)
                (folder / "complete").touch()
    except (OSError, subprocess.SubprocessError) as error:
        raise NotInstalled(f"what {package.name} names cannot be installed: {error}") from None
    return folder
