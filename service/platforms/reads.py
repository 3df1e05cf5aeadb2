"""What can be asked of an account by hand: every read of its client under its operation's name, with arguments as text.

`READS` is what the admin API and `waybill platforms get` offer. An argument is one of the method's parameters by its
name: ids and filters as text, numbers as digits, lists with commas between, search criteria as a JSON object. What
comes back is plain data: a thing as the platform shows it without its envelope, None if there is none, or a page of a
list.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, cast

import msgspec
from msgspec import Struct

from service.errors import PermanentError
from service.events import JsonValue, RecordRef
from service.platforms.api.operations import NO_CONTEXT
from service.platforms.base import CallContext, Platform, RecordPage
from service.platforms.custom.connector import Custom
from service.platforms.flow_retail.client import FlowRetailClient, Paging
from service.platforms.open_food_network.client import OpenFoodNetworkClient
from service.platforms.pack_cloud.client import PackCloudClient
from service.platforms.pexip_engage.client import PexipEngageClient

ReadMethod = Callable[..., Awaitable[Any]]

_PAGING = tuple(Paging.__struct_fields__)


class ReadOperation(Struct, frozen=True):
    """One read: what it needs, what it takes besides, and the method behind it."""

    method: ReadMethod
    required: tuple[str, ...]
    optional: tuple[str, ...]

    async def run(
        self, platform: Platform, arguments: Mapping[str, str], context: CallContext = NO_CONTEXT
    ) -> JsonValue:
        """Ask `platform`, an account of this read's kind.

        Raises:
            PermanentError: `invalid_argument`: missing, unknown, or not of its kind; and as the method.
            TransientError, Held: as the method.
        """
        missing = [name for name in self.required if name not in arguments]
        unknown = [name for name in arguments if name not in (*self.required, *self.optional)]
        if missing or unknown:
            known = ", ".join((*self.required, *(f"[{name}]" for name in self.optional))) or "none"
            raise PermanentError("invalid_argument", f"{', '.join(missing + unknown)}: the arguments are {known}")
        subject = platform if isinstance(platform, Custom) else cast("Any", platform).client
        answer = await self.method(subject, **_convert(self.method, arguments), context=context)
        return msgspec.to_builtins(answer, builtin_types=(Decimal,)) if isinstance(answer, Struct) else answer


def _read(method: ReadMethod) -> ReadOperation:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    required, optional = list[str](), list[str]()
    for parameter in parameters:
        if parameter.name == "context":
            continue
        if parameter.annotation is Paging:
            optional += _PAGING
        else:
            (required if parameter.default is inspect.Parameter.empty else optional).append(parameter.name)
    return ReadOperation(method, tuple(required), tuple(optional))


def _convert(method: ReadMethod, arguments: Mapping[str, str]) -> dict[str, Any]:
    converted: dict[str, Any] = {}
    for parameter in inspect.signature(method).parameters.values():
        try:
            if parameter.annotation is Paging:
                own = {name: arguments[name] for name in _PAGING if name in arguments}
                converted[parameter.name] = msgspec.convert(own, Paging, strict=False)
            elif parameter.name in arguments:
                converted[parameter.name] = _value(parameter.annotation, arguments[parameter.name])
        except (msgspec.MsgspecError, ValueError) as error:
            raise PermanentError("invalid_argument", f"{parameter.name}: {error}") from error
    return converted


def _value(annotation: object, text: str) -> object:
    if annotation in {int, int | None}:
        return int(text)
    if annotation == dict[str, Any]:
        return msgspec.json.decode(text, type=dict[str, Any])
    words = str(annotation)
    return tuple(text.split(",")) if "tuple[" in words or "Sequence[" in words else text


async def _get_custom(platform: Custom, kind: str, id: str, context: CallContext = NO_CONTEXT) -> JsonValue:  # noqa: A002 - the argument's name
    fetched = await platform.fetch(RecordRef(platform.account, kind, id), context)
    return None if fetched.record is None else fetched.raw


async def _list_custom(
    platform: Custom, kind: str, cursor: str | None = None, context: CallContext = NO_CONTEXT
) -> RecordPage:
    return await platform.list_records(kind, cursor, context)


READS: Mapping[str, Mapping[str, ReadOperation]] = {
    "pack_cloud": {
        "customer.get": _read(PackCloudClient.get_customer),
        "purchase_order.get": _read(PackCloudClient.get_purchase_order),
        "purchase_order.list": _read(PackCloudClient.list_purchase_orders),
        "order.get": _read(PackCloudClient.get_order),
        "integration.list": _read(PackCloudClient.list_integrations),
        "integration.get": _read(PackCloudClient.get_integration),
        "integration_action.list": _read(PackCloudClient.list_integration_actions),
        "integration_settings.get": _read(PackCloudClient.get_integration_settings),
        "rule_type.list": _read(PackCloudClient.list_rule_types),
        "rule_type.get": _read(PackCloudClient.get_rule_type),
        "rule.list": _read(PackCloudClient.list_rules),
        "rule.get": _read(PackCloudClient.get_rule),
        "rule_action.list": _read(PackCloudClient.list_rule_actions),
        "rule_action.get": _read(PackCloudClient.get_rule_action),
        "rule_condition.list": _read(PackCloudClient.list_rule_conditions),
        "rule_condition.get": _read(PackCloudClient.get_rule_condition),
    },
    "pexip_engage": {
        "customer.get": _read(PexipEngageClient.get_customer),
        "customer.list": _read(PexipEngageClient.list_customers),
        "appointment.get": _read(PexipEngageClient.get_appointment),
        "callback_request.get": _read(PexipEngageClient.get_callback_request),
    },
    "open_food_network": {
        "customer.list": _read(OpenFoodNetworkClient.list_customers),
        "customer.get": _read(OpenFoodNetworkClient.get_customer),
        "order.get": _read(OpenFoodNetworkClient.get_order),
    },
    "flow_retail": {
        "customer.list": _read(FlowRetailClient.list_customers),
        "customer.search": _read(FlowRetailClient.search_customers),
        "customer.external_search": _read(FlowRetailClient.search_external_customers),
        "customer.get": _read(FlowRetailClient.get_customer),
        "store_customer.get": _read(FlowRetailClient.get_store_customer),
        "purchase_order.list": _read(FlowRetailClient.list_purchase_orders),
        "purchase_order.get": _read(FlowRetailClient.get_purchase_order),
        "tenant.get": _read(FlowRetailClient.get_tenant),
    },
    "custom": {"record.get": _read(_get_custom), "record.list": _read(_list_custom)},
}
"""The reads of every kind of platform, by their operations."""
