"""Reload of waybill.yaml: real files, changed while a `ReloadableConfiguration` watches them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.config import Config
from service.config_reload import ReloadableConfiguration
from service.configuration import load_config
from service.errors import ConfigError
from service.log import configure
from service.metrics.families import CONFIG_RELOADS, CONFIG_VALID
from tests.waiting import until

CHECK_SECONDS = 0.02
SETTLED_SECONDS = 10 * CHECK_SECONDS


class Parts:
    """Parts of a configuration. `open_parts` counts the open ones, and rejects a source with the name `broken`."""

    def __init__(self) -> None:
        self.open: list[list[str]] = []

    @contextlib.asynccontextmanager
    async def open_parts(self, config: Config) -> AsyncGenerator[list[str]]:
        if "broken" in config.sources:
            raise ConfigError("sources.broken", "cannot be used", "rename it")
        names = sorted(config.sources)
        self.open.append(names)
        try:
            yield names
        finally:
            self.open.remove(names)


def write(path: Path, *sources: str, secret: Path | None = None, **settings: object) -> None:
    """Write a waybill.yaml with these sources, replaced at once as Kubernetes does."""
    ref = {"file": str(secret)} if secret else {"env": "S"}
    source = {"platform": "erp", "verify": {"scheme": "bearer", "secrets": [ref]}, **settings}
    source["envelope"] = {"kind": "custom", "id": "/id", "type": "/t", "record": {"kind": "purchase_order", "id": "/o"}}
    erp: dict[str, Any] = {"kind": "custom", "base_url": "https://erp.example.com", "auth": {"type": "none"}}
    erp["records"] = {"purchase_order": {"path": "/orders/{id}"}}
    write_text(path, json.dumps({"platforms": {"erp": erp}, "sources": dict.fromkeys(sources, source)}))


def write_text(path: Path, text: str) -> None:
    """Replace a file at once."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def link(path: Path, target: str) -> None:
    """Make a symbolic link, or replace it at once."""
    new = path.with_suffix(".new")
    new.symlink_to(target)
    new.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "waybill.yaml"


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Callable[[str], list[dict[str, Any]]]:
    configure("service")
    seen: list[dict[str, Any]] = []

    def read(event: str) -> list[dict[str, Any]]:
        seen.extend(map(json.loads, capfd.readouterr().out.splitlines()))
        return [line for line in seen if line["message"] == event]

    return read


@contextlib.asynccontextmanager
async def watching(
    path: Path, parts: Parts, environ: Mapping[str, str] = {"S": "hush-hush-hush"}, call_seconds_max: float = 0.0
) -> AsyncGenerator[ReloadableConfiguration[list[str]]]:
    configuration = ReloadableConfiguration(
        load_config(path, environ),
        environ,
        parts.open_parts,
        call_seconds_max=call_seconds_max,
        retention_days_max=30,
        check_seconds=CHECK_SECONDS,
    )
    async with configuration.open():
        yield configuration


async def test_file_with_a_mistake_leaves_the_active_configuration(
    path: Path, lines: Callable[[str], list[dict[str, Any]]]
) -> None:
    write(path, "shop")
    rejected = CONFIG_RELOADS.values.get(("rejected",), 0)
    async with watching(path, Parts()) as configuration:
        assert CONFIG_VALID.values == {(): 1}
        write_text(path, "sources: [")
        await until(lambda: bool(lines("config.rejected")))
        assert (configuration.active, CONFIG_VALID.values) == (["shop"], {(): 0})
        await asyncio.sleep(SETTLED_SECONDS)
        assert len(lines("config.rejected")) == 1  # one mistake, one line
        assert lines("config.rejected")[0]["reason"].endswith("Run: waybill check")
        assert CONFIG_RELOADS.values["rejected",] == rejected + 1
        write(path, "shop", "store")
        await until(lambda: configuration.active == ["shop", "store"])
        assert CONFIG_VALID.values == {(): 1}


async def test_parts_that_cannot_be_opened_leave_the_active_configuration(
    path: Path, lines: Callable[[str], list[dict[str, Any]]]
) -> None:
    write(path, "shop")
    parts = Parts()
    async with watching(path, parts) as configuration:
        write(path, "broken")
        await until(lambda: bool(lines("config.rejected")))
        assert "sources.broken" in lines("config.rejected")[0]["reason"]
        assert (configuration.active, parts.open) == (["shop"], [["shop"]])


async def test_longer_dedupe_window_than_the_retention_needs_a_restart(
    path: Path, lines: Callable[[str], list[dict[str, Any]]]
) -> None:
    write(path, "shop")
    async with watching(path, Parts()) as configuration:
        write(path, "store", dedupe_hours=30 * 24)
        await until(lambda: configuration.active == ["store"])
        write(path, "shop", dedupe_hours=30 * 24 + 1)
        await until(lambda: bool(lines("config.rejected")))
        assert "restart the processes" in lines("config.rejected")[0]["reason"]
        assert configuration.active == ["store"]


async def test_replaced_parts_are_closed_after_the_longest_call(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.config_reload.CLOSE_GRACE_SECONDS", 0.1)
    write(path, "shop")
    parts = Parts()
    async with watching(path, parts) as configuration:
        replaced = configuration.replaced
        write(path, "store")
        await replaced.wait()
        assert configuration.active == ["store"]
        assert parts.open == [["shop"], ["store"]]  # a call that began before uses the old parts
        await until(lambda: parts.open == [["store"]])
    assert parts.open == []


async def test_parts_that_wait_for_their_end_are_closed_with_the_process(path: Path) -> None:
    write(path, "shop")
    parts = Parts()
    async with watching(path, parts, call_seconds_max=3_600) as configuration:
        write(path, "store")
        await until(lambda: configuration.active == ["store"])
    assert parts.open == []


async def test_changed_secret_file_reloads_the_configuration(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("first-first-first")
    write(path, "shop", secret=secret)
    async with watching(path, Parts()) as configuration:
        replaced = configuration.replaced
        secret.write_text("second-second-second")
        await asyncio.wait_for(replaced.wait(), 60)


async def test_newly_named_secret_file_is_read_once(
    path: Path, tmp_path: Path, lines: Callable[[str], list[dict[str, Any]]]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for secret in (first, second):
        secret.write_text("hush-hush-hush")
    write(path, "shop", secret=first)
    async with watching(path, Parts()) as configuration:
        replaced = configuration.replaced
        write(path, "shop", secret=second)
        await asyncio.wait_for(replaced.wait(), 60)
        await asyncio.sleep(SETTLED_SECONDS)
        assert len(lines("config.reloaded")) == 1
        replaced = configuration.replaced
        second.write_text("other-other-other")
        await asyncio.wait_for(replaced.wait(), 60)


async def test_missing_secret_file_is_read_when_it_appears(
    path: Path, tmp_path: Path, lines: Callable[[str], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.config_reload.RETRY_SECONDS", 0.1)
    write(path, "shop")
    secret = tmp_path / "secret"
    async with watching(path, Parts()) as configuration:
        write(path, "store", secret=secret)
        await until(lambda: bool(lines("config.rejected")))
        assert str(secret) in lines("config.rejected")[0]["reason"]
        secret.write_text("late-late-late")
        await until(lambda: configuration.active == ["store"])


async def test_touched_link_target_reloads_as_a_mounted_config_map_does(path: Path, tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        write(tmp_path / version / "waybill.yaml", f"shop-{version}")
    link(tmp_path / "..data", "1")
    link(path, "..data/waybill.yaml")
    async with watching(path, Parts()) as configuration:
        assert configuration.active == ["shop-1"]
        link(tmp_path / "..data", "2")
        await until(lambda: configuration.active == ["shop-2"])
