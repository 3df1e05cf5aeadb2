"""Writes every made page into docs/."""

from pathlib import Path

from service.dev.pages.configuration import configuration_page
from service.dev.pages.lnav import lnav_format
from service.dev.pages.logs import logs_page

PAGES = {"logs.md": logs_page, "configuration.md": configuration_page, "waybill.lnav.json": lnav_format}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (Path("docs") / name).write_text(make(), encoding="utf-8")
