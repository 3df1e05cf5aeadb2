"""Complete installation on one machine: store, sandbox, service, workers and published rules.

Each part is a process with the command that a cluster runs.
"""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from service.dev.embedded_valkey import EmbeddedValkey, start_valkey
from service.dev.processes import ChildProcess, LogLine, SubprocessFailed, start_child
from service.dev.workspace import Workspace, make_workspace, write_config

START_TIMEOUT_SECONDS = 60.0
PUBLISH_TIMEOUT_SECONDS = 60.0


class Stack:
    """The running processes and their addresses. `open_stack` creates and stops it."""

    ingress: ChildProcess
    store: EmbeddedValkey | None = None

    def __init__(self, workspace: Workspace, environ: Mapping[str, str], exits: ExitStack) -> None:
        self.workspace = workspace
        self.environ = dict(environ)
        self.children: list[ChildProcess] = []
        self.sandbox_url = ""
        self.port = ""
        self.service_url = ""
        self.admin_url = ""
        self._exits = exits

    def start(self, name: str, *arguments: str, **settings: str) -> ChildProcess:
        """Start `waybill <arguments>` until the stack ends. `settings` override the settings of the stack."""
        own = {f"WAYBILL_{field.upper()}": value for field, value in settings.items()}
        child = start_child(name, arguments, self.environ | own, self.workspace.logs)
        self.children.append(child)
        self._exits.callback(child.stop)
        return child

    def variables(self) -> dict[str, str]:
        """Return the variables with which commands reach this stack, with the secrets of the example."""
        names = ("WAYBILL_REDIS_URL", "WAYBILL_CONFIG", "WAYBILL_KEY_PREFIX", "WAYBILL_QUEUE")
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

    def start_worker(self, name: str) -> ChildProcess:
        """Start a worker and wait until it accepts jobs."""
        worker = self.start(name, "worker", admin_port="0")  # the configured port belongs to the service
        worker.wait_for(is_started, START_TIMEOUT_SECONDS)
        return worker


@contextmanager
def open_stack(
    directory: Path,
    outer: Mapping[str, str],
    settings: Mapping[str, str],
    own_config: Path | None = None,
    store_url: str | None = None,
) -> Generator[Stack]:
    """Start store, sandbox and service, and publish the rules. The caller starts workers. Stop all processes on exit.

    `settings` are names of settings fields and their values. `WAYBILL_*` variables of `outer` are ignored. `store_url`
    replaces the embedded store, `own_config` the generated waybill.yaml.

    Raises:
        SubprocessFailed: a process did not start. The text contains the end of its output.
    """
    workspace = make_workspace(directory, own_config)
    with ExitStack() as exits:
        store = None if store_url else start_valkey(workspace.data)
        if store:
            exits.callback(store.stop)
        addresses = {"redis_url": store.url if store else str(store_url), "host": "127.0.0.1"}
        stack = Stack(workspace, workspace.environ(outer, **addresses, **settings), exits)
        stack.store = store
        sandbox = stack.start("sandbox", "sandbox", "--port", "0")
        stack.sandbox_url = str(sandbox.wait_for(lambda line: "sandbox" in line, START_TIMEOUT_SECONDS)["sandbox"])
        write_config(workspace, stack.sandbox_url)
        stack.ingress = stack.start("service", "serve")
        _publish_rules(stack)
        line = stack.ingress.wait_for(is_started, START_TIMEOUT_SECONDS)
        stack.service_url = f"http://127.0.0.1:{line['port']}"
        stack.admin_url = f"http://127.0.0.1:{line['admin_port']}"
        stack.port = str(line["port"])
        yield stack


def is_started(line: LogLine) -> bool:
    """Return whether the log line reports that the process is ready."""
    return line.get("message") == "process.started"


def _publish_rules(stack: Stack) -> None:
    """Run `waybill rules apply`.

    Raises:
        SubprocessFailed: the command failed.
    """
    publisher = stack.start("rules-apply", "rules", "apply")
    code = publisher.process.wait(PUBLISH_TIMEOUT_SECONDS)
    if code != 0:
        raise SubprocessFailed(f"waybill rules apply ended with exit code {code}\n{publisher.stderr_tail()}")
    # `check` monitors long-running processes only.
    stack.children.remove(publisher)
