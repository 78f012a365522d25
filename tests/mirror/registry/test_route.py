from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import Digest
from mirror.oci.errors import DigestInvalid, NameInvalid, NameUnknown
from mirror.oci.reference import is_registry, is_repository, is_tag
from mirror.registry.route import parse_target
from mirror.transfer.wanted import Kind, Wanted

DIGEST = Digest.of(b"x")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (f"/v2/a/blobs/{DIGEST}", Wanted(Kind.BLOB, "docker.io", "a", DIGEST, None)),
        (f"/v2/a/b/manifests/{DIGEST}", Wanted(Kind.MANIFEST, "docker.io", "a/b", DIGEST, None)),
        ("/v2/a/b/manifests/1.0", Wanted(Kind.MANIFEST, "docker.io", "a/b", None, "1.0")),
        ("/v2/blobs/manifests/x", Wanted(Kind.MANIFEST, "docker.io", "blobs", None, "x")),
        (
            "/v2/a/manifests/manifests/x",
            Wanted(Kind.MANIFEST, "docker.io", "a/manifests", None, "x"),
        ),
    ],
)
def test_target_is_read(path: str, wanted: Wanted) -> None:
    found = parse_target(path, "docker.io")
    assert found == wanted
    assert found.target == f"{path}?ns=docker.io"


@pytest.mark.parametrize(
    "path",
    ["", "/", "/v2", "/v2/", "/v2/a", "/v2/a/tags/list", "/v2/manifests/1", "/v1/a/manifests/1",
     "/v2//manifests/1", "/v2/a/blobs", "//v2/a/manifests/1"],
)  # fmt: skip
def test_path_outside_the_pull_api_is_unknown(path: str) -> None:
    with pytest.raises(NameUnknown):
        parse_target(path, "docker.io")


@pytest.mark.parametrize(
    "path",
    ["/v2/A/manifests/1", "/v2/a/../b/manifests/1", "/v2/a//b/manifests/1", "/v2/a/manifests/",
     "/v2/a/manifests/-x", "/v2/a/manifests/" + "t" * 129, "/v2/" + "a" * 256 + "/manifests/1",
     "/v2/a b/manifests/1", "/v2/a/manifests/1\r\nX"],
)  # fmt: skip
def test_malformed_name_is_invalid(path: str) -> None:
    with pytest.raises(NameInvalid):
        parse_target(path, "docker.io")


@pytest.mark.parametrize("registry", ["a b", "", "../x", "host/path", "x" * 300, "a:b", "\r\n"])
def test_malformed_registry_is_invalid(registry: str) -> None:
    with pytest.raises(NameInvalid):
        parse_target("/v2/a/manifests/1", registry)


@pytest.mark.parametrize(
    "path",
    ["/v2/a/blobs/1", "/v2/a/blobs/", "/v2/a/manifests/sha512:abc", "/v2/a/blobs/sha256:.."],
)
def test_malformed_digest_is_invalid(path: str) -> None:
    with pytest.raises(DigestInvalid):
        parse_target(path, "docker.io")


@given(
    st.text(alphabet="/v2ab.:-_AZ%\r\n\0manifestblob", max_size=60).map(lambda rest: f"/v2/{rest}")
    | st.text(max_size=80),
    st.text(max_size=20),
)
def test_nonsense_is_an_oci_error_or_safe_to_send_on(path: str, registry: str) -> None:
    try:
        wanted = parse_target(path, registry)
    except (NameUnknown, NameInvalid, DigestInvalid):
        return
    assert is_registry(wanted.registry)
    assert is_repository(wanted.repository)
    assert wanted.digest is not None or is_tag(wanted.tag or "")
    assert wanted.target.isascii()
    assert wanted.target.isprintable()
