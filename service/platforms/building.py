"""From the platforms of waybill.yaml to their connectors: the one place that knows both."""

from collections.abc import Mapping
from typing import assert_never

from service.config.platforms import (
    Auth,
    BasicAuth,
    BearerAuth,
    ClientCredentialsAuth,
    CustomConfig,
    FlowRetailConfig,
    HeaderAuth,
    NoAuth,
    OpenFoodNetworkConfig,
    PackCloudConfig,
    PexipEngageConfig,
    PlatformConfig,
)
from service.outbound import Outbound
from service.platforms.base import Platform
from service.platforms.credentials import ClientCredentials, Credentials, StaticHeaders, basic
from service.platforms.custom import Custom, RecordPlace
from service.platforms.flow_retail import FlowRetail
from service.platforms.open_food_network import OpenFoodNetwork
from service.platforms.pack_cloud import PackCloud
from service.platforms.pexip_engage import PexipEngage
from service.secrets import SecretRef

PLATFORMS: Mapping[str, type[Platform]] = {
    "pack_cloud": PackCloud,
    "pexip_engage": PexipEngage,
    "open_food_network": OpenFoodNetwork,
    "flow_retail": FlowRetail,
    "custom": Custom,
}
"""Every connector by its `kind` in waybill.yaml."""


def build_platforms(
    configs: Mapping[str, PlatformConfig], environ: Mapping[str, str], outbound: Outbound
) -> dict[str, Platform]:
    """Make the connector of every configured account, by its name.

    Raises:
        ConfigError: a secret that is missing, or a custom record that has no such field.
    """
    return {account: _build(config, account, environ, outbound) for account, config in configs.items()}


def _build(config: PlatformConfig, account: str, environ: Mapping[str, str], outbound: Outbound) -> Platform:
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
            )
        case OpenFoodNetworkConfig():
            return OpenFoodNetwork(account, outbound, base_url=config.base_url, token=secret(config.token, "token"))
        case FlowRetailConfig():
            return FlowRetail(
                account,
                outbound,
                tenant_uid=config.tenant_uid,
                store_uid=config.store_uid,
                token=secret(config.token, "token"),
                base_url=config.base_url,
            )
        case CustomConfig():
            credentials = _credentials(config.auth, account, environ, outbound)
            places = {kind: RecordPlace(item.path, item.at, item.map) for kind, item in config.records.items()}
            return Custom(account, outbound, base_url=config.base_url, credentials=credentials, places=places)
        case _:
            assert_never(config)


def _credentials(auth: Auth, account: str, environ: Mapping[str, str], outbound: Outbound) -> Credentials:
    def secret(reference: SecretRef, field: str) -> str:
        return reference.resolve(environ, f"platforms.{account}.auth.{field}")

    match auth:
        case BearerAuth():
            return StaticHeaders({"Authorization": f"Bearer {secret(auth.token, 'token')}"})
        case HeaderAuth():
            return StaticHeaders({auth.name: secret(auth.value, "value")})
        case BasicAuth():
            return basic(auth.username, secret(auth.password, "password"))
        case ClientCredentialsAuth():
            return ClientCredentials(
                account,
                outbound,
                token_url=auth.token_url,
                client_id=secret(auth.client_id, "client_id"),
                client_secret=secret(auth.client_secret, "client_secret"),
                scope=auth.scope,
            )
        case NoAuth():
            return StaticHeaders({})
