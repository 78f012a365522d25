from __future__ import annotations

import pytest

from mirror.transfer.blob_download import landing


@pytest.mark.parametrize(
    ("status", "content_range", "length", "offset", "expected"),
    [
        (200, None, 10, 0, (0, 10)),
        (200, None, None, 0, (0, None)),
        (200, None, 10, 4, (4, 10)),
        (206, "bytes 4-9/10", 6, 4, (0, 10)),
        (206, "bytes 4-9/*", 6, 4, (0, None)),
        (206, "bytes 0-9/10", 10, 0, (0, 10)),
    ],
)
def test_body_starts_where_it_was_asked_for(
    status: int,
    content_range: str | None,
    length: int | None,
    offset: int,
    expected: tuple[int, int | None],
) -> None:
    assert landing(status, content_range, length, offset) == expected


@pytest.mark.parametrize(
    ("status", "content_range", "length", "offset"),
    [
        (200, None, 3, 4),
        (206, None, 6, 4),
        (206, "bytes 3-9/10", 7, 4),
        (206, "bytes 4-3/10", 0, 4),
        (206, "bytes 4-9", 6, 4),
        (206, "bytes */10", None, 4),
        (206, "bytes " + "4" * 40 + "-9/10", 6, 4),
        (206, "nonsense", 6, 4),
    ],
)
def test_other_bytes_than_asked_for_are_refused(
    status: int, content_range: str | None, length: int | None, offset: int
) -> None:
    with pytest.raises(ValueError, match="asked"):
        landing(status, content_range, length, offset)
