from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import Digest
from mirror.oci.reference import (
    InvalidReference,
    Reference,
    hostname,
    is_registry,
    is_repository,
    is_tag,
)

DIGEST = Digest.of(b"x")


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("busybox", "docker.io", "library/busybox", "latest", None),
        ("busybox:1.36", "docker.io", "library/busybox", "1.36", None),
        ("rancher/k3s:v1", "docker.io", "rancher/k3s", "v1", None),
        ("index.docker.io/library/x:1", "docker.io", "library/x", "1", None),
        ("registry-1.docker.io/x:1", "docker.io", "library/x", "1", None),
        ("ghcr.io/a/b/c:1", "ghcr.io", "a/b/c", "1", None),
        ("reg:5000/x", "reg:5000", "x", "latest", None),
        ("reg:5000/x:y", "reg:5000", "x", "y", None),
        ("localhost/x:1", "localhost", "x", "1", None),
        ("[fd00::1]:5000/x:1", "[fd00::1]:5000", "x", "1", None),
        ("UPPER/x:1", "UPPER", "x", "1", None),
        (f"ghcr.io/a@{DIGEST}", "ghcr.io", "a", None, DIGEST),
        (f"ghcr.io/a:1@{DIGEST}", "ghcr.io", "a", "1", DIGEST),
    ],
)
def test_reference_is_read_as_containerd_reads_it(
    text: str, registry: str, repository: str, tag: str | None, digest: Digest | None
) -> None:
    reference = Reference.parse(text)
    assert reference == Reference(registry, repository, tag, digest)
    assert Reference.parse(str(reference)) == reference


def test_tag_key_is_the_network_s_key_of_a_tag() -> None:
    assert Reference.parse("busybox:1").tag_key == "docker.io/library/busybox:1"
    assert Reference.parse(f"busybox@{DIGEST}").tag_key is None


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "@", "x@", "x:", "x@sha256:short", "UPPER", "a//b", "/a", "a/", "a:b:c",
        "a b", "a.b/", "ghcr.io/A:1", "ghcr.io/a:-tag", "ghcr.io/a:" + "t" * 129,
        "reg:port/x", "reg:123456/x", "ghcr.io/" + "a" * 256, "x" * 5000, "a/../b", "..", "ä/x",
        "ghcr.io/a:1\n", "ghcr.io/a\n:1",
    ],
)  # fmt: skip
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference, match="invalid reference"):
        Reference.parse(text)


@given(st.text(alphabet="ab.:/@-_[]AZ09\n\u0663ä", max_size=40) | st.text(max_size=60))
def test_nonsense_is_refused_or_read_so_that_it_can_be_written_again(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidReference:
        return
    assert is_registry(reference.registry)
    assert is_repository(reference.repository)
    assert reference.tag is None or is_tag(reference.tag)
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("registry", "host"),
    [
        ("docker.io", "docker.io"),
        ("reg.test:5000", "reg.test"),
        ("[fd77::1]:5000", "fd77::1"),
        ("[fd77::1]", "fd77::1"),
        ("fd77::1", "fd77::1"),
        ("127.0.0.1:5000", "127.0.0.1"),
    ],
)
def test_host_is_as_containerd_labels_it(registry: str, host: str) -> None:
    assert hostname(registry) == host
