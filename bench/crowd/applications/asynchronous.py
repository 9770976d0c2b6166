"""How does an asyncio application call? FastAPI and httpx, with OpenTelemetry's zero-code agent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import httpx
import requests
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse

from bench.crowd.applications.ledger import Ledger

HANDED = ("baggage", "tracestate", "traceparent")

_ledger = Ledger()
_pool = ThreadPoolExecutor(8)
_jobs: asyncio.Queue[tuple[str, str, dict[str, str]]] = asyncio.Queue()
_after: set[asyncio.Task[None]] = set()


@asynccontextmanager
async def _living(app: FastAPI) -> AsyncIterator[None]:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        app.state.client = client
        worker = asyncio.create_task(_work(client))  # before any request: it has nobody's context
        yield
        worker.cancel()


app = FastAPI(lifespan=_living)


async def _work(client: httpx.AsyncClient) -> None:
    while True:
        url, mark, headers = await _jobs.get()
        await _get(client, url, mark, headers)


async def _get(
    client: httpx.AsyncClient, url: str, mark: str, headers: dict[str, str] | None = None
) -> int:
    answer = await client.get(url, headers=headers)
    _ledger.note(mark, answer.status_code, answer.content)
    return answer.status_code


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that we are up."""
    return {"status": "ok"}


@app.get("/denied")
async def denied() -> list[dict[str, str]]:
    """Which calls were not let out, and why."""
    return _ledger.denied()


@app.get("/do/in-a-thread/{store}/{mark}")
def in_a_thread(store: str, mark: str) -> dict[str, str]:
    """Call from a plain function, which the framework runs in a thread of its own."""
    _by_requests(f"http://{store}.shop/now/{mark}", mark)
    return {"mark": mark}


@app.get("/do/generated/{store}/{mark}")
async def generated(store: str, mark: str, request: Request) -> StreamingResponse:
    """Call while our own answer is being sent."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first\n"
        await _get(request.app.state.client, f"http://{store}.shop/now/{mark}", mark)
        yield b"last\n"

    return StreamingResponse(pieces())


@app.get("/do/{way}/{store}/{mark}")
async def do(
    way: str, store: str, mark: str, request: Request, tasks: BackgroundTasks
) -> dict[str, str]:
    """Call *store* about *mark* in one of the ways."""
    call = _Call(request.app.state.client, f"http://{store}.shop", mark, request, tasks)
    await WAYS[way](call)
    return {"mark": mark}


def _by_requests(url: str, mark: str) -> None:
    answer = requests.get(url, timeout=60)
    _ledger.note(mark, answer.status_code, answer.content)


class _Call:
    def __init__(
        self,
        client: httpx.AsyncClient,
        store: str,
        mark: str,
        request: Request,
        tasks: BackgroundTasks,
    ) -> None:
        self.client = client
        self.store = store
        self.mark = mark
        self.request = request
        self.tasks = tasks

    async def once(self, behaviour: str = "now") -> int:
        return await _get(self.client, f"{self.store}/{behaviour}/{self.mark}", self.mark)


async def _gathered(call: _Call) -> None:
    await asyncio.gather(*(call.once() for _ in range(3)))


async def _retried(call: _Call) -> None:
    while await call.once("fails-first") == 503:
        await asyncio.sleep(0.01)


async def _hedged(call: _Call) -> None:
    """Ask again when the first answer is late; take the first that comes, drop the other."""
    both = {asyncio.create_task(call.once("slow-first"))}
    done, _ = await asyncio.wait(both, timeout=0.05)
    if not done:
        both.add(asyncio.create_task(call.once("slow-first")))
        done, late = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in late:
            task.cancel()
    for task in done:
        task.result()


async def _streamed(call: _Call) -> None:
    """Send a body piece by piece, read the answer so, and call elsewhere in between."""

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield f"piece {number}\n".encode()
            await asyncio.sleep(0)

    url = f"{call.store}/stream/{call.mark}"
    async with call.client.stream("POST", url, content=pieces()) as answer:
        seen = [piece async for piece in answer.aiter_bytes()]
        await call.once()
    _ledger.note(call.mark, answer.status_code, b"".join(seen))


async def _afterwards(call: _Call) -> None:
    """Call after the response has gone: as the framework does it, and by a task of our own."""

    async def later() -> None:
        await asyncio.sleep(0.05)
        await call.once()

    call.tasks.add_task(later)
    task = asyncio.create_task(later())
    _after.add(task)
    task.add_done_callback(_after.discard)


async def _executed(call: _Call) -> None:
    url = f"{call.store}/now/{call.mark}"
    futures = [_pool.submit(_by_requests, url, call.mark) for _ in range(2)]
    await asyncio.gather(*map(asyncio.wrap_future, futures))


async def _queued(call: _Call) -> None:
    """Leave the call to a worker that was there before us, and tell it nothing of who asked."""
    _jobs.put_nowait((f"{call.store}/now/{call.mark}", call.mark, {}))


async def _handed(call: _Call) -> None:
    """The same, and tell it."""
    headers = {name: call.request.headers[name] for name in HANDED}
    _jobs.put_nowait((f"{call.store}/now/{call.mark}", call.mark, headers))


async def _one(call: _Call) -> None:
    await call.once()


WAYS: dict[str, Callable[[_Call], Awaitable[None]]] = {
    "one": _one,
    "gathered": _gathered,
    "retried": _retried,
    "hedged": _hedged,
    "streamed": _streamed,
    "afterwards": _afterwards,
    "executed": _executed,
    "queued": _queued,
    "handed": _handed,
}


def main() -> None:
    """Serve."""
    import uvicorn

    port = int(os.environ["PORT"])
    uvicorn.run(
        "bench.crowd.applications.asynchronous:app",
        port=port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=120,
    )


if __name__ == "__main__":
    main()
