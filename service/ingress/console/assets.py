"""Style sheet, scripts and icon of the console, held in memory. Their address contains a digest of all of them."""

import hashlib
from importlib.resources import files

from litestar import Response, get
from litestar.params import FromPath

from service.errors import Rejection

MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
CACHE_CONTROL = "public, max-age=31536000, immutable"

ASSETS: dict[str, bytes] = {
    entry.name: entry.read_bytes()
    for entry in (files("service.ingress.console") / "static").iterdir()
    if entry.name[entry.name.rfind(".") :] in MEDIA_TYPES
}
VERSION = hashlib.sha256(b"".join(ASSETS[name] for name in sorted(ASSETS))).hexdigest()[:16]


def asset_url(name: str) -> str:
    """Return the address of a file."""
    return f"/assets/{VERSION}/{name}"


@get("/assets/{version:str}/{name:str}", sync_to_thread=False, public=True)
def get_asset(version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """Return a file.

    Raises:
        Rejection: 404 `not_found`.
    """
    content = ASSETS.get(name)
    if content is None:
        raise Rejection(404, "not_found", f"File {name[:64]} not found.")
    # The file of another version must not be stored under this address.
    headers = {"cache-control": CACHE_CONTROL} if version == VERSION else {}
    return Response(content, media_type=MEDIA_TYPES[name[name.rfind(".") :]], headers=headers)
