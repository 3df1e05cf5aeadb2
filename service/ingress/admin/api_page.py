"""Page of the admin API at /docs: Swagger UI from vendored files, without code or styles in the page."""

from importlib.resources import files
from typing import Any

from litestar import MediaType, Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.params import FromPath

FOLDER = files("service.ingress.admin") / "static"
ASSETS = {
    "swagger-ui-bundle.js": ("swagger-ui-bundle.js.gz", "text/javascript"),
    "swagger-ui.css": ("swagger-ui.css.gz", "text/css"),
    "start.js": ("start.js", "text/javascript"),
}
"""File and media type by name. Compressed files are sent as they are: every browser decompresses them."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
CACHE_CONTROL = "public, max-age=3600"


class ApiPage(OpenAPIRenderPlugin):
    """Renderer of the page. Registers the route of its files beside it."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002 - Litestar's signature
        """Return the page. It fetches the document by itself."""
        return (FOLDER / "page.html").read_bytes()

    def receive_router(self, router: Router) -> None:
        """Register the route of the files."""
        router.register(get_api_asset)


@get("/assets/{name:str}", sync_to_thread=False, include_in_schema=False)
def get_api_asset(name: FromPath[str]) -> Response[bytes]:
    """Return a file of the page, read on request: the memory of the process does not hold it.

    Raises:
        NotFoundException: no such file.
    """
    if name not in ASSETS:
        raise NotFoundException
    file, media_type = ASSETS[name]
    headers = {"cache-control": CACHE_CONTROL} | ({"content-encoding": "gzip"} if file.endswith(".gz") else {})
    return Response((FOLDER / file).read_bytes(), media_type=media_type, headers=headers)
