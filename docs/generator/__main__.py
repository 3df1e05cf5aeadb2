"""Write every generated page into docs/."""

from pathlib import Path

from docs.generator.configuration import configuration_page
from docs.generator.lnav import lnav_format
from docs.generator.logs import logs_page
from docs.generator.presets import presets_page

PAGES = {
    "presets.md": presets_page,
    "logs.md": logs_page,
    "configuration.md": configuration_page,
    "waybill.lnav.json": lnav_format,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (Path("docs") / name).write_text(make(), encoding="utf-8")
