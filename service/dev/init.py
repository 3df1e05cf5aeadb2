"""`waybill init`: write starter files after three questions, check them, and start `waybill dev`."""

import base64
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from service.cli.output import print_text
from service.cli.rule_files import read_configured_rules
from service.config.decoding import did_you_mean
from service.configuration import read_config
from service.dev.commands import dev
from service.dev.env_file import NAME as ENV_FILE
from service.dev.introduction import program
from service.dev.ports import DEFAULT_SANDBOX_PORT
from service.dev.starter import (
    OWN_PRESET,
    PLATFORMS,
    RULES,
    SECRET_VARIABLE,
    StarterChoice,
    build_files,
    starter_presets,
    variables,
)
from service.errors import ConfigError, ConfigErrors

DEFAULTS = StarterChoice("standard-webhooks", "custom", "log")
IGNORED = (ENV_FILE, ".waybill/")
QUESTIONS = {
    "preset": "1. Sender of the deliveries, a preset (`waybill sources presets`) or platform",
    "platform": f"2. Platform with the records ({', '.join(PLATFORMS)})",
    "rule": f"3. First rule ({', '.join(RULES)})",
}


@click.command(
    epilog="\b\nExamples:\n  waybill init\n  waybill init shop --preset shopify --platform custom --rule http"
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--preset", help="Sender: a preset, or `platform` for the deliveries of a built-in platform.")
@click.option("--platform", help=f"Platform with the records: {', '.join(PLATFORMS)}.")
@click.option("--rule", help=f"First rule: {', '.join(RULES)}.")
@click.option(
    "--sandbox-port",
    type=click.IntRange(1, 65_535),
    default=DEFAULT_SANDBOX_PORT,
    show_default=True,
    help="Port of the sandbox in the files, as of `waybill dev --sandbox-port`.",
)
@click.option("--start/--no-start", default=None, help="Start `waybill dev` afterwards. Default: ask on a terminal.")
@click.pass_context
def init(
    context: click.Context,
    folder: Path,
    *,
    preset: str | None,
    platform: str | None,
    rule: str | None,
    sandbox_port: int,
    start: bool | None,
) -> None:
    """Write a starter waybill.yaml, a first rule and its test.

    Asks for the sender, the platform and the first rule. Without a terminal, or with the options, it does not ask. The
    platform is the sandbox of `waybill dev`, so that the files run at once. Existing files are not changed.
    """
    answers = {"preset": preset, "platform": platform, "rule": rule}
    known = {"preset": (OWN_PRESET, *starter_presets()), "platform": tuple(PLATFORMS), "rule": RULES}
    for name, given in answers.items():
        answers[name] = _check_answer(name, given, known[name]) if given else _ask(name, known[name])
    choice = StarterChoice(**{name: str(answer) for name, answer in answers.items()}, sandbox_port=sandbox_port)
    _write_files(choice, folder)
    _print_next_steps(folder)
    if start is None:
        start = sys.stdin.isatty() and click.confirm("Start `waybill dev` now?", default=True)
    if start:
        os.chdir(folder)
        context.invoke(dev, sandbox_port=sandbox_port)


def _ask(name: str, known: tuple[str, ...]) -> str:
    """Ask a question on a terminal; elsewhere return the default."""
    default = str(getattr(DEFAULTS, name))
    if not sys.stdin.isatty():
        return default

    def check(answer: str) -> str:
        try:
            return _check_answer(name, answer, known)
        except ConfigError as error:
            raise click.UsageError(f"{error.reason}. {error.fix}") from None

    return click.prompt(QUESTIONS[name], default=default, value_proc=check)


def _check_answer(name: str, answer: str, known: tuple[str, ...]) -> str:
    if answer not in known:
        raise ConfigError(f"--{name}", f"there is no {answer!r} to start with", did_you_mean(answer, known))
    return answer


def _write_files(choice: StarterChoice, folder: Path) -> None:
    """Check all files in a temporary folder, then write them.

    Raises:
        ConfigError: a file exists or cannot be written, or the answers do not fit together.
    """
    files = build_files(choice)
    for name in (*files, ENV_FILE):
        if (folder / name).exists():
            raise ConfigError(str(folder / name), "exists already", "choose another folder: waybill init FOLDER")
    with tempfile.TemporaryDirectory(prefix="waybill-") as checked:
        _write(Path(checked), files)
        values = _find_variables(choice, Path(checked) / "waybill.yaml")
    heading = "# Variables of waybill.yaml for `waybill dev`. Do not commit this file.\n"
    files[ENV_FILE] = heading + "".join(f"{name}={value}\n" for name, value in values.items())
    try:
        _write(folder, files)
        _ignore_files(folder / ".gitignore")
    except OSError as error:
        fix = "choose a folder that you can write to: waybill init FOLDER"
        raise ConfigError(str(error.filename or folder), f"cannot be written: {error.strerror}", fix) from None
    for name in files:
        print_text(f"wrote {folder / name}")


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600 if name == ENV_FILE else 0o666)
        path.write_text(text, encoding="utf-8")


def _find_variables(choice: StarterChoice, config: Path) -> Mapping[str, str]:
    """Return the variables with a generated secret of the form that the sender uses.

    Raises:
        ConfigErrors: the files have mistakes with every form.
    """
    mistakes: tuple[ConfigError, ...] = ()
    for secret in _generate_secrets():
        values = variables(choice, secret)
        report = read_config(config, os.environ | values)
        if report.config is not None:
            read_configured_rules(report.config)
            return {name: value for name, value in values.items() if name in config.read_text(encoding="utf-8")}
        mistakes = report.mistakes
    raise ConfigErrors(mistakes)


def _generate_secrets() -> tuple[str, ...]:
    """Return a secret in each form: text, with the prefix of Standard Webhooks, in hex, in base64."""
    key = secrets.token_bytes(32)
    encoded = base64.b64encode(key).decode()
    return secrets.token_urlsafe(32), f"whsec_{encoded}", key.hex(), encoded


def _ignore_files(path: Path) -> None:
    """Add the files with secrets and data to .gitignore."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    missing = [line for line in IGNORED if line not in lines]
    if missing:
        path.write_text("\n".join([*lines, *missing, ""]), encoding="utf-8")


def _print_next_steps(folder: Path) -> None:
    enter = "" if folder == Path() else f"  cd {folder}\n"
    print_text(f"\nNo mistakes found. The secret of the source is {SECRET_VARIABLE} in {ENV_FILE}.\n")
    print_text(f"{enter}  {program()} dev                # reads {ENV_FILE}\n")
    print_text(f"Commands such as `waybill rules test` need the variables too: set -a; . ./{ENV_FILE}; set +a\n")
