"""/quarantine: refused deliveries, to be judged again and taken in once a mistake is mended."""

from litestar import Controller, delete, get, post
from litestar.params import FromPath

from service.ingress.admin.events import Word
from service.ingress.admin.paging import After, Limit
from service.ingress.admin.parts import Caller, Parts
from service.ingress.admin.sights import Raw, sight_of
from service.oversight.quarantine import (
    Discarded,
    RefusedPage,
    RefusedView,
    Reviewed,
    accept_refused,
    discard_refused,
    list_refused,
    show_refused,
    verify_refused,
)


class QuarantinedDeliveries(Controller):
    """Refused deliveries, kept for a while."""

    path = "/quarantine"
    tags = ("Quarantine",)

    @get("/", role="viewer")
    async def list_refused(
        self, parts: Parts, source: Word = None, limit: Limit = 50, after: After = None
    ) -> RefusedPage:
        """List refused deliveries, newest first."""
        return await list_refused(parts.places, source, limit, after)

    @get("/{refused_id:str}", role="viewer")
    async def show_refused(
        self,
        refused_id: FromPath[str],
        parts: Parts,
        caller: Caller,
        raw: Raw = False,
    ) -> RefusedView:
        """Show one; what may be a credential only `raw`."""
        return await show_refused(parts.places, refused_id, sight_of(caller, raw=raw))

    @post("/{refused_id:str}/reverify", role="operator", status_code=200)
    async def verify_refused(self, refused_id: FromPath[str], parts: Parts) -> Reviewed:
        """Judge one again by what is configured now, and change nothing."""
        return await verify_refused(parts.places, refused_id, parts.sources)

    @post("/{refused_id:str}/release", role="operator", status_code=200)
    async def accept_refused(self, refused_id: FromPath[str], parts: Parts, caller: Caller) -> Reviewed:
        """Take one in if it is good by what is configured now; it leaves the quarantine then."""
        return await accept_refused(parts.places, caller, refused_id, parts.sources, parts.late_store.opened)

    @delete("/{refused_id:str}", role="operator", status_code=200)
    async def discard_refused(self, refused_id: FromPath[str], parts: Parts, caller: Caller) -> Discarded:
        """Forget one."""
        return await discard_refused(parts.places, caller, refused_id)
