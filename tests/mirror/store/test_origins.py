from __future__ import annotations

import json

from mirror.oci.digest import Digest
from mirror.oci.media import OCI_INDEX, OCI_MANIFEST
from mirror.store.origins import origins
from mirror.store.port import Content
from tests.mirror.sample import make_sample


def content(data: bytes, media_type: str = "") -> Content:
    return Content(Digest.of(data), len(data), media_type, frozenset())


def test_all_that_a_name_reaches_belongs_to_its_registry() -> None:
    one, two = make_sample(10, seed=1), make_sample(10, seed=2)
    entry = {"digest": one.digest, "size": len(one.manifest), "mediaType": OCI_MANIFEST}
    absent = {**entry, "digest": Digest.of(b"another platform")}
    index = json.dumps({"manifests": [entry, absent]}).encode()
    data = {Digest.of(piece): piece for piece in (index, one.manifest, two.manifest)}
    held = [content(index, OCI_INDEX), *(content(s.manifest, OCI_MANIFEST) for s in (one, two))]
    held += [content(blob) for sample in (one, two) for blob in sample.blobs]
    names = {
        "docker.io/a:1": Digest.of(index),
        "reg.example:5000/a:1": one.digest,
        "ghcr.io/b:1": two.digest,
        "ghcr.io/gone:1": Digest.of(b"gone"),
    }
    found = origins(names, {c.digest: c for c in held}.get, data.__getitem__)
    assert found[Digest.of(index)] == {"docker.io"}
    assert found[one.digest] == found[Digest.of(one.layer)] == {"docker.io", "reg.example"}
    assert found[two.digest] == found[Digest.of(two.layer)] == {"ghcr.io"}
    assert set(found) == {c.digest for c in held}


def test_a_manifest_that_lies_or_can_not_be_read_reaches_nothing() -> None:
    circle = b"not a manifest"
    known = content(circle, OCI_MANIFEST)

    def unreadable(digest: Digest) -> bytes:
        raise OSError(digest)

    names = {"docker.io/a:1": known.digest}
    found = {known.digest: known}
    assert origins(names, found.get, lambda _: circle) == {known.digest: {"docker.io"}}
    assert origins(names, found.get, unreadable) == {known.digest: {"docker.io"}}
