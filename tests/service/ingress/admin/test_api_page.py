"""/docs: the page of the admin API from vendored files."""

import gzip
import hashlib
import re

import msgspec

from service.ingress.admin.api_page import ASSETS, FOLDER
from tests.service.ingress.admin.conftest import Api


def test_vendored_files_have_the_digests_of_the_manifest() -> None:
    manifest = msgspec.json.decode((FOLDER / "vendored.json").read_bytes())
    assert {entry["file"] for entry in manifest} == {file for file, _ in ASSETS.values()} - {"start.js"}
    for entry in manifest:
        content = gzip.decompress((FOLDER / entry["file"]).read_bytes())
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert (entry["version"], entry["license"]) == ("5.35.0", "Apache-2.0")


async def test_the_page_has_no_inline_code_and_needs_no_token(api: Api) -> None:
    async with api.session.get(f"{api.url}/docs") as answer:
        text, headers = await answer.text(), answer.headers
        assert (answer.status, answer.content_type) == (200, "text/html")
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|https?://", text)
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', text):
        async with api.session.get(api.url + path) as answer:
            assert answer.status == 200, path
            assert await answer.text()
    assert (await api("GET", "/docs/assets/vendored.json")).status == 404


async def test_every_operation_of_the_api_has_a_summary_and_a_description(api: Api) -> None:
    document = (await api("GET", "/docs/openapi.json", role=None)).body
    operations = [
        (name, path, operation)
        for path, item in document["paths"].items()
        if path.startswith("/api/v1")
        for name, operation in item.items()
    ]
    missing = [(name, path) for name, path, each in operations if not (each.get("summary") and each.get("description"))]
    assert missing == []
