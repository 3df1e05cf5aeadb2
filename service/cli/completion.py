"""Shell completion: the script for a shell, and the names and ids that complete the words of commands.

Names of sources, accounts and destinations are those of waybill.yaml; rules, versions and ids are read from the stores.
With --url, all are read from the admin API. A completion writes nothing to the terminal, and has no result after
DEADLINE_SECONDS.
"""

import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, cast

import click
from click.shell_completion import CompletionItem, get_completion_class

from service.cli.connection import AdminClient, ConnectionOptions, open_client, run_with
from service.cli.main import COMPLETION_VARIABLE
from service.cli.output import print_text
from service.errors import ConfigError

DEADLINE_SECONDS = 2.0
IDS_MAX = 200
HELP_CHARACTERS_MAX = 100

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem[Any]]]
Names = Iterable[str | tuple[str, str]]
"""Names, or pairs of a name and its description, which zsh and fish show."""

ListNames = Callable[[AdminClient], Awaitable[Names]]


@click.command(epilog="\b\nExamples:\n  waybill completion bash\n  waybill completion fish")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script for a shell that completes commands, options, names and ids.

    Activate it by a line in the startup file of the shell. For bash and zsh: eval "$(waybill completion bash)". For
    fish: waybill completion fish | source.
    """
    found = get_completion_class(shell)
    assert found is not None  # a choice of the argument
    print_text(found(context.find_root().command, {}, "waybill", COMPLETION_VARIABLE).source())


def stored(list_names: ListNames) -> Completer:
    """Return a completer of the names that `list_names` reads with a client of the stores or of the admin API."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        try:
            client = open_client(_connection_of(context))
            set_deadline()
            names = run_with(client, list_names)
        except Exception:  # noqa: BLE001 - no completion is better than an error between the words of a command
            return []
        return _items(names, incomplete)

    return complete


def configured(section: str, list_names: ListNames) -> Completer:
    """Return a completer of the names in a section of waybill.yaml; with --url, of those that `list_names` reads.

    The file is not checked, so that a missing secret does not matter.
    """

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        if _connection_of(context).url is not None:
            return stored(list_names)(context, parameter, incomplete)
        return _items(_read_names(section), incomplete)

    return complete


def complete_preset(_context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Complete the name of a preset."""
    return _items(resolve_name("service.config.presets:preset_names")(), incomplete)


def events_in(state: str | None = None) -> Completer:
    """Return a completer of the ids of the newest events; `state` selects them."""

    async def list_ids(client: AdminClient) -> Names:
        event_filter = resolve_name("service.management.event_filter:EventFilter")(state=state)
        page = await client.list_events(event_filter, IDS_MAX, None)
        return [(row.id, f"{row.type} {row.record} {row.outcome or row.state}") for row in page.items]

    return stored(list_ids)


async def _list_sources(client: AdminClient) -> Names:
    return [(row.name, row.platform) for row in await client.list_sources()]


async def _list_accounts(client: AdminClient) -> Names:
    return [(row.account, row.kind) for row in await client.list_circuits()]


async def _list_destinations(client: AdminClient) -> Names:
    return [(row.name, row.kind) for row in await client.list_destinations()]


async def _list_rules(client: AdminClient) -> Names:
    return [(rule.id, rule.name or "") for rule in (await client.get_rulebook(None)).document.rules]


async def _list_versions(client: AdminClient) -> Names:
    return dict.fromkeys(each.version for each in await client.list_publications())


async def _list_quarantined(client: AdminClient) -> Names:
    page = await client.list_quarantine(None, IDS_MAX, None)
    return [(row.id, f"{row.source} {row.code}") for row in page.items]


complete_source = configured("sources", _list_sources)
complete_account = configured("platforms", _list_accounts)
complete_destination = configured("destinations", _list_destinations)
complete_rule = stored(_list_rules)
complete_version = stored(_list_versions)
complete_quarantined = stored(_list_quarantined)


def set_deadline() -> None:
    """End the process without a completion after DEADLINE_SECONDS, whatever it waits for."""

    def end(_signal: int, _frame: object) -> None:
        os._exit(0)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_SECONDS)


def _connection_of(context: click.Context) -> ConnectionOptions:
    if "token_file" not in context.params:  # --url of another command is not that of the admin API
        return ConnectionOptions(None, None, None)
    return ConnectionOptions(*(context.params[name] or None for name in ConnectionOptions.__struct_fields__))


def _read_names(section: str) -> Names:
    resolve_name("service.cli.dev_instance:adopt_dev_instance")(os.environ)
    path = Path(os.environ.get("WAYBILL_CONFIG", "waybill.yaml"))
    try:
        files = resolve_name("service.config.config_files:read_config_files")(path)
        data: Any = resolve_name("service.config.config_files:merge_files")(files, [])
        return list(cast("dict[str, Any]", data[section]))
    except (ConfigError, TypeError, KeyError):
        return []


def _items(names: Names, incomplete: str) -> list[CompletionItem[Any]]:
    pairs = [(each, "") if isinstance(each, str) else each for each in names]
    return [
        CompletionItem(name, help=_one_line(description) or None)
        for name, description in pairs
        if name.startswith(incomplete)
    ]


def _one_line(text: str) -> str:
    """Return a description that shells can print: it contains text of senders."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:HELP_CHARACTERS_MAX]
