"""OpenAPI documents of Open Food Network: one of our own, and the project's where a path to it is given.

OFN_OPENAPI=path names the project's own file, `swagger/v1.yaml` of openfoodfoundation/openfoodnetwork on GitHub. Its
licence is AGPL-3.0, so that it is no part of this repository; without it, all runs on our document alone.
"""

import os
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import yaml

Schema = dict[str, Any]

JSON = "application/json"
METHODS = ("get", "post", "put", "patch", "delete")


class Document:
    """One document. A strict one says which keys and pages are refused, and every status that is answered."""

    def __init__(self, path: Path, *, strict: bool) -> None:
        self.path = path
        self.strict = strict
        self.tree: Schema = yaml.safe_load(path.read_text())
        self._converted: Schema = _as_json_schema(self.tree)

    def hold(self, path: str, method: str, status: int, body: Any) -> None:
        """Hold an answer against the document; one that is silent about a refusal still says what refusals are like."""
        answers = self._converted["paths"][path][method]["responses"]
        if str(status) in answers or self.strict:
            assert str(status) in answers, f"{method} {path} does not answer {status}"
            schema = self._resolve(self._converted, answers[str(status)])["content"][JSON]["schema"]
        else:
            assert status >= 400, f"{method} {path} does not answer {status}"
            schema = self._converted["components"]["schemas"]["error_response"]
        jsonschema_rs.validator_for({**schema, "components": self._converted["components"]}).validate(body)

    def operations(self) -> dict[tuple[str, str], Schema]:
        """Give every operation by path and method, its path's parameters among its own."""
        return {
            (path, method): {
                **item[method],
                "parameters": item.get("parameters", []) + item[method].get("parameters", []),
            }
            for path, item in self.tree["paths"].items()
            for method in METHODS
            if method in item
        }

    def answered(self, operation: Schema, status: str) -> dict[str, str | None]:
        """Give the fields of an answer, see `shape`."""
        answer = self._resolve(self.tree, operation["responses"][status])
        return self.shape(answer["content"][JSON]["schema"])

    def sent(self, operation: Schema) -> dict[str, str | None]:
        """Give the fields of a request, see `shape`; none where nothing is sent."""
        if "requestBody" not in operation:
            return {}
        return self.shape(self._resolve(self.tree, operation["requestBody"])["content"][JSON]["schema"])

    def shape(self, schema: Schema, at: str = "") -> dict[str, str | None]:
        """Give each field's type under its dotted name; None for what only an example shows."""
        schema = self._resolve(self.tree, schema)
        found: dict[str, str | None] = {}
        for part in schema.get("allOf", []):
            found |= self.shape(part, at)
        if "items" in schema:
            found |= self.shape(schema["items"], f"{at}[]")
        found |= _example(schema.get("example"), at)
        for name, inner in schema.get("properties", {}).items():
            own = f"{at}.{name}"
            resolved = self._resolve(self.tree, inner)
            found |= self.shape(inner, own)
            found[own] = resolved.get("type", "object") + ("?" if resolved.get("nullable") else "")
        return found

    def _resolve(self, tree: Schema, node: Schema) -> Schema:
        while "$ref" in node:
            target: Any = tree
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            node = target
        return node


def _example(value: Any, at: str) -> dict[str, str | None]:
    if not isinstance(value, dict):
        return {}
    found: dict[str, str | None] = {}
    for name, inner in cast("Schema", value).items():
        found |= {f"{at}.{name}": None} | _example(inner, f"{at}.{name}")
    return found


def _as_json_schema(node: Any) -> Any:
    """Turn `nullable` of OpenAPI 3.0 into what JSON Schema says instead."""
    if isinstance(node, list):
        return [_as_json_schema(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    fields = cast("Schema", node)
    turned = {name: _as_json_schema(value) for name, value in fields.items() if name != "nullable"}
    if fields.get("nullable") is True:
        turned["type"] = [turned["type"], "null"]
    return turned


OURS = Document(Path(__file__).parents[1] / "samples" / "open_food_network" / "api.yaml", strict=True)
THEIRS = Document(Path(os.environ["OFN_OPENAPI"]), strict=False) if os.environ.get("OFN_OPENAPI") else None
DOCUMENTS = {"ours": OURS} | ({"theirs": THEIRS} if THEIRS else {})
