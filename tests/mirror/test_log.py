from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.log import LogfmtFormatter, setup

log = logging.getLogger("spegla.test")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("spegla")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before  # type: ignore[assignment]
    logging.captureWarnings(capture=False)


def written(debug: bool = False) -> io.StringIO:
    stream = io.StringIO()
    setup(debug, stream)
    return stream


def formatted(message: object, **extra: object) -> str:
    record = logging.LogRecord("spegla.x", logging.INFO, "", 0, str(message), (), None)
    record.created = 1795428000.9
    vars(record).update(extra)
    return LogfmtFormatter().format(record)


def test_line_looks_as_k3s_prints_it() -> None:
    line = formatted("Starting distributed registry mirror at https://10.0.0.1:6443/v2")
    assert line == (
        'time="2026-11-23T10:00:00Z" level=info '
        'msg="Starting distributed registry mirror at https://10.0.0.1:6443/v2"'
    )


def test_fields_follow_sorted_and_are_quoted_when_needed() -> None:
    line = formatted("x", zone="a b", digest="sha256:ab", bytes=5, hit=True, seconds=0.1234567)
    assert line.partition("msg=")[2] == (
        'x bytes=5 digest="sha256:ab" hit=true seconds=0.123457 zone="a b"'
    )


def test_levels_are_named_as_logrus_does() -> None:
    stream = written(debug=True)
    log.debug("a")
    log.warning("b")
    log.error("c")
    log.critical("d")
    assert re.findall("level=([a-z]+)", stream.getvalue()) == ["debug", "warning", "error", "fatal"]


def test_debug_lines_need_the_flag() -> None:
    stream = written()
    log.debug("hidden")
    log.info("shown")
    assert "hidden" not in stream.getvalue()
    assert "shown" in stream.getvalue()


def test_libraries_are_heard_from_warning_on() -> None:
    stream = written(debug=True)
    logging.getLogger("asyncio").debug("noise")
    logging.getLogger("aiohttp.access").info("noise")
    logging.getLogger("grpc.x").warning("worth telling")
    assert stream.getvalue().count("\n") == 1


def test_second_setup_replaces_the_first() -> None:
    first, second = written(), written()
    log.info("x")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_exception_is_one_line_with_its_stack() -> None:
    stream = written()
    try:
        raise ValueError("bad\nthing")
    except ValueError:
        log.exception("Failed")
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert r'error="ValueError: bad\nthing"' in line
    assert "stack=" in line


@pytest.mark.parametrize(
    "text",
    [
        "GET https://user:geheim@registry.example/v2/",
        "Authorization: Basic Z2VoZWltOmdlaGVpbQ==geheim",
        "header Bearer geheim.geheim-geheim",
        "token K10aabbccddee0011::server:geheim refused",
    ],
)
def test_credentials_are_blanked_out(text: str) -> None:
    assert "geheim" not in formatted(text)
    assert "geheim" not in formatted("x", field=text)


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text()))
def test_anything_is_one_line_that_reads_back(message: str, fields: dict[str, str]) -> None:
    extra = {"x" + name: value for name, value in fields.items()}
    line = formatted(message, **extra)
    assert len(line.splitlines()) == 1
    line.encode()
    pair = r'[^\s="]+=(?:"(?:[^"\\]|\\.)*"|[^\s"]*)'
    assert re.fullmatch(rf"{pair}(?: {pair})*", line)
