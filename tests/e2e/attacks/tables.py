"""Every table of attacks, in the order of `docs/attacks.md`."""

from __future__ import annotations

from collections.abc import Mapping

from tests.e2e.attacks import table_credentials, table_framing, table_identity, table_paths
from tests.e2e.attacks.siege import Attack

TABLES: Mapping[str, tuple[Attack, ...]] = {
    table.GROUP: table.ROWS
    for table in (table_credentials, table_identity, table_framing, table_paths)
}
