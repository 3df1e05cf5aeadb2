"""Rule tests with a platform's response or a delivery: parsed by the connector, or rejected with a path."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli.rules import rules
from service.errors import ConfigError

SAMPLES = Path(__file__).parents[2] / "samples"
Run = Callable[..., Result]

CONFIG = """
platforms:
  erp:
    kind: custom
    base_url: https://erp.example.com/api
    auth: {type: none}
    records:
      purchase_order:
        path: "/orders/{id}"
        at: /result
        map:
          reference: /number
          status: /state
          supplier.name: /vendor/name
          currency: /currency
          lines: /rows
          lines.product_code: /sku
          lines.price.value: /unit_price
          lines.quantity_ordered: /qty
          lines.quantity_received: /got
          updated_at: /changed
  shop: {kind: pack_cloud, organization_id: o, token: {env: TOKEN}}
sources:
  pack: {platform: shop, verify: {scheme: basic, username: till, password: {env: TOKEN}}}
  shop-orders:
    platform: erp
    verify: {scheme: bearer, secrets: [{env: TOKEN}]}
    envelope: {kind: custom, type: {header: X-Topic}, record: {kind: purchase_order, id: /order}}
"""
ACTIONS = "actions: [{id: note, do: log, message: '{id} {total} {quantity_missing} {raw.%s}'}]"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    config = tmp_path / "waybill.yaml"
    config.write_text(CONFIG)
    environ = {"WAYBILL_CONFIG": str(config), "TOKEN": "t" * 32}
    return lambda *arguments: CliRunner(env=environ).invoke(rules, ["test", *map(str, arguments)])


def run_rule_test(run: Run, folder: Path, rule: str, example: str) -> Result:
    (folder / "r.yaml").write_text(rule)
    (folder / "r.examples.yaml").write_text(example)
    return run("--rules", folder / "r.yaml")


ORDERS = [
    (
        "pack_cloud", "", "pack_cloud/purchase_order", "lines.0.product.dimensions.length",
        "5a7d2f90-3c11-4e0a-9c77-2b6f0d1e8a01 995.00 EUR 60 27.5",
    ),
    ("shop", "", "pack_cloud/purchase_order.wrapped", "reference", None),
    ("erp", "", "custom/purchase_order", "rows.0.sku", "PO-7 1020.00 EUR 60 PENCO204"),
    ("flow_retail", "currency: NOK", "flow_retail/purchase_order", "status", "example 995.0000 NOK 60.00 "),
]  # fmt: skip


@pytest.mark.parametrize("case", ORDERS, ids=lambda case: case[2])
def test_purchase_order_response_is_parsed_by_the_connector(
    run: Run, tmp_path: Path, case: tuple[str, str, str, str, str | None]
) -> None:
    platform, more, sample, raw, message = case
    rule = "- {id: one, type: purchase_order, when: {field: id, op: exists}, " + ACTIONS % raw + "}"
    inputs = f", inputs: {{message: '{message}'}}" if message else ""
    example = f"""
- name: captured
  type: purchase_order
  platform: {platform}
  {more}
  raw_file: {SAMPLES / sample}.json
  expect: {{matches: [one], unknown: [], effects: [{{rule: one, action: note{inputs}}}]}}
"""
    result = run_rule_test(run, tmp_path, rule, example)
    assert result.exit_code == 0, (result.stdout, result.exception)


@pytest.mark.parametrize("platform", ["pack_cloud", "pexip_engage", "open_food_network", "flow_retail"])
@pytest.mark.parametrize("inline", [False, True])
def test_customer_response_is_parsed_from_file_and_inline(
    run: Run,
    tmp_path: Path,
    platform: str,
    inline: bool,  # noqa: FBT001 - a case of the test
) -> None:
    sample = SAMPLES / platform / "customer.json"
    raw = f"raw: {json.dumps(json.loads(sample.read_text()))}" if inline else f"raw_file: {sample}"
    # The event contains the name of the platform, like a stored event.
    named = f"{{field: event.record.platform, op: eq, value: {platform}}}"
    when = f"{{all: [{{field: email, op: contains, value: '@'}}, {named}]}}"
    rule = f"- {{id: one, type: customer, when: {when}}}"
    example = f"- {{name: captured, type: customer, platform: {platform}, {raw}, expect: {{matches: [one]}}}}"
    result = run_rule_test(run, tmp_path, rule, example)
    assert result.exit_code == 0, (result.stdout, result.exception)


@pytest.mark.parametrize(
    ("fields", "mistake"),
    [
        (
            "platform: pack_cluod, raw: {id: a}",
            r"\[0\]\.platform: no platform 'pack_cluod'. Fix: did you mean pack_cloud",
        ),
        ("platform: pexip_engage, raw: {data: {id: a}}", r"\[0\]\.type: pexip_engage has no purchase_order"),
        ("platform: pack_cloud", r"\[0\]\.raw: exactly one of raw and raw_file is required"),
        ("platform: pack_cloud, raw: {id: a}, raw_file: b", r"\[0\]\.raw: exactly one of raw and raw_file is required"),
        ("platform: pack_cloud, raw: {id: a}, record: {id: a}", r"\[0\]\.record: cannot be combined with platform"),
        ("platform: pack_cloud, raw: [1]", r"\[0\]\.raw: .*no such object as is documented"),
        ("platform: pack_cloud, raw: {reference: a}", r"\[0\]\.raw: .*no id of its own"),
        ("platform: flow_retail, raw: {status: a}", r"\[0\]\.raw: .*is no purchase order"),
        ("platform: pack_cloud, raw_file: gone.json", r"\[0\]\.raw_file: .*cannot be read"),
        ("platform: pack_cloud, raw_file: r.yaml", r"\[0\]\.raw_file: .*is not JSON"),
        ("raw_file: r.yaml, record: {id: a}", r"\[0\]\.raw_file: requires platform"),
        ("currency: EUR, record: {id: a}", r"\[0\]\.currency: requires platform"),
        ("raw: {id: a}", r"\[0\]\.record: is missing"),
    ],
)
def test_invalid_response_is_an_error_with_path(run: Run, tmp_path: Path, fields: str, mistake: str) -> None:
    rule = "- {id: one, type: purchase_order, actions: [{id: a, do: log, message: hi}]}"
    example = f"- {{name: bad, type: purchase_order, {fields}, expect: {{}}}}"
    error = run_rule_test(run, tmp_path, rule, example).exception
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=mistake):
        raise error


DELIVERY = {
    "event_code": "purchase_order.updated",
    "data": {"id": "po-1", "updated_at": "2024-08-02T09:15:00.000000Z"},
}


def deliver(run: Run, folder: Path, event: str, when: str = "", kind: str = "purchase_order") -> Result:
    (folder / "delivery.json").write_text(json.dumps(DELIVERY))
    rule = f"- {{id: one, type: {kind}, when: {{all: [{{field: id, op: exists}}{when}]}}}}"
    example = f"{{name: a, type: {kind}, event: {event}, record: {{id: po-1}}, expect: {{matches: [one]}}}}"
    return run_rule_test(run, folder, rule, f"- {example}")


def conditions(**fields: str) -> str:
    return "".join(f", {{field: event.{name}, op: eq, value: '{value}'}}" for name, value in fields.items())


@pytest.mark.parametrize(
    "event",
    [
        "{source: pack, delivery_file: delivery.json}",
        f"{{source: pack, change: deleted, delivery: {json.dumps(DELIVERY)}}}",
    ],
)
def test_delivery_is_parsed_by_the_envelope_of_its_source(run: Run, tmp_path: Path, event: str) -> None:
    when = conditions(type="purchase_order.updated", change="updated", occurred_at="2024-08-02T09:15:00.000000Z")
    when += ", {field: event.record.platform, op: eq, value: shop}"
    result = deliver(run, tmp_path, event, when)
    assert result.exit_code == 0, (result.stdout, result.exception)


def test_headers_of_a_delivery_are_passed_to_the_envelope(run: Run, tmp_path: Path) -> None:
    event = "{source: shop-orders, headers: {X-Topic: order.changed}, delivery: {order: po-1}}"
    assert deliver(run, tmp_path, event, conditions(type="order.changed", source="shop-orders")).exit_code == 0


def test_hint_is_evaluated_on_the_record_of_the_test(run: Run, tmp_path: Path) -> None:
    event = "{source: pack, delivery: {event_code: orders.created, data: {id: o-1}}}"
    assert deliver(run, tmp_path, event, conditions(type="orders.created"), "customer").exit_code == 0


@pytest.mark.parametrize(
    ("event", "mistake"),
    [
        ("{source: pcak, delivery: {a: 1}}", r"event.source: waybill.yaml has no source 'pcak'.*did you mean pack\?"),
        ("{source: pack, delivery: {a: 1}}", r"event.delivery: .*missing required field `event_code`"),
        ("{source: pack, delivery: {event_code: shipment.sent}}", r"event.delivery: the delivery contains 0 events"),
        ("{source: pack, delivery: {event_code: purchase_order.updated, data: {id: po-2}}}",
         r"event.source: the delivery is about 'po-2', the record is 'po-1'"),
        ("{source: pack, delivery: {event_code: customer.updated, data: {id: po-1}}}",
         r"event.source: the delivery is about a customer, the test about a purchase_order"),
        ("{source: pack, delivery: {a: 1}, delivery_file: delivery.json}", r"event.delivery: cannot be combined"),
        ("{source: pack, delivery_file: none.json}", r"event.delivery_file: .*none.json cannot be read"),
        ("{source: shop-orders, delivery: {order: po-1}}", r"event.delivery: Send the event type in the header"),
        ("{source: pack, headers: {a: b}}", r"event.headers: require a delivery"),
    ],
)  # fmt: skip
def test_invalid_delivery_is_an_error_with_path(run: Run, tmp_path: Path, event: str, mistake: str) -> None:
    error = deliver(run, tmp_path, event).exception
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=r"\[0\]\." + mistake):
        raise error


@pytest.mark.parametrize(
    ("fields", "mistake"),
    [
        ("expect: {}, record: {id: a}, evnet: {}", r"\[0\]\.evnet: unknown key. Fix: did you mean event\?"),
        ("expect: {match: [a]}, record: {id: a}", r"\[0\]\.expect\.match: unknown key. Fix: did you mean matches\?"),
        ("record: {id: a}", r"\[0\]\.expect: is missing. Fix: add expect"),
        ("expect: {}, record: {id: a, lines: {}}", r"\[0\]\.record\.lines: Expected `array \| null`"),
        ("expect: {}, record: {id: a, lines: [{qty: 1}]}", r"\[0\]\.record\.lines\[0\]\.qty: is not a field"),
        ("expect: {}, record: {id: a, lines: [{price: {value: 1, curency: EUR}}]}",
         r"lines\[0\]\.price\.curency: is not a field .* did you mean currency\?"),
        ("expect: {}, record: {id: a, supplier: {nmae: b}}", r"record\.supplier\.nmae: .*did you mean name\?"),
        ("expect: {}, record: {id: a, lines_count: 1}", r"record\.lines_count: is not a field"),
        ("expect: {}, record: {id: a}, previous: {lines: [{qty: 1}]}", r"\[0\]\.previous\.lines\[0\]\.qty: is not a"),
        ("expect: {}, record: {id: 5}", r"\[0\]\.record\.id: Expected `str`, got `int`. Fix: put it in quotes"),
        ("expect: {}, record: {id: a}, event: {change: update}", r"event\.change: .* did you mean updated\?"),
    ],
)  # fmt: skip
def test_error_in_rule_test_has_path_and_fix(run: Run, tmp_path: Path, fields: str, mistake: str) -> None:
    error = run_rule_test(run, tmp_path, "[]", f"- {{name: bad, type: purchase_order, {fields}}}").exception
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=mistake):
        raise error


def test_numbers_in_raw_are_exact(run: Run, tmp_path: Path) -> None:
    rule = "- {id: one, type: customer, when: {field: raw.weight, op: eq, value: 12.1}}"
    example = "- {name: raw, type: customer, record: {id: a}, raw: {weight: 12.1}, expect: {matches: [one]}}"
    result = run_rule_test(run, tmp_path, rule, example)
    assert result.exit_code == 0, result.stdout
