from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import RangeMalformed, RangeNotSatisfiable
from mirror.oci.ranges import RangeRequest, Span, parse_content_range, parse_range

SIZES = st.integers(0, 10**15)


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=5-", 5, None),
        ("bytes=-7", None, 7),
        ("bytes= 1 - 2 ", 1, 2),
        ("bytes=0-999999999999999999", 0, 999999999999999999),
    ],
)
def test_one_range_of_bytes(header: str, first: int | None, last: int | None) -> None:
    assert parse_range(header) == RangeRequest(first, last)


@pytest.mark.parametrize("header", [None, "", "lines=1-2", "Bytes=0-1"])
def test_no_range_and_other_units_want_everything(header: str | None) -> None:
    assert parse_range(header) is None


@pytest.mark.parametrize(
    "header",
    [
        "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=2-1", "bytes=0-1,3-4", "bytes=0-1,",
        "bytes=1-2-3", "bytes=+1-2", "bytes=0x1-2", "bytes=\u0660-\u0669", "bytes=-" + "9" * 19,
        "bytes=" + "1" * 300 + "-",
    ],
)  # fmt: skip
def test_malformed_range_is_refused(header: str) -> None:
    with pytest.raises(RangeMalformed):
        parse_range(header)


@pytest.mark.parametrize(
    ("request_", "span"),
    [
        (RangeRequest(0, 0), Span(0, 1)),
        (RangeRequest(9, None), Span(9, 10)),
        (RangeRequest(3, 99), Span(3, 10)),
        (RangeRequest(None, 3), Span(7, 10)),
        (RangeRequest(None, 99), Span(0, 10)),
    ],
)
def test_range_is_cut_at_the_end(request_: RangeRequest, span: Span) -> None:
    assert request_.resolve(10) == span


@pytest.mark.parametrize("request_", [RangeRequest(10, None), RangeRequest(None, 0)])
def test_range_outside_is_not_satisfiable_and_tells_the_size(request_: RangeRequest) -> None:
    with pytest.raises(RangeNotSatisfiable) as refusal:
        request_.resolve(10)
    assert refusal.value.headers == {"Content-Range": "bytes */10"}


def test_nothing_of_empty_content_is_satisfiable() -> None:
    for request in (RangeRequest(0, None), RangeRequest(None, 1)):
        with pytest.raises(RangeNotSatisfiable):
            request.resolve(0)


@given(st.text(max_size=50).map(lambda text: "bytes=" + text) | st.text(max_size=250), SIZES)
def test_nonsense_is_refused_or_lies_inside(header: str, size: int) -> None:
    try:
        request = parse_range(header)
        if request is None:
            return
        span = request.resolve(size)
    except (RangeMalformed, RangeNotSatisfiable):
        return
    assert 0 <= span.start < span.stop <= size
    assert span.length == span.stop - span.start


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 10**6))
def test_content_range_is_read_as_it_was_written(start: int, length: int, rest: int) -> None:
    span = Span(start, start + length)
    size = span.stop + rest
    assert parse_content_range(span.content_range(size)) == (span, size)


@pytest.mark.parametrize(
    "header",
    [
        "", "bytes", "bytes 0-1", "bytes 0-1/*", "bytes */5", "bytes 2-1/5", "bytes 0-5/5",
        "bytes 0-1/5 ", "bytes=0-1/5", "0-1/5", "bytes \u0660-1/5", "bytes 0-1/" + "9" * 30,
    ],
)  # fmt: skip
def test_malformed_content_range_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="Content-Range"):
        parse_content_range(header)
