"""`waybill` commands of pages, in forks of one process that has imported all of them.

Imports take most of the processor time of a command. In a folder with `forked_commands` the command
`waybill` is a client: it sends its words, environment, folder and standard files to that process. `waybill dev` is the
real one. test_readme_quickstart.py runs all commands without forks.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from service.cli.main import LONG_RUNNING_COMMANDS, SUMMARIES, main, waybill

MESSAGE_BYTES_MAX = 100_000
CLIENT = """#!{python} -IS
import json, os, socket, sys
if sys.argv[1] == "dev":
    os.execv({waybill!r}, [{waybill!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({address!r})
    socket.send_fds(server, [json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()], [0, 1, 2])
    sys.exit(server.recv(1)[0])
"""


@contextmanager
def forked_commands(folder: Path) -> Generator[None]:
    """Write a .venv to the folder, and run the commands of its `waybill` until the end."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f'PATH="{programs}:$PATH"\n')
    real = str(Path(sys.executable).with_name("waybill"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind("")  # the kernel chooses a name outside the file system
        listener.listen()
        client = CLIENT.format(python=sys.executable, waybill=real, address=listener.getsockname())
        command = [sys.executable, "-m", "tests.docs.forked_commands", str(listener.fileno())]
        server = subprocess.Popen(command, cwd=Path(__file__).parents[2], pass_fds=[listener.fileno()])
    (programs / "waybill").write_text(client)
    (programs / "waybill").chmod(0o755)
    try:
        yield
    finally:
        server.kill()
        server.wait()


def serve(listener: socket.socket) -> None:
    """Import the commands, then run each one that a client sends."""
    for name in SUMMARIES.keys() - LONG_RUNNING_COMMANDS.keys():
        waybill.get_command(click.Context(waybill), name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended forks do not remain
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            run(connection)
        connection.close()


def run(connection: socket.socket) -> None:
    """Run the command of a client in this process, send its exit code, and end. The client fails without a code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, files, _, _ = socket.recv_fds(connection, MESSAGE_BYTES_MAX, 3)
    words, environ, folder = json.loads(message)
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, encoding="utf-8") for number, mode in enumerate("rww"))  # noqa: PTH123, SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send(bytes([int(end.code or 0)]))
        os._exit(0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
