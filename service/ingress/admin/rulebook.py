"""/rulebook: the version in force, those before it, what changed between two, and the way back."""

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
from service.management.rulebook import Publication
from service.rules import Rule
from service.rules.rulebook_diff import RuleDiff, diff_rulebooks


class RulebookView(Struct, frozen=True):
    """A version with its rules in the order in which they are judged."""

    version: str
    rules: Sequence[RuleView]


class Rollback(Struct, frozen=True, forbid_unknown_fields=True):
    """The former version that is to be in force again, and why."""

    version: str
    note: str = ""


class FileRules(Struct, frozen=True, forbid_unknown_fields=True):
    """All rules of files, which take the place of those that are in force; and why."""

    rules: tuple[Rule, ...]
    note: str = ""


class Applied(Struct, frozen=True):
    """The version in force now; `changed` is false if it was so before."""

    version: str
    rules: int
    changed: bool


class RulebookVersions(Controller):
    """The rulebook as a whole."""

    path = "/rulebook"
    tags = ("Rules",)

    @get("/", role="viewer")
    async def get_rulebook(self, operations: Operations) -> Response[RulebookView]:
        """Give the version in force."""
        kept = await operations.get_rulebook(None)
        return Response(RulebookView(kept.version, views(kept.document)), headers=_headers(kept.version))

    @get("/versions", role="viewer")
    async def list_versions(
        self, operations: Operations, limit: LimitParameter = 50, after: After = None
    ) -> Page[Publication]:
        """List publications, newest first; one version may be published several times."""
        found = await operations.list_publications()
        return page_of(found, lambda entry: f"{entry.at}-{entry.version}", limit, after)

    @get("/versions/{version:str}", role="viewer")
    async def get_version(self, version: FromPath[str], operations: Operations) -> RulebookView:
        """Give one version that is kept."""
        kept = await operations.get_rulebook(version)
        return RulebookView(version, views(kept.document))

    @get("/diff", role="viewer")
    async def get_diff(
        self,
        operations: Operations,
        before: Annotated[str, QueryParameter(max_length=64)],
        after: Annotated[str | None, QueryParameter(max_length=64)] = None,
    ) -> Sequence[RuleDiff]:
        """Tell what changed from one version to another, by default the one in force."""
        newer = (await operations.get_rulebook(after)).document
        return diff_rulebooks((await operations.get_rulebook(before)).document, newer)

    @put("/files", role="admin", status_code=200)
    async def apply_rules(self, data: JSONBody[FileRules], operations: Operations) -> Applied:
        """Replace the rules of files, as `waybill rules apply` does; those made here stay."""
        done = await operations.apply_rules(data.rules, None, data.note)
        return Applied(done.version, done.rules, done.changed)

    @post("/rollback", role="admin", status_code=200)
    async def rollback(
        self, data: JSONBody[Rollback], operations: Operations, if_match: IfMatch = None
    ) -> Response[RulebookView]:
        """Put a former version in force again, rules of files and of the API alike."""
        before, _ = await current_rules(operations)
        if if_match is not None and if_match not in {"*", f'"{before}"'}:
            raise Rejection(412, "precondition_failed", "Another version is in force by now.", _headers(before))
        kept = await operations.get_rulebook(data.version)
        done = await operations.rollback_rulebook(data.version, None, data.note)
        return Response(RulebookView(done.version, views(kept.document)), headers=_headers(done.version))


def _headers(version: str | None) -> dict[str, Any]:
    return rule_headers(version) | {"etag": f'"{version}"'}
