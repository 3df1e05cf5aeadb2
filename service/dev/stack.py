"""Complete installation on one machine: store, sandbox, service, workers and published rules.

Each part is a process with the command that a cluster runs.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from service.config.config_files import find_config_files
from service.dev.embedded_valkey import EmbeddedValkey, start_valkey
from service.dev.processes import ChildProcess, LogLine, SubprocessFailed, start_child
from service.dev.workspace import Workspace, write_config, write_service_config

START_TIMEOUT_SECONDS = 60.0
PUBLISH_TIMEOUT_SECONDS = 60.0
RELOAD_TIMEOUT_SECONDS = 20.0
RELOADED, REJECTED = "config.reloaded", "config.rejected"


class Stack:
    """The running processes and their addresses. `open_stack` creates and stops it."""

    ingress: ChildProcess
    store: EmbeddedValkey | None = None

    def __init__(self, workspace: Workspace, environ: Mapping[str, str]) -> None:
        self.workspace = workspace
        self.environ = dict(environ)
        self.children: list[ChildProcess] = []
        self.sandbox_url = ""
        self.mail_url = ""
        self.port = ""
        self.service_url = ""
        self.admin_url = ""

    def start(self, name: str, *arguments: str, **settings: str) -> ChildProcess:
        """Start `waybill <arguments>` until the stack ends. `settings` override the settings of the stack."""
        own = {f"WAYBILL_{field.upper()}": value for field, value in settings.items()}
        child = start_child(name, arguments, self.environ | own, self.workspace.logs)
        self.children.append(child)
        return child

    def variables(self) -> dict[str, str]:
        """Return the variables with which commands reach this stack, with the secrets of the example."""
        names = ("WAYBILL_REDIS_URL", "WAYBILL_CONFIG", "WAYBILL_KEY_PREFIX", "WAYBILL_ADMIN_PORT")
        found = {name: self.environ[name] for name in names if name in self.environ}
        return found | {"WAYBILL_PORT": self.port} | self.workspace.secrets

    def check(self) -> None:
        """Check that all processes run.

        Raises:
            SubprocessFailed: a process ended.
        """
        if self.store and self.store.process.poll() is not None:
            raise SubprocessFailed(f"the store ended with exit code {self.store.process.returncode}")
        for child in self.children:
            if child.process.poll() is not None:
                raise SubprocessFailed(
                    f"{child.name} ended with exit code {child.process.returncode}\n{child.stderr_tail()}"
                )

    def start_service(self) -> None:
        """Start the service, publish the rules, and wait until it is ready. A later start uses the same ports.

        Raises:
            SubprocessFailed: the service did not start, or the rules have mistakes.
        """
        self.environ |= write_service_config(self.workspace)
        self.ingress = self.start("service", "serve", config=str(self.workspace.service_config))
        self.publish_rules()
        line = self.ingress.wait_for(is_started, START_TIMEOUT_SECONDS)
        self.port, admin_port = str(line["port"]), str(line["admin_port"])
        self.environ |= {"WAYBILL_PORT": self.port, "WAYBILL_ADMIN_PORT": admin_port}
        self.service_url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{admin_port}"

    def start_worker(self, name: str) -> ChildProcess:
        """Start a worker and wait until it accepts jobs."""
        worker = self.start(name, "worker", admin_port="0")  # the configured port belongs to the service
        worker.wait_for(is_started, START_TIMEOUT_SECONDS)
        return worker

    def reload_config(self, worker: str) -> bool:
        """Wait until the service and the worker loaded a changed waybill.yaml. Return False if one of them did not.

        They watch their file themselves. Some changes, as of a retention, require a restart.
        """
        write_service_config(self.workspace)
        files = {"service": self.workspace.service_config, worker: self.workspace.config}
        children = [child for child in self.children if child.name in files]
        try:
            lines = [child.wait_for(reload_after(files[child.name]), RELOAD_TIMEOUT_SECONDS) for child in children]
        except SubprocessFailed:
            return False
        return all(line["message"] == RELOADED for line in lines)

    def publish_rules(self) -> None:
        """Run `waybill rules apply`.

        Raises:
            SubprocessFailed: the command failed.
        """
        publisher = self.start("rules-apply", "rules", "apply")
        code = publisher.process.wait(PUBLISH_TIMEOUT_SECONDS)
        # `check` monitors long-running processes only.
        self.children.remove(publisher)
        if code != 0:
            raise SubprocessFailed(f"waybill rules apply ended with exit code {code}\n{publisher.stderr_tail()}")

    def stop(self, *kept: str) -> None:
        """Stop all processes except the store and those with the names `kept`, the last one first."""
        for child in reversed(self.children):
            if child.name not in kept:
                child.stop()
        self.children = [child for child in self.children if child.name in kept]


@contextmanager
def open_stack(
    workspace: Workspace,
    outer: Mapping[str, str],
    settings: Mapping[str, str],
    store_url: str | None = None,
    sandbox_ports: tuple[int, int] = (0, 0),
) -> Generator[Stack]:
    """Start store, sandbox and service, and publish the rules. The caller starts workers. Stop all processes on exit.

    `settings` are names of settings fields and their values. `WAYBILL_*` variables of `outer` are ignored. `store_url`
    replaces the embedded store. `sandbox_ports` are those of the sandbox and of its mail server; 0 is a free port.

    Raises:
        SubprocessFailed: a process did not start. The text contains the end of its output.
    """
    with ExitStack() as exits:
        store = None if store_url else start_valkey(workspace.data, sockets=workspace.sockets)
        if store:
            exits.callback(store.stop)
        own = {"redis_url": store.url if store else str(store_url), "host": "127.0.0.1"}
        own["log_folder"] = str(workspace.logs)
        stack = Stack(workspace, workspace.environ(outer, **own, **settings))
        stack.store = store
        exits.callback(stack.stop)
        sandbox = stack.start(
            "sandbox", "sandbox", "--port", str(sandbox_ports[0]), "--mail-port", str(sandbox_ports[1])
        )
        urls = sandbox.wait_for(lambda line: "sandbox" in line, START_TIMEOUT_SECONDS)
        stack.sandbox_url = str(urls["sandbox"])
        stack.mail_url = str(urls["mail"])
        write_config(workspace, stack.sandbox_url, stack.mail_url)
        stack.start_service()
        yield stack


def reload_after(path: Path) -> Callable[[LogLine], bool]:
    """Return a function that finds the log line of the first reload after the last change of a file or a folder."""
    changed_at = max(file.stat().st_mtime for file in (path, *find_config_files(path)))

    def is_reload(line: LogLine) -> bool:
        is_result = line.get("message") in {RELOADED, REJECTED}
        return is_result and datetime.fromisoformat(str(line["timestamp"])).timestamp() >= changed_at

    return is_reload


def is_started(line: LogLine) -> bool:
    """Return whether the log line reports that the process is ready."""
    return line.get("message") == "process.started"
