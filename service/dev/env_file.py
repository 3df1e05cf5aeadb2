"""File `.env` beside waybill.yaml: values of variables for `waybill dev`, one `NAME=value` a line."""

import re
from collections.abc import Mapping
from pathlib import Path

from service.config.config_files import config_folder
from service.errors import ConfigError
from service.settings import PREFIX

NAME = ".env"
BYTES_MAX = 65_536
_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)", re.ASCII)


def read_env_file(config: Path) -> dict[str, str]:
    """Read the file beside a waybill.yaml. Empty without a file. `WAYBILL_*` variables are left out.

    A value may be in single or double quotes. Lines that begin with # are comments.

    Raises:
        ConfigError: the file cannot be read, or a line is not `NAME=value`. The error does not contain the line.
    """
    path = config_folder(config) / NAME
    try:
        with path.open("rb") as file:
            text = file.read(BYTES_MAX + 1)
        lines = text.decode().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}", "make it readable, or remove it") from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8 text", "save it as UTF-8") from None
    if len(text) > BYTES_MAX:
        raise ConfigError(str(path), f"is larger than {BYTES_MAX} bytes", "remove what is no variable")
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        match = _LINE.fullmatch(written)
        if match is None:
            raise ConfigError(f"{path}, line {number}", "is not a variable", "write NAME=value, or # before a comment")
        values[match["name"]] = _unquote(match["value"])
    return {name: value for name, value in values.items() if not name.startswith(PREFIX)}


def leave_out_replaced(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without those that `environ` sets to another value.

    A variable that a shell loaded from the same file stays, so that commands in a second terminal receive it.
    """
    return {name: value for name, value in values.items() if environ.get(name, value) == value}


def _unquote(value: str) -> str:
    is_quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value
