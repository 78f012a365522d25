"""The certificates that a node serves and asks with: those it was given, or its own.

Beside `check_given` and `make` there will be a third way: certificates of the cluster's CA, which
a joining node gets from its server.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from mirror.cluster.issue import Issued, SanName, issue, names_of, new_authority
from mirror.config.atomic import write_atomically
from mirror.config.endpoint import Tls
from mirror.config.node import NodeConfig
from mirror.errors import SetupError

log = logging.getLogger("spegla.cluster")

RENEW_BEFORE = timedelta(days=365)
"""Certificates are renewed at a start, so what is left must last until the next restart."""

_LOOPBACK: tuple[SanName, ...] = ("localhost", ip_address("127.0.0.1"), ip_address("::1"))
_MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a node.

    Attributes:
        ca: Signs the certificates of all nodes; who shows another one is a stranger.
        cert: Certificate that the registry is served with, chain included.
        key: Its private key.
        client_cert: Certificate that containerd and this node show when they ask.
        client_key: Its private key.
    """

    ca: Path
    cert: Path
    key: Path
    client_cert: Path
    client_key: Path

    @property
    def client(self) -> Tls:
        """What containerd needs to ask this node."""
        return Tls(ca=self.ca, cert=self.client_cert, key=self.client_key)


def files_of(config: NodeConfig) -> TlsFiles:
    """Where a stand-alone node's certificates are or will be; touches nothing."""
    if config.tls_ca is not None and config.tls_cert is not None and config.tls_key is not None:
        pair = (config.tls_cert, config.tls_key)
        return TlsFiles(config.tls_ca, *pair, *pair)
    folder = config.node_dir / "tls"
    return TlsFiles(
        folder / "ca.crt",
        folder / "server.crt",
        folder / "server.key",
        folder / "client.crt",
        folder / "client.key",
    )


def certificates(config: NodeConfig, now: datetime) -> TlsFiles:
    """The certificates of a stand-alone node: those of `tls-*`, else self-made ones.

    Raises:
        SetupError: They are missing, unreadable, out of date or do not belong together.
    """
    files = files_of(config)
    if config.tls_cert is not None:
        check_given(files, now)
        _warn_of_missing_names(files.cert, config.node_ip)
    else:
        make(files, config.node_name, (*_LOOPBACK, config.node_name, *config.node_ip), now)
        if config.bootstrap:
            log.warning(
                "No tls-ca is set, so this node trusts only its own certificates in %s, and no "
                "other node trusts them: nothing is shared with other nodes; set tls-ca, tls-cert "
                "and tls-key, from one CA for all, or insecure-http",
                files.ca.parent,
            )
    return files


def check_given(files: TlsFiles, now: datetime) -> None:
    """Checks certificates that the administrator made; one pair is both server and client.

    Raises:
        SetupError: With what is wrong, in which file.
    """
    authorities, chain = _load_chain(files.ca), _load_chain(files.cert)
    certificate = chain[0]
    _check_pair(certificate, files.cert, files.key)
    if not any(_signed_by(link, ca) for link in chain for ca in authorities):
        raise SetupError(
            f"{files.cert}: not issued by the CA in {files.ca}: other nodes would refuse it, and "
            "so would containerd; set tls-ca to the CA that signed it, on every node"
        )
    if certificate.not_valid_after_utc <= now:
        raise SetupError(
            f"{files.cert}: expired on {certificate.not_valid_after_utc:%Y-%m-%d}: renew it"
        )
    if certificate.not_valid_before_utc > now:
        raise SetupError(
            f"{files.cert}: not valid before "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: check this node's clock"
        )
    _check_usage(certificate, files.cert)
    if names_of(certificate).isdisjoint(_LOOPBACK[1:]):
        raise SetupError(
            f"{files.cert}: not valid for 127.0.0.1, where containerd asks for images: "
            "add 127.0.0.1 to its subject alternative names"
        )


def make(files: TlsFiles, name: str, names: Sequence[SanName], now: datetime) -> None:
    """Makes a CA of this node's own and certificates from it, or keeps those that are there.

    Args:
        files: All in one folder, made if it is not there, for its owner only.
        name: Common name.
        names: What the server is reached by; another set than last time means a new certificate.
        now: Aware.

    Raises:
        SetupError: A file is damaged, or the folder cannot be written.
    """
    folder = files.ca.parent
    ca_key = files.ca.with_suffix(".key")
    wanted = frozenset(names)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _usable(files.ca, ca_key, now):
            write_pair(files.ca, ca_key, new_authority(f"spegla {name}", now))
        authority = Issued(files.ca.read_bytes(), ca_key.read_bytes())
        signer = x509.load_pem_x509_certificate(authority.certificate)
        if not _usable(files.cert, files.key, now, signer, wanted):
            pair = issue(authority, name, list(wanted), server=True, now=now)
            write_pair(files.cert, files.key, pair)
        if not _usable(files.client_cert, files.client_key, now, signer):
            pair = issue(authority, name, [], server=False, now=now)
            write_pair(files.client_cert, files.client_key, pair)
    except OSError as error:
        raise SetupError(
            f"{error.filename or folder}: certificates cannot be kept there: {error.strerror}: "
            "run as root or set --data-dir"
        ) from error
    except SetupError as error:
        raise SetupError(f"{error}: remove {folder}, and new ones are made") from error


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """For serving: a client may show a certificate; one of another CA ends the handshake.

    Which paths need one is for the handlers to say, so it is asked for and not required.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    return _loaded(context, files.ca, files.cert, files.key)


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """For asking other nodes: shows this node's certificate, trusts the cluster's CA alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _loaded(context, files.ca, files.client_cert, files.client_key)


def _loaded(context: ssl.SSLContext, ca: Path, cert: Path, key: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # AES-GCM runs in hardware; of TLS 1.3's suites OpenSSL prefers it by itself.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    try:
        context.load_verify_locations(ca)
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"{cert}: cannot be used with {key} and {ca}: {error}") from error
    return context


def _no_password() -> bytes:
    """Keeps OpenSSL from asking on the terminal."""
    return b""


def _warn_of_missing_names(path: Path, addresses: Sequence[SanName]) -> None:
    """Other nodes ask for this node's IP and check that the certificate is valid for it."""
    missing = set(addresses) - names_of(_load_certificate(path))
    for address in missing:
        log.warning(
            "%s is not valid for %s: other nodes will not fetch from this one; add the address to "
            "its subject alternative names",
            path,
            address,
        )


def _usable(
    cert: Path,
    key: Path,
    now: datetime,
    signer: x509.Certificate | None = None,
    names: frozenset[SanName] | None = None,
) -> bool:
    """Whether a pair of ours can be kept; damaged files are an error, not a reason to replace."""
    if not cert.exists() or not key.exists():
        return False
    certificate = _load_certificate(cert)
    _check_pair(certificate, cert, key)
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE:
        return False
    if names is not None and names_of(certificate) != names:
        return False
    return signer is None or _signed_by(certificate, signer)


def _signed_by(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _load_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a file, which is the owner's."""
    return _load_chain(path)[0]


def _load_chain(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise SetupError(f"{path}: no certificate in PEM format") from error


def _check_pair(certificate: x509.Certificate, cert: Path, key: Path) -> None:
    try:
        private = serialization.load_pem_private_key(_read(key), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SetupError(f"{key}: no private key in PEM format without a password") from error
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise SetupError(f"{key}: not the private key of the certificate in {cert}")


def _check_usage(certificate: x509.Certificate, cert: Path) -> None:
    """Go and OpenSSL refuse a certificate whose purposes are limited and leave one of these out."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    needed = {
        "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
        "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    missing = [name for name, purpose in needed.items() if purpose not in usage]
    if missing:
        raise SetupError(
            f"{cert}: not allowed for {' and '.join(missing)}: "
            "a node both serves and asks with it, so issue it with both extended key usages"
        )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror}") from error


def write_pair(cert: Path, key: Path, pair: Issued) -> None:
    """Replaces a certificate and its key, readable by the owner alone."""
    # Without a certificate the pair counts as not there, so a crash leaves no half-new pair.
    cert.unlink(missing_ok=True)
    write_atomically(key, pair.key, 0o600)
    write_atomically(cert, pair.certificate, 0o644)
