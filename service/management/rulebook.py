"""Rulebook: active version, earlier versions, rollback, and replacement of the rules of files.

Every change is in the audit log.
"""

from collections.abc import Sequence

from msgspec import Struct

from service.errors import Rejection
from service.management.audit_entries import record_change
from service.management.installation import InstallationOperations
from service.rules import Rule, Rulebook
from service.rules.publishing import Published, publish_file_rules, read_rules, rollback
from service.rules.rulebook_document import Document

PREFIX_CHARACTERS_MIN = 4


class StoredRulebook(Struct, frozen=True):
    """Version of the rulebook with its rules."""

    version: str
    document: Document


class Publication(Struct, frozen=True):
    """Activation of a version: author, reason, and time in milliseconds since the epoch."""

    version: str
    author: str
    note: str
    at: int


class RulebookOperations(InstallationOperations):
    """Operations on the rulebook. The author of a change is the actor unless `author` is given."""

    def _load(self, document: bytes) -> Rulebook:
        return Rulebook.load(document, self.installation.actions(), self.installation.records())

    async def get_rulebook(self, version: str | None) -> StoredRulebook:
        """Return one stored version by its id or a unique prefix of it, by default the active one.

        Raises:
            Rejection: 404 `not_found`.
            ConfigError: The version cannot be decoded.
            StoreUnavailable: The store does not answer.
        """
        store = self.stores[0].store.rulebook
        if version is None:
            current = await store.current()
            if current is None:
                raise Rejection(404, "not_found", "No rulebook is active. Publish one: waybill rules apply.")
            return StoredRulebook(current[0], read_rules(current[1]))
        document = await store.document(version) if version.isalnum() else None
        if document is None:
            whole = await self._find_version(version)
            if whole is not None:
                return await self.get_rulebook(whole)
            detail = (
                f"Rulebook version {version[:64]} not found. Give a version of waybill rules history, or at least "
                f"{PREFIX_CHARACTERS_MIN} characters that only one version begins with."
            )
            raise Rejection(404, "not_found", detail)
        return StoredRulebook(version, read_rules(document))

    async def list_publications(self) -> list[Publication]:
        """List the activations, newest first. A version may occur several times.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        found = await self.stores[0].store.rulebook.history()
        return [Publication(entry["version"], entry["author"], entry["note"], entry["at"]) for entry in found]

    async def _find_version(self, prefix: str) -> str | None:
        """Return the only published version that begins with `prefix`, and is longer."""
        if len(prefix) < PREFIX_CHARACTERS_MIN:
            return None
        versions = {entry["version"] for entry in await self.stores[0].store.rulebook.history()}
        found = [each for each in versions if each.startswith(prefix) and each != prefix]
        return found[0] if len(found) == 1 else None

    async def apply_rules(
        self, rules: Sequence[Rule], author: str | None, note: str, expected: str | None = None
    ) -> Published:
        """Replace the rules of files. The rules of the admin API stay.

        With `expected`, this version must be active; an empty text stands for none.

        Raises:
            Rejection: 412 `precondition_failed`: another version than `expected` is active.
            ConfigError: The rules are not valid together with those of the admin API.
            StoreUnavailable: A store does not answer, or concurrent changes prevent the publication.
        """
        rulebooks = [self.stores[0].store.rulebook]
        before = await rulebooks[0].version()
        published = await publish_file_rules(
            rulebooks, rules, self._load, author or self.actor.name, note, expected=expected
        )
        if published.changed:
            details = {"rulebook": published.version, "previous": before}
            await record_change(self.stores[0].store, self.actor, "rulebook.applied", published.version, **details)
        return published

    async def rollback_rulebook(self, version: str, author: str | None, note: str) -> Published:
        """Activate an earlier version as a whole: rules of files and rules of the admin API.

        Raises:
            Rejection: 404 `not_found`.
            ConfigError: The version is not valid with the installed actions.
            StoreUnavailable: A store does not answer, or concurrent changes prevent the publication.
        """
        rulebooks = [self.stores[0].store.rulebook]
        before = await rulebooks[0].version()
        version = (await self.get_rulebook(version)).version
        published = await rollback(rulebooks, version, self._load, author or self.actor.name, note)
        if published.changed:
            details = {"rulebook": published.version, "previous": before}
            await record_change(self.stores[0].store, self.actor, "rulebook.rolled_back", version, **details)
        return published
