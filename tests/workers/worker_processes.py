"""`waybill worker` and `waybill serve` as processes with one configuration."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from service.dev.processes import ChildProcess, LogLine, start_child
from tests.one_shard import ONE_SHARD
from tests.waiting import PATIENCE_SECONDS, until


class WorkerProcesses:
    """Processes of one test. `secrets` are the environment variables of its waybill.yaml."""

    def __init__(self, directory: Path, redis_url: str, config: str, secrets: dict[str, str]) -> None:
        self.children: list[ChildProcess] = []
        self._directory = directory
        self._redis_url = redis_url
        self._secrets = secrets
        self._config = directory / "waybill.yaml"
        self._config.write_text(config)

    async def start(self, redis_url: str | None = None, command: str = "worker", **settings: object) -> ChildProcess:
        """Start a process and wait for `process.started`. `redis_url` replaces the URL of the store."""
        values = {"config": self._config, "host": "127.0.0.1", "port": 0, "admin_port": 0} | settings
        environ = dict(os.environ) | {f"WAYBILL_{name.upper()}": str(value) for name, value in values.items()}
        environ |= ONE_SHARD | {"WAYBILL_REDIS_URL": redis_url or self._redis_url} | self._secrets
        child = start_child(f"{command}{len(self.children)}", [command], environ, self._directory)
        self.children.append(child)
        await self.wait_for_line(child, "process.started")
        return child

    async def wait_for_line(self, child: ChildProcess, event: str) -> LogLine:
        """Wait for a log line of a process."""
        return await asyncio.to_thread(child.wait_for, lambda line: line.get("message") == event, PATIENCE_SECONDS)

    def log_lines(self, event: str, among: Iterable[ChildProcess] | None = None) -> list[LogLine]:
        """Return the log lines of an event, of all processes or of `among`."""
        children = self.children if among is None else among
        return [line for child in children for line in child.lines() if line.get("message") == event]

    async def wait_for_log_lines(self, event: str, **fields: object) -> list[LogLine]:
        """Wait for log lines of an event with these fields. A process writes a line after its effect in the store."""

        def lines() -> list[LogLine]:
            return [line for line in self.log_lines(event) if line.items() >= fields.items()]

        await until(lambda: bool(lines()))
        return lines()

    def kill(self) -> None:
        """Kill all processes."""
        for child in self.children:
            child.kill()
