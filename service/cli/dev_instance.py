"""The file by which commands find a running `waybill dev`.

`waybill dev` holds an exclusive lock on the file while it runs. The kernel releases the lock when the process ends, so
a file without a lock is stale. The file is in XDG_RUNTIME_DIR, or without one in the working directory.
"""

import contextlib
import fcntl
import os
import stat
import sys
import time
from collections.abc import Callable, Generator, Mapping, MutableMapping
from pathlib import Path

import msgspec
from msgspec import Struct

from service.cli.output import print_text
from service.errors import ConfigError

INSTALLATION_VARIABLES = frozenset(
    f"WAYBILL_{name}" for name in ("REDIS_URL", "SHARDS", "REDIS_SENTINEL", "KEY_PREFIX", "CONFIG", "PORT", "ADMIN_URL")
)
"""Variables that name an installation. A user who sets one of them gets that installation."""

LOCK_TIMEOUT_SECONDS = 1.0
"""Longest wait for the lock. Commands hold it for less time while they remove a stale file."""

ENDED_MESSAGE = "waybill: `waybill dev` has ended without a shutdown. Start it again, or set WAYBILL_REDIS_URL."


class DevInstance(Struct, frozen=True):
    """A running `waybill dev`: process id, configuration file, variables for other commands, URL of the sandbox."""

    pid: int
    config: str
    environ: dict[str, str]
    sandbox_url: str


def adopt_dev_instance(environ: MutableMapping[str, str]) -> DevInstance | None:
    """Add the variables of a running `waybill dev` to `environ`, unless it names an installation.

    Returns:
        The running `waybill dev`, or None if its variables were not added.

    Raises:
        ConfigError: the file of `waybill dev` is unsafe or incomplete.
    """
    if INSTALLATION_VARIABLES & environ.keys():
        return None
    found = find_dev_instance(environ)
    if found is None:
        return None
    environ.update(found.environ)
    if sys.stderr.isatty():
        print_text(f"waybill: using `waybill dev`, process {found.pid}, {found.config}", err=True)
    return found


def find_dev_instance(environ: Mapping[str, str]) -> DevInstance | None:
    """Read the file of a running `waybill dev`. If that process has ended, remove the file and report it on stderr.

    Raises:
        ConfigError: others can write or read the file, or `waybill dev` has not written it yet.
    """
    path = _path(environ)
    try:
        descriptor = _open(path, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}", f"remove {path.parent}") from None
    try:
        if _lock(descriptor, fcntl.LOCK_SH):
            if _remove_stale(path, descriptor):
                print_text(ENDED_MESSAGE, err=True)
            return None
        return msgspec.json.decode(os.read(descriptor, os.fstat(descriptor).st_size), type=DevInstance)
    except msgspec.MsgspecError:
        raise ConfigError(str(path), "`waybill dev` is still starting", "wait until it prints its addresses") from None
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def dev_instance_file(environ: Mapping[str, str]) -> Generator[Callable[[DevInstance], None]]:
    """Lock the file, yield a function that writes it, and remove it at the end.

    Raises:
        ConfigError: another `waybill dev` runs, or the file cannot be written.
    """
    path = _path(environ)
    descriptor = _reserve(path)

    def write(instance: DevInstance) -> None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(instance), 0)

    try:
        yield write
    finally:
        path.unlink(missing_ok=True)  # under the lock, so that the file of another process is never removed
        os.close(descriptor)


def _path(environ: Mapping[str, str]) -> Path:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(runtime) / "waybill" if Path(runtime).is_absolute() and Path(runtime).is_dir() else Path(".waybill")
    return folder.absolute() / "dev.json"


def _open(path: Path, flags: int) -> int:
    """Open the file if it belongs to this user alone.

    Raises:
        ConfigError: the file belongs to another user, or others can access it.
        OSError: the file cannot be opened.
    """
    with contextlib.suppress(FileNotFoundError):
        _check(path, path.lstat())  # before open(), which fails for the file of another user
    descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    try:
        _check(path, os.fstat(descriptor))
    except ConfigError:
        os.close(descriptor)
        raise
    return descriptor


def _check(path: Path, found: os.stat_result) -> None:
    reason = None
    if not stat.S_ISREG(found.st_mode):
        reason = "is not a regular file"
    elif found.st_uid != os.getuid():
        reason = f"belongs to user {found.st_uid}, not to user {os.getuid()}"
    elif found.st_mode & 0o077:
        reason = f"is accessible to other users (mode {stat.S_IMODE(found.st_mode):o})"
    if reason:
        raise ConfigError(str(path), reason, f"remove {path} and start `waybill dev` again")


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_stale(path: Path, descriptor: int) -> bool:
    """Remove the file only under the exclusive lock, so that the file of a new process is never removed."""
    if not _lock(descriptor, fcntl.LOCK_EX) or not _is_current(path, descriptor):
        return False
    path.unlink()
    return True


def _reserve(path: Path) -> int:
    """Create the file, or take over a stale one, and lock it."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if path.parent.name == ".waybill":
            (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while True:
            descriptor = _open(path, os.O_RDWR | os.O_CREAT)
            if _lock(descriptor, fcntl.LOCK_EX) and _is_current(path, descriptor):
                os.ftruncate(descriptor, 0)
                return descriptor
            os.close(descriptor)
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
    except FileExistsError:
        fix = "rename or remove the file, or set XDG_RUNTIME_DIR to another folder"
        raise ConfigError(str(path.parent), "is a file, and must be a folder", fix) from None
    except OSError as error:
        fix = "change to a folder that you can write to, or set XDG_RUNTIME_DIR to one"
        raise ConfigError(str(path), f"cannot be written: {error.strerror}", fix) from None
    fix = "stop it with Ctrl-C in its terminal, or set XDG_RUNTIME_DIR to another folder for this one"
    raise ConfigError("waybill dev", f"is already running here ({path} is locked)", fix)
