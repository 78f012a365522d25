from __future__ import annotations

import pytest

from mirror.store.labels import SOURCE, registries, tag_name

DIGEST = "sha256:" + "0" * 64


def test_registries_come_from_source_labels_only() -> None:
    labels = {
        SOURCE + "docker.io": "library/busybox",
        SOURCE + "reg.test": "a/b,c/d",
        "containerd.io/gc.ref.content.0": DIGEST,
        "containerd.io/uncompressed": DIGEST,
    }
    assert registries(labels) == {"docker.io", "reg.test"}
    assert registries({}) == frozenset()


def test_equal_registries_are_one_object() -> None:
    assert registries([SOURCE + "a.io", SOURCE + "b.io"]) is registries(
        [SOURCE + "b.io", "x", SOURCE + "a.io"]
    )


@pytest.mark.parametrize(
    "name", ["docker.io/library/busybox:latest", "reg.test:5000/team/app:v1", "localhost/a:1"]
)
def test_full_tag_names_are_names(name: str) -> None:
    assert tag_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        DIGEST,
        "sha256:abc",
        "docker.io/library/busybox@" + DIGEST,
        "docker.io/library/busybox:1@" + DIGEST,
        "busybox:1",
        "docker.io/busybox:1",
        "docker.io/library/busybox",
        "index.docker.io/library/busybox:1",
        "",
        "???",
        "a" * 5000,
    ],
)
def test_other_names_are_not(name: str) -> None:
    assert tag_name(name) is None
