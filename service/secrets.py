"""Secret references: an environment variable or a file.

waybill.yaml and rule files contain references, never secrets, so that they can be committed and printed. A secret is
loaded at startup. Credentials of platforms are read again after a platform rejected them.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from service.errors import ConfigError

SECRET_BYTES_MAX = 65_536
"""Maximum size of a secret file."""

REFERENCE_FIX = "write {env: NAME} or {file: /absolute/path}, not the secret itself"


class SecretRef(Struct, frozen=True, forbid_unknown_fields=True):
    """Reference to a secret: `{env: NAME}` or `{file: PATH}`, exactly one of the two."""

    env: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        if bool(self.env) == bool(self.file):
            raise ValueError("expected a reference to a secret: either env or file")

    def resolve(self, environ: Mapping[str, str], at: str = "") -> str:
        """Return the secret, without trailing line breaks. `at` is the path of the reference, for error messages.

        Raises:
            ConfigError: The variable or file is missing, empty or not text. The error never contains the secret.
        """
        secret = _read_variable(self.env, environ, at) if self.env else _read_file(self.file or "", at)
        secret = secret.rstrip("\r\n")
        if not secret:
            place = f"variable {self.env}" if self.env else f"file {self.file}"
            raise ConfigError(at or place, f"{place} is empty", "write the secret into it")
        return secret


def _read_variable(name: str, environ: Mapping[str, str], at: str) -> str:
    if name not in environ:
        raise ConfigError(at or name, f"variable {name} is not set", f"set {name} in the environment of the process")
    return environ[name]


def _read_file(name: str, at: str) -> str:
    path = Path(name)
    if not path.is_absolute():
        raise ConfigError(at or name, f"{name} is not an absolute path", "start it with /")
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1)
        if len(content) > SECRET_BYTES_MAX:
            raise ConfigError(at or name, f"{name} is larger than {SECRET_BYTES_MAX} bytes", "check the path")
        return content.decode()
    except OSError as error:
        reason = f"cannot read {name}: {error.strerror}"
        raise ConfigError(at or name, reason, "mount the secret there, readable by the process") from None
    except UnicodeDecodeError:
        raise ConfigError(at or name, f"{name} is not UTF-8 text", "store the secret as text") from None
