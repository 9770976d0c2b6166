"""How does an application of threads call? Flask and requests, with OpenTelemetry's agent.

With RELAY set it has no instrumentation at all and passes Authorization on by hand.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import requests
from flask import Flask, Response, jsonify, request, stream_with_context
from flask.typing import ResponseReturnValue
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from bench.crowd.applications.ledger import Ledger

HANDED = ("baggage", "tracestate", "traceparent")

_ledger = Ledger()
_pool = ThreadPoolExecutor(8)
_jobs: queue.SimpleQueue[tuple[str, str, dict[str, str]]] = queue.SimpleQueue()
app = Flask("threaded")

_shared = requests.Session()  # one for all threads, as many applications have it
_again = Retry(total=3, status_forcelist=[503], backoff_factor=0.01, raise_on_status=False)
_shared.mount("http://", HTTPAdapter(pool_maxsize=128, max_retries=_again))


def _get(url: str, mark: str, headers: dict[str, str] | None = None) -> None:
    answer = _shared.get(url, headers=headers, timeout=60)
    _ledger.note(mark, answer.status_code, answer.content)


def _work() -> None:
    while True:
        url, mark, headers = _jobs.get()
        _get(url, mark, headers)


threading.Thread(target=_work, daemon=True).start()  # before any request: nobody's context


@app.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Say that we are up."""
    return jsonify(status="ok")


@app.get("/denied")
def denied() -> ResponseReturnValue:
    """Which calls were not let out, and why."""
    return jsonify(_ledger.denied())


@app.get("/do/<way>/<store>/<mark>")
def do(way: str, store: str, mark: str) -> ResponseReturnValue:
    """Call *store* about *mark* in one of the ways."""
    return WAYS[way](f"http://{store}.shop", mark) or jsonify(mark=mark)


def _one(store: str, mark: str) -> None:
    _get(f"{store}/now/{mark}", mark)


def _retried(store: str, mark: str) -> None:
    _get(f"{store}/fails-first/{mark}", mark)  # urllib3 asks again


def _pooled(store: str, mark: str) -> None:
    url = f"{store}/now/{mark}"
    for future in [_pool.submit(_get, url, mark) for _ in range(3)]:
        future.result()


def _threaded(store: str, mark: str) -> None:
    thread = threading.Thread(target=_get, args=(f"{store}/now/{mark}", mark))
    thread.start()
    thread.join()


def _timed(store: str, mark: str) -> None:
    """Call after the response has gone."""
    threading.Timer(0.05, _get, (f"{store}/now/{mark}", mark)).start()


def _streamed(store: str, mark: str) -> None:
    with _shared.post(
        f"{store}/stream/{mark}", data=iter([b"one", b"two"]), stream=True, timeout=60
    ) as answer:
        seen = list(answer.iter_content(None))
        _get(f"{store}/now/{mark}", mark)
    _ledger.note(mark, answer.status_code, b"".join(seen))


def _pieces(store: str, mark: str) -> Iterator[bytes]:
    yield b"first\n"
    _get(f"{store}/now/{mark}", mark)
    yield b"last\n"


def _generated(store: str, mark: str) -> ResponseReturnValue:
    """Call while our own answer is being sent: the instrumentation has let go of the request."""
    return Response(stream_with_context(_pieces(store, mark)))


def _queued(store: str, mark: str) -> None:
    """Leave the call to a worker that was there before us, and tell it nothing of who asked."""
    _jobs.put((f"{store}/now/{mark}", mark, {}))


def _handed(store: str, mark: str) -> None:
    """The same, and tell it."""
    headers = {name: request.headers[name] for name in HANDED}
    _jobs.put((f"{store}/now/{mark}", mark, headers))


def _relayed(store: str, mark: str) -> None:
    _get(f"{store}/now/{mark}", mark, {"Authorization": request.headers["Authorization"]})


def _relayed_by_a_pool(store: str, mark: str) -> None:
    given = {"Authorization": request.headers["Authorization"]}
    for future in [_pool.submit(_get, f"{store}/now/{mark}", mark, given) for _ in range(2)]:
        future.result()


WAYS: dict[str, Callable[[str, str], ResponseReturnValue | None]] = {
    "one": _one,
    "retried": _retried,
    "pooled": _pooled,
    "threaded": _threaded,
    "timed": _timed,
    "streamed": _streamed,
    "generated": _generated,
    "queued": _queued,
    "handed": _handed,
    "relayed": _relayed,
    "relayed-by-a-pool": _relayed_by_a_pool,
}


def main() -> None:
    """Serve, a thread a connection."""
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run("127.0.0.1", int(os.environ["PORT"]), threaded=True)


if __name__ == "__main__":
    main()
