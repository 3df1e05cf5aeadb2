"""/quarantine: refused deliveries, to be judged again and taken in once a mistake is mended."""

from litestar import Controller, delete, get, post
from litestar.params import FromPath

from service.ingress.admin.dependencies import Caller, Dependencies, RawParameter, visibility_for
from service.ingress.admin.events import TextFilter
from service.ingress.admin.paging import After, LimitParameter
from service.management.quarantine import (
    Deleted,
    QuarantinedView,
    QuarantinePage,
    Reverified,
    delete_quarantined,
    get_quarantined,
    list_quarantine,
    release_quarantined,
    reverify_quarantined,
)


class QuarantinedDeliveries(Controller):
    """Refused deliveries, kept for a while."""

    path = "/quarantine"
    tags = ("Quarantine",)

    @get("/", role="viewer")
    async def list_quarantine(
        self, parts: Dependencies, source: TextFilter = None, limit: LimitParameter = 50, after: After = None
    ) -> QuarantinePage:
        """List refused deliveries, newest first."""
        return await list_quarantine(parts.named_stores, source, limit, after)

    @get("/{quarantined_id:str}", role="viewer")
    async def get_quarantined(
        self,
        quarantined_id: FromPath[str],
        parts: Dependencies,
        caller: Caller,
        raw: RawParameter = False,
    ) -> QuarantinedView:
        """Show one; what may be a credential only `raw`."""
        return await get_quarantined(parts.named_stores, quarantined_id, visibility_for(caller, raw=raw))

    @post("/{quarantined_id:str}/reverify", role="operator", status_code=200)
    async def reverify_quarantined(self, quarantined_id: FromPath[str], parts: Dependencies) -> Reverified:
        """Judge one again by what is configured now, and change nothing."""
        return await reverify_quarantined(parts.named_stores, quarantined_id, parts.sources)

    @post("/{quarantined_id:str}/release", role="operator", status_code=200)
    async def release_quarantined(
        self, quarantined_id: FromPath[str], parts: Dependencies, caller: Caller
    ) -> Reverified:
        """Take one in if it is good by what is configured now; it leaves the quarantine then."""
        return await release_quarantined(
            parts.named_stores, caller, quarantined_id, parts.sources, parts.late_store.opened
        )

    @delete("/{quarantined_id:str}", role="operator", status_code=200)
    async def delete_quarantined(self, quarantined_id: FromPath[str], parts: Dependencies, caller: Caller) -> Deleted:
        """Forget one."""
        return await delete_quarantined(parts.named_stores, caller, quarantined_id)
