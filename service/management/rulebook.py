"""The rulebook as a person sees and changes it: what is in force, what was before, the way back, new rules of files.

Every change is told in the audit log, whichever door it came through.
"""

from collections.abc import Sequence

from msgspec import Struct

from service.actions import Action
from service.errors import Rejection
from service.management.audit_log import Actor, log_admin_change
from service.management.stores import NamedStores
from service.rules import Rule
from service.rules.publishing import Published, publish_file_rules, read_rules, rollback
from service.rules.rulebook_document import Document


class StoredRulebook(Struct, frozen=True):
    """One version of the rulebook and what it holds."""

    version: str
    document: Document


class Publication(Struct, frozen=True):
    """One version that was put in force: by whom, why, and when (ms since the epoch)."""

    version: str
    author: str
    note: str
    at: int


async def get_rulebook(places: NamedStores, version: str | None = None) -> StoredRulebook:
    """Give one version that is kept, by default the one in force.

    Raises:
        Rejection: 404 `not_found`.
        ConfigError: it cannot be read.
        StoreUnavailable: the store does not answer.
    """
    store = places[0].store.rulebook
    if version is None:
        current = await store.current()
        if current is None:
            raise Rejection(404, "not_found", "There is no rulebook in force; publish one: waybill rules apply.")
        return StoredRulebook(current[0], read_rules(current[1]))
    document = await store.document(version) if version.isalnum() else None
    if document is None:
        detail = f"There is no version {version[:64]} of the rulebook; waybill rules history names those that are kept."
        raise Rejection(404, "not_found", detail)
    return StoredRulebook(version, read_rules(document))


async def list_publications(places: NamedStores) -> list[Publication]:
    """List what was put in force, newest first; one version may be there several times.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    found = await places[0].store.rulebook.history()
    return [Publication(entry["version"], entry["author"], entry["note"], entry["at"]) for entry in found]


async def apply_rules(
    places: NamedStores,
    operator: Actor,
    rules: Sequence[Rule],
    actions: Sequence[type[Action]],
    *,
    author: str,
    note: str,
) -> Published:
    """Replace the rules of files; those of the admin API stay.

    Raises:
        ConfigError: they do not fit together with those of the API.
        StoreUnavailable: a store does not answer, or somebody else publishes all the time.
    """
    shelves = [place.store.rulebook for place in places]
    before = await shelves[0].version()
    done = await publish_file_rules(shelves, rules, actions, author, note)
    if done.changed:
        log_admin_change(operator, "rulebook.applied", done.version, rulebook=done.version, previous=before)
    return done


async def rollback_rulebook(
    places: NamedStores, operator: Actor, version: str, actions: Sequence[type[Action]], *, author: str, note: str
) -> Published:
    """Put a former version in force again, rules of files and of the API alike.

    Raises:
        Rejection: 404 `not_found`.
        ConfigError: it cannot be used by what is installed now.
        StoreUnavailable: a store does not answer, or somebody else publishes all the time.
    """
    shelves = [place.store.rulebook for place in places]
    before = await shelves[0].version()
    await get_rulebook(places, version)
    done = await rollback(shelves, version, actions, author, note)
    if done.changed:
        log_admin_change(operator, "rulebook.rolled_back", version, rulebook=done.version, previous=before)
    return done
