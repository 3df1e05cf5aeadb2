"""/erasures: erase a customer everywhere."""

from typing import Annotated

from litestar import Controller, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from service.ingress.admin.dependencies import Operations
from service.management.erasure import ErasureReport

PathName = Annotated[str, Meta(min_length=1, max_length=256)]


class ErasureRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Customer to erase: platform account and the platform's id. The default is a dry run."""

    platform: PathName
    customer_id: PathName
    dry_run: bool = True


class Erasure(Controller):
    """Erasure of personal data."""

    path = "/erasures"
    tags = ("Personal data",)

    @post("/", role="admin", status_code=200)
    async def erase_customer(self, data: JSONBody[ErasureRequest], operations: Operations) -> ErasureReport:
        """Erase a customer from every store, or count the items in a dry run. Repeat while events are in progress."""
        return await operations.erase_customer(data.platform, data.customer_id, dry_run=data.dry_run)
