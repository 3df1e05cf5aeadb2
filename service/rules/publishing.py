"""Puts the rules of files into force: beside the rules made in the admin API, and never over somebody else's change."""

from collections.abc import Sequence

from msgspec import Struct

from service.actions import Action
from service.errors import ConfigError, StoreUnavailable
from service.rules.document import Document, parse_document, version_of, write_document
from service.rules.language import Rule
from service.rules.rulebook import Rulebook
from service.store.rulebook import RulebookShelf

PUBLISH_TRIES_MAX = 5


class Published(Struct, frozen=True):
    """The version in force now; `changed` is False if it was so before."""

    version: str
    rules: int
    changed: bool


async def publish_file_rules(
    shelf: RulebookShelf, rules: Sequence[Rule], actions: Sequence[type[Action]], author: str, note: str
) -> Published:
    """Replace the rules of files by `rules`; those of the API stay. Tried again if somebody publishes meanwhile.

    Raises:
        ConfigError: the rules do not fit together with those of the API.
        StoreUnavailable: the store does not answer, or somebody else publishes all the time.
    """
    for _ in range(PUBLISH_TRIES_MAX):
        in_force = await shelf.current()
        before, kept = (in_force[0], read_api_rules(in_force[1])) if in_force else (None, ())
        document = write_document(rules, kept)
        version = version_of(document)
        Rulebook.load(document, actions)
        if version == before:
            return Published(version, len(rules) + len(kept), changed=False)
        if await shelf.publish(version, document, author, note, before):
            return Published(version, len(rules) + len(kept), changed=True)
    raise StoreUnavailable("others are publishing rules at the same time; try again")


def read_api_rules(document: bytes) -> tuple[Rule, ...]:
    """The rules made in the admin API.

    Raises:
        ConfigError: the version in force cannot be read, so that applying over it could lose rules.
    """
    try:
        parsed: Document = parse_document(document)
    except ConfigError as error:
        fix = "apply with the version of waybill that published it"
        raise ConfigError("rulebook in force", error.reason, fix) from error
    return parsed.api_rules
