"""Files of the console: vendored scripts, and templates without inline code."""

import hashlib
import re
from pathlib import Path

import msgspec

from service.ingress.console.assets import ASSETS, VERSION

from .conftest import Browser

FOLDER = Path(__file__).parents[4] / "service" / "ingress" / "console"
OWN = {"console.js", "console.css", "theme.js", "icon.svg"}


def test_vendored_files_have_the_digests_of_the_manifest() -> None:
    manifest = msgspec.json.decode((FOLDER / "static" / "vendored.json").read_bytes())
    assert {entry["file"] for entry in manifest} == set(ASSETS) - OWN
    for entry in manifest:
        assert hashlib.sha256(ASSETS[entry["file"]]).hexdigest() == entry["sha256"]
        assert entry["version"]
        assert entry["license"] == "0BSD"


def test_templates_and_files_contain_no_inline_code_and_no_foreign_address() -> None:
    for path in sorted(FOLDER.rglob("*.html")):
        text = path.read_text()
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|javascript:|\|\s*safe\b", text), path
        assert not re.search(r"https?://", text), path
    for name in OWN - {"icon.svg"}:
        assert b"://" not in ASSETS[name], name


async def test_files_are_cached_under_their_digest_only(browser: Browser) -> None:
    for name in ASSETS:
        answer = await browser.get(f"/assets/{VERSION}/{name}")
        assert (answer.status, "immutable" in answer.headers["cache-control"]) == (200, True)
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await browser.get("/assets/other/console.css")).headers["cache-control"] == "no-store"
    for name in ("nothing.css", "vendored.json", "..%2f__init__.py"):
        assert (await browser.get(f"/assets/{VERSION}/{name}")).status == 404
