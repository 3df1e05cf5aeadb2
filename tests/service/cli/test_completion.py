"""Shell completion: commands, options, names of waybill.yaml, and rules and ids of the stores.

One completion of each kind runs in a real bash. The others share one process, since its start takes most of the time.
"""

import asyncio
import functools
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from service.cli.completion import HELP_CHARACTERS_MAX
from service.cli.main import COMPLETION_VARIABLE
from tests.service.cli.conftest import Run, SampleInstallation
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import WorkerHarness

pytestmark = [pytest.mark.store, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
WAYBILL = Path(sys.executable).parent / "waybill"
SCRIPT = """
{script}
complete -p waybill >/dev/null || exit 1
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_waybill_completion {waybill}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


MANY = """
import contextlib, io, json, os, sys
from service.cli.main import main
found = []
for words in json.loads(sys.argv[1]):
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = f"waybill {words}", str(len(words.split(" ")))
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as out, contextlib.suppress(SystemExit):
        main()
    found.append([line.partition(",")[2] for line in out.buffer.getvalue().decode().split()])
print(json.dumps(found))
"""
"""Program that completes several lines as the script of bash asks for it, one after the other."""


@functools.cache
def bash_script() -> str:
    """Return the output of `waybill completion bash`, of one run for all completions."""
    command = [WAYBILL, "completion", "bash"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS).stdout


async def complete(environ: dict[str, str], *words: str) -> list[str]:
    """Return what bash offers for the last word, without a word on stderr."""
    script = SCRIPT.format(script=bash_script(), waybill=WAYBILL, words=shlex.join(("waybill", *words)))
    process = await asyncio.create_subprocess_exec(
        "bash", "--norc", "-c", script, env={"PATH": os.environ["PATH"], **environ}, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    stdout, stderr = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert (stderr, process.returncode) == (b"", 0), words
    return stdout.decode().split()


async def complete_many(environ: dict[str, str], *lines: str) -> list[list[str]]:
    """Return what is offered for the last word of each line, from one process without a word on stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MANY, msgspec.json.encode(lines).decode(),
        env={"PATH": os.environ["PATH"], COMPLETION_VARIABLE: "bash_complete", **environ}, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    stdout, stderr = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert (stderr, process.returncode) == (b"", 0)
    # A completion that exceeds its deadline on a busy machine ends the process without a word.
    return msgspec.json.decode(stdout, type=list[list[str]]) if stdout else []


async def test_commands_and_options_are_completed_without_an_installation(tmp_path: Path) -> None:
    nowhere = {"WAYBILL_CONFIG": str(tmp_path / "none.yaml")}
    assert await complete(nowhere, "events", "list", "--state", "de") == ["decided", "dead"]
    started_with_e, subcommands, *others = await complete_many(
        nowhere, "e", "dead-letters ", "dead", "events re", "events list --sou", "events list --st",
        "events list --state d", "sources show shopi", "send ",
    )  # fmt: skip
    assert {"events", "explain"} <= set(started_with_e)
    assert set(subcommands) == {"list", "show", "replay", "discard"}
    assert others == [
        ["dead-letters"], ["replay"], ["--source"], ["--state"], ["decided", "dead"], ["shopify"], [],
    ]  # fmt: skip


@pytest.fixture
def wrong_path(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.yaml"
    path.write_text("- not a mapping: [")
    return path


@pytest.fixture
def config_with_destination(config_path: Path) -> Path:
    config_path.write_text(config_path.read_text() + "destinations: {erp-target: {url: {env: NOT_SET}}}\n")
    return config_path


async def test_names_of_the_configuration_are_completed_without_its_secrets(
    config_with_destination: Path, wrong_path: Path
) -> None:
    environ = {"WAYBILL_CONFIG": str(config_with_destination)}
    assert await complete(environ, "send", "erp-c") == ["erp-cloud", "erp-custom"]
    assert await complete_many(environ, "events list --source pack", "platforms pause ", "destinations test ") == [
        ["pack-orders"],
        ["pack", "flow", "ofn", "engage", "erp"],
        ["erp-target"],
    ]
    assert await complete({"WAYBILL_CONFIG": str(wrong_path)}, "send", "") == []


@pytest.mark.parametrize("access", ["stores", "api"])
async def test_rules_and_ids_are_completed(
    access: str, installation: SampleInstallation, environ: dict[str, str]
) -> None:
    known = environ if access == "stores" else installation.api_environ("viewer")
    dead = [installation.dead]
    expected = {
        "explain 0": sorted((*dead, installation.ended, installation.queued)),
        f"events show {installation.dead[:-1]}": dead,
        "dead-letters replay ": dead,
        "events replay ": [installation.ended],
        "events list --rule ": ["notify"],
        "rules show no": ["notify"],
        f"rules rollback {installation.first[:6]}": [installation.first],
        "quarantine show ": [installation.quarantined],
        "quarantine list --source pack-o": ["pack-orders"],
        "platforms list p": ["pack"],
    }

    async def offers() -> bool:
        return [sorted(found) for found in await complete_many(known, *expected)] == list(expected.values())

    await until(offers)

    async def offers_in_bash() -> bool:
        return await complete(known, "events", "replay", "") == [installation.ended]

    await until(offers_in_bash)


async def test_text_of_senders_does_not_reach_the_terminal(harness: WorkerHarness, environ: dict[str, str]) -> None:
    event_id = await harness.send("po-1\n\x1b[31m\u202e" + "x" * 200)
    variables = environ | {COMPLETION_VARIABLE: "zsh_complete", "COMP_WORDS": "waybill explain ", "COMP_CWORD": "2"}
    process = await asyncio.create_subprocess_exec(WAYBILL, env=variables, stdout=asyncio.subprocess.PIPE)
    stdout, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    kind, value, description = stdout.decode().splitlines()
    assert (kind, value) == ("plain", event_id)
    assert description.isprintable()
    assert len(description) == HELP_CHARACTERS_MAX


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_the_script_of_each_shell_calls_the_command(shell: str, run: Run) -> None:
    printed = await run("completion", shell)
    assert (printed.exit_code, f"{COMPLETION_VARIABLE}={shell}_complete" in printed.stdout) == (0, True)
    assert (await run("completion", "tcsh")).exit_code == 2


async def test_a_completion_is_silent_and_fast_if_nothing_answers(free_port: int, tmp_path: Path) -> None:
    """One port is closed; the other accepts connections and never answers."""
    nowhere = {"WAYBILL_CONFIG": str(tmp_path / "none.yaml")}
    server = socket.create_server(("127.0.0.1", 0))
    for port in (free_port, server.getsockname()[1]):
        for environ in (
            {"WAYBILL_REDIS_URL": f"redis://127.0.0.1:{port}"},
            {"WAYBILL_ADMIN_URL": f"http://127.0.0.1:{port}", "WAYBILL_ADMIN_TOKEN": "x"},
        ):
            assert await complete(nowhere | environ, "explain", "") == []
    server.close()
    for environ in ({"WAYBILL_ADMIN_URL": f"http://127.0.0.1:{free_port}"}, {"WAYBILL_REDIS_URL": "nonsense"}):
        assert await complete(nowhere | environ, "explain", "") == []
