"""From the platforms of waybill.yaml to their connectors: the one place that knows both."""

from collections.abc import Mapping
from typing import Protocol, assert_never

from service.config.platforms import (
    Auth,
    BasicAuth,
    BearerAuth,
    ClientCredentialsAuth,
    CustomConfig,
    CustomRecordConfig,
    FlowRetailConfig,
    HeaderAuth,
    NoAuth,
    OpenFoodNetworkConfig,
    PackCloudConfig,
    PexipEngageConfig,
    PlatformConfig,
)
from service.http_client import HttpClient
from service.platforms.api.credentials import ClientCredentials, Credentials, StaticHeaders, basic_auth
from service.platforms.api.throttle import NO_THROTTLE, Throttle
from service.platforms.api.token_cache import NO_TOKEN_CACHE, TokenCache
from service.platforms.base import Platform
from service.platforms.custom.connector import Custom, RecordLocation
from service.platforms.custom.paging import ListLocation
from service.platforms.flow_retail.connector import FlowRetail
from service.platforms.open_food_network.connector import OpenFoodNetwork
from service.platforms.pack_cloud.connector import PackCloud
from service.platforms.pexip_engage.connector import PexipEngage
from service.secrets import SecretRef


class SharedState(Protocol):
    """Parts of an account that all pods share: its throttle and its token cache."""

    @property
    def token_cache(self) -> TokenCache:
        """Where tokens are kept."""
        ...

    def throttle(self, account: str, config: PlatformConfig) -> Throttle:
        """Make an account's gate."""
        ...


PLATFORMS: Mapping[str, type[Platform]] = {
    "pack_cloud": PackCloud,
    "pexip_engage": PexipEngage,
    "open_food_network": OpenFoodNetwork,
    "flow_retail": FlowRetail,
    "custom": Custom,
}
"""Every connector by its `kind` in waybill.yaml."""


def build_platforms(
    configs: Mapping[str, PlatformConfig],
    environ: Mapping[str, str],
    outbound: HttpClient,
    sharing: SharedState | None = None,
) -> dict[str, Platform]:
    """Make the connector of every configured account, by its name.

    With `sharing`, its limits, pauses and tokens are those of all pods; without, they ask freely.

    Raises:
        ConfigError: a secret that is missing, a path that cannot be set, or a custom record that has no such field.
    """
    return {account: _build(config, account, environ, outbound, sharing) for account, config in configs.items()}


def _build(
    config: PlatformConfig, account: str, environ: Mapping[str, str], outbound: HttpClient, sharing: SharedState | None
) -> Platform:
    gate: Throttle = NO_THROTTLE if sharing is None else sharing.throttle(account, config)
    token_cache: TokenCache = NO_TOKEN_CACHE if sharing is None else sharing.token_cache

    def secret(reference: SecretRef, field: str) -> str:
        return reference.resolve(environ, f"platforms.{account}.{field}")

    match config:
        case PackCloudConfig():
            return PackCloud(
                account,
                outbound,
                organization_id=config.organization_id,
                token=secret(config.token, "token"),
                token_header=config.token_header,
                token_prefix=config.token_prefix,
                base_url=config.base_url,
                paths=config.paths,
                status_filter=config.status_filter,
                gate=gate,
            )
        case PexipEngageConfig():
            return PexipEngage(
                account,
                outbound,
                enterprise=config.enterprise,
                client_id=secret(config.client_id, "client_id"),
                client_secret=secret(config.client_secret, "client_secret"),
                scope=config.scope,
                language=config.language,
                base_url=config.base_url,
                token_url=config.token_url,
                paths=config.paths,
                gate=gate,
                token_cache=token_cache,
            )
        case OpenFoodNetworkConfig():
            token = secret(config.token, "token")
            return OpenFoodNetwork(account, outbound, base_url=config.base_url, token=token, gate=gate)
        case FlowRetailConfig():
            return FlowRetail(
                account,
                outbound,
                tenant_uid=config.tenant_uid,
                store_uid=config.store_uid,
                token=secret(config.token, "token"),
                base_url=config.base_url,
                paths=config.paths,
                gate=gate,
            )
        case CustomConfig():
            credentials = _credentials(config.auth, account, environ, outbound, token_cache)
            return _build_custom(config, account, outbound, credentials, gate)
        case _:
            assert_never(config)


def _build_custom(
    config: CustomConfig, account: str, outbound: HttpClient, credentials: Credentials, gate: Throttle
) -> Custom:
    return Custom(
        account,
        outbound,
        base_url=config.base_url,
        credentials=credentials,
        places={kind: record_location(item) for kind, item in config.records.items()},
        transient=frozenset(config.errors.transient),
        gone=frozenset(config.errors.gone),
        gate=gate,
    )


def record_location(record: CustomRecordConfig) -> RecordLocation:
    """Tell a custom platform's connector where a kind of record is."""
    listed = record.list
    place = None if listed is None else ListLocation(listed.path, listed.at, listed.next, listed.newest_first)
    return RecordLocation(record.path, record.at, record.map, place)


def _credentials(
    auth: Auth, account: str, environ: Mapping[str, str], outbound: HttpClient, token_cache: TokenCache
) -> Credentials:
    def secret(reference: SecretRef, field: str) -> str:
        return reference.resolve(environ, f"platforms.{account}.auth.{field}")

    match auth:
        case BearerAuth():
            return StaticHeaders({"Authorization": f"Bearer {secret(auth.token, 'token')}"})
        case HeaderAuth():
            return StaticHeaders({auth.name: secret(auth.value, "value")})
        case BasicAuth():
            return basic_auth(auth.username, secret(auth.password, "password"))
        case ClientCredentialsAuth():
            return ClientCredentials(
                account,
                outbound,
                token_url=auth.token_url,
                client_id=secret(auth.client_id, "client_id"),
                client_secret=secret(auth.client_secret, "client_secret"),
                scope=auth.scope,
                token_cache=token_cache,
            )
        case NoAuth():
            return StaticHeaders({})
