"""Puts rules into force: those of files beside those made in the admin API, and never over somebody else's change.

An installation of several stores has a shelf on each. The first one decides who was first; the others follow it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence

from msgspec import Struct

from service.actions import Action
from service.errors import ConfigError, StoreUnavailable
from service.rules.rulebook import Rulebook
from service.rules.rulebook_document import FORMAT, Document, document_version, parse_document, write_document
from service.rules.syntax import Rule
from service.store.rulebook import RulebookStore

PUBLISH_TRIES_MAX = 12
PUBLISH_SPREAD_SECONDS = 0.05
"""Who published at the same time comes back spread over so long, at each try over once more."""

NO_RULES = Document(format=FORMAT)


class Published(Struct, frozen=True):
    """The version in force now; `changed` is False if it was so before."""

    version: str
    rules: int
    changed: bool


async def publish_file_rules(
    shelves: Sequence[RulebookStore], rules: Sequence[Rule], actions: Sequence[type[Action]], author: str, note: str
) -> Published:
    """Replace the rules of files by `rules`; those of the API stay. Tried again if somebody publishes meanwhile.

    Raises:
        ConfigError: the rules do not fit together with those of the API.
        StoreUnavailable: a store does not answer, or somebody else publishes all the time.
    """

    def replaced(document: Document) -> Document:
        for taken in sorted({rule.id for rule in rules} & {rule.id for rule in document.api_rules}):
            fix = "delete it there, or give the one in the file another id"
            raise ConfigError(f"rule {taken}", "stands in a file, and was made in the admin API too", fix)
        changed = Document(format=FORMAT, file_rules=tuple(rules), api_rules=document.api_rules)
        Rulebook.load(write_document(changed.file_rules, changed.api_rules), actions)
        return changed

    return await change_rules(shelves, replaced, author, note)


async def change_rules(
    shelves: Sequence[RulebookStore], change: Callable[[Document], Document], author: str, note: str
) -> Published:
    """Put in force what `change` makes of the rules in force; asked again if somebody publishes meanwhile.

    What `change` gives has been checked by it, rule by rule or whole; here it is only held together.

    Raises:
        ConfigError: the version in force cannot be read, or the changed rules do not fit together.
        StoreUnavailable: a store does not answer, or somebody else publishes all the time.
    """
    async for _ in _tries():
        in_force = await shelves[0].current()
        before = in_force[0] if in_force else None
        changed = change(read_rules(in_force[1]) if in_force else NO_RULES)
        document = write_document(changed.file_rules, changed.api_rules)
        parse_document(document)
        version = document_version(document)
        if await activate(shelves, version, document, before, author=author, note=note):
            return Published(version, len(changed.rules), changed=version != before)
    raise StoreUnavailable("others are publishing rules at the same time; try again")


async def rollback(
    shelves: Sequence[RulebookStore], version: str, actions: Sequence[type[Action]], author: str, note: str
) -> Published:
    """Put a former version in force again, rules of files and of the API alike.

    Raises:
        ConfigError: it is on the shelf no more, or cannot be used by what is installed now.
        StoreUnavailable: a store does not answer, or somebody else publishes all the time.
    """
    document = await shelves[0].document(version)
    if document is None:
        raise ConfigError(version[:64], "is not on the shelf", "waybill rules history names those that are")
    loaded = Rulebook.load(document, actions)
    async for _ in _tries():
        before = await shelves[0].version()
        if await activate(shelves, version, document, before, author=author, note=note or f"back to {version}"):
            return Published(version, len(loaded.rules), changed=version != before)
    raise StoreUnavailable("others are publishing rules at the same time; try again")


async def _tries() -> AsyncIterator[int]:
    for tried in range(PUBLISH_TRIES_MAX):
        if tried:
            await asyncio.sleep(random.uniform(0, PUBLISH_SPREAD_SECONDS * tried))  # noqa: S311 - spreads, hides nothing
        yield tried


async def activate(
    shelves: Sequence[RulebookStore], version: str, document: bytes, before: str | None, *, author: str, note: str
) -> bool:
    """Publish on the first shelf if `before` is in force there, then on the others; False if another version is.

    Raises:
        StoreUnavailable: not known to be in force everywhere; may be repeated.
    """
    first, *others = shelves
    if version != before and not await first.publish(version, document, author, note, before):
        return False
    # The first shelf has settled who publishes; the others follow, whatever they held.
    for store in others:
        while not await store.publish(version, document, author, note, await store.version()):
            continue
    return True


def read_rules(document: bytes) -> Document:
    """The rules in force.

    Raises:
        ConfigError: they cannot be read, so that publishing over them could lose some.
    """
    try:
        return parse_document(document)
    except ConfigError as error:
        fix = "apply with the version of waybill that published it"
        raise ConfigError("rulebook in force", error.reason, fix) from error
