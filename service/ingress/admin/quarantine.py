"""/quarantine: refused deliveries, to be judged again and taken in once a mistake is mended."""

from litestar import Controller, delete, get, post
from litestar.params import FromPath

from service.ingress.admin.dependencies import Operations, RawParameter
from service.ingress.admin.events import TextFilter
from service.ingress.admin.paging import After, LimitParameter
from service.management.quarantine import Deleted, QuarantinedView, QuarantinePage, Reverified


class QuarantinedDeliveries(Controller):
    """Refused deliveries, kept for a while."""

    path = "/quarantine"
    tags = ("Quarantine",)

    @get("/", role="viewer")
    async def list_quarantine(
        self, operations: Operations, source: TextFilter = None, limit: LimitParameter = 50, after: After = None
    ) -> QuarantinePage:
        """List refused deliveries, newest first."""
        return await operations.list_quarantine(source, limit, after)

    @get("/{quarantined_id:str}", role="viewer")
    async def get_quarantined(
        self, quarantined_id: FromPath[str], operations: Operations, raw: RawParameter = False
    ) -> QuarantinedView:
        """Show one; what may be a credential only `raw`."""
        return await operations.get_quarantined(quarantined_id, raw=raw)

    @post("/{quarantined_id:str}/reverify", role="operator", status_code=200)
    async def reverify_quarantined(self, quarantined_id: FromPath[str], operations: Operations) -> Reverified:
        """Judge one again by what is configured now, and change nothing."""
        return await operations.reverify_quarantined(quarantined_id)

    @post("/{quarantined_id:str}/release", role="operator", status_code=200)
    async def release_quarantined(self, quarantined_id: FromPath[str], operations: Operations) -> Reverified:
        """Take one in if it is good by what is configured now; it leaves the quarantine then."""
        return await operations.release_quarantined(quarantined_id)

    @delete("/{quarantined_id:str}", role="operator", status_code=200)
    async def delete_quarantined(self, quarantined_id: FromPath[str], operations: Operations) -> Deleted:
        """Forget one."""
        return await operations.delete_quarantined(quarantined_id)
