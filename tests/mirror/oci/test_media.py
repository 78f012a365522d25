from __future__ import annotations

from mirror.oci import media


def test_manifests_are_the_four_types_that_containerd_accepts() -> None:
    assert {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    } == media.MANIFEST_TYPES


def test_configs_and_bytes_are_served_as_blobs() -> None:
    assert media.OCI_CONFIG not in media.MANIFEST_TYPES
    assert media.OCTET_STREAM not in media.MANIFEST_TYPES
