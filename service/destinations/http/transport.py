"""Connection options of an HTTP destination: timeout, TLS context and proxy."""

from service.destinations.http.config import DIRECT, TargetConfig
from service.destinations.http.tls import TlsFiles
from service.egress import ProxyRoute, parse_proxy_url
from service.http_client import TransportOptions
from service.outbound_settings import OutboundSettings
from service.secrets import SecretReader


class Transport:
    """Connection options of the destination at the path `at` in waybill.yaml.

    Raises:
        ConfigError: A certificate cannot be read.
    """

    def __init__(self, config: TargetConfig, secrets: SecretReader, settings: OutboundSettings, at: str) -> None:
        self._config = config
        self._secrets = secrets
        self._at = f"{at}.proxy"
        self._tls = TlsFiles(config.tls, settings, f"{at}.tls") if config.tls else None

    def options(self) -> TransportOptions:
        """Return the options of the next call.

        Raises:
            ConfigError: The secret of the proxy cannot be read, or is not the URL of a proxy.
        """
        tls = self._tls.context() if self._tls else None
        return TransportOptions(self._config.timeouts.connect_seconds, tls, self._proxy())

    def _proxy(self) -> ProxyRoute | None:
        proxy = self._config.proxy
        if proxy is None:
            return None
        if proxy == DIRECT:
            return ProxyRoute(None, self._at)
        text = proxy if isinstance(proxy, str) else self._secrets.read(proxy, self._at)
        return ProxyRoute(parse_proxy_url(self._at, text), self._at)
