"""The worker: counts the stock on its own account; nobody calls it."""

from __future__ import annotations

import os
import time

import requests

INVENTORY = os.environ.get("INVENTORY_URL", "http://inventory.shop:8005")
PAUSE = float(os.environ.get("WORKER_PAUSE", "1"))  # seconds between two rounds


def main() -> None:
    """Count for ever, a line of output for each round."""
    number = 0
    while True:
        number += 1
        print(_round(f"round-{number}"), flush=True)
        time.sleep(PAUSE)


def _round(name: str) -> str:
    try:
        url = f"{INVENTORY}/stock/kettle"
        answer = requests.get(url, params={"order": name}, timeout=10)
        return f"{name} {answer.status_code} {answer.text}"
    except requests.RequestException as error:
        return f"{name} failed: {type(error).__name__}"


if __name__ == "__main__":
    main()
