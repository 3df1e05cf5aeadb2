"""Each command by the stores and by the admin API: the same answers, the same exit codes, the same refusals."""

import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import Struct

from service.actions import load_actions
from service.config import AdminConfig, AdminToken, Role
from service.errors import ConfigError
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.http_client import HttpClient
from service.ingestion.sources import build_sources, dedupe_key_of_id
from service.ingress.admin import AdminDependencies, admin_router
from service.ingress.app import build_admin_app
from service.ingress.server import Listener, bind
from service.platforms.loading import load_config
from service.platforms.registry import build_platforms
from service.secrets import SecretRef
from service.settings import CALLER_NAMES, Settings, load_settings
from service.store import QuarantinedDelivery, Store
from tests.service.cli.conftest import Run, rows
from tests.workers.harness import House, open_house

pytestmark = pytest.mark.store

TOKENS: dict[Role, str] = {"viewer": "look-1", "operator": "act-2", "admin": "all-3"}
BODY = b'{"event_code": "customer.updated", "id": "e1", "data": {"id": "77", "email": "ada@example.com"}}'
RULES = """
- id: tell
  type: purchase_order
  when: {field: id, op: exists}
  actions: [{id: claim, do: http, url: "SINK/claims", body: {order: "{id}"}}]
"""


class Opened(Struct):
    """A store that is there."""

    opened: Store


class Installation(Struct):
    """One of everything: a dead letter, one that ended, one that waits, a refused delivery, a worker."""

    url: str
    house: House
    dead: str
    ended: str
    waiting: str
    refused: str
    first: str

    def remotely(self, role: Role = "admin") -> dict[str, str]:
        """The variables that lead to the admin API."""
        return {"WAYBILL_ADMIN_URL": self.url, "WAYBILL_ADMIN_TOKEN": TOKENS[role]}


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    async with open_house(make_settings(attempts_max=1, lease_seconds=2)) as opened:
        yield opened


@pytest.fixture
async def url(environ: dict[str, str], store: Store) -> AsyncIterator[str]:
    """The admin API of what is configured, on the test's store."""
    digests = {role.upper(): hashlib.sha256(token.encode()).hexdigest() for role, token in TOKENS.items()}
    tokens = [AdminToken(name=f"ann-{role}", role=role, sha256=SecretRef(env=role.upper())) for role in TOKENS]
    settings = load_settings(environ)
    config = load_config(Path(settings.config), environ)
    async with AsyncExitStack() as stack:
        outbound = await stack.enter_async_context(HttpClient(settings))
        platforms = build_platforms(config.platforms, environ, outbound)
        parts = AdminDependencies(
            settings=settings,
            admin=AdminConfig(tokens=tuple(tokens)),
            environ=digests,
            late_store=Opened(store),
            platforms=platforms,
            sources=build_sources(config, environ, platforms, settings),
            actions=load_actions(),
            source_configs=config.sources,
            platform_configs=config.platforms,
        )
        port = stack.enter_context(bind("127.0.0.1", 0, "WAYBILL_ADMIN_PORT"))
        listener = Listener(build_admin_app(settings, store, admin=admin_router(parts)), port, settings)
        await listener.start()
        stack.push_async_callback(listener.stop)
        yield f"http://127.0.0.1:{listener.port}"


@pytest.fixture
async def installation(house: House, url: str) -> Installation:
    first = await house.publish(RULES)
    ended = await house.send("po-1")
    await house.work()
    await house.publish(RULES.replace("SINK", "http://127.0.0.1:9"))
    dead = await house.send("po-2")
    await house.work()
    record = RecordRef("pack", "customer", "77")
    waiting = Event(
        EVENT_VERSION, new_event_id(), "pack-orders", "customer.updated", "updated", record, None, {}, None, BODY
    )
    await house.store.ingest(waiting, dedupe_key_of_id("pack-orders", "e1"), 60_000)
    headers = {"content-type": "application/json", "x-signature": "0" * 64}
    refused = new_event_id()
    kept = QuarantinedDelivery(
        1, refused, "pack-orders", "not_verified", 401, time.time(), headers, BODY, None, whole=True
    )
    await house.store.quarantine_deliveries([kept])
    await house.store.sampler.heartbeat("w-1", 3, time.time(), 600)
    return Installation(url, house, dead, ended, waiting.id, kept.id, first)


QUESTIONS = """
events list
events list --limit 1
events list --state dead
events list --state ended --source shop --rule tell
events list --record 77 --type customer.updated
events list --since 1h --until 2100-01-01
events list --since 2100-01-01T00:00:00+02:00
events list --since 999999w
events search e1
events search WAITING
events search po-2
events search nobody
events show DEAD
events show ENDED
events show WAITING
events show WAITING --raw
events show nobody
events replay ENDED
events replay WAITING
events replay nobody
events replay --all --dry-run
events replay --all --rerun-done --dry-run
events replay
dead-letters list
dead-letters list --error nothing
dead-letters list --after nowhere
dead-letters show DEAD
dead-letters show ENDED
dead-letters replay DEAD --dry-run
dead-letters replay --record po-2 --dry-run
dead-letters replay --all
dead-letters discard --all --reason why --dry-run
dead-letters discard ENDED --reason why
dead-letters discard nobody --reason why
dead-letters discard DEAD --reason=
quarantine list
quarantine show REFUSED
quarantine show REFUSED --raw
quarantine reverify --all
quarantine reverify nobody
quarantine release --all
sources
workers
polls
store --no-memory
platforms list pack
platforms list nobody
platforms get pack customer.get
platforms get pack customer.get 1
platforms get nobody customer.get 1
platforms write nobody rule.create --yes
platforms write pack rule.get 1 --yes
platforms write erp customer.create --yes
platforms write pack rule.update --yes
platforms write pack rule.create --yes
platforms write pack rule.create --body [] --yes
platforms write pack rule.create --body {"name":1} --yes
platforms write pack rule.delete 1
rules list
rules show
rules show tell
rules show nobody
rules show --version nothing
rules history
rules diff FIRST
rules diff FIRST nothing
rules rollback nothing
rules dry-run --event nobody
explain ENDED
explain DEAD
explain WAITING --raw
explain nobody
erase-customer pack 77 --dry-run
erase-customer pack 77
erase-customer pakc 77 --dry-run
erase-customer pakc 77 --yes
""".strip().splitlines()


@pytest.mark.slow
async def test_every_question_is_answered_alike_both_ways(installation: Installation, run: Run) -> None:
    for question in QUESTIONS:
        words = [_word(installation, word) for word in question.split()]
        as_json = (
            [] if words[:2] in (["quarantine", "show"], ["platforms", "get"], ["platforms", "write"]) else ["--json"]
        )
        directly = await run(*words, *as_json)
        remotely = await run(*words, *as_json, **installation.remotely())
        assert (_steady(directly.stdout), directly.exit_code) == (_steady(remotely.stdout), remotely.exit_code), (
            question
        )
        assert (directly.stderr, "Traceback" in directly.output) == (remotely.stderr, False), question
        plain = await run(*words)
        assert (plain.exit_code, "Traceback" in plain.output) == (directly.exit_code, False), question


CHANGES = [
    ("dead-letters replay DEAD", "replayed"),
    ("dead-letters replay --all --yes --rate 1000", "replayed"),
    ("dead-letters replay --record po-2 --yes", "replayed"),
    ("dead-letters discard DEAD --reason why", "discarded"),
    ("dead-letters discard --all --reason why --yes", "discarded"),
    ("events replay ENDED --rerun-done", "replayed"),
    ("events replay --all --rerun-done --yes", "replayed"),
]


@pytest.mark.parametrize("way", ["stores", "api"])
@pytest.mark.parametrize(("change", "result"), CHANGES)
async def test_a_change_is_made_once_by_either_way_and_told_in_the_audit_log(
    *, change: str, result: str, way: str, installation: Installation, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [_word(installation, word) for word in change.split()]
    more = installation.remotely("operator") if way == "api" else {"USER": "ann"}
    capfd.readouterr()
    done = await run(*words, "--json", **more)
    assert done.exit_code == 0, done.output
    assert [row["result"] for row in rows(done)] == [result]
    (line,) = _audited(capfd)
    assert (line["audit_action"].split(".")[1], line["target"]) == (result, rows(done)[0]["event_id"])
    door, actor = ("api", "ann-operator") if way == "api" else ("command", "ann")
    assert (line["via"], line["actor"]) == (door, actor)
    assert line["client_host"]
    again = await run(*words, "--json", **more)
    assert [row["result"] for row in rows(again) if row["result"] == result] == []


@pytest.mark.parametrize("way", ["stores", "api"])
async def test_a_refused_delivery_is_taken_in_or_forgotten_by_either_way(
    way: str, installation: Installation, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    more = installation.remotely("operator") if way == "api" else {}
    assert (await run("quarantine", "release", "--all", **more)).exit_code == 1
    kept = await run("quarantine", "delete", "--all", **more)
    assert (kept.exit_code, "add --yes" in kept.output) == (2, True)
    capfd.readouterr()
    assert (await run("quarantine", "delete", "--all", "--yes", **more)).stdout == "1 deleted\n"
    assert [line["audit_action"] for line in _audited(capfd)] == ["delivery.deleted"]
    assert (await run("quarantine", "list", "--json", **more)).stdout == ""


@pytest.mark.parametrize("way", ["stores", "api"])
async def test_rules_are_put_into_force_and_back_by_either_way_and_told_in_the_audit_log(
    way: str, installation: Installation, run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    more = installation.remotely() if way == "api" else {"USER": "ann"}
    file = tmp_path / "other.yaml"
    file.write_text("- {id: other, type: customer}\n")
    capfd.readouterr()
    (applied,) = rows(await run("rules", "apply", str(file), "--note", "new", "--json", **more))
    assert (applied["rules"], applied["changed"]) == (1, True)
    assert [line["id"] for line in rows(await run("rules", "list", "--json", **more))] == ["other"]
    assert "in force already" in (await run("rules", "apply", str(file), **more)).stdout
    (back,) = rows(await run("rules", "rollback", installation.first, "--json", **more))
    assert (back["version"], back["changed"]) == (installation.first, True)
    told = [(line["audit_action"], line["target"], line["via"]) for line in _audited(capfd)]
    door = "api" if way == "api" else "command"
    assert told == [
        ("rulebook.applied", applied["version"], door),
        ("rulebook.rolled_back", installation.first, door),
    ]
    newest, *_ = rows(await run("rules", "history", "--json", **more))
    assert newest["author"] == ("ann-admin" if way == "api" else "ann")


@pytest.mark.parametrize("way", ["stores", "api"])
async def test_rules_are_tried_by_either_way(way: str, installation: Installation, run: Run, tmp_path: Path) -> None:
    more = installation.remotely("operator") if way == "api" else {}
    file = tmp_path / "tried.yaml"
    file.write_text("- {id: other, type: customer}\n")
    for words in ((), ("--version", installation.first), ("--rules", str(file))):
        done = await run("rules", "dry-run", "--last", "5", *words, "--json", **more)
        assert done.stdout, done.output
        told = json.loads(done.stdout)
        assert (done.exit_code, told["live"] == told["candidate"]) == (0, not words)
        assert {missed["event_id"] for missed in told["skipped"]} >= {installation.waiting}  # nobody is at port 9
    failed = await run("rules", "dry-run", "--record", "pack:purchase_order:1", **more)
    assert (failed.exit_code, "Traceback" in failed.output) == (1, False)


async def test_by_the_api_the_author_is_the_token_s_name(installation: Installation, run: Run) -> None:
    for words in (("rollback", installation.first), ("apply",)):
        done = await run("rules", *words, "--author", "bob", **installation.remotely())
        assert (done.exit_code, "by your token" in done.output) == (2, True), done.output


@pytest.mark.parametrize("way", ["stores", "api"])
async def test_a_customer_is_forgotten_by_either_way(
    way: str, installation: Installation, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    more = installation.remotely() if way == "api" else {}
    capfd.readouterr()
    done = await run("erase-customer", "pack", "77", "--yes", "--json", **more)
    assert done.exit_code == 0, done.output
    (told,) = rows(done)
    assert (told["events"], told["quarantined_deliveries"], told["in_progress"]) == (1, 1, 0)
    assert [(line["audit_action"], line["target"]) for line in _audited(capfd)] == [
        ("customer.erased", "pack:customer:77")
    ]
    (left,) = rows(await run("erase-customer", "pack", "77", "--dry-run", "--json", **more))
    assert {
        name: left[name] for name in ("events", "quarantined_deliveries", "hints", "stream_entries")
    } == dict.fromkeys(("events", "quarantined_deliveries", "hints", "stream_entries"), 0)


@pytest.mark.parametrize(
    ("role", "words", "exit_code"),
    [
        ("viewer", ("events", "list"), 0),
        ("viewer", ("events", "replay", "ENDED"), 1),
        ("operator", ("erase-customer", "pack", "77", "--yes"), 1),
        ("operator", ("events", "show", "WAITING", "--raw"), 1),
    ],
)
async def test_a_token_s_role_holds_for_commands_too(
    role: Role, words: tuple[str, ...], exit_code: int, installation: Installation, run: Run
) -> None:
    done = await run(*[_word(installation, word) for word in words], **installation.remotely(role))
    assert done.exit_code == exit_code
    assert ("role" in done.output) == bool(exit_code)


@pytest.mark.parametrize(
    ("role", "body", "inputs"), [("viewer", False, False), ("operator", True, True), ("admin", True, True)]
)
async def test_bodies_are_shown_from_operator_on_and_redacted(
    *, role: Role, body: bool, inputs: bool, installation: Installation, run: Run
) -> None:
    (waiting,) = rows(await run("events", "show", installation.waiting, "--json", **installation.remotely(role)))
    assert (waiting["body"] is not None) == body
    assert "ada@example.com" not in json.dumps(waiting)
    (ended,) = rows(await run("events", "show", installation.ended, "--json", **installation.remotely(role)))
    assert (ended["effects"][0]["inputs"] is not None) == inputs
    refused = json.loads((await run("quarantine", "show", installation.refused, **installation.remotely(role))).stdout)
    assert (refused["body"] is not None) == body
    assert refused["headers"]["x-signature"] == "[64 characters]"


async def test_the_token_may_stand_in_a_file_and_is_missed_where_it_is_nowhere(
    installation: Installation, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text(TOKENS["viewer"] + "\n")
    assert (await run("workers", "--url", installation.url, "--token-file", str(path))).exit_code == 0
    assert (await run("workers", WAYBILL_ADMIN_URL=installation.url, WAYBILL_ADMIN_TOKEN_FILE=str(path))).exit_code == 0
    for more in ((), ("--token-file", str(tmp_path / "none")), ("--token", " "), ("--token", "a\nb")):
        failed = await run("workers", "--url", installation.url, *more)
        assert (failed.exit_code, failed.stderr.count("Fix: ")) == (2, 1), more
        assert "process.failed" not in failed.output, "a person reads the text, and no log its line"
    wrong = await run("workers", "--url", installation.url, "--token", "guessed")
    assert (wrong.exit_code, "bearer token" in wrong.output) == (1, True)


async def test_a_token_that_would_go_unencrypted_is_warned_of(run: Run, free_port: int) -> None:
    for host, warned in (("[::1]", False), ("127.0.0.1", False), ("waybill.invalid", True)):
        done = await run("workers", "--url", f"http://{host}:{free_port}", "--token", "x")
        assert ("unencrypted" in done.stderr) == warned
        assert done.exit_code == 1


async def test_nobody_there_and_somebody_else_there_are_told_apart(run: Run, free_port: int, url: str) -> None:
    nobody = await run("workers", "--url", f"http://127.0.0.1:{free_port}", "--token", "x")
    assert (nobody.exit_code, "connect" in nobody.output) == (1, True)
    other = await run("workers", "--url", f"{url}/healthz#", "--token", "x")
    assert (other.exit_code, "no admin API" in other.output) == (1, True)
    senders = await run("workers", "--url", f"{url}/webhooks", "--token", "x")
    assert (senders.exit_code, "no admin API of this version; its port is 8081" in senders.output) == (2, True)
    for wrong in ("127.0.0.1:8081", "ftp://127.0.0.1", "http://", "http://[::1"):
        mistake = await run("workers", "--url", wrong, "--token", "x")
        told = f"--url: {wrong!r} is no address of an admin API. Fix: write it as http://127.0.0.1:8081"
        assert (mistake.exit_code, told in mistake.stderr) == (2, True)
    store = await run("workers", WAYBILL_REDIS_URL=f"redis://127.0.0.1:{free_port}")
    assert (store.exit_code, "store_unavailable" in store.output) == (1, True)


async def test_a_mistake_that_only_the_api_sees_is_told_with_its_place(installation: Installation, run: Run) -> None:
    long = await run("events", "search", "x" * 501, **installation.remotely())
    assert (long.exit_code, "?text: Expected `str` of length <= 500" in long.stderr) == (2, True), long.stderr


async def test_an_explanation_tells_what_an_event_waits_for_also_as_json(installation: Installation, run: Run) -> None:
    put_off = ("waits_for", "account_throttled", "next_ms", 1_800_000_000_000)
    await installation.house.store.client.command("HSET", f"wb:event:{installation.waiting}", *put_off)
    for way in ({}, installation.remotely()):
        (told,) = rows(await run("explain", installation.waiting, "--json", **way))
        assert (told["waiting_for"], told["next_attempt_at"]) == ("account_throttled", "2027-01-15T08:00:00.000Z")
        plain = (await run("explain", installation.waiting, **way)).stdout
        assert "put off for account_throttled, next attempt not before 2027-01-15T08:00:00.000Z" in plain
        assert "customer.updated (updated) from pack-orders about pack:customer:77" in plain


async def test_without_a_terminal_nothing_is_done_to_all_unasked(installation: Installation, run: Run) -> None:
    for words in (("dead-letters", "replay", "--all"), ("dead-letters", "discard", "--all", "--reason", "why")):
        done = await run(*words)
        assert (done.exit_code, "1 would be" in done.output, "add --yes" in done.output) == (2, True, True)
    assert (await run("erase-customer", "pack", "77")).exit_code == 2
    assert (await installation.house.story(installation.dead))["state"] == "dead"


async def test_no_worker_alive_is_an_exit_code(run: Run) -> None:
    assert (await run("workers")).exit_code == 1


def test_variables_of_commands_are_no_unknown_settings() -> None:
    settings = load_settings(dict.fromkeys(CALLER_NAMES, "x"))
    assert settings == Settings()
    with pytest.raises(ConfigError):
        load_settings({"WAYBILL_ADMIN_URLS": "x"})


def _word(installation: Installation, word: str) -> str:
    return cast("str", getattr(installation, word.lower())) if word.isupper() and word.isalpha() else word


def _steady(text: str) -> str:
    """Without what the clock changes between two calls."""
    return re.sub(r'"(oldest_age_ms|memory_bytes|clock_ms)":\d+', "", text)


def _audited(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capfd.readouterr()
    lines = [line for line in (captured.out + captured.err).splitlines() if '"admin.changed"' in line]
    return [json.loads(line) for line in lines]
