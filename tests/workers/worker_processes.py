"""Pods as processes of their own: `waybill worker` and `waybill serve` on one configuration, started and waited for."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from service.dev.processes import ChildProcess, LogLine, start_child
from tests.waiting import PATIENCE_SECONDS


class Pods:
    """The processes of a test; `secrets` are what its waybill.yaml takes from the environment."""

    def __init__(self, directory: Path, redis_url: str, config: str, secrets: dict[str, str]) -> None:
        self.children: list[ChildProcess] = []
        self._directory = directory
        self._redis_url = redis_url
        self._secrets = secrets
        self._config = directory / "waybill.yaml"
        self._config.write_text(config)

    async def start(self, redis_url: str | None = None, command: str = "worker", **settings: object) -> ChildProcess:
        """Start one and wait until it is at work; `redis_url` where it is to reach the store another way."""
        values = {"config": self._config, "host": "127.0.0.1", "port": 0, "admin_port": 0} | settings
        environ = dict(os.environ) | {f"WAYBILL_{name.upper()}": str(value) for name, value in values.items()}
        environ |= {"WAYBILL_REDIS_URL": redis_url or self._redis_url} | self._secrets
        child = start_child(f"{command}{len(self.children)}", [command], environ, self._directory)
        self.children.append(child)
        await self.hears(child, "process.started")
        return child

    async def hears(self, child: ChildProcess, event: str) -> LogLine:
        """Wait until a worker has said something."""
        return await asyncio.to_thread(child.wait_for, lambda line: line.get("message") == event, PATIENCE_SECONDS)

    def said(self, event: str, among: Iterable[ChildProcess] | None = None) -> list[LogLine]:
        """Give all that any worker said under a name."""
        children = self.children if among is None else among
        return [line for child in children for line in child.lines() if line.get("message") == event]

    def kill(self) -> None:
        """End all of them."""
        for child in self.children:
            child.kill()
