"""Write dashboards and alerts into helm/."""

from pathlib import Path

from helm.dashboards.generator.boards import loki_board, metrics_board, victorialogs_board
from helm.dashboards.generator.log_alerts import loki_rules
from helm.dashboards.generator.metric_alerts import prometheus_rules

FILES = {
    "dashboards/waybill-metrics.json": metrics_board,
    "dashboards/waybill-loki.json": loki_board,
    "dashboards/waybill-victorialogs.json": victorialogs_board,
    "alerts/prometheus.yaml": prometheus_rules,
    "alerts/loki.yaml": loki_rules,
}

if __name__ == "__main__":
    for name, build_file in FILES.items():
        path = Path("helm") / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(build_file(), encoding="utf-8")
