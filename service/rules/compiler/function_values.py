"""Values of functions: checks, and formats of numbers and moments. Their errors contain no value."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException
from typing import cast

from service.rules.compiler.arguments import Arguments
from service.rules.limits import TEXT_BYTES_MAX
from service.rules.scope import Value

CONTEXT = Context(prec=80)
"""Arithmetic of functions: at most 80 digits."""


class FunctionError(Exception):
    """A function cannot be applied to a value. The message contains no value."""


def check_text(value: Value) -> str:
    """Return a text.

    Raises:
        FunctionError: the value is no text, or is too long.
    """
    if not isinstance(value, str):
        raise FunctionError("is not a text")
    if len(value) > TEXT_BYTES_MAX:
        raise FunctionError(f"is longer than {TEXT_BYTES_MAX} characters")
    return value


def check_number(value: Value) -> int | Decimal:
    """Return a finite number.

    Raises:
        FunctionError: the value is no number.
    """
    if type(value) is int or (type(value) is Decimal and value.is_finite()):
        return value
    raise FunctionError("is not a number")


def format_number(value: Value) -> str:
    """Format a number with all its digits.

    Raises:
        FunctionError: the value is no number, or has an exponent that would give long runs of zeros.
    """
    number = check_number(value)
    if isinstance(number, int):
        return str(number)
    if abs(number.adjusted()) > CONTEXT.prec:
        raise FunctionError("has too many digits")
    return format(number, "f")


def format_decimal(value: Value, places: int, point: str, thousands: str) -> str:
    """Format a number with decimal places, rounded half up: 1234.5 as `1,234.50`.

    Raises:
        FunctionError: the value is no number, or has too many digits.
    """
    number = Decimal(check_number(value))
    try:
        rounded = number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, CONTEXT)
    except DecimalException:
        raise FunctionError("has too many digits") from None
    text = format(abs(rounded) if rounded.is_zero() else rounded, ",f")
    whole, _, fraction = text.partition(".")
    whole = whole.replace(",", thousands)
    return f"{whole}{point}{fraction}" if fraction else whole


_DIRECTIVE = re.compile(r"%(.?)|[^%]+", re.DOTALL)
_DATE_DIRECTIVES: Mapping[str, Callable[[date], str]] = {
    "Y": lambda day: f"{day.year:04}",
    "y": lambda day: f"{day.year % 100:02}",
    "m": lambda day: f"{day.month:02}",
    "d": lambda day: f"{day.day:02}",
    "j": lambda day: f"{day.timetuple().tm_yday:03}",
    "G": lambda day: f"{day.isocalendar().year:04}",
    "V": lambda day: f"{day.isocalendar().week:02}",
    "u": lambda day: str(day.isocalendar().weekday),
    "%": lambda _: "%",
}
_TIME_DIRECTIVES: Mapping[str, Callable[[datetime], str]] = {
    "H": lambda moment: f"{moment.hour:02}",
    "M": lambda moment: f"{moment.minute:02}",
    "S": lambda moment: f"{moment.second:02}",
    "z": lambda moment: moment.strftime("%z"),
    "s": lambda moment: str(int(moment.timestamp())),
}
"""Directives of strftime that depend neither on the language nor on the operating system."""

FormatPart = str | Callable[[datetime], str]


def parse_moment_format(text: str, arguments: Arguments, *, is_date: bool) -> Sequence[FormatPart]:
    """Parse a format such as `%d.%m.%Y` into texts and functions.

    Raises:
        ConfigError: a directive is not supported, or needs a time of day that a date has not.
    """
    known = dict(_DATE_DIRECTIVES) if is_date else {**_DATE_DIRECTIVES, **_TIME_DIRECTIVES}
    parts: list[FormatPart] = []
    for found in _DIRECTIVE.finditer(text):
        letter = found[1]
        if letter is None:
            parts.append(found[0])
        elif letter in known:
            parts.append(cast("Callable[[datetime], str]", known[letter]))
        else:
            raise arguments.error(f"%{letter} is not one of {' '.join(f'%{each}' for each in known)}")
    return parts


def format_moment(value: Value, parts: Sequence[FormatPart], zone: tzinfo) -> str:
    """Format a timestamp in a time zone, or a date.

    Raises:
        FunctionError: the value is neither, or is out of the range of the calendar.
    """
    if not isinstance(value, date) or (isinstance(value, datetime) and value.tzinfo is None):
        raise FunctionError("is not a moment")
    try:
        local = value.astimezone(zone) if isinstance(value, datetime) else value
        return "".join([part if isinstance(part, str) else part(cast("datetime", local)) for part in parts])
    except OverflowError:
        raise FunctionError("is out of the range of the calendar") from None
