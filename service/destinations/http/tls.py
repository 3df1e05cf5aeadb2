"""TLS contexts of a destination: client certificate and certificate authorities, read again when a file changes."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path

from service.destinations.http.config import TlsConfig
from service.egress import tls_context
from service.errors import ConfigError
from service.outbound_settings import OutboundSettings
from service.secrets import RECHECK_SECONDS


class TlsFiles:
    """TLS context from the files of `config`. `at` is the path in waybill.yaml. `clock` is monotonic, in seconds.

    Without `ca_file` the certificate authorities are those of `settings`.
    """

    def __init__(
        self, config: TlsConfig, settings: OutboundSettings, at: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._settings = settings
        self._at = at
        self._clock = clock
        self._state = self._file_state()
        self._context = self._load()
        self._checked_at = clock()

    def context(self) -> ssl.SSLContext:
        """Return the context. While a changed file is not valid, it is the previous one."""
        if self._clock() >= self._checked_at + RECHECK_SECONDS:
            self._checked_at = self._clock()
            state = self._file_state()
            if state != self._state:
                try:
                    self._context = self._load()
                except ConfigError:  # the files are being replaced, one after the other
                    return self._context
                self._state = state
        return self._context

    def _file_state(self) -> tuple[tuple[int, int], ...]:
        found: list[tuple[int, int]] = []
        for name in (self._config.certificate_file, self._config.key_file, self._config.ca_file):
            try:
                state = Path(name).stat() if name else None
            except OSError:
                state = None
            found.append((state.st_ino, state.st_mtime_ns) if state else (0, 0))
        return tuple(found)

    def _load(self) -> ssl.SSLContext:
        config = self._config
        shared = None if config.ca_file else tls_context(self._settings)
        try:
            context = shared or ssl.create_default_context(cafile=config.ca_file)
        except OSError as error:
            fix = "write the certificates of the authorities as PEM"
            raise ConfigError(f"{self._at}.ca_file", f"cannot be read as certificates: {_reason(error)}", fix) from None
        if config.certificate_file:
            try:
                context.load_cert_chain(config.certificate_file, config.key_file)
            except OSError as error:
                fix = "write certificate and key as PEM, the key without passphrase; they must belong together"
                raise ConfigError(f"{self._at}.certificate_file", f"cannot be used: {_reason(error)}", fix) from None
        return context


def _reason(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or type(error).__name__
