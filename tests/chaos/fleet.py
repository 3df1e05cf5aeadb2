"""What is broken: two ingress and two worker processes, one server, and the wires between them and what they call."""

import asyncio
import contextlib
import json
import os
import signal
import struct
import subprocess
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TypeVar

from service.dev.embedded_valkey import EmbeddedValkey, start_valkey
from service.dev.processes import ChildProcess, start_child
from service.settings import Settings, load_settings
from service.store import Store, open_store
from tests.chaos.proxy import Wire
from tests.chaos.tally import KEYED, RULE, UNSAFE, Tally
from tests.chaos.target import Target

SECRET = "chaos-secret"
START_SECONDS_MAX = 20.0
LEASE_SECONDS = 2.0
ROOT = Path(__file__).parents[2]

CONFIG = {
    "sources": {
        "orders": {
            "platform": "erp",
            "verify": {
                "scheme": "hmac",
                "header": "X-Signature",
                "algorithm": "sha256",
                "encoding": "hex",
                "secrets": [{"env": "CHAOS_SECRET"}],
            },
            "envelope": {
                "kind": "custom",
                "id": "/id",
                "type": "/type",
                "record": {"kind": "purchase_order", "id": "/order"},
            },
        }
    },
    "rules": ["rules/*.yaml"],
    "outbound": {"allow_private_hosts": ["127.0.0.1"]},
}


class Fleet:
    """All processes of one run, each replaceable."""

    def __init__(self, directory: Path, tally: Tally, durability: str = "fsync", appendfsync: str = "always") -> None:
        self.directory = directory
        self.durability = durability
        self.target = Target(tally)
        self.to_store = Wire(str(directory / "data" / "valkey.sock"))
        self.to_target = Wire(0)
        self.ingresses: list[ChildProcess] = []
        self.workers: list[ChildProcess] = []
        self.ports = [0, 0]
        self.valkey: EmbeddedValkey | None = None
        self.server_options = ("--appendfsync", appendfsync)
        self._environ: dict[str, str] = {}
        self._started = 0

    async def start(self) -> None:
        """Start everything and publish the rules."""
        for name in ("data", "logs", "rules", "synced", "plugin/chaos-0.dist-info"):
            (self.directory / name).mkdir(parents=True)
        self._preload()
        await self.target.start()
        self.to_target = Wire(self.target.port)
        await self.to_target.start()
        self._write_config()
        await self.start_store()
        await self.to_store.start()
        self._environ = self.make_environ()
        publishing = self._child("rules", "rules", "apply")
        assert await asyncio.to_thread(publishing.process.wait, START_SECONDS_MAX) == 0, publishing.stderr_tail()
        for place in range(2):
            self.ingresses.append(await self.start_ingress(place))
            self.workers.append(await self.start_worker())

    async def start_store(self) -> None:
        """Start the server on the run's data."""
        self.valkey = await self.start_server("data", *self.server_options)

    async def start_server(self, name: str, *options: str) -> EmbeddedValkey:
        """Start a server on the data in that folder, its disk and clock in our hands."""
        preload = {
            "LD_PRELOAD": str(self.directory / "power.so"),
            "CHAOS_SWITCHES": str(self.directory / "switches"),
            "CHAOS_SYNCED": str(self.directory / "synced"),
        }
        for _ in range(3):
            with contextlib.suppress(RuntimeError):
                return await asyncio.to_thread(_start_valkey, self.directory / name, preload, options)
        raise RuntimeError("the server does not start")

    async def start_ingress(self, place: int) -> ChildProcess:
        """Start an ingress on its port; the same one as before it was ended."""
        child = self._child("ingress", "serve", WAYBILL_PORT=str(self.ports[place]), WAYBILL_ADMIN_PORT="0")
        line = await asyncio.to_thread(child.wait_for, _is_started, START_SECONDS_MAX)
        self.ports[place] = int(line["port"])
        return child

    async def start_worker(self) -> ChildProcess:
        """Start a worker."""
        child = self._child("worker", "worker", WAYBILL_ADMIN_PORT="0")
        await asyncio.to_thread(child.wait_for, _is_started, START_SECONDS_MAX)
        return child

    def switch(self, *, clock_seconds: int = 0, disk_full: bool = False) -> None:
        """Tell the preloaded library what the server's clock and disk are like."""
        with (self.directory / "switches").open("r+b") as file:
            file.write(struct.pack("qq", clock_seconds * 1_000_000, int(disk_full)))

    def lose_power(self) -> int:
        """End the server and cut each append-only file to what is known to be on disk; gives how many bytes went."""
        assert self.valkey
        self.valkey.kill()
        gone = 0
        for path in (self.directory / "data" / "appendonlydir").glob("*.aof"):
            note = self.directory / "synced" / path.name
            if note.exists():
                synced = min(int(note.read_text()), path.stat().st_size)
                gone += path.stat().st_size - synced
                os.truncate(path, synced)
        return gone

    async def open_store(self) -> Store:
        """Open the store past the wire, for looking."""
        return await open_store(self.settings())

    async def stop(self) -> None:
        """End every process."""
        for child in (*self.ingresses, *self.workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.process.pid, signal.SIGCONT)
            child.kill()
        if self.valkey:
            self.valkey.kill()
        await self.to_store.stop()
        await self.to_target.stop()
        await self.target.stop()

    def settings(self) -> Settings:
        """Ours on the store past the wire."""
        url = f"unix://{self.directory}/data/valkey.sock"
        return load_settings({"WAYBILL_REDIS_URL": url, "WAYBILL_DURABILITY": self.durability})

    def _child(self, name: str, *arguments: str, **environ: str) -> ChildProcess:
        self._started += 1
        label = f"{name}-{self._started}"
        return start_child(label, arguments, self._environ | environ, self.directory / "logs")

    def _preload(self) -> None:
        library = str(self.directory / "power.so")
        source = str(Path(__file__).parent / "power.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)  # noqa: S607
        (self.directory / "switches").write_bytes(bytes(16))

    def _write_config(self) -> None:
        target = f"http://127.0.0.1:{self.to_target.port}"
        erp = {
            "kind": "custom",
            "base_url": target,
            "auth": {"type": "none"},
            "records": {"purchase_order": {"path": "/orders/{id}"}},
        }
        (self.directory / "waybill.yaml").write_text(json.dumps(CONFIG | {"platforms": {"erp": erp}}))
        rule: dict[str, object] = {
            "id": RULE,
            "type": "purchase_order",
            "when": {"field": "id", "op": "exists"},
            "actions": [
                {"id": KEYED, "do": "http", "url": f"{target}/sink/{KEYED}", "body": {"order": "{id}"}},
                {"id": UNSAFE, "do": "strike", "url": f"{target}/sink/{UNSAFE}"},
            ],
        }
        self.write_rules([rule])
        info = self.directory / "plugin" / "chaos-0.dist-info"
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chaos\nVersion: 0\n")
        (info / "entry_points.txt").write_text("[waybill.actions]\nchaos = tests.chaos.actions:ACTIONS\n")

    def write_rules(self, rules: list[dict[str, object]]) -> None:
        """Write the rule file that `publish` puts in force."""
        (self.directory / "rules" / "rules.yaml").write_text(json.dumps(rules))

    def read_rules(self) -> list[dict[str, object]]:
        """Read it."""
        return json.loads((self.directory / "rules" / "rules.yaml").read_text())

    async def publish(self) -> int:
        """Publish the rule file; gives the exit code."""
        return await asyncio.to_thread(self._child("rules", "rules", "apply").process.wait, START_SECONDS_MAX)

    def make_environ(self) -> dict[str, str]:
        """Give what the processes are started with."""
        own = {
            "WAYBILL_CONFIG": str(self.directory / "waybill.yaml"),
            "WAYBILL_REDIS_URL": f"redis://127.0.0.1:{self.to_store.port}/0",
            "WAYBILL_DURABILITY": self.durability,
            "WAYBILL_HOST": "127.0.0.1",
            "WAYBILL_LEASE_SECONDS": str(LEASE_SECONDS),
            "WAYBILL_BACKOFF_BASE_SECONDS": "0.2",
            "WAYBILL_BACKOFF_SECONDS_MAX": "2",
            "WAYBILL_SWEEP_INTERVAL_SECONDS": "1",
            "WAYBILL_ATTEMPTS_MAX": "100",
            "WAYBILL_CRASHES_MAX": "50",
            "WAYBILL_STORE_TIMEOUT_SECONDS": "2",
            "WAYBILL_SOURCE_DELIVERIES_PER_SECOND_MAX": "100000",
            "CHAOS_SECRET": SECRET,
            "PYTHONPATH": f"{self.directory / 'plugin'}:{ROOT}",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
        return kept | own


AnyFleet = TypeVar("AnyFleet", bound=Fleet)


@contextlib.asynccontextmanager
async def running(fleet: AnyFleet) -> AsyncGenerator[AnyFleet]:
    """Run a fleet while the block runs."""
    try:
        await fleet.start()
        yield fleet
    finally:
        await fleet.stop()


def _start_valkey(directory: Path, preload: dict[str, str], options: Sequence[str]) -> EmbeddedValkey:
    before = {name: os.environ.get(name) for name in preload}
    os.environ.update(preload)
    try:
        return start_valkey(directory, *options)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _is_started(line: dict[str, object]) -> bool:
    return line.get("message") == "process.started"
