"""What Envoy should hold for one configuration, and how its versions are made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from agent.envoy.snapshot import CLUSTER, KINDS, LISTENER, ROUTE, SECRET, Resources, Snapshot

BUNDLE = Path("/bundle.pem")


def versions(snapshot: Snapshot) -> dict[str, str]:
    return {KINDS[type_url]: resources.version for type_url, resources in snapshot.types.items()}


def test_the_same_configuration_has_the_same_versions_in_every_process(configure):
    script = (
        "from pathlib import Path; from agent.config.attache import Attache;"
        "from agent.envoy.snapshot import Snapshot, KINDS; import sys;"
        "s = Snapshot.of(Attache.model_validate_json(sys.stdin.read(), strict=False),"
        " Path('/bundle.pem'));"
        "print({KINDS[u]: r.version for u, r in s.types.items()})"
    )
    config = configure()
    text = config.model_dump_json(by_alias=True, exclude_unset=True)
    text = text.replace('{"host":"127.0.0.1","port":8000}', '"127.0.0.1:8000"')
    for seed in ("1", "2"):
        other = subprocess.run(
            [sys.executable, "-c", script],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        )
        assert other.stdout.strip() == str(versions(Snapshot.of(config, BUNDLE)))


def test_the_order_of_destinations_does_not_matter_to_clusters(configure):
    config = configure()
    turned = [
        {"name": "billing", "hosts": ["billing.shop"]},
        {"name": "notification", "hosts": ["notification.shop:8001"]},
    ]
    one = Snapshot.of(config, BUNDLE).types[CLUSTER]
    assert one.version == Snapshot.of(configure(destinations=turned), BUNDLE).types[CLUSTER].version


def test_a_change_touches_only_the_types_that_it_concerns(configure):
    before = Snapshot.of(configure(), BUNDLE)
    slower = {"name": "billing", "hosts": ["billing.shop"], "timeout": "20s"}
    notification = {"name": "notification", "hosts": ["notification.shop:8001"]}
    after = Snapshot.of(configure(destinations=[notification, slower]), BUNDLE)
    changed = [url for url in KINDS if before.types[url].version != after.types[url].version]
    assert changed == [ROUTE]


def test_a_part_has_its_own_version_and_leaves_out_what_is_not_there(configure):
    routes = Snapshot.of(configure(), BUNDLE).types[ROUTE]
    part = routes.only(["inbound", "stranger"])
    assert list(part.items) == ["inbound"]
    assert part.version != routes.version
    assert routes.only(["outbound", "inbound"]).version == routes.version


def test_the_newer_wins_over_the_older_and_both_are_kept(configure):
    new = Snapshot.of(configure(), BUNDLE).types[CLUSTER]
    gone = [{"name": "gone", "hosts": ["gone.shop"]}]
    old = Snapshot.of(configure(destinations=gone), BUNDLE).types[CLUSTER]
    both = new.over(old)
    assert set(both.items) == set(new.items) | set(old.items)
    assert both.includes(new)
    assert not new.includes(both)
    moved = Resources.of({**new.items, "application": new.items["destination_billing"]})
    assert new.over(moved).items["application"] == new.items["application"]


def test_a_snapshot_covers_all_types(configure):
    assert set(Snapshot.of(configure(), BUNDLE).types) == {CLUSTER, SECRET, LISTENER, ROUTE}
