"""TLS between nodes, with a CA and certificates made for the test."""

from __future__ import annotations

import ssl
from functools import cache

import trustme


@cache
def authority(name: str = "ours") -> trustme.CA:
    """One CA per name; making keys costs 0.1 s."""
    return trustme.CA(organization_name=name)


@cache
def leaf(address: str, name: str = "ours") -> trustme.LeafCert:
    return authority(name).issue_cert(address)


def server_context(*addresses: str, name: str = "ours") -> ssl.SSLContext:
    """Shows a certificate that is valid for `addresses`; asks clients for theirs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    authority(name).configure_trust(context)
    authority(name).issue_cert(*addresses).configure_cert(context)
    return context


def client_context(*, certificate: bool = True, name: str = "ours") -> ssl.SSLContext:
    """Trusts the CA, and shows a certificate of it if so told."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority(name).configure_trust(context)
    if certificate:
        leaf("node", name).configure_cert(context)
    return context
