"""Row `features`: whole events with a feature, compared with the same events without it, in the same run."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from tests.bench.material import ten_rules
from tests.bench.row_accepted import run_accepted
from tests.bench.row_ingress import sample
from tests.bench.row_whole import check_sink
from tests.bench.row_worker import parse_result
from tests.bench.seeding import seed_own
from tests.bench.stage import MEASURED, OTHERS, Stage
from tests.bench.table import Line, Sample, dearer, middle

PLAIN = "without it"
CONNECTIONS = 32

CONFIG = """
destinations:
  sink:
    url: {stub}
    auth: {{type: bearer, token: {{env: BENCH_TOKEN}}}}
    signature: {{scheme: hmac, header: X-Signature, secret: {{env: BENCH_SECRET}}}}
    limits: {{in_flight: 100, per_second: 10000, burst: 1000}}
    allow_private_host: true
"""
ERP = """\
  erp:
    kind: custom
    base_url: {stub}
    auth: {{type: none}}
    records: {{customer: {{path: "/customers/{{id}}", map: {{last_name: /reference}}}}}}
"""
FUNCTIONS = """\
      - {field: supplier.name | trim | lower, op: eq, value: acme}
      - {field: lines | sum(quantity_ordered), op: ge, value: 100}
      - {field: updated_at, op: before, ref: created_at | shift(30d)}
"""
BODY = '{order: "{id}", missing: "{quantity_missing}"}'
MAPPED = '{order: "{id}", total: "{total | format(2, \',\', \'.\')}", lines: "{lines | map(sku: product_code)}"}'
LOOKUP = '  with: {buyer: {platform: erp, kind: customer, id: "{id}"}}\n'
LOOKED_UP = "      - {field: buyer.last_name, op: eq, value: PO-2026-0001}\n"


class Case(Struct, frozen=True):
    """Feature: its rules, and the settings that turn it on."""

    rules: str
    environ: Mapping[str, str] = {}


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Let a worker empty the queue with each feature, in turn; then compare servers with and without traces."""
    events = 1_000 if quick else 4_000
    stub = stage.listen("stub", OTHERS)
    stage.write_config(stub.url)
    path = stage.directory / "waybill.yaml"
    text = path.read_text().replace("sources:\n", ERP.format(stub=stub.url) + "sources:\n", 1)
    path.write_text(text + CONFIG.format(stub=stub.url))
    traces = {"WAYBILL_TRACES": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}
    plain = ten_rules(f"{stub.url}/sink")
    head, lines_of_order = "  when:", "      - {any_of"
    cases = {
        PLAIN: Case(plain),
        "destination with credential, signature and throttle": Case(
            plain.replace(f'url: "{stub.url}/sink"', "destination: sink, path: /sink", 1)
        ),
        "functions": Case(
            plain.replace(lines_of_order, FUNCTIONS + lines_of_order, 1).replace(BODY, MAPPED, 1),
        ),
        "look-up": Case(
            plain.replace(head, LOOKUP + head, 1).replace(lines_of_order, LOOKED_UP + lines_of_order, 1),
        ),
        "traces": Case(plain, traces),
    }
    runs: dict[str, list[Sample]] = defaultdict(list)
    for _ in range(repeats):
        for name, case in cases.items():
            if name not in {PLAIN, "traces"} and case.rules == plain:
                raise RuntimeError(f"the rules of {name} are those without it")
            seed_own(stage, case.rules, events)
            worker = stage.run("own_worker", MEASURED, "whole", environ=case.environ)
            runs[name].append(parse_result(worker.result(), events))
            check_sink(stub, events)
    lines = [_line(f"worker, whole event, {name}", runs[name], runs[PLAIN]) for name in cases if name != PLAIN]
    return [*lines, _measure_traces(stage, traces, repeats, 1.0 if quick else 2.5)]


def _measure_traces(stage: Stage, traces: Mapping[str, str], repeats: int, seconds: float) -> Line:
    servers = {PLAIN: stage.serve(MEASURED), "waybill": stage.serve(MEASURED, environ=traces)}
    runs: dict[str, list[Sample]] = defaultdict(list)
    for _ in range(repeats):
        for side, child in servers.items():
            runs[side].append(sample(run_accepted(stage, child, side, CONNECTIONS, seconds)))
    for child in servers.values():
        child.stop()
    return _line(f"ingress, {CONNECTIONS} connections, traces", runs["waybill"], runs[PLAIN])


def _line(what: str, runs: Sequence[Sample], plain: Sequence[Sample]) -> Line:
    ours_us, plain_us = (middle([sample.cpu_us for sample in side]) for side in (runs, plain))
    return dearer(what, ours_us, PLAIN, plain_us)
