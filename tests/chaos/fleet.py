"""Processes under test: two ingress and two worker processes, one store, and proxies to the store and the target."""

import asyncio
import contextlib
import json
import os
import signal
import struct
import subprocess
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TypeVar

from service.dev.embedded_valkey import EmbeddedValkey, start_valkey
from service.dev.processes import ChildProcess, start_child
from service.settings import Settings, load_settings
from service.store import Shards, open_shards
from tests.chaos.proxy import FaultProxy
from tests.chaos.tally import FALSE, KEYED, RULE, UNSAFE, Tally
from tests.chaos.target import PUT_TIMEOUT_SECONDS, FakeTarget

SECRET = "chaos-secret"
TIMEOUT_SECONDS = 180.0
"""Limit of each wait. It ends a run that hangs; a disk busy for a minute does not reach it."""

LEASE_SECONDS = 2.0
LANES = 500
ROOT = Path(__file__).parents[2]

HANGING_NAMES = tuple(f"hang-{number}.test" for number in range(6))
"""Names that `names.c` resolves. Their lookups hang during a fault."""

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
    "outbound": {"allow_private_hosts": ["127.0.0.1", *HANGING_NAMES]},
}


class Fleet:
    """All processes of one run. Each can be killed and started again."""

    def __init__(
        self,
        directory: Path,
        tally: Tally,
        durability: str = "fsync",
        appendfsync: str = "always",
        *,
        ordered: bool = True,
    ) -> None:
        self.directory = directory
        self.names_hang = directory / "names-hang"
        self.durability = durability
        self.ordered = ordered
        self.target = FakeTarget(tally)
        self.to_store = FaultProxy(str(directory / "data" / "valkey.sock"))
        self.to_target = FaultProxy(0)
        self.to_sink = FaultProxy(0)
        self.lanes = LANES
        self.ingresses: list[ChildProcess] = []
        self.workers: list[ChildProcess] = []
        self.ports = [0, 0]
        self.valkey: EmbeddedValkey | None = None
        self.server_options = ("--appendfsync", appendfsync)
        self._environ: dict[str, str] = {}
        self._started = 0

    async def start(self) -> None:
        """Start all processes and publish the rules."""
        for name in ("data", "logs", "rules", "synced", "plugin/chaos-0.dist-info"):
            (self.directory / name).mkdir(parents=True)
        self._preload()
        await self.target.start()
        self.to_target = FaultProxy(self.target.port)
        await self.to_target.start()
        self.to_sink = FaultProxy(self.target.port)
        await self.to_sink.start()
        self._write_config()
        await self.start_store()
        await self.to_store.start()
        self._environ = self.make_environ()
        await self.publish()
        for index in range(2):
            self.ingresses.append(await self.start_ingress(index))
            self.workers.append(await self.start_worker())

    async def start_store(self) -> None:
        """Start the store with the data of the run."""
        self.valkey = await self.start_server("data", *self.server_options)

    async def start_server(self, name: str, *options: str) -> EmbeddedValkey:
        """Start a store with the data of a folder. A preloaded library controls its disk and clock."""
        preload = {
            "LD_PRELOAD": str(self.directory / "power.so"),
            "CHAOS_SWITCHES": str(self.directory / "switches"),
            "CHAOS_SYNCED": str(self.directory / "synced"),
        }
        return await asyncio.to_thread(_start_valkey, self.directory / name, preload, options)

    async def start_ingress(self, index: int) -> ChildProcess:
        """Start an ingress. A restarted ingress has the same port."""
        child = self._child("ingress", "serve", WAYBILL_PORT=str(self.ports[index]), WAYBILL_ADMIN_PORT="0")
        line = await asyncio.to_thread(child.wait_for, _is_started, TIMEOUT_SECONDS)
        self.ports[index] = int(line["port"])
        return child

    async def start_worker(self) -> ChildProcess:
        """Start a worker and wait for `process.started`."""
        names = {"LD_PRELOAD": str(self.directory / "names.so"), "CHAOS_NAMES_HANG": str(self.names_hang)}
        child = self._child("worker", "worker", WAYBILL_ADMIN_PORT="0", **names)
        await asyncio.to_thread(child.wait_for, _is_started, TIMEOUT_SECONDS)
        return child

    def switch(self, *, clock_seconds: int = 0, disk_full: bool = False) -> None:
        """Set the clock offset and the disk state of the store in the preloaded library."""
        with (self.directory / "switches").open("r+b") as file:
            file.write(struct.pack("qq", clock_seconds * 1_000_000, int(disk_full)))

    def lose_power(self) -> int:
        """Kill the store and truncate each append-only file to its synced bytes. Return the number of lost bytes."""
        assert self.valkey
        self.valkey.kill()
        lost_bytes = 0
        for path in (self.directory / "data" / "appendonlydir").glob("*.aof"):
            synced_file = self.directory / "synced" / path.name
            # A file without a note was never synced.
            synced = min(int(synced_file.read_text()) if synced_file.exists() else 0, path.stat().st_size)
            lost_bytes += path.stat().st_size - synced
            os.truncate(path, synced)
        return lost_bytes

    async def open_store(self) -> Shards:
        """Open the store without the proxy."""
        return await open_shards(self.settings())

    async def stop(self) -> None:
        """Stop all processes."""
        for child in (*self.ingresses, *self.workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.process.pid, signal.SIGCONT)
            child.kill()
        if self.valkey:
            self.valkey.kill()
        await self.to_store.stop()
        await self.to_target.stop()
        await self.to_sink.stop()
        await self.target.stop()

    def settings(self) -> Settings:
        """Return the settings of this process, for the store without the proxy."""
        url = f"unix://{self.directory}/data/valkey.sock"
        return load_settings({"WAYBILL_REDIS_URL": url, "WAYBILL_DURABILITY": self.durability})

    async def _run(self, *command: str) -> ChildProcess:
        child = self._child(command[0], *command)
        await asyncio.to_thread(child.process.wait, TIMEOUT_SECONDS)
        return child

    def _child(self, name: str, *arguments: str, **environ: str) -> ChildProcess:
        self._started += 1
        label = f"{name}-{self._started}"
        return start_child(label, arguments, self._environ | environ, self.directory / "logs")

    def _preload(self) -> None:
        for name in ("power", "names"):
            library = str(self.directory / f"{name}.so")
            source = str(Path(__file__).parent / f"{name}.c")
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)  # noqa: S607
        (self.directory / "switches").write_bytes(bytes(16))

    def _write_config(self) -> None:
        sink = f"http://127.0.0.1:{self.to_sink.port}/sink"
        erp = {
            "kind": "custom",
            "base_url": f"http://127.0.0.1:{self.to_target.port}",
            "auth": {"type": "none"},
            "records": {"purchase_order": {"path": "/orders/{id}"}},
        }
        # The target counts by event, so it receives whole keys.
        destination = {
            "url": sink,
            "idempotency": {"form": "full"},
            "timeouts": {"total_seconds": PUT_TIMEOUT_SECONDS},
            "allow_private_host": True,
        }
        config = CONFIG | {"platforms": {"erp": erp}, "destinations": {"sink": destination}}
        (self.directory / "waybill.yaml").write_text(json.dumps(config))
        rule: dict[str, object] = {
            "id": RULE,
            "type": "purchase_order",
            "when": {"field": "id", "op": "exists"},
            "actions": [
                {
                    "id": KEYED,
                    "do": "http",
                    "method": "PUT",
                    "destination": "sink",
                    "path": f"/{KEYED}",
                    "body": {"order": "{id}", "received": "{quantity_received}"},
                    "ordered": self.ordered,
                },
                {"id": UNSAFE, "do": "strike", "url": f"{sink}/{UNSAFE}"},
            ],
        }
        # The received quantity of an order only grows, and no order is deleted: these rules never match.
        false = {"id": FALSE, "do": "http", "destination": "sink", "path": f"/{FALSE}", "body": {"order": "{id}"}}
        never: dict[str, object] = {
            "decreased": {"field": "quantity_received", "op": "decreased"},
            "gone": {"not": {"field": "status", "op": "exists"}},
        }
        rules = [
            {"id": name, "type": "purchase_order", "when": when, "actions": [false]} for name, when in never.items()
        ]
        self.write_rules([rule, *rules])
        info = self.directory / "plugin" / "chaos-0.dist-info"
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chaos\nVersion: 0\n")
        (info / "entry_points.txt").write_text("[waybill.actions]\nchaos = tests.chaos.actions:ACTIONS\n")

    def write_rules(self, rules: list[dict[str, object]]) -> None:
        """Write the rule file."""
        (self.directory / "rules" / "rules.yaml").write_text(json.dumps(rules))

    def read_rules(self) -> list[dict[str, object]]:
        """Read the rule file."""
        return json.loads((self.directory / "rules" / "rules.yaml").read_text())

    async def publish(self) -> None:
        """Publish the rule file. Repeat the command while the store of a busy machine does not answer in time."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        publisher = await self._run("rules", "apply")
        while publisher.process.returncode and time.monotonic() < deadline:
            assert "store_unavailable" in publisher.stderr_tail(), publisher.stderr_tail()
            publisher = await self._run("rules", "apply")
        assert publisher.process.returncode == 0, publisher.stderr_tail()

    def make_environ(self) -> dict[str, str]:
        """Return the environment of the processes."""
        settings = {
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
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
        return inherited | settings


AnyFleet = TypeVar("AnyFleet", bound=Fleet)


@contextlib.asynccontextmanager
async def running(fleet: AnyFleet) -> AsyncGenerator[AnyFleet]:
    """Run a fleet during the block."""
    try:
        await fleet.start()
        yield fleet
    finally:
        await fleet.stop()


def _start_valkey(directory: Path, preload: dict[str, str], options: Sequence[str]) -> EmbeddedValkey:
    previous = {name: os.environ.get(name) for name in preload}
    os.environ.update(preload)
    try:
        return start_valkey(directory, *options)
    finally:
        for name, value in previous.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _is_started(line: dict[str, object]) -> bool:
    return line.get("message") == "process.started"
