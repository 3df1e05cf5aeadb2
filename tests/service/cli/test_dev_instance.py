"""File of a running `waybill dev`: rejected if unsafe, removed if stale, overridden by settings of the user."""

import os
from pathlib import Path

import pytest

from service.cli.dev_instance import (
    ENDED_MESSAGE,
    INSTALLATION_VARIABLES,
    DevInstance,
    adopt_dev_instance,
    dev_instance_file,
    find_dev_instance,
)
from service.errors import ConfigError

INSTANCE = DevInstance(
    7,
    "/w/waybill.yaml",
    {"WAYBILL_REDIS_URL": "unix:///w/v.sock", "WAYBILL_PORT": "81", "KEY": "k"},
    "http://127.0.0.1:82",
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "waybill" / "dev.json"


def test_a_file_that_others_can_read_is_rejected_with_the_fix(environ: dict[str, str], file: Path) -> None:
    with dev_instance_file(environ) as write:
        write(INSTANCE)
        for mode in (0o640, 0o604, 0o620):
            file.chmod(mode)
            with pytest.raises(ConfigError, match=rf"accessible to other users \(mode {mode:o}\). Fix: remove {file}"):
                find_dev_instance(environ)


def test_a_file_of_another_user_is_rejected(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with dev_instance_file(environ) as write:
        write(INSTANCE)
        owner = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: owner + 1)
        with pytest.raises(ConfigError, match=f"belongs to user {owner}, not to user {owner + 1}"):
            adopt_dev_instance(environ)
    assert "KEY" not in environ


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_link_a_folder_and_a_pipe_are_rejected(environ: dict[str, str], file: Path, kind: str) -> None:
    file.parent.mkdir()
    if kind == "link":
        file.symlink_to("/dev/null")
    elif kind == "folder":
        file.mkdir()
    else:
        os.mkfifo(file)
    with pytest.raises(ConfigError, match=r"dev.json: is not a regular file. Fix: remove"):
        find_dev_instance(environ)


@pytest.mark.slow
def test_a_second_dev_is_rejected_with_the_fix(environ: dict[str, str]) -> None:
    with (
        dev_instance_file(environ) as write,
        pytest.raises(ConfigError, match=r"already running here .* Fix: stop it with Ctrl-C"),
        dev_instance_file(environ),
    ):
        write(INSTANCE)


def test_a_dev_that_has_not_started_yet_is_reported(environ: dict[str, str]) -> None:
    with dev_instance_file(environ), pytest.raises(ConfigError, match=r"still starting. Fix: wait"):
        find_dev_instance(environ)


def test_a_file_in_place_of_the_folder_is_reported_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".waybill").write_text("a file instead of the folder")
    monkeypatch.chdir(tmp_path)
    assert find_dev_instance({}) is None
    with pytest.raises(ConfigError, match=r"is a file, and must be a folder\. Fix: rename"), dev_instance_file({}):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid":1,"config":"c","environ":{"KEY":"old"}}'])
def test_a_stale_file_is_reported_once_and_removed(
    environ: dict[str, str], file: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    file.chmod(0o600)
    adopt_dev_instance(environ)
    assert "KEY" not in environ
    assert not file.exists()
    assert capsys.readouterr().err == f"{ENDED_MESSAGE}\n"
    adopt_dev_instance(environ)
    assert capsys.readouterr().err == ""


def test_a_stale_file_is_replaced_by_the_next_dev(environ: dict[str, str], file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"x" * 10_000)
    file.chmod(0o600)
    with dev_instance_file(environ) as write:
        write(INSTANCE)
        assert find_dev_instance(environ) == INSTANCE
    assert not file.exists()
    assert find_dev_instance(environ) is None


def test_the_variables_of_a_running_dev_are_added(environ: dict[str, str], file: Path) -> None:
    environ["WAYBILL_LOG_LEVEL"] = "error"
    with dev_instance_file(environ) as write:
        write(INSTANCE)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        before = dict(environ)
        adopt_dev_instance(environ)
    assert environ == before | INSTANCE.environ


@pytest.mark.parametrize("name", sorted(INSTALLATION_VARIABLES))
def test_settings_of_the_user_win_over_a_running_dev(environ: dict[str, str], name: str) -> None:
    environ[name] = "chosen"
    with dev_instance_file(environ) as write:
        write(INSTANCE)
        before = dict(environ)
        adopt_dev_instance(environ)
    assert environ == before


@pytest.mark.parametrize("runtime", ["", "relative", "/nowhere/at/all"])
def test_the_working_directory_is_used_without_a_runtime_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"XDG_RUNTIME_DIR": runtime}
    with dev_instance_file(environ) as write:
        write(INSTANCE)
        assert find_dev_instance({}) == INSTANCE
        assert (tmp_path / ".waybill" / "dev.json").exists()
        assert (tmp_path / ".waybill" / ".gitignore").read_text() == "*\n"
