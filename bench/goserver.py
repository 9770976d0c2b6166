"""Where is the Go server that does nothing? Built by Go, where Go is, outside the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "goserver"
_BUILD_SECONDS = 600


def built() -> Path | None:
    """The program, from the user's cache or built now; None where there is no Go, or no network."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attache"
    program = cache / "bench-goserver"
    go = shutil.which("go")
    if go is None:
        return None
    cache.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(
            [go, "build", "-C", str(SOURCE), "-o", str(program), "."],
            check=True,
            timeout=_BUILD_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"no row for Go: {error}")
        return None
    return program
