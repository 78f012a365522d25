from __future__ import annotations

from collections.abc import Mapping

import typer
from typer.testing import CliRunner

from mirror.cli.flags import with_node_flags


def given(*argv: str) -> dict[str, object]:
    seen: dict[str, object] = {}

    @with_node_flags
    def command(flags: Mapping[str, object], extra: bool = False) -> None:
        seen.update({name: value for name, value in flags.items() if value is not None})
        seen["extra"] = extra

    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, argv)
    assert result.exit_code == 0, result.output
    return seen


def test_only_what_is_given_is_there() -> None:
    assert given() == {"extra": False}


def test_flags_come_as_text_and_are_read_by_the_loader() -> None:
    assert given("--p2p-port", "x", "--data-dir=/d", "--extra") == {
        "p2p_port": "x",
        "data_dir": "/d",
        "extra": True,
    }


def test_lists_may_be_given_more_than_once() -> None:
    assert given("--bootstrap", "a", "--bootstrap", "b,c")["bootstrap"] == ["a", "b,c"]


def test_switches_go_both_ways() -> None:
    assert given("--debug", "--no-embedded-registry") == {
        "debug": True,
        "embedded_registry": False,
        "extra": False,
    }
