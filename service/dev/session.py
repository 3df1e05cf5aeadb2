"""Running `waybill dev`: prints a line per event, reloads changed files, and handles keys, until a process ends."""

import contextlib
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import structs

from service.cli.output import print_row, print_text
from service.config.config_files import config_folder, find_config_files
from service.configuration import read_config
from service.dev.env_file import NAME as ENV_FILE
from service.dev.env_file import leave_out_replaced, read_env_file
from service.dev.event_lines import EVENT_LINES, WIDTHS, print_event_line
from service.dev.keys import KeyReader
from service.dev.processes import SubprocessFailed
from service.dev.stack import Stack
from service.dev.workspace import without_settings
from service.errors import ConfigError
from service.file_watcher import FileWatcher
from service.rules.rule_files import find_rule_files

WATCH_SECONDS = 0.5
"""Interval of the checks whether a file changed."""
LOOP_SECONDS = 0.2
COMMAND_TIMEOUT_SECONDS = 60.0
WORKER = "worker-1"
SANDBOX = "sandbox"
KEYS_HELP = "Keys: e explain last event, r replay it, s send its delivery again, o open console, q quit"

GRAPHICAL = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
"""Variables of which one is set if a browser can open its own window."""


class DevSession:
    """One run of `waybill dev` on a stack whose service and worker run.

    `outer` is the environment of the user. `announce` writes the addresses and variables for other commands.
    """

    def __init__(self, stack: Stack, outer: Mapping[str, str], announce: Callable[[], None]) -> None:
        self._stack = stack
        self._outer = outer
        self._announce = announce
        self._last_event = ""
        self._changed: set[Path] = set()
        self._rules = self._rule_patterns()

    def run(self, keys: KeyReader, *, watch: bool) -> None:
        """Run until the key `q`.

        Raises:
            SubprocessFailed: a process ended unexpectedly.
        """
        if sys.stdout.isatty():
            print_row(WIDTHS, list(WIDTHS), is_heading=True)
        watcher = FileWatcher(self._watched_files, WATCH_SECONDS) if watch else None
        while True:
            self._stack.check()
            self._print_new_lines()
            if watcher is not None and (changed := watcher.changes()):
                # Files whose change was rejected are loaded with the next change.
                self._changed |= changed
                self._say(f"{', '.join(sorted(path.name for path in changed))} changed: checking …")
                self._reload()
            key = keys.read(LOOP_SECONDS)
            if key == "q":
                return
            self._handle(key)

    def _print_new_lines(self) -> None:
        lines = [line for child in self._stack.children if child.name != SANDBOX for line in child.new_lines()]
        for line in sorted(lines, key=lambda each: str(each.get("timestamp", ""))):
            print_event_line(line)
            if line.get("message") in EVENT_LINES and line.get("event_id"):
                self._last_event = str(line["event_id"])

    def _watched_files(self) -> Iterator[Path]:
        """Yield waybill.yaml, the file of variables, and the rule files."""
        config = self._stack.workspace.config
        yield from (*find_config_files(config), config_folder(config) / ENV_FILE)
        with contextlib.suppress(ConfigError):  # no file matches; `waybill check` reports it
            yield from find_rule_files(self._rules, config_folder(config))

    def _rule_patterns(self) -> tuple[str, ...]:
        report = read_config(self._stack.workspace.config, self._stack.environ)
        return report.rules if report.config is None else report.config.rules

    def _reload(self) -> None:
        """Check the changed files, then publish the rules, after the processes loaded a changed waybill.yaml.

        A change of the variables restarts the service and the worker. With mistakes, the running processes keep the
        previous configuration.
        """
        try:
            self._read_variables()
        except ConfigError as error:
            self._reject([f"waybill: {error}"])
            return
        checked = self._run("check", capture=True)
        if checked.returncode != 0:
            self._reject(checked.stderr.splitlines())
            return
        self._rules = self._rule_patterns()
        config = self._stack.workspace.config
        try:
            if not self._is_running or config_folder(config) / ENV_FILE in self._changed:
                self._restart()
            elif not any(config in {path, path.parent} for path in self._changed):  # a file, or a folder of files
                self._stack.publish_rules()
                self._say("Rules published.", "green")
            elif self._stack.reload_config(WORKER):
                self._stack.publish_rules()
                self._say("Reloaded the configuration.", "green")
            else:
                self._restart()
            self._changed.clear()
        except SubprocessFailed as error:
            self._reject(str(error).splitlines())

    @property
    def _is_running(self) -> bool:
        return any(child.name == WORKER for child in self._stack.children)

    def _restart(self) -> None:
        """Restart the service and the worker.

        Raises:
            SubprocessFailed: one of them did not start. Both are stopped.
        """
        self._stack.stop(SANDBOX)
        try:
            self._stack.start_service()
            self._stack.start_worker(WORKER)
        except SubprocessFailed:
            self._stack.stop(SANDBOX)
            raise
        self._announce()
        self._say("Restarted with the new configuration.", "green")

    def _reject(self, lines: list[str]) -> None:
        for line in lines:
            self._say(line, "red")
        state = (
            "The previous configuration stays in use."
            if self._is_running
            else "The service and the worker are stopped."
        )
        self._say(f"{state} Correct the mistakes and save the file.", "yellow")

    def _read_variables(self) -> None:
        """Read the file of variables again.

        Raises:
            ConfigError: the file has a mistake.
        """
        workspace = self._stack.workspace
        if workspace.own_config is None:
            return
        found = leave_out_replaced(read_env_file(workspace.config), self._outer)
        for name in workspace.secrets.keys() - found.keys():
            self._stack.environ.pop(name, None)
            if name in self._outer:
                self._stack.environ[name] = self._outer[name]
        self._stack.environ |= found
        self._stack.workspace = structs.replace(workspace, secrets=found)

    def _handle(self, key: str) -> None:
        if key in {"e", "r", "s"}:
            self._handle_event(key)
        elif key == "o":
            self._open_console()
        elif key in {"h", "?", "\n"}:
            self._say(KEYS_HELP)

    def _handle_event(self, key: str) -> None:
        if not self._last_event:
            self._say("No event yet.")
        elif key == "e":
            self._run("explain", self._last_event)
        elif key == "r":
            self._run("events", "replay", self._last_event)
        else:
            self._run("send", "--like", self._last_event)

    def _open_console(self) -> None:
        url = f"{self._stack.admin_url}/"
        can_open = sys.platform == "darwin" or any(self._outer.get(name) for name in GRAPHICAL)
        if not (can_open and webbrowser.open(url)):
            self._say(f"Open {url} in a browser.")
        self._say(f"Token: {self._stack.workspace.admin_token}")

    def _run(self, *words: str, capture: bool = False) -> "subprocess.CompletedProcess[str]":
        """Run `waybill <words>` in the environment of this stack. Without `capture` it prints to the terminal."""
        # The other commands find this process by its file, as in a second terminal.
        environ = self._stack.environ if capture else without_settings(self._outer)
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "service", *words],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=capture,
            text=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )

    def _say(self, text: str, colour: str | None = None) -> None:
        print_text(text, colour=colour)
