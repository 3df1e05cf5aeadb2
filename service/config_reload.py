"""Reload of waybill.yaml: a changed file is checked as a whole, and is activated if it is valid."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Generic, TypeVar, cast

from msgspec import Struct

from service.background import run_forever
from service.config import Config
from service.config.config_files import find_config_files
from service.config.startup import log_config_warnings
from service.configuration import read_config
from service.errors import ConfigError, ConfigErrors
from service.file_watcher import FileWatcher, take_snapshot
from service.log import get_logger
from service.metrics.families import CONFIG_RELOADS, CONFIG_VALID
from service.mistakes import format_for_log
from service.secrets import SecretRef

CHECK_SECONDS = 2.0
"""Interval of the checks whether a file changed."""
RETRY_SECONDS = 30.0
"""Interval of the reads while the file has mistakes: it may name a secret file that is written later."""
CLOSE_GRACE_SECONDS = 5.0
"""Added to the longest call before the resources of a replaced configuration are closed."""

PartsT = TypeVar("PartsT")
OpenParts = Callable[[Config], AbstractAsyncContextManager[PartsT]]


class ReloadableConfiguration(Generic[PartsT]):
    """The parts of a process that waybill.yaml configures. They are built again when the file or a secret file changes.

    Args:
        config: The configuration at startup.
        environ: The environment variables. They do not change during the life of a process.
        open_parts: Opens the parts of a configuration; raises ConfigError if it cannot be used.
        call_seconds_max: Longest use of the parts by one caller. Replaced parts are closed after that time.
        retention_days_max: Retention of the stores of this process.
    """

    active: PartsT

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        open_parts: OpenParts[PartsT],
        *,
        call_seconds_max: float,
        retention_days_max: float,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self.config = config
        self._environ = environ
        self._open_parts = open_parts
        self._close_seconds = call_seconds_max + CLOSE_GRACE_SECONDS
        self._retention_days_max = retention_days_max
        self._check_seconds = check_seconds
        self._watcher = FileWatcher(lambda: watched_files(self.config), check_seconds / 2)
        self._rejected_reason = ""
        self._opened = AsyncExitStack()
        self._replaced: dict[AsyncExitStack, asyncio.Task[None]] = {}
        self.replaced = asyncio.Event()
        """Set when `active` was replaced. Each configuration has an event of its own."""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator[PartsT]:
        """Open the parts, watch the files during the block, and close everything at the end.

        Raises:
            ConfigError: The configuration cannot be used.
        """
        self.active = await self._opened.enter_async_context(self._open_parts(self.config))
        CONFIG_VALID.set_all({(): 1})
        watch = asyncio.create_task(run_forever("config", self._watch))
        try:
            yield self.active
        finally:
            tasks = (watch, *self._replaced.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for opened in (self._opened, *self._replaced):
                await opened.aclose()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        retry_at = 0.0
        while True:
            await asyncio.sleep(self._check_seconds)
            # In a thread: a file may be on a slow volume.
            changed = await asyncio.to_thread(self._watcher.changes)
            if changed or (self._rejected_reason and loop.time() >= retry_at):
                await self.reload()
                retry_at = loop.time() + RETRY_SECONDS

    async def reload(self) -> None:
        """Read the file again and activate it. If it has mistakes, log them and keep the active configuration."""
        try:
            report = await asyncio.to_thread(read_config, self.config.path, self._environ)
            if report.config is None:
                raise ConfigErrors(report.mistakes)
            await self._activate(report.config)
        except ConfigError as error:
            self._reject(error.mistakes)

    async def _activate(self, config: Config) -> None:
        if config.dedupe_days > self._retention_days_max:
            reason = f"has a dedupe window of {config.dedupe_days:g} days, longer than the retention of this process"
            raise ConfigError("sources", reason, "restart the processes: they extend their retention at startup")
        # Before the secrets are read, so that a later change of them is noticed.
        read = await asyncio.to_thread(lambda: take_snapshot(watched_files(config)))
        opened = AsyncExitStack()
        try:
            parts = await opened.enter_async_context(self._open_parts(config))
        except BaseException:
            await opened.aclose()
            raise
        self._replaced[self._opened] = asyncio.create_task(self._close_later(self._opened))
        self.config, self.active, self._opened = config, parts, opened
        self._watcher.adopt(read)
        replaced, self.replaced = self.replaced, asyncio.Event()
        replaced.set()
        self._rejected_reason = ""
        CONFIG_VALID.set_all({(): 1})
        CONFIG_RELOADS.inc(("activated",))
        counts = {name: len(getattr(config, name)) for name in ("sources", "platforms", "destinations")}
        get_logger().info("config.reloaded", path=str(config.path), **counts)
        log_config_warnings(config)

    async def _close_later(self, opened: AsyncExitStack) -> None:
        await asyncio.sleep(self._close_seconds)
        await opened.aclose()
        del self._replaced[opened]

    def _reject(self, mistakes: Sequence[ConfigError]) -> None:
        CONFIG_VALID.set_all({(): 0})
        reason = f"{format_for_log(mistakes)}. The previous configuration stays active. Run: waybill check"
        if reason == self._rejected_reason:
            return
        self._rejected_reason = reason
        CONFIG_RELOADS.inc(("rejected",))
        get_logger().error("config.rejected", path=str(self.config.path), mistakes=len(mistakes), reason=reason)


def watched_files(config: Config) -> Iterator[Path]:
    """Return the files of the configuration and each secret file that they name."""
    yield from find_config_files(config.path)
    parts = (config.platforms, config.sources, config.destinations, config.admin)
    for ref in _secret_refs(parts):
        if ref.file:
            yield Path(ref.file)


def _secret_refs(value: object) -> Iterator[SecretRef]:
    """Find the references in a configuration, at any depth."""
    if isinstance(value, SecretRef):
        yield value
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from _secret_refs(getattr(value, name))
    elif isinstance(value, Mapping):
        for each in cast("Mapping[str, object]", value).values():
            yield from _secret_refs(each)
    elif isinstance(value, tuple | list):
        for each in cast("tuple[object, ...]", value):
            yield from _secret_refs(each)
