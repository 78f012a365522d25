"""Adds our setting to containerd's config.toml on disk, and keeps what was there before."""

from __future__ import annotations

import glob
from pathlib import Path

from mirror.config.atomic import write_atomically
from mirror.config.containerd_toml import parse_config, touches_cri, with_config_path
from mirror.errors import SetupError

BACKUP_SUFFIX = ".before-spegla"


def add_config_path(file: Path, folder: Path) -> bool:
    """Adds `config_path`; False when it is there already.

    Raises:
        SetupError: The file cannot be read or written, or must not be changed; it is untouched.
    """
    try:
        text = file.read_text()
        after = with_config_path(text, folder, str(file))
        if after == text:
            return False
        _check_imports(file, text)
        mode = file.stat().st_mode & 0o777
        write_atomically(file.with_name(file.name + BACKUP_SUFFIX), text.encode(), mode)
        write_atomically(file, after.encode(), mode)
    except OSError as error:
        raise _failed(file, error) from error
    except UnicodeDecodeError as error:
        raise SetupError(f"{file}: no valid TOML: not in UTF-8") from error
    return True


def create(file: Path, text: str) -> None:
    """Writes a configuration where there is none.

    Raises:
        SetupError: It cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text.encode(), 0o644)
    except OSError as error:
        raise _failed(file, error) from error


def _check_imports(file: Path, text: str) -> None:
    """A file that is imported would throw ours out again, or be thrown out by it."""
    imports = parse_config(text, str(file)).get("imports", [])
    for pattern in imports if isinstance(imports, list) else []:
        for name in sorted(glob.glob(str(file.parent / str(pattern)))):  # noqa: PTH207
            imported = Path(name)
            if touches_cri(parse_config(imported.read_text(), name)):
                raise SetupError(
                    f"{imported}: imported by {file}, and sets the same plugin: "
                    f"run this command with --file {imported}"
                )


def _failed(file: Path, error: OSError) -> SetupError:
    return SetupError(f"{error.filename or file}: {error.strerror}: run as root")
