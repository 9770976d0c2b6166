"""What is left when a release is uninstalled: nothing."""

from __future__ import annotations

from demo.waiting import until
from tests.cluster.shop import ROOT, Shop

CHART = ROOT / "charts" / "attache"

KINDS = (
    "deployments,replicasets,pods,services,endpointslices,configmaps,secrets,serviceaccounts,"
    "poddisruptionbudgets,networkpolicies"
)


def left(shop: Shop) -> set[str]:
    return set(shop.kubectl("get", KINDS, "-o", "name").split())


def test_uninstall_leaves_nothing(shop):
    values = shop.values("inventory")
    extra = {"podDisruptionBudget": {"enabled": True}, "networkPolicy": {"enabled": True}}
    before = left(shop)
    shop.install("spare", CHART, {**values, **extra, "fullnameOverride": "spare"})
    assert left(shop) - before
    shop.uninstall("spare")
    until(lambda: left(shop) <= before, "the last pod to end", bound=90)
