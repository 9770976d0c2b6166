"""Why was the list of revocations not changed, and which entries were to go?"""

from __future__ import annotations

from collections.abc import Callable

from agent.identity.revocation.entry import Entry

Goes = Callable[[str, Entry], bool]
"""Whether the entry under a name is to go."""


class NotWritten(Exception):
    """The list is as it was; the text says why and what to do."""
