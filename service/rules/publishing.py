"""Publishing of rulebooks: rules of files and rules of the admin API, without overwriting concurrent changes.

With several stores, each has the rulebook. The first store resolves concurrent changes; the other stores follow it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence

from msgspec import Struct

from service.errors import ConfigError, Rejection, StoreUnavailable
from service.mistakes import Mistakes
from service.rules.rulebook import Rulebook
from service.rules.rulebook_document import FORMAT, Document, document_version, parse_document, write_document
from service.rules.syntax import Rule
from service.store.rulebook import RulebookStore

PUBLISH_ATTEMPTS_MAX = 12
PUBLISH_JITTER_SECONDS = 0.05
"""Jitter before a retry after a concurrent change, multiplied by the number of the retry."""

NO_RULES = Document(format=FORMAT)


LoadRulebook = Callable[[bytes], Rulebook]
"""Compiles a document with the installed actions and the declared records. Raises ConfigError."""


class Published(Struct, frozen=True):
    """The active version. `changed` is False if it was active before."""

    version: str
    rules: int
    changed: bool


async def publish_file_rules(
    stores: Sequence[RulebookStore],
    rules: Sequence[Rule],
    load: LoadRulebook,
    author: str,
    note: str,
    *,
    expected: str | None = None,
) -> Published:
    """Replace the rules of files by `rules`. The rules of the API stay. Retries after concurrent changes.

    `load` checks the result as a worker does. With `expected`, this version must be active; an empty text stands for
    none.

    Raises:
        ConfigErrors: all conflicts of the rules with those of the API.
        Rejection: 412 `precondition_failed`: another version than `expected` is active.
        StoreUnavailable: a store does not answer, or all retries met concurrent changes.
    """

    def replaced(document: Document) -> Document:
        mistakes = Mistakes()
        for rule_id in sorted({rule.id for rule in rules} & {rule.id for rule in document.api_rules}):
            fix = "delete the rule in the admin API, or change its id in the file"
            mistakes.add(ConfigError(f"rule {rule_id}", "exists in a file and in the admin API", fix))
        mistakes.raise_all()
        changed = Document(format=FORMAT, file_rules=tuple(rules), api_rules=document.api_rules)
        load(write_document(changed.file_rules, changed.api_rules))
        return changed

    return await change_rules(stores, replaced, author, note, expected=expected)


async def change_rules(
    stores: Sequence[RulebookStore],
    change: Callable[[Document], Document],
    author: str,
    note: str,
    *,
    expected: str | None = None,
) -> Published:
    """Apply `change` to the active rules and activate the result. Retries after concurrent changes.

    `change` checks the rules. This function only checks the document: its size and its rule ids.

    Raises:
        ConfigError: the active version cannot be read, or the changed rules conflict.
        Rejection: 412 `precondition_failed`: another version than `expected` is active.
        StoreUnavailable: a store does not answer, or all retries met concurrent changes.
    """
    async for _ in _attempts():
        active = await stores[0].current()
        before = active[0] if active else None
        if expected is not None and (before or "") != expected:
            detail = f"The active version is {before or 'none'}, not {expected or 'none'}. Plan the change again."
            raise Rejection(412, "precondition_failed", detail)
        changed = change(read_rules(active[1]) if active else NO_RULES)
        document = write_document(changed.file_rules, changed.api_rules)
        parse_document(document)
        version = document_version(document)
        if await activate(stores, version, document, before, author=author, note=note):
            return Published(version, len(changed.rules), changed=version != before)
    raise StoreUnavailable("rules are being published concurrently; try again")


async def rollback(
    stores: Sequence[RulebookStore], version: str, load: LoadRulebook, author: str, note: str
) -> Published:
    """Activate an earlier version, both the rules of files and the rules of the API.

    Raises:
        ConfigError: the version is not stored any more, or does not load with the installed version of Waybill.
        StoreUnavailable: a store does not answer, or all retries met concurrent changes.
    """
    document = await stores[0].document(version)
    if document is None:
        raise ConfigError(version[:64], "is not a stored version", "use a version that waybill rules history lists")
    loaded = load(document)
    async for _ in _attempts():
        before = await stores[0].version()
        if await activate(stores, version, document, before, author=author, note=note or f"back to {version}"):
            return Published(version, len(loaded.rules), changed=version != before)
    raise StoreUnavailable("rules are being published concurrently; try again")


async def _attempts() -> AsyncIterator[int]:
    for attempt in range(PUBLISH_ATTEMPTS_MAX):
        if attempt:
            await asyncio.sleep(random.uniform(0, PUBLISH_JITTER_SECONDS * attempt))  # noqa: S311 - jitter, not a secret
        yield attempt


async def activate(
    stores: Sequence[RulebookStore], version: str, document: bytes, before: str | None, *, author: str, note: str
) -> bool:
    """Publish to the first store if `before` is active there, then to the others.

    Returns:
        False if another version than `before` is active in the first store.

    Raises:
        StoreUnavailable: some stores may not have the version; the call may be repeated.
    """
    first, *others = stores
    if version != before and not await first.publish(version, document, author, note, before):
        return False
    # The first store has resolved concurrent changes; the others follow, whichever version they had.
    for store in others:
        while not await store.publish(version, document, author, note, await store.version()):
            continue
    return True


def read_rules(document: bytes) -> Document:
    """Parse the active rules.

    Raises:
        ConfigError: the document cannot be read; publishing over it could lose rules.
    """
    try:
        return parse_document(document)
    except ConfigError as error:
        fix = "use the version of waybill that published it"
        raise ConfigError("active rulebook", error.reason, fix) from error
