"""/rulebook: active version, earlier versions, differences and rollback."""

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Controller, Response, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct

from service.errors import Rejection
from service.ingress.admin.dependencies import Operations
from service.ingress.admin.paging import After, LimitParameter, Page, page_of
from service.ingress.admin.rule_changes import IfMatch, current_rules, rule_headers
from service.ingress.admin.rules import RuleView, views
from service.management.rule_statistics import RuleStatisticsReport
from service.management.rulebook import Publication
from service.rules import Rule
from service.rules.rulebook_diff import RuleDiff, diff_rulebooks


class RulebookView(Struct, frozen=True):
    """Version of the rulebook, with its rules in the order of evaluation."""

    version: str
    rules: Sequence[RuleView]


class Rollback(Struct, frozen=True, forbid_unknown_fields=True):
    """Earlier version to activate, and the reason."""

    version: str
    note: str = ""


class FileRules(Struct, frozen=True, forbid_unknown_fields=True):
    """Rules that replace all rules of files, and the reason."""

    rules: tuple[Rule, ...]
    note: str = ""


class Applied(Struct, frozen=True):
    """Active version after the call; `changed` is false if the version was active before."""

    version: str
    rules: int
    changed: bool


class RulebookVersions(Controller):
    """Rulebook: versions, differences, replacement of the rules of files, rollback."""

    path = "/rulebook"
    tags = ("Rules",)

    @get("/", role="viewer")
    async def get_rulebook(self, operations: Operations) -> Response[RulebookView]:
        """Return the active version."""
        stored = await operations.get_rulebook(None)
        return Response(RulebookView(stored.version, views(stored.document)), headers=_headers(stored.version))

    @get("/versions", role="viewer")
    async def list_versions(
        self, operations: Operations, limit: LimitParameter = 50, after: After = None
    ) -> Page[Publication]:
        """List publications, newest first; one version may be published several times."""
        found = await operations.list_publications()
        return page_of(found, lambda entry: f"{entry.at}-{entry.version}", limit, after)

    @get("/versions/{version:str}", role="viewer")
    async def get_version(self, version: FromPath[str], operations: Operations) -> RulebookView:
        """Return one stored version."""
        stored = await operations.get_rulebook(version)
        return RulebookView(stored.version, views(stored.document))

    @get("/statistics", role="viewer")
    async def get_statistics(self, operations: Operations) -> RuleStatisticsReport:
        """Return the results of each rule over the newest decided events, and its last match."""
        return await operations.rule_statistics()

    @get("/diff", role="viewer")
    async def get_diff(
        self,
        operations: Operations,
        before: Annotated[str, QueryParameter(max_length=64)],
        after: Annotated[str | None, QueryParameter(max_length=64)] = None,
    ) -> Sequence[RuleDiff]:
        """Return the differences from one version to another, by default to the active one."""
        newer = (await operations.get_rulebook(after)).document
        return diff_rulebooks((await operations.get_rulebook(before)).document, newer)

    @put("/files", role="admin", status_code=200)
    async def apply_rules(self, data: JSONBody[FileRules], operations: Operations, if_match: IfMatch = None) -> Applied:
        """Replace the rules of files, as `waybill rules apply` does. The rules of the admin API stay.

        With If-Match, the version in it must be active; `""` stands for none.
        """
        expected = None if if_match in {None, "*"} else str(if_match).strip('"')
        published = await operations.apply_rules(data.rules, None, data.note, expected)
        return Applied(published.version, published.rules, published.changed)

    @post("/rollback", role="admin", status_code=200)
    async def rollback(
        self, data: JSONBody[Rollback], operations: Operations, if_match: IfMatch = None
    ) -> Response[RulebookView]:
        """Activate an earlier version as a whole: rules of files and of the admin API."""
        before, _ = await current_rules(operations)
        if if_match is not None and if_match not in {"*", f'"{before}"'}:
            raise Rejection(
                412,
                "precondition_failed",
                "Another version was activated in the meantime. Read the rulebook again.",
                _headers(before),
            )
        stored = await operations.get_rulebook(data.version)
        published = await operations.rollback_rulebook(data.version, None, data.note)
        return Response(RulebookView(published.version, views(stored.document)), headers=_headers(published.version))


def _headers(version: str | None) -> dict[str, Any]:
    return rule_headers(version) | {"etag": f'"{version}"'}
