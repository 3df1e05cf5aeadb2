"""/erasures: erase a customer everywhere."""

from typing import Annotated

from litestar import Controller, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from service.ingress.admin.parts import Caller, Parts
from service.oversight.forgetting import Forgotten, customer_of, forget

Name = Annotated[str, Meta(min_length=1, max_length=256)]


class ForgetOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to forget: the platform account and its id of the customer. A dry run unless told otherwise."""

    platform: Name
    customer_id: Name
    dry_run: bool = True


class Forgetting(Controller):
    """Erasing what is kept of a person."""

    path = "/erasures"
    tags = ("Personal data",)

    @post("/", role="admin", status_code=200)
    async def forget_customer(self, data: JSONBody[ForgetOrder], parts: Parts, caller: Caller) -> Forgotten:
        """Erase a customer from every store, or count what that would erase. Ask again while some is in hand."""
        customer = customer_of(data.platform, data.customer_id, parts.source_configs, parts.platform_configs)
        return await forget(parts.places, caller, customer, dry_run=data.dry_run)
