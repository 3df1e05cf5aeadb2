"""Adaptive Cards of Teams. Pure.

Text is in RichTextBlock elements, which show it as it is: a TextBlock reads Markdown, so a value could contain a link.
"""

from collections.abc import Mapping
from typing import Any

CARD_VERSION = "1.4"
"""Version of Adaptive Cards that all clients of Teams show."""


def build_card(title: str | None, text: str, facts: Mapping[str, str]) -> Mapping[str, Any]:
    """Build a card: a bold title, one block for each line of text, and one line for each fact."""
    blocks = [_block(_run(title, weight="Bolder", size="Medium"))] if title else []
    blocks += [_block(_run(line or " ")) for line in text.splitlines()]
    blocks += [_block(_run(f"{name}: ", weight="Bolder"), _run(value)) for name, value in facts.items()]
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": CARD_VERSION,
        "body": blocks,
    }


def wrap_card(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the message that a workflow of Teams expects."""
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _block(*runs: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **style: str) -> Mapping[str, str]:
    return {"type": "TextRun", "text": text, **style}
