"""`waybill init`: files that pass all checks, for every preset and platform, with and without a terminal."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli.main import waybill
from service.cli.rule_files import read_configured_rules
from service.configuration import load_config
from service.dev.env_file import read_env_file
from service.dev.starter import OWN_PRESET, PLATFORMS, RULES, starter_presets
from service.errors import ConfigError
from service.events import Delivery
from service.http_client import HttpClient
from service.ingestion.sources import build_sources
from service.platforms.kind import SampleRequest
from service.platforms.registry import build_platforms
from service.sending.example_event import find_example_event
from service.sending.sample_deliveries import render
from service.settings import Settings

NOW = 1_800_000_000.0


def init(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(waybill, ["init", str(folder), *options], env={"PATH": "/usr/bin"})


async def check_delivery(folder: Path) -> None:
    """Check that the example delivery of the source is verified and becomes an event about a record."""
    path = folder / "waybill.yaml"
    environ = read_env_file(path)
    config = load_config(path, environ)
    example = find_example_event(config)
    assert example is not None
    source = config.sources[example.source]
    async with HttpClient(Settings()) as outbound:
        built = build_sources(config, environ, build_platforms(config.platforms, environ, outbound), Settings())
    request = SampleRequest(example.event, "7", "e1", "2026-11-20T09:15:00Z")
    sample = render(request, source, config.platforms[source.platform])
    assert source.verify is not None
    secret = source.verify.refs[0].resolve(environ)
    unsigned = Delivery(example.source, {"content-type": "application/json", **sample.headers}, sample.body, NOW)
    signed = source.verify.sign_delivery(unsigned, secret, "e1")
    verified = built[example.source].verify(signed)
    assert built[example.source].parse(signed, verified).facts


@pytest.mark.parametrize("preset", starter_presets())
def test_every_preset_gives_files_without_mistakes(preset: str, tmp_path: Path) -> None:
    done = init(tmp_path, "--preset", preset)
    assert done.exit_code == 0, f"{done.output}{done.exception}"
    assert "No mistakes found." in done.output
    config = load_config(tmp_path / "waybill.yaml", read_env_file(tmp_path / "waybill.yaml"))
    assert list(config.sources) == [preset]
    assert [rule.id for file in read_configured_rules(config) for rule in file.rules] == ["first-rule"]


@pytest.mark.parametrize("platform", [name for name in PLATFORMS if name != "custom"])
async def test_the_own_deliveries_of_every_built_in_platform_are_accepted(platform: str, tmp_path: Path) -> None:
    done = init(tmp_path, "--preset", OWN_PRESET, "--platform", platform, "--rule", "http")
    assert done.exit_code == 0, f"{done.output}{done.exception}"
    await check_delivery(tmp_path)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_preset_fits_every_platform(platform: str, tmp_path: Path) -> None:
    assert init(tmp_path, "--platform", platform).exit_code == 0
    await check_delivery(tmp_path)


@pytest.mark.parametrize("rule", RULES)
def test_the_test_of_every_first_rule_passes(rule: str, tmp_path: Path) -> None:
    init(tmp_path, "--rule", rule)
    environ = read_env_file(tmp_path / "waybill.yaml") | {"WAYBILL_CONFIG": str(tmp_path / "waybill.yaml")}
    for command in (("rules", "test"), ("check",)):
        done = CliRunner().invoke(waybill, command, env=environ)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--preset", "shopfy"), "--preset: there is no 'shopfy' to start with. Fix: did you mean shopify?"),
        (("--preset", "discord"), "--preset: there is no 'discord' to start with"),  # requires a key of the sender
        (("--platform", "x"), "--platform: there is no 'x' to start with"),
        (("--rule", "x"), "--rule: there is no 'x' to start with"),
        (("--preset", "platform"), "--preset: a custom platform has no deliveries of its own. Fix: choose a preset"),
        (("--platform", "pexip_engage", "--rule", "short-receipt"), "--rule: short-receipt is a rule about purchase"),
    ],
)
def test_answers_that_do_not_fit_write_nothing(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = init(tmp_path / "new", *options)
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["waybill.yaml", ".env", "rules/first.yaml"])
def test_existing_files_are_not_changed(name: str, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / name).write_text("mine")
    done = init(tmp_path)
    assert f"{tmp_path / name}: exists already. Fix: choose another folder" in str(done.exception)
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


def test_secrets_are_private_and_ignored_by_git(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("dist/\n.env\n")
    init(tmp_path)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / ".gitignore").read_text() == "dist/\n.env\n.waybill/\n"
    secret = read_env_file(tmp_path / "waybill.yaml")["WEBHOOK_SECRET"]
    assert all(secret not in path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".env")


def test_a_folder_that_cannot_be_written_is_named() -> None:
    done = init(Path("/proc/waybill"))
    assert isinstance(done.exception, ConfigError)
    assert "cannot be written" in str(done.exception)


def test_the_port_of_the_sandbox_is_in_the_files(tmp_path: Path) -> None:
    init(tmp_path, "--rule", "http", "--sandbox-port", "18090")
    assert "http://127.0.0.1:18090/pack_cloud" in (tmp_path / "waybill.yaml").read_text()
    assert "http://127.0.0.1:18090/_sandbox" in (tmp_path / "rules" / "first.yaml").read_text()
