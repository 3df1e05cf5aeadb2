"""/rulebook: the version in force, those before it, what changed between two, and the way back."""

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct

from service.errors import Refusal
from service.ingress.admin.audit import tell_change
from service.ingress.admin.edits import current_rules
from service.ingress.admin.paging import After, Limit, Page, page_of
from service.ingress.admin.parts import AdminParts, Caller, Parts
from service.ingress.admin.problems import not_found
from service.ingress.admin.rules import IfMatch, RuleView, rule_headers, views
from service.rules.comparing import RuleChange, compare_documents
from service.rules.document import Document
from service.rules.publishing import read_rules, roll_back


class Publication(Struct, frozen=True):
    """One version that was put in force: by whom, why, and when (ms since the epoch)."""

    version: str
    author: str
    note: str
    at: int


class RulebookView(Struct, frozen=True):
    """A version with its rules in the order in which they are judged."""

    version: str
    rules: Sequence[RuleView]


class Rollback(Struct, frozen=True, forbid_unknown_fields=True):
    """The former version that is to be in force again, and why."""

    version: str
    note: str = ""


class RulebookVersions(Controller):
    """The rulebook as a whole."""

    path = "/rulebook"
    tags = ("Rules",)

    @get("/", role="viewer")
    async def get_rulebook(self, parts: Parts) -> Response[RulebookView]:
        """Give the version in force."""
        version, document = await current_rules(parts)
        if version is None:
            raise not_found("rulebook in force; none was published")
        return Response(RulebookView(version, views(document)), headers=_headers(version))

    @get("/versions", role="viewer")
    async def list_versions(self, parts: Parts, limit: Limit = 50, after: After = None) -> Page[dict[str, Any]]:
        """List publications, newest first; one version may be published several times."""
        found = await parts.store.rulebook.history()
        return page_of(found, lambda entry: f"{entry['at']}-{entry['version']}", limit, after)

    @get("/versions/{version:str}", role="viewer")
    async def get_version(self, version: FromPath[str], parts: Parts) -> RulebookView:
        """Give one version that is kept."""
        return RulebookView(version, views(await _kept(parts, version)))

    @get("/diff", role="viewer")
    async def get_diff(
        self,
        parts: Parts,
        before: Annotated[str, QueryParameter(max_length=64)],
        after: Annotated[str | None, QueryParameter(max_length=64)] = None,
    ) -> Sequence[RuleChange]:
        """Tell what changed from one version to another, by default the one in force."""
        newer = await _kept(parts, after) if after else (await current_rules(parts))[1]
        return compare_documents(await _kept(parts, before), newer)

    @post("/rollback", role="admin", status_code=200)
    async def roll_back(
        self, data: JSONBody[Rollback], parts: Parts, caller: Caller, if_match: IfMatch = None
    ) -> Response[RulebookView]:
        """Put a former version in force again, rules of files and of the API alike."""
        before, _ = await current_rules(parts)
        if if_match is not None and if_match not in {"*", f'"{before}"'}:
            raise Refusal(412, "changed_meanwhile", "Another version is in force by now.", _headers(before))
        document = await _kept(parts, data.version)
        shelves = [store.rulebook for store in parts.stores]
        done = await roll_back(shelves, data.version, parts.actions, caller.name, data.note)
        if done.changed:
            tell_change(caller, "rulebook.rolled_back", data.version, rulebook=done.version, previous=before)
        return Response(RulebookView(done.version, views(document)), headers=_headers(done.version))


async def _kept(parts: AdminParts, version: str) -> Document:
    document = await parts.store.rulebook.document(version) if version.isalnum() else None
    if document is None:
        raise not_found(f"version {version[:64]} of the rulebook")
    return read_rules(document)


def _headers(version: str | None) -> dict[str, Any]:
    return rule_headers(version) | {"etag": f'"{version}"'}
