"""A Kubernetes service account as a caller, and as what proves us at Entra."""

from __future__ import annotations

import json

from demo.waiting import until
from tests.cluster.shop import Shop, run

READER = "attache-test-issuer-discovery"


def cluster_issuer() -> str:
    document = json.loads(run("kubectl", "get", "--raw", "/.well-known/openid-configuration"))
    return str(document["issuer"])


def test_a_service_account_is_a_caller_like_any_other(shop):
    """Its keys come from the API server, by discovery, under the cluster's own authority."""
    # By default the document is for those who are signed in; the keys in it are public.
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": READER},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:service-account-issuer-discovery",
        },
        "subjects": [
            {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Group",
                "name": "system:unauthenticated",
            }
        ],
    }
    shop.apply(binding)
    try:
        values = shop.values("inventory")
        issuer = {
            "issuer": cluster_issuer(),
            "caFile": "/kube-ca/ca.crt",
            "audiences": ["inventory"],
            "callers": "apps",
            "claims": {"client": "sub", "tenant": "kubernetes.io.namespace"},
        }
        account = f"system:serviceaccount:{shop.name}:default"
        require = {"caller": "app", "clients": [account], "tenants": [shop.name]}
        values["config"]["issuers"].append({"name": "cluster", "oidc": issuer})
        values["config"]["routes"].insert(
            1,
            {"path": "/stock/kettle", "methods": ["GET"], "require": require},
        )
        mount = {"mountPath": "/kube-ca", "existingConfigMap": "kube-root-ca.crt"}
        secrets = [*values["secrets"], mount]
        shop.deploy("inventory", config=values["config"], secrets=secrets)

        def asked(audience: str) -> list[object]:
            token = shop.kubectl("create", "token", "default", f"--audience={audience}").strip()
            url = f"http://inventory.{shop.name}:8005/stock/kettle"
            return list(shop.call("status", "GET", url, f"Authorization=Bearer {token}"))

        until(lambda: asked("inventory") == [200, ""], "the service account", bound=60)
        assert asked("elsewhere") == [401, "wrong_audience"]
    finally:
        run("kubectl", "delete", "clusterrolebinding", READER, "--ignore-not-found")
        shop.deploy("inventory")


def test_a_projected_token_takes_the_place_of_a_client_secret(shop):
    values = shop.values("tasks")
    (identity,) = values["config"]["identities"]
    del identity["entra"]["secretFile"]
    identity["entra"]["federatedTokenFile"] = "/var/run/secrets/azure/tokens/azure-identity-token"
    secrets = [one for one in values["secrets"] if one["mountPath"] != "/secrets"]
    client = {"enabled": True, "clientId": identity["entra"]["clientId"]}
    federate(shop)
    shop.deploy("tasks", config=values["config"], secrets=secrets, workloadIdentity=client)
    try:
        assert shop.call("tasks")["ada creates"] == [201, "sent", "logged"]
        (pod,) = shop.pods("tasks")
        assert {one["name"] for one in pod["spec"]["volumes"]} >= {"azure-identity-token"}
    finally:
        shop.deploy("tasks")


def federate(shop: Shop) -> None:
    """Let the provider trust the service account `tasks`, as one does in Entra."""
    keys = json.loads(run("kubectl", "get", "--raw", "/openid/v1/jwks"))["keys"]
    record = {
        "issuer": cluster_issuer(),
        "subject": f"system:serviceaccount:{shop.name}:tasks",
        "audience": "api://AzureADTokenExchange",
        "keys": keys,
    }
    shop.control("federate", json.dumps(record))
