from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mirror.config.endpoint import Endpoint
from mirror.oci.digest import Digest
from mirror.transfer.registry_client import content_url, retry_after
from mirror.transfer.upstream_error import UpstreamError, shown

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("0", 0), (" 7 ", 7), ("Mon, 23 Nov 2026 10:00:05 GMT", 5),
     ("Mon, 23 Nov 2026 09:00:00 GMT", 0), ("Mon, 23 Nov 2026 10:00:05", 5), ("", None),
     ("-3", None), ("soon", None), ("9" * 400, 999_999_999), ("²", None)],
)  # fmt: skip
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


def test_mirrors_are_told_the_registry_and_the_default_is_not() -> None:
    digest = Digest.of(b"")
    mirror, own = Endpoint("http://m/x/v2"), Endpoint("http://o/v2", default=True)
    assert str(content_url(mirror, "reg:5000", "a/b", "blobs", digest)) == (
        f"http://m/x/v2/a/b/blobs/{digest}?ns=reg:5000"
    )
    assert str(content_url(own, "reg:5000", "a/b", "manifests", "v1")) == (
        "http://o/v2/a/b/manifests/v1"
    )


@pytest.mark.parametrize(
    ("repository", "wanted"),
    [("../x", "1"), ("a//b", "1"), ("A", "1"), ("", "1"), ("a?b", "1"), ("a", "../x"), ("a", ""),
     ("a", "sha256:xyz"), ("a", "x" * 200), ("a", "1?x=y"), ("a\n", "1")],
)  # fmt: skip
def test_nonsense_makes_no_url(repository: str, wanted: str) -> None:
    with pytest.raises(UpstreamError):
        content_url(Endpoint("http://m/v2"), "docker.io", repository, "manifests", wanted)


def test_shown_urls_hold_no_secrets() -> None:
    assert shown("https://user:pw@s3.example/x?Signature=abc#frag") == "https://s3.example/x"
    assert shown("http://[") == "a malformed URL"
