"""Everything together on one machine: store, sandbox, ingress, worker and the published example rules.

Each is a real process started by its own command, so that what is shown here is what runs in a cluster.
"""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from service.dev.embedded_valkey import EmbeddedValkey, start_valkey
from service.dev.processes import ChildProcess, LogLine, SubprocessFailed, start_child
from service.dev.workspace import Workspace, make_workspace, write_config

START_SECONDS_MAX = 60.0
PUBLISH_SECONDS_MAX = 60.0


class Stack:
    """What is running, and how to start more of it. Made by `open_stack`, which ends it all."""

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
        """Start `waybill <arguments>` with `settings` over those of the stack; it ends with the stack."""
        own = {f"WAYBILL_{field.upper()}": value for field, value in settings.items()}
        child = start_child(name, arguments, self.environ | own, self.workspace.logs)
        self.children.append(child)
        self._exits.callback(child.stop)
        return child

    def variables(self) -> dict[str, str]:
        """Give the variables by which commands find this stack, with the secrets of the example."""
        names = ("WAYBILL_REDIS_URL", "WAYBILL_CONFIG", "WAYBILL_KEY_PREFIX", "WAYBILL_QUEUE")
        found = {name: self.environ[name] for name in names if name in self.environ}
        return found | {"WAYBILL_PORT": self.port} | self.workspace.secrets

    def check(self) -> None:
        """Look whether everything still runs.

        Raises:
            SubprocessFailed: a part ended by itself.
        """
        if self.store and self.store.process.poll() is not None:
            raise SubprocessFailed(f"the store ended with exit code {self.store.process.returncode}")
        for child in self.children:
            if child.process.poll() is not None:
                raise SubprocessFailed(
                    f"{child.name} ended with exit code {child.process.returncode}\n{child.stderr_tail()}"
                )

    def start_worker(self, name: str) -> ChildProcess:
        """Start a worker and wait until it takes jobs."""
        worker = self.start(name, "worker", admin_port="0")  # the one that was set is the ingress's
        worker.wait_for(started, START_SECONDS_MAX)
        return worker


@contextmanager
def open_stack(
    directory: Path,
    outer: Mapping[str, str],
    settings: Mapping[str, str],
    own_config: Path | None = None,
    store_url: str | None = None,
) -> Generator[Stack]:
    """Start store, sandbox, rules and ingress; workers are started by the caller. All of it ends with the context.

    `settings` are field names and their text. No `WAYBILL_*` variable of `outer` is used. `store_url` replaces the
    embedded store, and `own_config` the example's waybill.yaml.

    Raises:
        SubprocessFailed: a part did not start; the text holds what it said.
    """
    workspace = make_workspace(directory, own_config)
    with ExitStack() as exits:
        store = None if store_url else start_valkey(workspace.data)
        if store:
            exits.callback(store.stop)
        places = {"redis_url": store.url if store else str(store_url), "host": "127.0.0.1"}
        stack = Stack(workspace, workspace.environ(outer, **places, **settings), exits)
        stack.store = store
        sandbox = stack.start("sandbox", "sandbox", "--port", "0")
        stack.sandbox_url = str(sandbox.wait_for(lambda line: "sandbox" in line, START_SECONDS_MAX)["sandbox"])
        write_config(workspace, stack.sandbox_url)
        stack.ingress = stack.start("service", "serve")
        _publish_rules(stack)
        line = stack.ingress.wait_for(started, START_SECONDS_MAX)
        stack.service_url = f"http://127.0.0.1:{line['port']}"
        stack.admin_url = f"http://127.0.0.1:{line['admin_port']}"
        stack.port = str(line["port"])
        yield stack


def started(line: LogLine) -> bool:
    """Tell the line by which a process says that it works now."""
    return line.get("message") == "process.started"


def _publish_rules(stack: Stack) -> None:
    """Run `waybill rules apply` to its end.

    Raises:
        SubprocessFailed: the rules were refused.
    """
    publisher = stack.start("rules-apply", "rules", "apply")
    code = publisher.process.wait(PUBLISH_SECONDS_MAX)
    if code != 0:
        raise SubprocessFailed(f"waybill rules apply ended with exit code {code}\n{publisher.stderr_tail()}")
    # It has ended as it should; `check` looks after those that must not.
    stack.children.remove(publisher)
