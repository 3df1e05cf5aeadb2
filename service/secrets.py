"""Secret references: an environment variable or a file.

waybill.yaml contains references, never secrets, so that it can be committed and printed. A secret is loaded at startup
and again when its file changes (`service.config_reload`). Credentials of platforms are also read again after a platform
rejected them.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from service.errors import ConfigError, MissingSecret

SECRET_BYTES_MAX = 65_536
"""Maximum size of a secret file."""

RECHECK_SECONDS = 1.0
"""Interval of the checks whether a file changed."""

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
            MissingSecret: The variable or file is missing or empty. No error contains the secret.
            ConfigError: The file is too large, not text, or its path is not absolute.
        """
        secret = _read_variable(self.env, environ, at) if self.env else _read_file(self.file or "", at)
        secret = secret.rstrip("\r\n")
        if not secret:
            place = f"variable {self.env}" if self.env else f"file {self.file}"
            raise MissingSecret(at or place, f"{place} is empty", "write the secret into it")
        return secret


class SecretReader:
    """Secrets in memory. A file is read again when it changes; its state is checked at most once a second.

    While a changed file cannot be read, the previous secret is used. `clock` is monotonic, in seconds.
    """

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._environ = environ
        self._clock = clock
        self._by_ref: dict[SecretRef, _LoadedSecret] = {}

    def read(self, ref: SecretRef, at: str = "") -> str:
        """Return a secret. `at` is the path of the reference, for error messages.

        Raises:
            ConfigError: As `SecretRef.resolve`, if the secret was never read before.
        """
        loaded = self._by_ref.get(ref)
        if loaded is None:
            state = _file_state(ref)  # before the file is read, so that a later change is noticed
            loaded = self._by_ref[ref] = _LoadedSecret(ref.resolve(self._environ, at), self._clock(), state)
        elif ref.file and self._clock() >= loaded.checked_at + RECHECK_SECONDS:
            loaded.checked_at = self._clock()
            self._refresh(ref, loaded)
        return loaded.secret

    def refresh(self) -> None:
        """Read every changed file now, for example after a target rejected a secret."""
        for ref, loaded in self._by_ref.items():
            self._refresh(ref, loaded)

    def values(self) -> tuple[str, ...]:
        """Return all secrets that were read, to remove them from output."""
        return tuple(loaded.secret for loaded in self._by_ref.values())

    def _refresh(self, ref: SecretRef, loaded: "_LoadedSecret") -> None:
        state = _file_state(ref)
        if state != loaded.file_state:
            with contextlib.suppress(ConfigError):  # the file is being replaced
                loaded.secret, loaded.file_state = ref.resolve(self._environ), state


class _LoadedSecret(Struct):
    secret: str
    checked_at: float
    file_state: tuple[int, int, int] | None


def _file_state(ref: SecretRef) -> tuple[int, int, int] | None:
    try:
        state = Path(ref.file or "").stat() if ref.file else None
    except OSError:
        return None
    return None if state is None else (state.st_ino, state.st_mtime_ns, state.st_size)


def _read_variable(name: str, environ: Mapping[str, str], at: str) -> str:
    if name not in environ:
        fix = f"set {name} in the environment of the process"
        raise MissingSecret(at or name, f"variable {name} is not set", fix)
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
        raise MissingSecret(at or name, reason, "mount the secret there, readable by the process") from None
    except UnicodeDecodeError:
        raise ConfigError(at or name, f"{name} is not UTF-8 text", "store the secret as text") from None
