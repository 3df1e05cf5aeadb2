"""/erasures: erase a customer everywhere."""

from litestar import Controller, post
from litestar.params import JSONBody
from msgspec import Struct

from service.errors import ConfigError
from service.ingress.admin.dependencies import Operations, RecordName
from service.ingress.admin.problems import invalid
from service.management.erasure import ErasureReport


class ErasureRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Customer to erase, as ACCOUNT:customer:ID. The default is a dry run."""

    record: RecordName
    dry_run: bool = True


class Erasure(Controller):
    """Erasure of personal data."""

    path = "/erasures"
    tags = ("Personal data",)

    @post("/", role="admin", status_code=200)
    async def erase_customer(self, data: JSONBody[ErasureRequest], operations: Operations) -> ErasureReport:
        """Erase a customer from every store, or count the items in a dry run. Repeat while events are in progress."""
        try:
            return await operations.erase_customer(data.record, dry_run=data.dry_run)
        except ConfigError as error:
            raise invalid(error) from None
