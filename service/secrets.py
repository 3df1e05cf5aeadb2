"""Where a secret stands: a reference to the environment or to a file, never the secret itself.

waybill.yaml and rule files hold these references, so both can be kept in version control and printed. What a reference
leads to is read once, when its user is built.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from service.errors import ConfigError

SECRET_BYTES_MAX = 65_536
"""A secret file larger than this is some other file."""

REFERENCE_FIX = "write {env: NAME} or {file: /absolute/path}; secrets never stand in the file themselves"


class SecretRef(Struct, frozen=True, forbid_unknown_fields=True):
    """`{env: NAME}` or `{file: PATH}`, exactly one of the two."""

    env: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        if bool(self.env) == bool(self.file):
            raise ValueError("expected a reference to a secret: either env or file")

    def resolve(self, environ: Mapping[str, str], at: str = "") -> str:
        """Give the secret itself, without the line end that editors and `echo` leave behind it.

        `at` is where the reference stands, for the error.

        Raises:
            ConfigError: the variable or the file is missing, empty or not text; the error never holds the secret.
        """
        secret = _read_variable(self.env, environ, at) if self.env else _read_file(self.file or "", at)
        secret = secret.rstrip("\r\n")
        if not secret:
            named = f"variable {self.env}" if self.env else f"file {self.file}"
            raise ConfigError(at or named, f"{named} is empty", "put the secret there")
        return secret


def _read_variable(name: str, environ: Mapping[str, str], at: str) -> str:
    if name not in environ:
        raise ConfigError(at or name, f"variable {name} is not set", f"set {name} in the environment of the process")
    return environ[name]


def _read_file(name: str, at: str) -> str:
    path = Path(name)
    if not path.is_absolute():
        raise ConfigError(at or name, f"{name} is not an absolute path", "begin it with /")
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1)
        if len(content) > SECRET_BYTES_MAX:
            raise ConfigError(at or name, f"{name} is larger than {SECRET_BYTES_MAX} bytes", "name the secret's file")
        return content.decode()
    except OSError as error:
        reason = f"cannot read {name}: {error.strerror}"
        raise ConfigError(at or name, reason, "mount the secret there, readable for the process") from None
    except UnicodeDecodeError:
        raise ConfigError(at or name, f"{name} is not UTF-8 text", "store the secret as text") from None
