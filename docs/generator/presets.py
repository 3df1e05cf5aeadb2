"""Generator of the page of presets."""

from service.config.presets import SenderPreset, load_preset, preset_names

INTRODUCTION = """\
# Presets of senders

Generated from the data files of the presets by `make pages`. A preset sets the verification, the envelope, the answer
and the handshake of one sender. A source names it, with its parameters, and can change any detail:

```yaml
sources:
  shop-orders:
    platform: shop
    preset: woocommerce
    secrets: [{env: SHOP_SECRET}]
```

- `secrets`, `public_keys`, `url` and `verify_token` are the parameters of the preset. `record` is the record kind of
  presets whose events are all about one kind.
- Every other key is merged over the preset: `verify: {tolerance_seconds: 600}` changes that field only. An `envelope`
  of another `kind` replaces the whole.
- A preset maps the sender's names to the record kinds `purchase_order` and `customer`. Map them to your own kinds with
  `envelope: {record: {kinds: {order: shop_order}}}`. Events about other kinds are ignored.
- `waybill check` uses the sender's retries for the dedupe window, and warns of a sender that waits for less than 5 s.

`waybill sources presets` lists them, and `waybill sources show NAME` prints the configuration of one. Certain facts are
from the sender's own text or code. Inferred facts come from other sources: compare them with a real delivery.
"""


def presets_page() -> str:
    """Return the page."""
    presets = {name: load_preset(name) for name in preset_names()}
    groups = dict.fromkeys(preset.group for preset in presets.values())
    parts = [INTRODUCTION]
    for group in sorted(groups):
        parts.append(f"\n## {group.capitalize()}\n")
        parts += [_section(name, preset) for name, preset in presets.items() if preset.group == group]
    return "".join(parts)


def _section(name: str, preset: SenderPreset) -> str:
    lines = [f"\n### `{name}`: {preset.title}\n"]
    lines += [f"- `{key}`: {meaning}" for key, meaning in preset.requires.items()]
    if preset.record:
        lines.append(f"- `record`: record kind of all events, by default `{preset.record}`")
    status, body = preset.source.get("success_status", 202), preset.source.get("success_body")
    answer = f"- answer: {status}" + (f" `{body}`" if body else "")
    seconds = f", within {preset.answer_seconds:g} s" if preset.answer_seconds else ""
    lines.append(answer + seconds)
    if preset.redelivery_hours:
        lines.append(f"- redeliveries: for up to {preset.redelivery_hours:g} h")
    lines += [f"- {'certain' if fact.certain else 'inferred'}: {fact.text}" for fact in preset.facts]
    lines += [f"- <{address}>" for address in preset.documentation]
    return "\n".join(lines) + "\n"
