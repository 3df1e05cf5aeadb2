"""Commands through the stores and through the admin API: same output, exit codes and errors."""

import json
import re
import time
from pathlib import Path
from typing import Any, cast

import pytest

from service.config import Role
from service.errors import ConfigError
from service.settings import CALLER_NAMES, Settings, load_settings
from service.store import QuarantinedDelivery
from tests.service.cli.conftest import BODY, TOKENS, Run, SampleInstallation, rows

pytestmark = [pytest.mark.store, pytest.mark.slow]

COMMANDS = """
events list
events list --limit 1
events list --state dead
events list --state ended --source shop --rule notify
events list --record 77 --type customer.updated
events list --since 1h --until 2100-01-01
events list --since 2100-01-01T00:00:00+02:00
events list --since 999999w
events search e1
events search QUEUED
events search po-2
events search nobody
events show DEAD
events show ENDED
events show QUEUED
events show QUEUED --raw
events show nobody
events replay ENDED
events replay QUEUED
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
quarantine show QUARANTINED
quarantine show QUARANTINED --raw
quarantine reverify --all
quarantine reverify nobody
quarantine release --all
sources
workers
polls
store --no-memory
platforms list
platforms pause pack
platforms resume pack
platforms pause nobody
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
rules show notify
rules show nobody
rules show --version nothing
rules history
rules diff FIRST
rules diff FIRST nothing
rules rollback nothing
rules dry-run --event nobody
rules stats
rules stats notify
rules stats nothing
events list --verdict matched --rule notify
events list --verdict error
explain ENDED
explain DEAD
explain QUEUED --raw
explain nobody
erase-customer pack:customer:77 --dry-run
erase-customer pack:customer:77
erase-customer pakc:customer:77 --dry-run
erase-customer pakc:customer:77 --yes
erase-customer pack:purchase_order:77 --dry-run
erase-customer 77 --yes
rules dry-run --record 77
""".strip().splitlines()


@pytest.mark.slow
async def test_every_command_has_the_same_result_through_stores_and_api(
    installation: SampleInstallation, run: Run
) -> None:
    for line in COMMANDS:
        words = [_word(installation, word) for word in line.split()]
        directly = await run(*words, "-o", "json")
        remotely = await run(*words, "-o", "json", **installation.api_environ())
        assert (_steady(directly.stdout), directly.exit_code) == (_steady(remotely.stdout), remotely.exit_code), line
        assert (directly.stderr, "Traceback" in directly.output) == (remotely.stderr, False), line
        plain = await run(*words)
        assert (plain.exit_code, "Traceback" in plain.output) == (directly.exit_code, False), line


CHANGES = [
    ("dead-letters replay DEAD", "replayed"),
    ("dead-letters replay --all --yes --rate 1000", "replayed"),
    ("dead-letters replay --record po-2 --yes", "replayed"),
    ("dead-letters discard DEAD --reason why", "discarded"),
    ("dead-letters discard --all --reason why --yes", "discarded"),
    ("events replay ENDED --rerun-done", "replayed"),
    ("events replay --all --rerun-done --yes", "replayed"),
]


@pytest.mark.parametrize("access", ["stores", "api"])
@pytest.mark.parametrize(("change", "result"), CHANGES)
async def test_a_change_is_applied_once_and_written_to_the_audit_log(
    *,
    change: str,
    result: str,
    access: str,
    installation: SampleInstallation,
    run: Run,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = [_word(installation, word) for word in change.split()]
    more = installation.api_environ("operator") if access == "api" else {"USER": "ann"}
    capfd.readouterr()
    done = await run(*words, "-o", "json", **more)
    assert done.exit_code == 0, done.output
    assert [row["result"] for row in rows(done)] == [result]
    (line,) = _audited(capfd)
    assert (line["audit_action"].split(".")[1], line["target"]) == (result, rows(done)[0]["event_id"])
    via, actor = ("api", "ann-operator") if access == "api" else ("command", "ann")
    assert (line["via"], line["actor"]) == (via, actor)
    assert line["client_host"]
    again = await run(*words, "-o", "json", **more)
    assert [row["result"] for row in rows(again) if row["result"] == result] == []


@pytest.mark.parametrize("access", ["stores", "api"])
async def test_a_quarantined_delivery_is_released_or_deleted(
    access: str, installation: SampleInstallation, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    more = installation.api_environ("operator") if access == "api" else {}
    assert (await run("quarantine", "release", "--all", **more)).exit_code == 1
    unconfirmed = await run("quarantine", "delete", "--all", **more)
    assert (unconfirmed.exit_code, "Add --yes" in unconfirmed.output) == (2, True)
    capfd.readouterr()
    assert (await run("quarantine", "delete", "--all", "--yes", **more)).stdout == "1 delivery deleted\n"
    assert [line["audit_action"] for line in _audited(capfd)] == ["delivery.deleted"]
    assert (await run("quarantine", "list", "-o", "json", **more)).stdout == ""


@pytest.mark.parametrize("access", ["stores", "api"])
async def test_a_quarantined_delivery_is_named_by_a_unique_prefix(
    access: str, installation: SampleInstallation, run: Run
) -> None:
    more = installation.api_environ() if access == "api" else {}
    prefix = installation.quarantined[:16]
    shown = await run("quarantine", "show", prefix, **more)
    assert json.loads(shown.stdout)["id"] == installation.quarantined
    other = QuarantinedDelivery(
        1, prefix + "0" * 16, "shop", "not_verified", 401, time.time(), {}, BODY, None, whole=True
    )
    await installation.harness.store.quarantine_deliveries([other])
    ambiguous = await run("quarantine", "delete", prefix, **more)
    assert (ambiguous.exit_code, f"Several ids begin with {prefix}: " in ambiguous.stderr) == (2, True)
    assert (await run("quarantine", "delete", prefix + "00", **more)).stdout == "1 delivery deleted\n"


@pytest.mark.parametrize("access", ["stores", "api"])
async def test_rules_are_applied_and_rolled_back_and_written_to_the_audit_log(
    access: str, installation: SampleInstallation, run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    more = installation.api_environ() if access == "api" else {"USER": "ann"}
    file = tmp_path / "other.yaml"
    file.write_text("- {id: other, type: customer}\n")
    capfd.readouterr()
    (applied,) = rows(await run("rules", "apply", str(file), "--note", "new", "-o", "json", **more))
    assert (applied["rules"], applied["changed"]) == (1, True)
    assert [line["id"] for line in rows(await run("rules", "list", "-o", "json", **more))] == ["other"]
    assert "already active" in (await run("rules", "apply", str(file), **more)).stdout
    (back,) = rows(await run("rules", "rollback", installation.first, "-o", "json", **more))
    assert (back["version"], back["changed"]) == (installation.first, True)
    audited = [(line["audit_action"], line["target"], line["via"]) for line in _audited(capfd)]
    via = "api" if access == "api" else "command"
    assert audited == [
        ("rulebook.applied", applied["version"], via),
        ("rulebook.rolled_back", installation.first, via),
    ]
    newest, *_ = rows(await run("rules", "history", "-o", "json", **more))
    assert newest["author"] == ("ann-admin" if access == "api" else "ann")


@pytest.mark.parametrize("access", ["stores", "api"])
async def test_rules_are_evaluated_in_a_dry_run(
    access: str, installation: SampleInstallation, run: Run, tmp_path: Path
) -> None:
    more = installation.api_environ("operator") if access == "api" else {}
    file = tmp_path / "candidate.yaml"
    file.write_text("- {id: other, type: customer}\n")
    for words in ((), ("--version", installation.first), ("--rules", str(file))):
        done = await run("rules", "dry-run", "--last", "5", *words, "-o", "json", **more)
        assert done.stdout, done.output
        comparison = json.loads(done.stdout)
        assert (done.exit_code, comparison["live"] == comparison["candidate"]) == (0, not words)
        assert {skipped["event_id"] for skipped in comparison["skipped"]} >= {installation.queued}  # port 9 is closed
    failed = await run("rules", "dry-run", "--record", "pack:purchase_order:1", **more)
    assert (failed.exit_code, "Traceback" in failed.output) == (1, False)


async def test_the_author_is_the_name_of_the_token_with_the_api(installation: SampleInstallation, run: Run) -> None:
    for words in (("rollback", installation.first), ("apply",)):
        done = await run("rules", *words, "--author", "bob", **installation.api_environ())
        assert (done.exit_code, "the name of the token" in done.output) == (2, True), done.output


@pytest.mark.parametrize("access", ["stores", "api"])
async def test_a_customer_is_erased(
    access: str, installation: SampleInstallation, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    more = installation.api_environ() if access == "api" else {}
    capfd.readouterr()
    done = await run("erase-customer", "pack:customer:77", "--yes", "-o", "json", **more)
    assert done.exit_code == 0, done.output
    (report,) = rows(done)
    assert (report["events"], report["quarantined_deliveries"], report["in_progress"]) == (1, 1, 0)
    assert [(line["audit_action"], line["target"]) for line in _audited(capfd)] == [
        ("customer.erased", "pack:customer:77")
    ]
    (left,) = rows(await run("erase-customer", "pack:customer:77", "--dry-run", "-o", "json", **more))
    assert {
        name: left[name] for name in ("events", "quarantined_deliveries", "hints", "stream_entries")
    } == dict.fromkeys(("events", "quarantined_deliveries", "hints", "stream_entries"), 0)


@pytest.mark.parametrize(
    ("role", "words", "exit_code"),
    [
        ("viewer", ("events", "list"), 0),
        ("viewer", ("events", "replay", "ENDED"), 1),
        ("operator", ("erase-customer", "pack:customer:77", "--yes"), 1),
        ("operator", ("events", "show", "QUEUED", "--raw"), 1),
    ],
)
async def test_the_role_of_the_token_limits_commands(
    role: Role, words: tuple[str, ...], exit_code: int, installation: SampleInstallation, run: Run
) -> None:
    done = await run(*[_word(installation, word) for word in words], **installation.api_environ(role))
    assert done.exit_code == exit_code
    assert ("role" in done.output) == bool(exit_code)


@pytest.mark.parametrize(
    ("role", "body", "inputs"), [("viewer", False, False), ("operator", True, True), ("admin", True, True)]
)
async def test_bodies_are_shown_redacted_to_operators(
    *, role: Role, body: bool, inputs: bool, installation: SampleInstallation, run: Run
) -> None:
    (queued,) = rows(await run("events", "show", installation.queued, "-o", "json", **installation.api_environ(role)))
    assert (queued["body"] is not None) == body
    assert "ada@example.com" not in json.dumps(queued)
    (ended,) = rows(await run("events", "show", installation.ended, "-o", "json", **installation.api_environ(role)))
    assert (ended["effects"][0]["inputs"] is not None) == inputs
    quarantined = json.loads(
        (await run("quarantine", "show", installation.quarantined, **installation.api_environ(role))).stdout
    )
    assert (quarantined["body"] is not None) == body
    assert quarantined["headers"]["x-signature"] == "[64 characters]"


async def test_the_token_is_read_from_a_file_and_a_missing_token_is_an_error(
    installation: SampleInstallation, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text(TOKENS["viewer"] + "\n")
    assert (await run("workers", "--url", installation.url, "--token-file", str(path))).exit_code == 0
    assert (await run("workers", WAYBILL_ADMIN_URL=installation.url, WAYBILL_ADMIN_TOKEN_FILE=str(path))).exit_code == 0
    for more in ((), ("--token-file", str(tmp_path / "none")), ("--token", " "), ("--token", "a\nb")):
        failed = await run("workers", "--url", installation.url, *more)
        assert (failed.exit_code, failed.stderr.count("Fix: ")) == (2, 1), more
        assert "process.failed" not in failed.output, "the error is printed, not logged"
    wrong = await run("workers", "--url", installation.url, "--token", "guessed")
    assert (wrong.exit_code, "bearer token" in wrong.output) == (1, True)


async def test_a_token_over_http_is_a_warning(run: Run, free_port: int) -> None:
    for host, warned in (("[::1]", False), ("127.0.0.1", False), ("waybill.invalid", True)):
        done = await run("workers", "--url", f"http://{host}:{free_port}", "--token", "x")
        assert ("unencrypted" in done.stderr) == warned
        assert done.exit_code == 1


async def test_an_unreachable_api_and_another_server_have_different_errors(run: Run, free_port: int, url: str) -> None:
    unreachable = await run("workers", "--url", f"http://127.0.0.1:{free_port}", "--token", "x")
    assert (unreachable.exit_code, "connect" in unreachable.output) == (1, True)
    other = await run("workers", "--url", f"{url}/healthz#", "--token", "x")
    assert (other.exit_code, "is not an admin API" in other.output) == (1, True)
    webhooks = await run("workers", "--url", f"{url}/webhooks", "--token", "x")
    assert (
        webhooks.exit_code,
        "is not an admin API of this version (status 404). Its port is 8081" in webhooks.output,
    ) == (2, True)
    for wrong in ("127.0.0.1:8081", "ftp://127.0.0.1", "http://", "http://[::1"):
        mistake = await run("workers", "--url", wrong, "--token", "x")
        message = f"--url: {wrong!r} is not a URL of an admin API. Fix: write it as http://127.0.0.1:8081"
        assert (mistake.exit_code, message in mistake.stderr) == (2, True)
    store = await run("workers", WAYBILL_REDIS_URL=f"redis://127.0.0.1:{free_port}")
    assert (store.exit_code, "store_unavailable" in store.output) == (1, True)


async def test_a_validation_error_of_the_api_is_printed_with_its_path(
    installation: SampleInstallation, run: Run
) -> None:
    long = await run("events", "search", "x" * 501, **installation.api_environ())
    assert (long.exit_code, "?text: Expected `str` of length <= 500" in long.stderr) == (2, True), long.stderr


async def test_an_explanation_contains_the_reason_of_the_wait(installation: SampleInstallation, run: Run) -> None:
    deferral = ("waiting_for", "account_throttled", "next_ms", 1_800_000_000_000)
    store = installation.harness.store
    await store.client.command("HSET", store.keys.event(installation.queued), *deferral)
    for variables in ({}, installation.api_environ()):
        (explained,) = rows(await run("explain", installation.queued, "-o", "json", **variables))
        assert (explained["waiting_for"], explained["next_attempt_at"]) == (
            "account_throttled",
            "2027-01-15T08:00:00.000Z",
        )
        plain = (await run("explain", installation.queued, **variables)).stdout
        assert re.search(
            r"waiting: account throttled; next attempt 2027-01-15T08:00:00.000Z \((in \d+ .+|due now)\)", plain
        )
        assert "customer.updated (updated) from pack-orders about pack:customer:77" in plain


async def test_an_explanation_has_effects_and_attempts_with_request_and_answer(
    installation: SampleInstallation, run: Run
) -> None:
    (explained,) = rows(await run("explain", installation.ended, "-o", "json", **installation.api_environ()))
    ((rule,),) = (decision["rules"] for decision in explained["decisions"])
    assert [(node["text"], node["result"]) for node in rule["nodes"]] == [("id exists", True)]
    assert [(effect["action_id"], effect["state"]) for effect in rule["effects"]] == [("claim", "done")]
    effect, whole = explained["attempts"]
    assert (effect["rule_id"], effect["action_id"], whole["rule_id"]) == ("notify", "claim", None)
    assert effect["exchange"]["request"]["body"] == '{"order":"po-1"}'
    assert effect["exchange"]["response"]["status"] == 200
    plain = (await run("explain", installation.ended)).stdout
    assert "+ notify matched\n    + id exists: was po-1\n    done: http (claim) " in plain
    assert '      > {"order":"po-1"}\n' in plain


async def test_an_explanation_shows_what_the_role_may_see(installation: SampleInstallation, run: Run) -> None:
    viewer = installation.api_environ("viewer")
    (explained,) = rows(await run("explain", installation.ended, "-o", "json", **viewer))
    assert explained["decisions"][0]["rules"][0]["effects"][0]["inputs"] is None
    assert "request" not in explained["attempts"][0]["exchange"]
    plain = await run("explain", installation.ended, **viewer)
    assert "    done: http (claim)\nattempt 1, " in plain.stdout
    for role in ("viewer", "operator"):
        rejected = await run("explain", installation.ended, "--raw", **installation.api_environ(role))
        assert (rejected.exit_code, "take the role admin" in rejected.stderr) == (1, True)


async def test_a_bulk_change_without_a_terminal_requires_yes(installation: SampleInstallation, run: Run) -> None:
    for words in (("dead-letters", "replay", "--all"), ("dead-letters", "discard", "--all", "--reason", "why")):
        done = await run(*words)
        assert (done.exit_code, "1 event would be" in done.output, "Add --yes" in done.output) == (2, True, True)
    assert (await run("erase-customer", "pack:customer:77")).exit_code == 2
    assert (await installation.harness.stored_event(installation.dead))["state"] == "dead"


async def test_workers_exits_with_1_if_no_worker_is_alive(run: Run) -> None:
    assert (await run("workers")).exit_code == 1


def test_variables_of_commands_are_known_settings() -> None:
    settings = load_settings(dict.fromkeys(CALLER_NAMES, "x"))
    assert settings == Settings()
    with pytest.raises(ConfigError):
        load_settings({"WAYBILL_ADMIN_URLS": "x"})


def _word(installation: SampleInstallation, word: str) -> str:
    return cast("str", getattr(installation, word.lower())) if word.isupper() and word.isalpha() else word


def _steady(text: str) -> str:
    """Remove the values that differ between two calls."""
    return re.sub(r'"(oldest_age_ms|oldest_due_ms|memory_bytes|clock_ms)":\d+', "", text)


def _audited(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capfd.readouterr()
    lines = [line for line in (captured.out + captured.err).splitlines() if '"admin.changed"' in line]
    return [json.loads(line) for line in lines]
