"""How does Envoy know a destination that speaks TLS, and how does it show itself there?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from envoy.config.core.v3 import base_pb2, config_source_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2

from agent.config.attache import Attache
from agent.config.destinations import Destination, Tls
from agent.envoy.material import NOTHING_READ, Contents, authority_of, certificate_of, named
from agent.envoy.proto import is_ip, pack

# Where distributions keep the public authorities: Debian and Ubuntu (and Envoy's images, and
# distroless), Fedora and RHEL, openSUSE, Alpine.
BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)


def system_bundle() -> Path:
    """Return the first bundle that this file system has, else Debian's place."""
    return next((path for path in BUNDLES if path.is_file()), BUNDLES[0])


def transport_socket(
    destination: Destination,
    tls: Tls,
    source: config_source_pb2.ConfigSource | None,
    contents: Contents = NOTHING_READ,
) -> base_pb2.TransportSocket:
    """Return TLS ≥ 1.2 towards exactly the configured server.

    No ALPN list: Envoy then offers the one protocol that it is about to speak, whereas a list
    lets the server choose another than the connection pool's.
    """
    name = server_name(destination, tls)
    common = tls_pb2.CommonTlsContext(
        tls_params=common_pb2.TlsParameters(
            tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2
        ),
        combined_validation_context=tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
            default_validation_context=common_pb2.CertificateValidationContext(
                match_typed_subject_alt_names=[_subject(name)]
            ),
            validation_context_sds_secret_config=_reference(
                named(authority_of(destination), contents), source
            ),
        ),
    )
    if tls.certificate_file:
        common.tls_certificate_sds_secret_configs.append(
            _reference(named(certificate_of(destination), contents), source)
        )
    context = tls_pb2.UpstreamTlsContext(common_tls_context=common)
    if not is_ip(name):  # RFC 6066 §3: a literal address is not a server name
        context.sni = name
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))


def secrets(
    config: Attache, bundle: Path, contents: Contents = NOTHING_READ
) -> Iterator[secret_pb2.Secret]:
    """Return what the TLS destinations verify with and show; *bundle* where no caFile is set.

    They travel as the *contents* that the agent has read. Others travel as names of files that
    Envoy itself reads, and reads again when files are moved into the directory (as Kubernetes does
    with mounted Secrets). Never an empty one: SECURITY 36.
    """
    for destination in config.called:
        tls = destination.tls
        if tls is None:
            continue
        authorities = common_pb2.CertificateValidationContext(trusted_ca=_file(bundle))
        if read := contents.get(authority_of(destination)):
            authorities.trusted_ca.CopyFrom(_inline(read[0]))
        elif tls.ca_file:
            authorities.trusted_ca.CopyFrom(_file(tls.ca_file))
            authorities.watched_directory.path = str(tls.ca_file.parent)
        yield secret_pb2.Secret(
            name=named(authority_of(destination), contents), validation_context=authorities
        )
        if tls.certificate_file and tls.key_file:
            name = certificate_of(destination)
            if read := contents.get(name):
                chain, key = map(_inline, read)
            else:
                chain, key = _file(tls.certificate_file), _file(tls.key_file)
            pair = common_pb2.TlsCertificate(certificate_chain=chain, private_key=key)
            if not read:
                pair.watched_directory.path = str(tls.certificate_file.parent)
            yield secret_pb2.Secret(name=named(name, contents), tls_certificate=pair)


def server_name(destination: Destination, tls: Tls) -> str:
    """Return whom the certificate must name: `sni`, else the host of the address."""
    return tls.sni or destination.upstream.host


def _subject(name: str) -> common_pb2.SubjectAltNameMatcher:
    kind = common_pb2.SubjectAltNameMatcher
    if is_ip(name):  # Envoy compares the canonical text of an iPAddress SAN
        text = str(ipaddress.ip_address(name))
        return kind(san_type=kind.IP_ADDRESS, matcher=string_pb2.StringMatcher(exact=text))
    return kind(san_type=kind.DNS, matcher=string_pb2.StringMatcher(exact=name))


def _reference(
    name: str, source: config_source_pb2.ConfigSource | None
) -> secret_pb2.SdsSecretConfig:
    return secret_pb2.SdsSecretConfig(name=name, sds_config=source)


def _file(path: Path) -> base_pb2.DataSource:
    return base_pb2.DataSource(filename=str(path))


def _inline(content: bytes) -> base_pb2.DataSource:
    return base_pb2.DataSource(inline_bytes=content)
