"""Conventions for all commands: options, help and examples. Exceptions are listed with the reason."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from service.cli.main import waybill

ROOT = Path(__file__).parents[3]

NEEDS_NO_INSTALLATION = {
    "check", "completion", "demo", "dev", "doctor", "init", "rules check", "rules schema", "rules test", "sandbox",
    "sources presets", "sources show",
    "serve",
    "store accept",
    "worker",
}  # fmt: skip
"""Commands that read files, start processes or check the local environment. `send` has the option --url of webhooks.
The admin API cannot accept a lost store: it answers 503 until then."""

WITHOUT_JSON = {
    "completion": "prints a script",
    "demo": "interactive", "dev": "interactive", "init": "interactive",
    "sandbox": "long-running", "serve": "long-running",
    "worker": "long-running",
}  # fmt: skip

DESTRUCTIVE = {
    "dead-letters discard", "dead-letters replay", "demo", "dev", "erase-customer", "events replay",
    "platforms write", "quarantine delete",
}  # fmt: skip


CONTEXT = click.Context(waybill)


def named(name: str) -> click.Command:
    found = waybill.get_command(CONTEXT, name)
    assert found is not None
    return found


def leaves(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    for name in command.list_commands(click.Context(command)):
        inner = command.get_command(click.Context(command), name)
        assert inner is not None
        yield from leaves(inner, f"{path} {name}".strip())


COMMANDS = dict(leaves(waybill))


GROUPS = {name: each for name in waybill.list_commands(CONTEXT) if isinstance(each := named(name), click.Group)}


def options(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def test_every_command_that_needs_an_installation_can_use_the_admin_api() -> None:
    assert {path for path, command in COMMANDS.items() if "--url" not in options(command)} == NEEDS_NO_INSTALLATION
    remote = {path for path, command in COMMANDS.items() if "--token-file" in options(command)}
    assert remote == COMMANDS.keys() - NEEDS_NO_INSTALLATION - {"send", "open"}


def test_every_command_prints_by_the_function_that_escapes_control_characters() -> None:
    modules = [path for folder in ("cli", "dev") for path in (ROOT / "service" / folder).glob("*.py")]
    assert {path.name for path in modules if "click.echo(" in path.read_text()} == {"output.py"}


def test_every_command_with_results_can_print_json() -> None:
    for option in ("--output", "-o", "--json"):
        assert {path for path, command in COMMANDS.items() if option not in options(command)} == WITHOUT_JSON.keys()


def test_every_destructive_command_has_an_option_that_skips_the_confirmation() -> None:
    assert {path for path, command in COMMANDS.items() if "--yes" in options(command)} == DESTRUCTIVE


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_help_and_rejects_unknown_options_with_exit_code_2(path: str) -> None:
    result = CliRunner().invoke(waybill, [*path.split(), "--help"])
    assert (result.exit_code, len(result.stdout.splitlines()) > 3) == (0, True)
    assert COMMANDS[path].get_short_help_str()
    assert all(isinstance(each, click.Argument) or getattr(each, "help", "") for each in COMMANDS[path].params)
    assert CliRunner().invoke(waybill, [*path.split(), "--nonsense"]).exit_code == 2


@pytest.mark.parametrize("path", [*COMMANDS, *GROUPS])
def test_every_command_has_examples_with_existing_commands_and_options(path: str) -> None:
    command = COMMANDS.get(path) or GROUPS[path]
    heading, *examples = (command.epilog or "").removeprefix("\b\n").splitlines()
    assert heading == ("Example:" if len(examples) == 1 else "Examples:")
    for example in examples:
        words = shlex.split(example.partition("waybill ")[2], comments=True)
        if words:  # otherwise another program, such as curl
            called = path if path in COMMANDS else " ".join(words[:2])
            assert called.startswith(path)
            assert words[: len(called.split())] == called.split()
            assert {word for word in words if word.startswith("--")} <= options(COMMANDS[called])
    assert any(f"waybill {path}" in example for example in examples)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dev", "--yes"), "Add --store, or omit --yes"),
        (("demo", "--yes"), "Add --store, or omit --yes"),
        (("events", "list", "--outcome", "matchd"), "'matched', 'unmatched'"),
        (("events", "replay", "--outcome", "matchd"), "'matched', 'unmatched'"),
    ],
)
def test_option_without_effect_is_rejected(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(waybill, arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_dev_reports_all_mistakes_of_the_configuration_before_it_starts(tmp_path: Path) -> None:
    path = tmp_path / "waybill.yaml"
    path.write_text("platforms: {a: {kind: nothing}, b: {kind: nothing}}\nsources: {}\n")
    result = CliRunner().invoke(waybill, ["dev", "--config", str(path)])
    assert (result.exit_code, "Starting" in result.stdout) == (2, False)
    mistakes = [line.split(": ")[1:3] for line in result.stderr.splitlines()]
    assert mistakes == [
        [f"{path}:1", "platforms.a.kind"], [f"{path}:1", "platforms.b.kind"], [f"{path}:2", "sources"]
    ]  # fmt: skip
