"""Which thread answers? One, as long as it can go on; others while it waits.

Python runs one thread at a time, so threads that are merely ready to run add wake-ups and no speed:
runs with 32 of them cost more CPU than with two (indicative: a noisy machine, not interleaved).
A thread that waits for an identity provider or for Envoy's next word says so with `waiting`,
and another takes its place. When it goes on it needs a place again: 150 that waited for the same
answer would else take turns with the thread that decides hits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar

from agent.moment import WouldBlock

T = TypeVar("T")
_Work = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_SPARE = 32  # idle threads that are kept; what a burst needed beyond them ends with it


class CheckPool(Executor):
    """At most *at_once* threads run at a time, and at most *patient* wait for something.

    Who has waited runs again after *turn* seconds in any case: those who run may be stuck.
    """

    def __init__(self, at_once: int, patient: int, turn: float = 0.5) -> None:
        self._at_once = at_once
        self._patient = patient
        self._turn = turn
        self._waiting = 0
        self._lock = threading.Lock()
        self._work: deque[_Work] = deque()
        self._parked: list[threading.Lock] = []
        self._returning: deque[threading.Lock] = deque()
        self._work_next = True  # else somebody who has waited
        self._running = 0
        self._closed = False
        self._here = threading.local()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn(*args, **kwargs)` as soon as a thread may."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._work.append((future, fn, args, kwargs))
            self._another()
        return future

    def never_wait(self) -> None:
        """From now on, what would make the calling thread wait raises `WouldBlock` instead."""
        self._here.impatient = True

    @contextmanager
    def waiting(self) -> Iterator[bool]:
        """Within this block the calling thread waits, and another may run in its place.

        Gives False where *patient* threads wait already: then it must not wait. At the end of the
        block the thread waits for its turn, so it must hold no lock there.
        """
        if getattr(self._here, "impatient", False):
            raise WouldBlock
        if not getattr(self._here, "ours", False):
            yield True  # a thread of somebody else's takes no place
            return
        with self._lock:
            if self._waiting >= self._patient:
                allowed = False
            else:
                allowed = True
                self._waiting += 1
                self._running -= 1
                self._another()
        try:
            yield allowed
        finally:
            if allowed:
                self._return()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; the threads end when there is none left."""
        with self._lock:
            self._closed = True
            if cancel_futures:
                for future, *_ in self._work:
                    future.cancel()
                self._work.clear()
            for parked in self._parked:
                parked.release()
            self._parked.clear()

    def _return(self) -> None:
        """Run again, as soon as one of those who run gives its place up."""
        with self._lock:
            self._waiting -= 1
            if self._running < self._at_once:
                self._running += 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._returning.append(turn)
        if turn.acquire(timeout=self._turn):
            return
        with self._lock:
            if turn in self._returning:  # else it was given just now
                self._returning.remove(turn)
                self._running += 1

    def _another(self) -> None:
        """Let one more thread run, if there is work for it and room. The lock is held."""
        if self._running >= self._at_once or not (self._returning or self._work):
            return
        self._running += 1
        if self._returning:
            self._work_next = True
            self._returning.popleft().release()
        elif self._parked:
            self._parked.pop().release()
        else:  # as many as run and wait are needed, and no more are made
            threading.Thread(target=self._loop, name="check", daemon=True).start()

    def _loop(self) -> None:
        self._here.ours = True
        me = threading.Lock()
        me.acquire()
        while True:
            with self._lock:
                mine = self._work_next or not self._returning
                if self._work and mine and self._running <= self._at_once:
                    self._work_next = False
                    work = self._work.popleft()
                else:
                    self._running -= 1
                    self._another()
                    if self._closed or len(self._parked) >= _SPARE:
                        return
                    self._parked.append(me)
                    work = None
            if work is None:
                me.acquire()  # until another gives us its place
            else:
                _run(*work)


def _run(
    future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(fn(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
        future.set_exception(error)
