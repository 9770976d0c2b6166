"""How is the provider started by hand? `python -m demo.idp --directory FILE`."""

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from demo.idp.document import DocumentError
from demo.idp.loading import load_file
from demo.idp.server import IdentityProvider
from demo.idp.settings import Settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit status, 2 for a bad directory file."""
    parser = argparse.ArgumentParser(prog="python -m demo.idp", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="YAML or JSON, see README")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--imds-port", type=int, default=0, help="plain http; 0: any free port")
    parser.add_argument("--state", type=Path, help="keeps the CA; without it, a temporary folder")
    parser.add_argument("--name", action="append", default=[], help="one more name to be known by")
    parser.add_argument("--base-url", help="what clients call, if not https://localhost:PORT")
    parser.add_argument("--refresh-reuse", choices=("allowed", "revokes"), default="allowed")
    given = parser.parse_args()
    try:
        directory = load_file(given.directory)
    except (DocumentError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    settings = Settings(refresh_reuse=given.refresh_reuse)
    provider = IdentityProvider(directory, settings=settings, state=given.state)
    provider.start(
        given.port,
        given.host,
        imds_port=given.imds_port,
        names=tuple(given.name),
        base_url=given.base_url,
    )
    started = {
        "baseUrl": provider.base_url,
        "caFile": str(provider.ca_file),
        "imdsUrl": provider.imds_url,
        "controlKeyFile": str(provider.control_key_file),
    }
    print(json.dumps(started), flush=True)
    ended.wait()
    provider.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
