"""Settings of outgoing HTTP calls: limits of calls to platforms and targets, and of what is stored about them."""

from typing import Annotated

from msgspec import Meta

from service.telemetry_settings import TelemetrySettings


class OutboundSettings(TelemetrySettings, frozen=True, kw_only=True):
    """Settings of the HTTP client and of actions."""

    fetch_timeout_seconds: Annotated[float, Meta(gt=0, description="timeout for one call to a platform")] = 20.0
    fetch_bytes_max: Annotated[int, Meta(ge=1, description="largest response of a platform")] = 10_485_760
    action_timeout_seconds: Annotated[float, Meta(gt=0, description="timeout for one run of an action")] = 20.0
    exchanges_max: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="HTTP calls of one effect whose request and response are stored; the last one always is; "
            "0: none",
        ),
    ] = 5
    exchange_request_bytes_max: Annotated[
        int, Meta(ge=0, le=65_536, description="stored bytes of the headers, and of the body, of an effect's request")
    ] = 2_048
    exchange_response_bytes_max: Annotated[
        int, Meta(ge=0, le=65_536, description="stored bytes of the headers, and of the body, of an effect's response")
    ] = 2_048
    outbound_proxy_url: Annotated[
        str, Meta(description="HTTP proxy for calls to platforms and targets, such as http://proxy:3128; empty: none")
    ] = ""
    outbound_no_proxy: Annotated[
        str,
        Meta(
            description="hosts, domains, addresses and networks that are called without the proxy, separated by commas"
        ),
    ] = ""
    outbound_proxy_variables: Annotated[
        bool, Meta(description="use HTTPS_PROXY, http_proxy and NO_PROXY if WAYBILL_OUTBOUND_PROXY_URL is empty")
    ] = False
    outbound_ca_file: Annotated[
        str, Meta(description="PEM file of certificate authorities that are trusted in addition to the system's")
    ] = ""
