"""Write every generated page into docs/."""

from pathlib import Path

from docs.generator.admin_api import admin_api_page
from docs.generator.command_line import command_line_page
from docs.generator.configuration import configuration_page
from docs.generator.lnav import lnav_format
from docs.generator.logs import logs_page
from docs.generator.metrics import metrics_page
from docs.generator.presets import presets_page

PAGES = {
    "reference/admin-api.md": admin_api_page,
    "reference/command-line.md": command_line_page,
    "reference/configuration.md": configuration_page,
    "reference/logs.md": logs_page,
    "reference/metrics.md": metrics_page,
    "reference/presets.md": presets_page,
    "waybill.lnav.json": lnav_format,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (Path("docs") / name).write_text(make(), encoding="utf-8")
