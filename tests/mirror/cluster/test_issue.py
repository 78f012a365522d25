from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mirror.cluster.issue import issue, names_of, new_authority

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def load(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_authority_signs_p256_certificates_with_the_names_asked_for() -> None:
    authority = new_authority("test", NOW)
    made = issue(authority, "node", ["node", ip_address("::1")], server=True, now=NOW)
    certificate = load(made.certificate)
    certificate.verify_directly_issued_by(load(authority.certificate))
    assert names_of(certificate) == {"node", ip_address("::1")}
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_certificate_does_not_outlive_its_authority() -> None:
    authority = new_authority("test", NOW)
    later = NOW + timedelta(days=3600)
    made = load(issue(authority, "node", [], server=False, now=later).certificate)
    assert made.not_valid_after_utc <= load(authority.certificate).not_valid_after_utc
    assert names_of(made) == frozenset()


def test_long_names_are_cut_to_what_x509_allows() -> None:
    load(new_authority("n" * 300, NOW).certificate)
