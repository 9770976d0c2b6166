"""Which inbound requests are live? A bounded store, looked up by every carrier."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from itertools import islice

from agent.context.caller import Caller

LINGER = 300.0  # seconds that an expired caller still makes its trace ambiguous

_AT_ONCE = 32  # callers that are filed together: few enough that no request waits for it
_MAX_TOLD = 16  # two are as ambiguous as twenty
_SEVERAL = -1  # no hash() is -1
_Who = tuple[object, ...] | None
# Most traces have one request; only for more are principals told apart.
_Several = dict[_Who, tuple[Caller, ...]]


class ContextStore:
    """Live callers by handle, request id, trace id and the token that the application was given.

    Bounded in entries (SECURITY.md 29, 42): the oldest leave first. Entries end with their token.

    A caller is filed when somebody looks for one, or with the next few dozen: most are never looked
    for, and filing many at a time costs less than half as much. Who is looked for is filed first:
    a caller leaves `_fresh` only once it is found under all its ids.
    """

    def __init__(self, max_entries: int) -> None:
        self._max = max_entries
        self._lock = threading.Lock()
        self._fresh: deque[Caller] = deque()  # not filed yet
        self._handles: OrderedDict[str, Caller] = OrderedDict()
        self._requests: dict[str, Caller] = {}
        self._tokens: dict[bytes, Caller] = {}
        self._traces: dict[str, Caller | _Several] = {}
        self._pushed_out: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        self._file()
        return len(self._handles)

    def status(self) -> dict[str, int]:
        """How many requests are held, how many may be, how many had to leave for newer ones."""
        return {"live": len(self), "places": self._max, "evicted": self.evicted}

    def remember(self, caller: Caller) -> None:
        """Keep *caller* until it expires, or until newer ones need its place."""
        self._fresh.append(caller)
        if len(self._fresh) >= _AT_ONCE:
            self._file()

    def _file(self) -> None:
        fresh = self._fresh
        if not fresh:
            return
        with self._lock:
            while fresh:
                self._file_one(fresh[0])
                fresh.popleft()

    def _file_one(self, caller: Caller) -> None:
        self._handles[caller.handle] = caller
        self._requests[caller.request_id] = caller
        if caller.given:
            self._tokens[caller.given] = caller
        under = self._traces.setdefault(caller.trace_id, caller)
        if under is not caller:
            if isinstance(under, Caller):
                under = self._traces[caller.trace_id] = {_who(under): (under,)}
            who = _who(caller)
            under[who] = _outliving(under.get(who, ()), caller)
        if len(self._handles) > self._max:
            oldest = self._handles.popitem(last=False)[1]
            self._forget(oldest)
            self._push_out(oldest)
            self.evicted += 1

    def drop_expired(self, now: float) -> int:
        """Forget what expired `LINGER` before *now*; return how many.

        The lock is held for one at a time.
        """
        self._file()
        with self._lock:
            callers = list(self._handles.values())
        expired = [caller for caller in callers if caller.expires_at + LINGER <= now]
        for caller in expired:
            with self._lock:
                if self._handles.pop(caller.handle, None) is not None:
                    self._forget(caller)
        return len(expired)

    def by_handle(self, handle: str, now: float) -> Caller | None:
        """The caller of one inbound request."""
        self._file()
        return _live(self._handles.get(handle), now)

    def by_request_id(self, request_id: str, now: float) -> Caller | None:
        """The caller to whose request we gave this id."""
        self._file()
        return _live(self._requests.get(request_id), now)

    def by_token(self, given: bytes, now: float) -> Caller | None:
        """The latest caller whose token, as the application saw it, has this SHA-256."""
        self._file()
        return _live(self._tokens.get(given), now)

    def by_trace(self, trace_id: str, now: float) -> tuple[Caller, ...]:
        """The callers under a trace id, one for each distinct principal, a live one if it has any.

        One that expired a moment ago is among them: its call may be in flight, and must not be
        taken for that of another who is left under the trace.
        """
        self._file()
        with self._lock:
            under = self._traces.get(trace_id, {})
            if isinstance(under, Caller):
                return (under,)
            return tuple(_newest(callers, now) for callers in islice(under.values(), _MAX_TOLD))

    def left_by_another(self, caller: Caller, now: float) -> bool:
        """Whether somebody else's request under this trace had to give up its place, and may live.

        Its call may be in flight too. So many are known as there are places.
        """
        self._file()
        with self._lock:
            left = self._pushed_out.get(caller.trace_id)
        return left is not None and left[0] != _who_hash(caller) and now < left[1] + LINGER

    def _push_out(self, caller: Caller) -> None:
        who, ends = _who_hash(caller), caller.expires_at
        if left := self._pushed_out.pop(caller.trace_id, None):
            who, ends = who if left[0] == who else _SEVERAL, max(ends, left[1])
        self._pushed_out[caller.trace_id] = who, ends
        if len(self._pushed_out) > self._max:
            self._pushed_out.popitem(last=False)

    def _forget(self, caller: Caller) -> None:
        if self._requests.get(caller.request_id) is caller:
            del self._requests[caller.request_id]
        if caller.given and self._tokens.get(caller.given) is caller:
            del self._tokens[caller.given]
        under = self._traces.get(caller.trace_id, {})
        if isinstance(under, Caller):
            if under is caller:
                del self._traces[caller.trace_id]
            return
        who = _who(caller)
        if rest := tuple([c for c in under.get(who, ()) if c is not caller]):
            under[who] = rest
            return
        under.pop(who, None)
        if not under:
            self._traces.pop(caller.trace_id, None)


def same_principal(one: Caller, other: Caller) -> bool:
    """Whether two requests were made by the same principal with the same rights."""
    if one.verified is None or other.verified is None:
        return one.verified is other.verified
    if one.verified.token_hash == other.verified.token_hash:
        return True
    return _who(one) == _who(other)


def _who(caller: Caller) -> _Who:
    """What tells principals and their rights apart; None for anonymous."""
    return caller.verified.principal.rights if caller.verified else None


def _who_hash(caller: Caller) -> int:
    return caller.verified.principal.rights_hash if caller.verified else 0


def _outliving(earlier: tuple[Caller, ...], caller: Caller) -> tuple[Caller, ...]:
    """The requests of one principal that some moment may need: the newest, and longer-lived ones.

    The others are evicted before it and expire before it.
    """
    return (*(c for c in earlier if c.expires_at > caller.expires_at), caller)


def _newest(callers: tuple[Caller, ...], now: float) -> Caller:
    return next((c for c in reversed(callers) if c.expires_at > now), callers[-1])


def _live(caller: Caller | None, now: float) -> Caller | None:
    return caller if caller is not None and caller.expires_at > now else None
