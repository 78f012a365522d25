"""YAML files from outside, read with limits: size, expansion, depth, duplicate keys."""

from __future__ import annotations

from pathlib import Path

import yaml

from mirror.errors import SetupError

MAX_BYTES = 1024 * 1024
MAX_NODES = 100_000
"""Nodes after every alias is written out: a file of 1 KiB can expand to billions."""


def read_yaml(path: Path) -> dict[str, object] | None:
    """The mapping in a file; empty for an empty file, None when there is no file.

    Raises:
        SetupError: It cannot be read, is too large, or is no YAML mapping; names file and line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_yaml(data, str(path))


def parse_yaml(data: bytes, source: str) -> dict[str, object]:
    """The mapping in `data`; `source` names it in errors.

    Raises:
        SetupError: `data` is too large, no YAML, no mapping, or has a key twice.
    """
    if len(data) > MAX_BYTES:
        raise SetupError(f"{source}: larger than {MAX_BYTES} bytes: not a configuration file")
    try:
        # The C loader recurses without a limit of its own, the Python one raises RecursionError.
        loader = yaml.SafeLoader(data)
        try:
            node = loader.get_single_node()
            if node is None:
                return {}
            _check(node, source)
            value = loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise SetupError(f"{source}: nested too deeply") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise SetupError(f"{source}: {where}no valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:  # dates such as 2026-13-45, unreadable bytes
        raise SetupError(f"{source}: no valid YAML: {str(error).splitlines()[0]}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SetupError(f"{source}: must be a mapping of keys to values")
    return {str(key): item for key, item in value.items()}


def _check(root: yaml.Node, source: str) -> None:
    """Refuses duplicate keys, cycles, and aliases that expand beyond `MAX_NODES`."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            raise SetupError(f"{source}: {_line(node)}: an alias that contains itself")
        open_nodes.add(id(node))
        total = 1
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, source)
            total += sum(size(key) + size(value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size(item) for item in node.value)
        if total > MAX_NODES:
            raise SetupError(f"{source}: {_line(node)}: expands to more than {MAX_NODES} values")
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    size(root)


def _check_keys(node: yaml.MappingNode, source: str) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise SetupError(f"{source}: {_line(key)}: a key must be a word")
        if key.value in seen:
            raise SetupError(f"{source}: {_line(key)}: the key {key.value!r} is there twice")
        seen.add(key.value)


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"
