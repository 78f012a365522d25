from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from mirror.cluster.certificates import (
    RENEW_BEFORE,
    TlsFiles,
    certificates,
    client_context,
    files_of,
    server_context,
)
from mirror.cluster.issue import names_of
from mirror.config.node import NodeConfig
from mirror.errors import SetupError

NOW = datetime.now(UTC)


def node(tmp_path: Path, address: str = "10.0.0.1") -> NodeConfig:
    return NodeConfig(data_dir=tmp_path, node_name="node-1", node_ip=(ip_address(address),))


def given_node(tmp_path: Path, ca: trustme.CA, *names: str) -> NodeConfig:
    dates = {"not_before": NOW - timedelta(days=10), "not_after": NOW + timedelta(days=10)}
    leaf = ca.issue_cert(*(names or ("127.0.0.1", "localhost")), **dates)
    ca.cert_pem.write_to_path(str(tmp_path / "ca"))
    (tmp_path / "cert").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(tmp_path / "key"))
    return NodeConfig(tls_ca=tmp_path / "ca", tls_cert=tmp_path / "cert", tls_key=tmp_path / "key")


async def subject_seen(files: TlsFiles, client: ssl.SSLContext) -> bytes:
    """Connects; answers whether the server saw a client certificate, and the protocol."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls = writer.get_extra_info("ssl_object")
        shown = bool(tls.getpeercert())
        writer.write(f"{shown} {tls.version()} {tls.cipher()[0]}".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(files))
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        answer = await reader.read()
        writer.close()
        return answer


def test_private_keys_are_for_the_owner_alone(tmp_path: Path) -> None:
    files = certificates(node(tmp_path), NOW)
    folder = tmp_path / "agent/spegla/tls"
    assert folder.stat().st_mode & 0o777 == 0o700
    for key in folder.glob("*.key"):
        assert key.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [
        "ca.crt",
        "ca.key",
        "client.crt",
        "client.key",
        "server.crt",
        "server.key",
    ]
    assert files == files_of(node(tmp_path))
    assert (files.client.ca, files.client.cert, files.client.key) == (
        files.ca,
        files.client_cert,
        files.client_key,
    )


def test_server_is_valid_for_every_way_it_is_reached(tmp_path: Path) -> None:
    files = certificates(node(tmp_path), NOW)
    certificate = x509.load_pem_x509_certificate(files.cert.read_bytes())
    assert names_of(certificate) == {
        "localhost",
        "node-1",
        ip_address("127.0.0.1"),
        ip_address("::1"),
        ip_address("10.0.0.1"),
    }


def contents(files: TlsFiles) -> list[bytes]:
    return [path.read_bytes() for path in (files.ca, files.cert, files.client_cert)]


def test_certificates_are_kept_across_restarts(tmp_path: Path) -> None:
    first = contents(certificates(node(tmp_path), NOW))
    assert contents(certificates(node(tmp_path), NOW + timedelta(days=300))) == first


def test_new_address_means_a_new_server_certificate_only(tmp_path: Path) -> None:
    ca, server, client = contents(certificates(node(tmp_path), NOW))
    after = contents(certificates(node(tmp_path, "10.0.0.2"), NOW))
    assert (after[0], after[2]) == (ca, client)
    assert after[1] != server


def test_certificates_are_renewed_before_they_expire(tmp_path: Path) -> None:
    ca, server, client = contents(certificates(node(tmp_path), NOW))
    later = NOW + timedelta(days=1095) - RENEW_BEFORE + timedelta(days=1)
    after = contents(certificates(node(tmp_path), later))
    assert after[0] == ca
    assert server not in after
    assert client not in after


def test_new_ca_means_new_certificates(tmp_path: Path) -> None:
    before = contents(certificates(node(tmp_path), NOW))
    after = contents(certificates(node(tmp_path), NOW + timedelta(days=3650)))
    assert not set(before) & set(after)


def test_half_a_pair_is_made_anew(tmp_path: Path) -> None:
    files = certificates(node(tmp_path), NOW)
    files.cert.unlink()
    certificates(node(tmp_path), NOW)
    server_context(files)


@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "server.crt", "client.key"])
@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\xff" * 1000])
def test_damaged_file_is_named_with_the_remedy(tmp_path: Path, name: str, damage: bytes) -> None:
    certificates(node(tmp_path), NOW)
    folder = tmp_path / "agent/spegla/tls"
    (folder / name).write_bytes(damage)
    with pytest.raises(SetupError, match=f"{name}: .*remove {folder}, and new ones are made"):
        certificates(node(tmp_path), NOW)


def test_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    files = certificates(node(tmp_path), NOW)
    files.key.write_bytes(files.client_key.read_bytes())
    with pytest.raises(SetupError, match="not the private key of the certificate in"):
        certificates(node(tmp_path), NOW)


def test_folder_that_cannot_be_made_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "agent").write_text("")
    with pytest.raises(SetupError, match="set --data-dir"):
        certificates(node(tmp_path), NOW)


async def test_nodes_prove_themselves_to_each_other(tmp_path: Path) -> None:
    files = certificates(node(tmp_path), NOW)
    assert (
        await subject_seen(files, client_context(files)) == b"True TLSv1.3 TLS_AES_256_GCM_SHA384"
    )


async def test_client_without_certificate_gets_through_the_handshake(tmp_path: Path) -> None:
    files = certificates(node(tmp_path), NOW)
    client = ssl.create_default_context(cafile=str(files.ca))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert (await subject_seen(files, client)).startswith(b"False TLSv1.2 ECDHE-ECDSA-AES")


async def test_stranger_is_refused_on_either_side(tmp_path: Path) -> None:
    files = certificates(node(tmp_path / "a"), NOW)
    strangers = certificates(node(tmp_path / "b"), NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        await subject_seen(files, client_context(strangers))
    imposter = ssl.create_default_context(cafile=str(files.ca))
    imposter.load_cert_chain(strangers.client_cert, strangers.client_key)
    imposter.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 tells a client of it only later
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await subject_seen(files, imposter)


async def test_given_certificates_serve_and_ask(tmp_path: Path) -> None:
    files = certificates(given_node(tmp_path, trustme.CA()), NOW)
    assert files.client_cert == files.cert
    assert (await subject_seen(files, client_context(files))).startswith(b"True")


def test_given_certificate_must_be_from_the_given_ca(tmp_path: Path) -> None:
    config = given_node(tmp_path, trustme.CA())
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca"))
    with pytest.raises(SetupError, match=f"{tmp_path}/cert: not issued by the CA in .*tls-ca"):
        certificates(config, NOW)


def test_given_chain_may_end_at_any_of_the_given_cas(tmp_path: Path) -> None:
    root = trustme.CA()
    config = given_node(tmp_path, root.create_child_ca())
    (tmp_path / "ca").write_bytes(trustme.CA().cert_pem.bytes() + root.cert_pem.bytes())
    assert certificates(config, NOW).ca == tmp_path / "ca"


def test_own_ca_is_warned_of_where_other_nodes_are_meant(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificates(node(tmp_path), NOW)
    assert caplog.messages == []
    certificates(replace(node(tmp_path), bootstrap=("/ip4/10.0.0.2",)), NOW)
    assert "nothing is shared with other nodes; set tls-ca" in caplog.text


def test_given_certificate_must_be_valid_where_containerd_asks(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"not valid for 127\.0\.0\.1"):
        certificates(given_node(tmp_path, trustme.CA(), "node.example"), NOW)


def test_given_certificate_must_be_in_its_time(tmp_path: Path) -> None:
    config = given_node(tmp_path, trustme.CA())
    with pytest.raises(SetupError, match=r"expired on 20\d\d-"):
        certificates(config, NOW + timedelta(days=11))
    with pytest.raises(SetupError, match="check this node's clock"):
        certificates(config, NOW - timedelta(days=11))


def test_given_certificate_must_be_allowed_to_serve_and_to_ask(tmp_path: Path) -> None:
    own = certificates(node(tmp_path), NOW)
    config = NodeConfig(tls_ca=own.ca, tls_cert=own.cert, tls_key=own.key)
    with pytest.raises(SetupError, match="not allowed for clientAuth"):
        certificates(config, NOW)


@pytest.mark.parametrize(
    ("name", "message"),
    [("ca", "no certificate"), ("cert", "no certificate"), ("key", "no private key")],
)
def test_given_file_that_is_none_or_not_there_is_named(
    tmp_path: Path, name: str, message: str
) -> None:
    config = given_node(tmp_path, trustme.CA())
    (tmp_path / name).write_text("nonsense")
    with pytest.raises(SetupError, match=f"{tmp_path}/{name}: {message}"):
        certificates(config, NOW)
    (tmp_path / name).unlink()
    with pytest.raises(SetupError, match=f"{tmp_path}/{name}: cannot be read"):
        certificates(config, NOW)
