"""What can be changed on an account by hand: every write of its client under its operation's name.

`WRITES` is what `waybill platforms write` offers. Rules write by actions, which are guarded against being made twice;
by hand, a person decides whether to repeat. A write takes ids as text and, where it has one, a body as a JSON object.
Every write raises TransientError, PermanentError or Held as its method; one whose fate is not known is never repeated.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from service.errors import PermanentError
from service.platforms.api.operations import NO_CONTEXT, WriteResult
from service.platforms.base import CallContext, Platform
from service.platforms.flow_retail.client import FlowRetailClient
from service.platforms.open_food_network.client import OpenFoodNetworkClient
from service.platforms.pack_cloud.client import PackCloudClient

Body = TypeVar("Body")
WriteMethod = Callable[..., Awaitable[WriteResult]]


class WriteOperation(Struct, frozen=True):
    """One write: the ids it needs, the parameter and type of its body where it takes one, and the method behind it."""

    method: WriteMethod
    ids: tuple[str, ...]
    body: tuple[str, Any] | None

    async def run(
        self, platform: Platform, ids: Mapping[str, str], body: bytes | None, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """Make the change on `platform`, an account of this write's kind; `body` is JSON.

        Raises:
            PermanentError: `invalid_argument`: missing, unknown, or not of its kind; and as the method.
            TransientError, Held: as the method.
        """
        if set(ids) != set(self.ids) or (body is None) != (self.body is None):
            needed = ", ".join((*self.ids, *(("a body",) if self.body else ())))
            raise PermanentError("invalid_argument", f"the arguments are {needed}")
        arguments: dict[str, Any] = dict(ids)
        if self.body is not None and body is not None:
            arguments[self.body[0]] = _decode(self.body[1], body)
        return await self.method(cast("Any", platform).client, **arguments, context=context)


def _write(method: WriteMethod) -> WriteOperation:
    parameters = [each for each in list(inspect.signature(method).parameters.values())[1:] if each.name != "context"]
    ids = tuple(each.name for each in parameters if each.annotation is str)
    bodies = [(each.name, each.annotation) for each in parameters if each.annotation is not str]
    return WriteOperation(method, ids, bodies[0] if bodies else None)


def _decode(kind: type[Body], body: bytes) -> Body:
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
        decoded = msgspec.convert(fields, kind)
    except msgspec.MsgspecError as error:
        raise PermanentError("invalid_argument", f"the body: {error}") from error
    known = decoded.__struct_encode_fields__ if isinstance(decoded, Struct) else fields
    unknown = sorted(fields.keys() - set(known))
    if unknown:
        raise PermanentError("invalid_argument", f"the body: there is no {unknown[0]}; there are {', '.join(known)}")
    return decoded


WRITES: Mapping[str, Mapping[str, WriteOperation]] = {
    "pack_cloud": {
        "integration.create": _write(PackCloudClient.create_integration),
        "integration.update": _write(PackCloudClient.update_integration),
        "integration.delete": _write(PackCloudClient.delete_integration),
        "integration_action.execute": _write(PackCloudClient.execute_integration_action),
        "integration.sync_orders": _write(PackCloudClient.sync_integration_orders),
        "integration.sync_products": _write(PackCloudClient.sync_integration_products),
        "integration.sync_shipping_services": _write(PackCloudClient.sync_integration_shipping_services),
        "integration.sync_product_stocks": _write(PackCloudClient.sync_integration_product_stocks),
        "rule.create": _write(PackCloudClient.create_rule),
        "rule.update": _write(PackCloudClient.update_rule),
        "rule.delete": _write(PackCloudClient.delete_rule),
        "rule_action.create": _write(PackCloudClient.create_rule_action),
        "rule_action.update": _write(PackCloudClient.update_rule_action),
        "rule_action.delete": _write(PackCloudClient.delete_rule_action),
        "rule_condition.create": _write(PackCloudClient.create_rule_condition),
        "rule_condition.update": _write(PackCloudClient.update_rule_condition),
        "rule_condition.delete": _write(PackCloudClient.delete_rule_condition),
    },
    "pexip_engage": {},
    "open_food_network": {
        "customer.create": _write(OpenFoodNetworkClient.create_customer),
        "customer.update": _write(OpenFoodNetworkClient.update_customer),
        "customer.delete": _write(OpenFoodNetworkClient.delete_customer),
    },
    "flow_retail": {
        "customer.create": _write(FlowRetailClient.create_customer),
        "customer.update": _write(FlowRetailClient.update_customer),
        "customer.delete": _write(FlowRetailClient.delete_customer),
        "extension.add": _write(FlowRetailClient.add_extension),
        "extension.delete": _write(FlowRetailClient.delete_extension),
    },
    "custom": {},
}
"""The writes of every kind of platform, by their operations."""
