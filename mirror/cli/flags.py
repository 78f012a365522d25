"""Every setting of `NodeConfig` as a flag of a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import Field, fields
from functools import wraps
from typing import Annotated, Any

import typer

from mirror.config.load import DEFAULT_FILE, flag_of
from mirror.config.node import NodeConfig

_WORDS: dict[str, str] = {
    "node_name": "NAME",
    "node_ip": "IP",
    "server": "URL",
    "token": "TOKEN",
    "private_registry": "FILE",
    "snapshotter": "NAME",
    "airgap_extra_registry": "REGISTRY",
    "store": "auto|containerd|layout",
    "containerd_namespace": "NAME",
    "registry_port": "PORT",
    "p2p_port": "PORT",
    "bootstrap": "PEERS",
    "mirrored_registries": "REGISTRY",
    "zone": "NAME",
    "upload_limit": "SIZE",
    "memory_limit": "SIZE",
    "metrics_address": "ADDRESS",
    "web_address": "ADDRESS",
}


def with_node_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command all settings of a node as flags.

    The command's first parameter gets what was given, by field name, as `mirror.config.load.load`
    takes it; its other parameters are flags of its own.
    """
    first, *own = inspect.signature(command, eval_str=True).parameters.values()
    names = {parameter.name for parameter in own}

    @wraps(command)
    def run(**given: object) -> None:
        others = {name: given.pop(name) for name in names}
        command(**{first.name: given}, **others)

    parameters = [*own, *_parameters()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__
    return run


def _parameters() -> Iterator[inspect.Parameter]:
    text = f"Configuration file, K3s's own by default: {DEFAULT_FILE}."
    yield _parameter(
        "config", str | None, typer.Option("--config", "-c", metavar="FILE", help=text)
    )
    for field in fields(NodeConfig):
        if "read" in field.metadata:
            yield _flag(field)


def _flag(field: Field[Any]) -> inspect.Parameter:
    flag, text = flag_of(field.name), field.metadata["help"]
    if isinstance(field.default, bool):
        negative = "--no-" + flag.removeprefix("--")
        option = typer.Option(f"{flag}/{negative}", help=text, show_default=False)
        return _parameter(field.name, bool | None, option)
    many = isinstance(field.default, tuple)
    if many:
        text += " May be given more than once."
    elif field.default is not None and "default" not in text:
        text += f" (default: {field.default})"
    option = typer.Option(flag, metavar=_WORDS.get(field.name, "PATH"), help=text)
    return _parameter(field.name, list[str] | None if many else str | None, option)


def _parameter(name: str, kind: object, option: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )
