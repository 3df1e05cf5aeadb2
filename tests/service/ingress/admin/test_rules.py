"""Rules, conditions and actions in the admin API: versions, preconditions, and pointers to errors."""

import json
import time
from typing import Any

import pytest
from msgspec import structs

from service.actions import load_actions
from service.ingress.admin.problems import pointer_of
from service.platforms.pack_cloud.config import PackCloudConfig
from service.rules.publishing import publish_file_rules
from service.secrets import SecretRef
from service.store import Store
from tests.service.rules.rule_samples import load_rulebook, rules_of
from tests.service.rules.test_hostile_rules import HARMLESS, HOSTILE_RULES, SECONDS_MAX

from .conftest import CONFIG, Answer, Api, Lines, ServeAdmin

pytestmark = pytest.mark.slow

RULES = "/api/v1/rules"
RULE: dict[str, Any] = {
    "id": "short",
    "type": "purchase_order",
    "when": {
        "all": [{"field": "status", "op": "eq", "value": "received"}, {"field": "lines_count", "op": "gt", "value": 1}]
    },
    "actions": [{"id": "warn", "do": "log", "message": "{reference}"}],
}  # fmt: skip
FILE_RULE: dict[str, Any] = {"id": "from-file", "type": "customer", "sort": -1}
FILE_RULES = "[{id: from-file, type: customer, sort: -1}]"
HTTP = {"id": "a", "do": "http", "url": "http://x.test"}


@pytest.fixture
async def short(api: Api) -> Answer:
    return await api("POST", RULES, RULE)


def pointers(answer: Answer) -> list[str]:
    assert (answer.status, answer.body["code"]) == (422, "invalid"), answer.body
    assert all(error["detail"] for error in answer.body["errors"])
    return [error["pointer"] for error in answer.body["errors"]]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"actions": [{"id": "a", "do": "platform", "operation": "x.y", "account": ["x"]}]}, "/actions/0/account"),
        ({"sort": "first"}, "/sort"),
        ({"colour": "red"}, "/colour"),
        ({"when": {"all": [{"feild": "status"}]}}, "/when/all/0/feild"),
        ({"type": "order"}, "/type"),
        ({"id": "a b"}, "/id"),
        ({"when": {"all": [{"field": "statsu", "op": "exists"}]}}, "/when/all/0/field"),
        ({"when": {"not": {"field": "status", "op": "eq", "value": 3}}}, "/when/not/value"),
        ({"when": {"any": []}}, "/when/any"),
        ({"actions": [{"id": "a", "do": "lgo", "message": ""}]}, "/actions/0/do"),
        ({"actions": [{"id": "a", "do": "log", "message": "{nmae}"}]}, "/actions/0/message"),
        ({"actions": [HTTP | {"headers": {"Host": "a"}}]}, "/actions/0/headers/Host"),
        ({"sources": ["shop"]}, "/sources/0"),
    ],
)  # fmt: skip
async def test_an_error_has_a_pointer(api: Api, change: dict[str, Any], pointer: str) -> None:
    assert pointers(await api("POST", RULES, RULE | change)) == [pointer]
    assert (await api("GET", RULES)).body["items"] == []


async def test_missing_and_unknown_fields_are_named(api: Api) -> None:
    for body, error in (
        ({"id": "a"}, {"pointer": "/type", "detail": "is missing", "fix": "add it"}),
        (RULE | {"a/b": 1}, {"pointer": "/a~1b", "detail": "unknown key"}),
        (None, {"pointer": "", "detail": "the body is missing", "fix": "send JSON"}),
    ):
        answer = await api("POST", RULES, body)
        assert answer.status == 422
        assert error.items() <= answer.body["errors"][0].items()


async def test_hostile_rules_are_rejected_with_pointers_in_time(api: Api) -> None:
    for name in sorted(HOSTILE_RULES.keys() - HARMLESS):
        rule, place, reason = HOSTILE_RULES[name]
        started = time.process_time()
        answer = await api("POST", RULES, json.dumps(rule).encode())
        assert time.process_time() - started < SECONDS_MAX, name
        assert answer.headers["content-type"].startswith("application/problem+json")
        if answer.status != 422:  # rejected by size or depth before it is decoded
            assert answer.status in {400, 413}, (name, answer.body)
            continue
        (error,) = answer.body["errors"]
        assert pointer_of(place) in error["pointer"], (name, error)
        assert reason in error["detail"], (name, error)
        assert error["fix"], (name, error)
    assert (await api("GET", RULES)).body["items"] == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"{}", b'{"id": "\xff"}', b'{"when":' + b'{"not":' * 5_000 + b"1" + b"}" * 5_001]
)
async def test_a_malformed_body_is_rejected(api: Api, body: bytes) -> None:
    assert (await api("POST", RULES, body)).status in {400, 422}


async def test_a_created_rule_is_active_and_logged_with_its_author(api: Api, store: Store, lines: Lines) -> None:
    answer = await api("POST", f"{RULES}?note=because", RULE, role="operator")
    assert (answer.status, answer.headers["location"]) == (201, f"{RULES}/short")
    assert answer.body | RULE == answer.body
    assert answer.body["origin"] == "api"
    (entry,) = await store.rulebook.history()
    assert (entry["author"], entry["note"], entry["version"]) == (
        "ann-operator", "because", answer.headers["waybill-rulebook"],
    )  # fmt: skip
    (line,) = lines("admin.changed")
    assert (line["actor"], line["role"], line["audit_action"], line["target"], line["rulebook"]) == (
        "ann-operator", "operator", "rule.created", "short", entry["version"],
    )  # fmt: skip
    got = await api("GET", f"{RULES}/short", role="viewer")
    assert (got.body, got.etag) == (answer.body, answer.etag)
    assert (await api("POST", RULES, RULE)).status == 409


async def test_an_update_requires_the_current_etag(api: Api, short: Answer) -> None:
    path, changed = f"{RULES}/short", RULE | {"sort": 7}
    assert (await api("PUT", path, changed)).status == 428
    stale = await api("PUT", path, changed, if_match='"other"')
    assert (stale.status, stale.headers["etag"]) == (412, short.etag)
    answer = await api("PUT", path, changed, if_match=short.etag)
    assert (answer.status, answer.body["sort"]) == (200, 7)
    assert (await api("PUT", path, RULE, if_match=short.etag)).status == 412
    assert (await api("PUT", path, RULE, if_match=f'"x", W/{answer.etag}')).status == 200
    assert pointers(await api("PUT", path, RULE | {"id": "long"}, if_match="*")) == ["/id"]
    without_id = {name: value for name, value in changed.items() if name != "id"}
    answer = await api("PUT", path, without_id, if_match="*")
    assert (answer.status, answer.body["id"], answer.body["sort"]) == (200, "short", 7)
    assert answer.etag == (await api("GET", path)).etag
    wrong = without_id | {"sources": ["nobody"], "when": {"field": "nope", "op": "exists"}}
    assert pointers(await api("PUT", path, wrong, if_match="*")) == ["/when/field", "/sources/0"]
    assert (await api("PUT", f"{RULES}/none", RULE | {"id": "none"}, if_match="*")).status == 404


async def test_a_delete_requires_the_current_etag(api: Api, short: Answer) -> None:
    assert (await api("DELETE", f"{RULES}/short")).status == 428
    assert (await api("DELETE", f"{RULES}/short", if_match=short.etag)).status == 204
    assert (await api("GET", f"{RULES}/short")).status == 404
    assert (await api("DELETE", f"{RULES}/short", if_match="*")).status == 404


async def test_rules_of_files_are_read_only(api: Api, store: Store, short: Answer) -> None:
    await publish_file_rules([store.rulebook], rules_of(FILE_RULES), load_rulebook, "ci", "")
    got = await api("GET", f"{RULES}/from-file")
    assert got.body["origin"] == "file"
    calls = [
        ("PUT", "", FILE_RULE), ("DELETE", "", None),
        ("POST", "/conditions", {"condition": {"field": "id", "op": "exists"}}),
        ("POST", "/actions", {"id": "a", "do": "log", "message": ""}),
    ]  # fmt: skip
    for method, below, body in calls:
        answer = await api(method, f"{RULES}/from-file{below}", body, if_match=got.etag)
        assert (answer.status, answer.body["code"]) == (409, "read_only"), (method, below)
    assert (await api("POST", RULES, FILE_RULE)).status == 409
    assert (await api("GET", f"{RULES}/short")).etag == short.etag


async def test_rules_are_listed_in_order_of_evaluation_with_pages_and_filters(api: Api, store: Store) -> None:
    await publish_file_rules([store.rulebook], rules_of(FILE_RULES), load_rulebook, "ci", "")
    for sort, name in ((2, "b"), (1, "c"), (2, "a")):
        await api("POST", RULES, RULE | {"id": name, "sort": sort, "enabled": name != "b"})

    async def ids(query: str) -> list[str]:
        return [rule["id"] for rule in (await api("GET", f"{RULES}?{query}")).body["items"]]

    assert await ids("") == ["from-file", "c", "a", "b"]
    first = await api("GET", f"{RULES}?limit=2")
    assert (first.body["total"], first.body["next"]) == (4, "c")
    second = await api("GET", f"{RULES}?limit=2&after=c")
    assert ([rule["id"] for rule in second.body["items"]], second.body["next"]) == (["a", "b"], None)
    assert await ids("type=customer") == await ids("origin=file") == ["from-file"]
    assert await ids("enabled=false") == ["b"]
    made = {"id": "d", "sort": 3, "events": ["deleted"]}
    assert (await api("POST", RULES, RULE | made)).status == 201
    assert await ids("event=deleted&origin=api") == ["c", "a", "b", "d"]
    assert await ids("event=updated&origin=api") == ["c", "a", "b"]
    assert (await api("GET", f"{RULES}?event=moved")).status == 422
    assert (await api("GET", f"{RULES}?limit=0")).status == 422
    assert (await api("GET", f"{RULES}?limit=x")).status == 422
    assert (await api("GET", f"{RULES}?after=gone")).status == 409


async def test_conditions_are_nodes_with_ids_and_parents(api: Api, short: Answer) -> None:
    path = f"{RULES}/short/conditions"
    listed = await api("GET", path)
    assert [(node["id"], node["parent"], node["position"], node["word"]) for node in listed.body["items"]] == [
        ("when", None, 0, "all"), ("when.all.0", "when", 0, "field"), ("when.all.1", "when", 1, "field"),
    ]  # fmt: skip
    assert listed.etag == short.etag
    one = await api("GET", f"{path}/when.all.1")
    assert one.body["condition"] == RULE["when"]["all"][1]
    assert (await api("GET", f"{path}/when.all.2")).status == 404
    assert [node["id"] for node in (await api("GET", f"{path}?limit=1&after=when")).body["items"]] == ["when.all.0"]
    for query, found in (("word=all", ["when"]), ("parent=when", ["when.all.0", "when.all.1"]), ("parent=x", [])):
        assert [node["id"] for node in (await api("GET", f"{path}?{query}")).body["items"]] == found
    assert (await api("GET", f"{path}?word=every")).status == 422
    for query, names in (("do=log", ["warn"]), ("do=http", [])):
        actions = (await api("GET", f"{RULES}/short/actions?{query}")).body["items"]
        assert [words["id"] for words in actions] == names


async def test_conditions_are_added_replaced_and_removed(api: Api, short: Answer) -> None:
    path, exists = f"{RULES}/short/conditions", {"field": "reference", "op": "exists"}
    nested = {"any_of": "lines", "where": exists | {"field": "product_id"}}
    made = await api("POST", path, {"parent": "when", "position": 1, "condition": nested}, if_match=short.etag)
    assert (made.status, made.body["id"], made.headers["location"]) == (201, "when.all.1", f"{path}/when.all.1")
    inner = f"{path}/when.all.1.any_of.where"
    assert (await api("GET", inner)).body["parent"] == "when.all.1"
    changed = await api("PUT", inner, {"condition": {"not": exists | {"field": "price"}}}, if_match=made.etag)
    assert (changed.status, changed.body["word"]) == (200, "not")
    assert (await api("DELETE", f"{inner}.not", if_match=changed.etag)).body["code"] == "limit_exceeded"
    assert (await api("POST", path, {"parent": "when.all.1", "condition": exists}, if_match="*")).body[
        "code"
    ] == "limit_exceeded"
    assert (await api("POST", path, {"condition": exists}, if_match="*")).body["code"] == "limit_exceeded"
    assert (await api("POST", path, {"parent": "when.any", "condition": exists}, if_match="*")).status == 404
    assert (await api("DELETE", f"{path}/when.all.1", if_match=changed.etag)).status == 204
    assert (await api("GET", f"{RULES}/short")).body["when"] == RULE["when"]
    assert (await api("DELETE", f"{path}/when", if_match="*")).status == 204
    assert (await api("GET", path)).body["items"] == []
    assert (await api("POST", path, {"condition": exists}, if_match="*")).body["id"] == "when"


async def test_an_error_in_a_condition_points_into_the_request(api: Api, short: Answer) -> None:
    path = f"{RULES}/short/conditions"
    wrong = {"not": {"field": "statsu", "op": "exists"}}
    assert pointers(await api("POST", path, {"parent": "when", "condition": wrong}, if_match=short.etag)) == [
        "/condition/not/field"
    ]
    assert pointers(await api("PUT", f"{path}/when.all.0", {"condition": wrong}, if_match=short.etag)) == [
        "/condition/not/field"
    ]
    assert (await api("PUT", f"{path}/when.all.0", {"condition": wrong}, if_match='"old"')).status == 412


async def test_actions_are_added_replaced_and_removed(api: Api, short: Answer) -> None:
    path, report = f"{RULES}/short/actions", {"id": "report", "do": "log", "message": "{id}", "level": "error"}
    made = await api("POST", path, report, if_match=short.etag)
    assert (made.status, made.headers["location"]) == (201, f"{path}/report")
    assert [words["id"] for words in (await api("GET", path)).body["items"]] == ["warn", "report"]
    changed = await api("PUT", f"{path}/report", report | {"message": "{reference}"}, if_match=made.etag)
    assert (await api("GET", f"{path}/report")).body["message"] == "{reference}"
    assert (await api("POST", path, report, if_match="*")).status == 422
    assert pointers(await api("PUT", f"{path}/report", report | {"message": "{x}"}, if_match="*")) == ["/message"]
    assert pointers(await api("PUT", f"{path}/report", report | {"id": "warn"}, if_match="*")) == ["/id"]
    without_id = {name: value for name, value in report.items() if name != "id"}
    changed = await api("PUT", f"{path}/report", without_id, if_match="*")
    assert (changed.status, changed.body["id"]) == (200, "report")
    assert pointers(await api("POST", path, {"id": "b", "do": "log"}, if_match="*")) == ["/message"]
    assert (await api("PUT", f"{path}/none", report | {"id": "none"}, if_match="*")).status == 404
    assert (await api("DELETE", f"{path}/warn", if_match=changed.etag)).status == 204
    assert [words["id"] for words in (await api("GET", path)).body["items"]] == ["report"]


async def test_two_rules_are_created_one_after_the_other(api: Api) -> None:
    for name in ("a", "b"):
        assert (await api("POST", RULES, RULE | {"id": name})).status == 201
    assert [rule["id"] for rule in (await api("GET", RULES)).body["items"]] == ["a", "b"]


async def test_a_rule_may_name_configured_sources(serve_admin: ServeAdmin) -> None:
    api = await serve_admin(sources={"shop": None})
    assert (await api("POST", RULES, RULE | {"sources": ["shop"]})).status == 201
    for source, found in (("shop", ["short"]), ("till", [])):
        assert [rule["id"] for rule in (await api("GET", f"{RULES}?source={source}")).body["items"]] == found


async def test_a_misspelled_status_is_rejected(serve_admin: ServeAdmin) -> None:
    pack = PackCloudConfig(organization_id="o", token=SecretRef(env="TOKEN"))
    api = await serve_admin(config=structs.replace(CONFIG, platforms={"pack": pack}))
    misspelled = RULE | {"when": {"any": [{"field": "status", "op": "in", "value": ["received", "cancelled"]}]}}
    assert pointers(await api("POST", RULES, misspelled)) == ["/when/any/0/value/1"]
    assert (await api("POST", RULES, RULE)).status == 201


async def test_rule_types_list_fields_operators_and_actions(api: Api) -> None:
    order, customer, event = (await api("GET", "/api/v1/rule-types", role="viewer")).body["items"]
    assert event["id"] == "event"
    assert {field["path"].partition(".")[0] for field in event["fields"]} == {"id", "event"}
    assert "event.record.platform" not in {field["path"] for field in event["fields"]}
    fields = {field["path"]: field for field in order["fields"]}
    assert fields["lines[].quantity_received"]["kind"] == "number"
    assert "lt" in fields["total.value"]["operators"]
    assert "lt" not in fields["status"]["operators"]
    functions = {function["name"]: function for function in order["functions"]}
    assert functions["sum"]["signature"] == "sum(FIELD)"
    assert fields["event.source"]["kind"] == "text"
    assert {field["path"] for field in customer["fields"] if field["personal"]} >= {"email", "billing_address.city"}
    actions = {action["do"]: action for action in order["actions"]}
    assert set(actions) == {str(action.__struct_config__.tag) for action in load_actions()}
    http = {field["name"]: field for field in actions["http"]["fields"]}
    # Either `destination` or `url`, so that neither is required.
    assert (http["destination"]["required"], http["url"]["required"]) == (False, False)
    assert {field["name"] for field in actions["log"]["fields"] if field["required"]} == {"id", "message"}
    assert http["method"]["default"] == "POST"
    methods = ["DELETE", "GET", "HEAD", "MERGE", "OPTIONS", "PATCH", "POST", "PUT", "QUERY"]
    assert http["method"]["schema"]["enum"] == methods
    assert actions["http"]["repeat"] == "keyed"
    assert (await api("GET", "/api/v1/rule-types/customer")).body == customer
    assert (await api("GET", "/api/v1/rule-types/order")).status == 404


OUTBOUND = [
    {"do": "pack_cloud_delete_integration", "integration": "{id}"},
    {"do": "http", "url": "https://x.test/"},
]


@pytest.mark.parametrize("action", OUTBOUND, ids=lambda action: action["do"])
async def test_a_rule_that_calls_another_system_requires_the_role_admin(api: Api, short: Answer, action: Any) -> None:
    write = {"id": "drop", **action}
    rule = RULE | {"id": "writes", "actions": [write]}
    rejected = await api("POST", RULES, rule, "operator")
    assert (rejected.status, rejected.body["code"]) == (403, "permission_denied")
    assert action["do"] in rejected.body["detail"]
    path = f"{RULES}/{short.body['id']}"
    rejected = await api("POST", f"{path}/actions", write, "operator", if_match="*")
    assert (rejected.status, rejected.body["code"]) == (403, "permission_denied")
    assert (await api("POST", RULES, rule, "admin")).status == 201
    changed = await api("PUT", f"{RULES}/writes", rule | {"name": "other"}, "operator", if_match="*")
    assert (changed.status, changed.body["code"]) == (403, "permission_denied")
    assert (await api("DELETE", f"{RULES}/writes", None, "operator", if_match="*")).status == 204
    assert (await api("POST", RULES, RULE | {"id": "harmless"}, "operator")).status == 201
