"""Every command there is, held to what all of them have; what one goes without is named here, with its reason."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from service.cli.main import waybill

NEEDS_NO_INSTALLATION = {
    "check", "demo", "dev", "doctor", "rules check", "rules schema", "rules test", "sandbox",
    "serve",
    "worker",
}  # fmt: skip
"""They read files, run processes, or look from where they stand; `send` has a --url, of the front door."""

WITHOUT_JSON = {
    "check": "an exit code and, for a person, the reason",
    "demo": "a show", "dev": "a show", "sandbox": "a process", "serve": "a process, which logs", "worker": "likewise",
    "platforms get": "prints JSON", "platforms write": "prints JSON", "quarantine show": "prints JSON",
    "rules schema": "prints JSON", "rules export": "prints YAML",
    "rules check": "an exit code and the mistakes", "rules test": "likewise", "send": "prints what was answered",
}  # fmt: skip

DESTROYS = {
    "dead-letters discard", "dead-letters replay", "demo", "dev", "erase-customer", "events replay",
    "platforms write", "quarantine delete",
}  # fmt: skip


def leaves(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(click.Context(command)):
        inner = command.get_command(click.Context(command), name)
        assert inner is not None
        yield from leaves(inner, f"{path} {name}".strip())


COMMANDS = dict(leaves(waybill))


def options(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_whatever_asks_an_installation_can_ask_it_from_afar() -> None:
    assert {path for path, command in COMMANDS.items() if "--url" not in options(command)} == NEEDS_NO_INSTALLATION
    remote = {path for path, command in COMMANDS.items() if "--token-file" in options(command)}
    assert remote == COMMANDS.keys() - NEEDS_NO_INSTALLATION - {"send"}


def test_whatever_answers_can_answer_in_json() -> None:
    assert {path for path, command in COMMANDS.items() if "--json" not in options(command)} == WITHOUT_JSON.keys()


def test_whatever_destroys_asks_first_and_can_be_told_not_to() -> None:
    assert {path for path, command in COMMANDS.items() if "--yes" in options(command)} == DESTROYS


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself_and_refuses_what_it_does_not_know_with_exit_code_2(path: str) -> None:
    told = CliRunner().invoke(waybill, [*path.split(), "--help"])
    assert (told.exit_code, len(told.stdout.splitlines()) > 3) == (0, True)
    assert COMMANDS[path].get_short_help_str()
    assert all(isinstance(each, click.Argument) or getattr(each, "help", "") for each in COMMANDS[path].params)
    assert CliRunner().invoke(waybill, [*path.split(), "--nonsense"]).exit_code == 2
