"""How Envoy knows a destination that speaks TLS, and how it shows itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2

from agent.config.destinations import Destination
from agent.envoy import tls
from agent.envoy.proto import from_agent

BUNDLE = Path("/bundle.pem")
SAN = common_pb2.SubjectAltNameMatcher


def context(**entry: Any) -> Any:
    destination = Destination.model_validate({"name": "billing", "hosts": ["billing.shop"]} | entry)
    assert destination.tls
    message = tls_pb2.UpstreamTlsContext()
    socket = tls.transport_socket(destination, destination.tls, from_agent())
    assert socket.typed_config.Unpack(message)
    return message


@pytest.mark.parametrize(
    ("entry", "sni", "kind", "name"),
    [
        ({"tls": {}}, "billing.shop", SAN.DNS, "billing.shop"),
        ({"tls": {}, "address": "gateway.shop"}, "gateway.shop", SAN.DNS, "gateway.shop"),
        ({"tls": {"sni": "b.example"}}, "b.example", SAN.DNS, "b.example"),
        (
            {"tls": {"sni": "b.example"}, "address": "10.0.0.1"},
            "b.example",
            SAN.DNS,
            "b.example",
        ),
        ({"tls": {}, "address": "10.0.0.1"}, "", SAN.IP_ADDRESS, "10.0.0.1"),
        ({"tls": {}, "address": "[FD00:0::1]"}, "", SAN.IP_ADDRESS, "fd00::1"),
    ],
)
@pytest.mark.must(25)
def test_the_server_is_known_by_exactly_one_name(entry, sni, kind, name):
    message = context(**entry)
    validation = message.common_tls_context.combined_validation_context
    (matcher,) = validation.default_validation_context.match_typed_subject_alt_names
    assert (message.sni, matcher.san_type, matcher.matcher.exact) == (sni, kind, name)


def test_tls_is_new_enough_and_leaves_the_protocol_to_the_connection_pool():
    common = context(tls={}).common_tls_context
    assert common.tls_params.tls_minimum_protocol_version == common_pb2.TlsParameters.TLSv1_2
    assert list(common.alpn_protocols) == []


def secrets(configure: Any, **settings: Any) -> dict[str, Any]:
    destinations = [
        {"name": "billing", "hosts": ["billing.shop"], "tls": settings},
        {"name": "audit", "hosts": ["audit.shop"]},
    ]
    found = tls.secrets(configure(destinations=destinations), BUNDLE)
    return {secret.name: secret for secret in found}


def test_without_a_ca_file_the_systems_bundle_is_trusted(configure):
    (secret,) = secrets(configure).values()
    assert secret.validation_context.trusted_ca.filename == str(BUNDLE)


def test_mounted_files_are_named_and_their_folder_is_watched(configure):
    found = secrets(
        configure, caFile="/ca/ca.crt", certificateFile="/own/tls.crt", keyFile="/own/tls.key"
    )
    authority, certificate = found["authority_billing"], found["certificate_billing"]
    assert authority.validation_context.trusted_ca.filename == "/ca/ca.crt"
    assert authority.validation_context.watched_directory.path == "/ca"
    pair = certificate.tls_certificate
    assert pair.certificate_chain.filename == "/own/tls.crt"
    assert pair.private_key.filename == "/own/tls.key"
    assert pair.watched_directory.path == "/own"


def test_each_secret_that_a_cluster_names_exists(configure):
    files = {"certificateFile": "/own/tls.crt", "keyFile": "/own/tls.key"}
    common = context(tls=files).common_tls_context
    validation = common.combined_validation_context.validation_context_sds_secret_config
    named = {validation.name, *(one.name for one in common.tls_certificate_sds_secret_configs)}
    assert named == set(secrets(configure, **files))


def test_the_bundle_is_the_first_that_exists(monkeypatch, tmp_path):
    present = tmp_path / "present.pem"
    present.touch()
    monkeypatch.setattr(tls, "BUNDLES", (tmp_path / "absent.pem", present, tmp_path / "third.pem"))
    assert tls.system_bundle() == present
    monkeypatch.setattr(tls, "BUNDLES", (tmp_path / "absent.pem",))
    assert tls.system_bundle() == tmp_path / "absent.pem"
