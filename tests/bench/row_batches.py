"""Row `batches`: accepted deliveries with other batch sizes of the store, compared with the default."""

from collections import defaultdict

from tests.bench.row_accepted import run_accepted
from tests.bench.row_ingress import CONNECTIONS, sample
from tests.bench.stage import MEASURED, Stage
from tests.bench.table import Line, Sample, faster

OTHER_SIZES = ((256, 2), (32, 8))
"""Events per batched call, and concurrent calls."""


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Measure the default and the other sizes in turn with two numbers of connections."""
    settings = stage.settings()
    default = f"{settings.store_batch_max} x {settings.store_batches_in_flight_max}"
    servers = {default: stage.serve(MEASURED)}
    for size, calls in OTHER_SIZES:
        name = f"{size} x {calls}"
        servers[name] = stage.serve(MEASURED, store_batch_max=size, store_batches_in_flight_max=calls)
    lines: list[Line] = []
    for connections in CONNECTIONS:
        runs: dict[str, list[Sample]] = defaultdict(list)
        for _ in range(repeats + 1):  # the first runs are the warm-up
            for name, child in servers.items():
                result = run_accepted(stage, child, f"batches {name}", connections, 1.0 if quick else 2.5)
                runs[name].append(sample(result))
        runs = defaultdict(list, {name: samples[1:] for name, samples in runs.items()})
        what = f"ingress, {connections} connections, {default}: accepted"
        sides = {"waybill": runs[default], **runs}
        lines += [faster(what, sides, name, 0) for name in servers if name != default]
    for child in servers.values():
        child.stop()
    return lines
