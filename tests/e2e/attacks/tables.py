"""Every table of attacks, in the order of `docs/attacks.md`."""

from __future__ import annotations

from collections.abc import Mapping

from tests.e2e.attacks import (
    table_claims,
    table_credentials,
    table_edge,
    table_frames,
    table_framing,
    table_hosts,
    table_identity,
    table_paths,
    table_sizes,
    table_socket,
)
from tests.e2e.attacks.siege import Attack

TABLES: Mapping[str, tuple[Attack, ...]] = {
    table.GROUP: table.ROWS
    for table in (
        table_credentials,
        table_identity,
        table_paths,
        table_hosts,
        table_framing,
        table_frames,
        table_sizes,
        table_socket,
        table_claims,
        table_edge,
        table_socket,
    )
}
