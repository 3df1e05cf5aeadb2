"""Option `--record`: a record of an account, as ACCOUNT:KIND:ID."""

from service.errors import ConfigError
from service.events import RecordRef


def parse_record(text: str) -> RecordRef:
    """Parse the option.

    Raises:
        ConfigError: the text is not of this form.
    """
    parts = text.split(":", 2)
    if len(parts) != 3 or not all(parts):
        fix = "write ACCOUNT:KIND:ID, such as pack:purchase_order:1"
        raise ConfigError("--record", f"{text[:100]!r} is not a record", fix)
    return RecordRef(*parts)
