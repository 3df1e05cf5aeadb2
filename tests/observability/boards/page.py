"""Page with the panel components of Grafana, drawn by Chromium."""

import subprocess
import sys
from pathlib import Path

import msgspec

from tests.browser.chromium import open_chromium
from tests.observability.boards.frames import Json
from tests.senders import npm

HERE = Path(__file__).parent
BUNDLE, DATA = HERE / "node_modules" / "board.js", HERE / "node_modules" / "board.data.js"
WIDTH = 1200
QUALITY = 32
PICTURE_BYTES_MAX = 200_000
BUNDLE_SECONDS_MAX = 300
OPTIONS = (
    "--bundle",
    "--minify",
    "--jsx=automatic",
    "--log-level=error",
    "--loader:.ttf=empty",  # the font of an editor that no panel uses
    "--define:global=window",
    '--define:process.env.NODE_ENV="production"',
)


def install() -> None:
    """Install the locked packages of Grafana, and bundle them with the page's script."""
    npm.install(HERE)
    bundler = [npm.NODE, HERE / "node_modules" / "esbuild" / "bin" / "esbuild"]
    command = [*bundler, HERE / "board.jsx", f"--outfile={BUNDLE}", *OPTIONS]
    subprocess.run(command, check=True, timeout=BUNDLE_SECONDS_MAX)


def draw(board: Json, path: Path) -> None:
    """Draw a dashboard and save its picture. A panel that fails, or a number without a value, is an error."""
    numbers = [panel for panel in board["panels"] if panel["type"] == "stat"]
    without = [panel["title"] for panel in numbers if not _has_value(panel)]
    assert not without, f"{board['title']}: no value in {', '.join(without)}"
    DATA.write_bytes(b"window.BOARD = " + msgspec.json.encode(board | {"width": WIDTH}))
    with open_chromium(f"file://{HERE}") as browser:
        browser.open("/page.html")
        browser.wait_for("body[data-drawn]")
        assert browser.errors() == []
        browser.resize((WIDTH, browser.evaluate("return document.querySelector('main').offsetHeight")))
        picture = browser.picture(QUALITY)
    assert len(picture) < PICTURE_BYTES_MAX, f"{path.name} has {len(picture)} bytes"
    path.write_bytes(picture)
    sys.stdout.write(f"{path}: {len(picture)} bytes; panels without data: {', '.join(_empty(board)) or 'none'}\n")


def _has_value(panel: Json) -> bool:
    return any(value is not None for series in panel["frames"] for _, value in series["points"])


def _empty(board: Json) -> list[str]:
    graphs = [panel for panel in board["panels"] if panel["type"] not in {"row", "logs"}]
    return [panel["title"] for panel in graphs if not _has_value(panel)]
