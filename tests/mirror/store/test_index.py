from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import Digest
from mirror.store.index import ContentIndex
from mirror.store.port import Change, Content, ContentAdded, ContentRemoved, NameRemoved, NameSet

A, B, C = (Digest.of(text) for text in (b"a", b"b", b"c"))


def content(digest: Digest, *registries: str) -> Content:
    return Content(digest, 1, "", frozenset(registries))


def listening(index: ContentIndex) -> list[Change]:
    changes: list[Change] = []
    index.subscribe(changes.append)
    return changes


def test_each_difference_is_told_once() -> None:
    index = ContentIndex()
    changes = listening(index)
    index.put(content(A))
    index.put(content(A))
    index.put(content(A, "docker.io"))
    index.set_name("docker.io/a/b:1", A)
    index.set_name("docker.io/a/b:1", A)
    index.set_name("docker.io/a/b:1", B)
    index.remove_name("docker.io/a/b:1")
    index.remove_name("docker.io/a/b:1")
    index.remove(A)
    index.remove(A)
    assert changes == [
        ContentAdded(content(A)),
        ContentAdded(content(A, "docker.io")),
        NameSet("docker.io/a/b:1", A),
        NameSet("docker.io/a/b:1", B),
        NameRemoved("docker.io/a/b:1"),
        ContentRemoved(A),
    ]


def test_listener_finds_the_index_changed() -> None:
    index = ContentIndex()
    found: list[Content | None] = []
    index.subscribe(lambda _: found.append(index.find(A)))
    index.put(content(A))
    index.remove(A)
    assert found == [content(A), None]


def test_listener_may_stop_itself_while_it_is_called() -> None:
    index = ContentIndex()
    told: list[str] = []

    def once(_: Change) -> None:
        told.append("once")
        stop()

    stop = index.subscribe(once)
    index.subscribe(lambda _: told.append("always"))
    index.put(content(A))
    index.put(content(B))
    assert told == ["once", "always", "always"]


def test_index_may_change_while_it_is_iterated() -> None:
    index = ContentIndex()
    index.put(content(A))
    index.put(content(B))
    for held in index.contents():
        index.remove(held.digest)
    assert len(index) == 0


def test_sync_makes_the_index_equal_to_the_listing() -> None:
    index = ContentIndex()
    index.put(content(A))
    index.put(content(B))
    index.set_name("r.io/x:1", A)
    index.set_name("r.io/y:1", A)
    changes = listening(index)
    with index.sync() as sync:
        sync.finish([content(B, "r.io"), content(C)], {"r.io/x:1": C})
    assert set(index.contents()) == {content(B, "r.io"), content(C)}
    assert list(index.names()) == [("r.io/x:1", C)]
    assert set(changes) == {
        ContentRemoved(A),
        ContentAdded(content(B, "r.io")),
        ContentAdded(content(C)),
        NameRemoved("r.io/y:1"),
        NameSet("r.io/x:1", C),
    }


def test_what_changed_during_a_sync_outlives_the_listing() -> None:
    index = ContentIndex()
    index.put(content(A))
    index.set_name("r.io/old:1", A)
    with index.sync() as sync:
        index.remove(A)
        index.put(content(B))
        index.remove_name("r.io/old:1")
        index.set_name("r.io/new:1", B)
        sync.finish([content(A)], {"r.io/old:1": A})
    assert list(index.contents()) == [content(B)]
    assert list(index.names()) == [("r.io/new:1", B)]


def test_a_finished_sync_protects_nothing_more() -> None:
    index = ContentIndex()
    with index.sync():
        index.put(content(A))
    with index.sync() as sync:
        sync.finish([], {})
    assert len(index) == 0


_DIGESTS = st.sampled_from([A, B, C])


@given(
    st.lists(st.tuples(st.sampled_from(["put", "remove", "sync"]), st.sets(_DIGESTS)), max_size=20)
)
def test_changes_replayed_give_the_same_contents(steps: list[tuple[str, set[Digest]]]) -> None:
    index = ContentIndex()
    replayed: dict[Digest, Content] = {}

    def replay(change: Change) -> None:
        match change:
            case ContentAdded(added):
                replayed[added.digest] = added
            case ContentRemoved(digest):
                del replayed[digest]

    index.subscribe(replay)
    for step, digests in steps:
        if step == "sync":
            with index.sync() as sync:
                sync.finish([content(digest) for digest in digests], {})
            assert set(replayed) == digests
        for digest in digests:
            if step == "put":
                index.put(content(digest))
            elif step == "remove":
                index.remove(digest)
    assert set(replayed.values()) == set(index.contents())
