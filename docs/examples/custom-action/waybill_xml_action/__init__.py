"""`do: xml`: sends an XML document to another system by one HTTP request.

The request carries an idempotency key, which is the same on every attempt, and the trace of the delivery.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar
from xml.etree import ElementTree as ET

from msgspec import Meta

from service.actions import Action, ActionContext, CompileTemplate, RetrySafety, TemplateRenderer
from service.errors import PermanentError, TransientError

RESPONSE_BYTES_MAX = 65_536
RETRIED_STATUSES = frozenset({408, 425, 429})

FORBIDDEN_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may contain (section 2.2)."""

ElementName = Annotated[
    str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*\Z", description="an XML element name without a namespace")
]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s{}]+\Z", description="an http or https URL without placeholders")]


class Xml(Action, frozen=True, kw_only=True, tag="xml"):
    """An XML document with one child of `root` per entry of `elements`. The values of `elements` are templates."""

    repeat: ClassVar[RetrySafety] = "keyed"
    summary: ClassVar[str] = "Sends an XML document to another system."

    url: Url
    root: ElementName
    elements: dict[ElementName, str]

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of `elements`.

        Args:
            compile_template: compiles one template; its first argument is the path for error messages.

        Returns:
            The function that renders the inputs of `run`. The inputs are stored with the decision.

        Raises:
            ConfigError: a template names a field that the record does not have.
        """
        url, root = self.url, self.root
        elements = {name: compile_template(f"elements.{name}", text) for name, text in self.elements.items()}
        return lambda scope: {
            "url": url,
            "root": root,
            "elements": {name: render(scope) for name, render in elements.items()},
        }

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Send the document.

        Args:
            inputs: the rendered inputs.
            context: the idempotency key, the trace and the shared HTTP client.

        Returns:
            `http_status`, which is stored in the history of the event.

        Raises:
            TransientError: no response, 408, 425, 429 or 5xx. The effect is attempted again.
            PermanentError: any other status outside 200 to 299. The event becomes a dead letter.
        """
        headers = {"Content-Type": "application/xml", "Idempotency-Key": context.idempotency_key}
        if context.traceparent:
            headers["traceparent"] = context.traceparent
        response = await context.resource("outbound").request(
            "POST",
            inputs["url"],
            headers=headers,
            body=build_document(inputs["root"], inputs["elements"]),
            seconds_max=context.resource("action_timeout_seconds"),
            bytes_max=RESPONSE_BYTES_MAX,
            guarded=True,  # blocks private addresses that waybill.yaml does not allow
        )
        status: int = response.status
        if 200 <= status < 300:
            return {"http_status": status}
        if status in RETRIED_STATUSES or status >= 500:
            raise TransientError("target_unavailable", f"the target answered {status}", http_status=status)
        raise PermanentError("target_rejected", f"the target answered {status}", http_status=status)


def build_document(root: str, elements: Mapping[str, Any]) -> bytes:
    """Build the document. An absent value becomes an empty element."""
    document = ET.Element(root)
    for name, value in elements.items():
        ET.SubElement(document, name).text = "" if value is None else FORBIDDEN_IN_XML.sub("\ufffd", str(value))
    return ET.tostring(document, encoding="utf-8", xml_declaration=True)


ACTIONS = (Xml,)
