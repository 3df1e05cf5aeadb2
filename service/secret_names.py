"""Detection of secrets that are written in clear: headers, query parameters, URLs and members of bodies. Pure."""

import functools
import re
from urllib.parse import parse_qsl, urlsplit

SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-functions-key", "ocp-apim-subscription-key"}
)
SECRET_WORDS = frozenset(
    {"token", "secret", "password", "passwd", "apikey", "signature", "sig", "credential", "credentials"}
)
"""Words of a name whose value is a secret. `key` counts only beside another word, such as `api` or `access`."""
KEY_WORDS = frozenset({"api", "access", "auth", "app", "client", "private", "secret", "subscription", "functions"})
SECRET_PARAMETERS = frozenset({"key", "code", "auth", "pwd"})
"""Query parameters that are secrets if their value is long; `code` is that of Azure Functions."""
LONG_CHARACTERS = 16
MEMBER_CHARACTERS = 8
"""A shorter text under a secret name of a body, such as `token: none`, is no secret."""

_WORDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_SCHEME = re.compile(r"(?i)\A(bearer|basic|token|apikey)\s+\S{8,}")
_SECRET_VALUES = re.compile(
    r"\b(sk|pk|rk)_(live|test)_[A-Za-z0-9]{8,}|\bsk-[A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bxox[abprs]-\S{8,}"
    r"|\bwhsec_[A-Za-z0-9+/=]{8,}|\bAKIA[A-Z0-9]{12,}|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\."
)
_SECRET_URLS = re.compile(
    r"(?i)\Ahttps?://("
    r"hooks\.slack(-gov)?\.com/(services|workflows|triggers)/\w"
    r"|([a-z]+\.)?discord(app)?\.com/api/webhooks/\d"
    r"|[a-z0-9.-]*webhook\.office\.com/webhook"
    r"|chat\.googleapis\.com/v1/spaces/.*[?&]key="
    r"|hooks\.zapier\.com/hooks/catch/\d"
    r"|api\.telegram\.org/bot\d"
    r"|maker\.ifttt\.com/.*/key/"
    r"|hook\.[a-z0-9.]+\.make\.com/\w)"
)
_COMMON_PAIRS = frozenset(
    """
    ab ac ad ai al an ar as at be ca ce ch co ct de di ea ec ed ee el em en er es et fo ge ha he hi ho ic id ie il im in
    io ir is it la le li ll lo ly ma me mi mo na nc nd ne ng ni no ns nt ol om on or ot ou ow pa pe po pr ra re ri ro rs
    rt se sh si so ss st su ta te th ti to tr ts ul un ur us ut ve wa we wh wi
    """.split()  # noqa: SIM905 - a list of words reads best as words
)
"""The most frequent pairs of letters in English, and most of those of other languages."""
WORDS_SHARE_MIN = 0.4
"""Common pairs of letters of all pairs in a text of words: half and more. One random token in 10,000 has as many."""
_LONG_SEGMENT = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{26,}")


def find_secret_in_header(name: str, value: str) -> str:
    """Return the reason why a header is probably a secret, empty without one."""
    is_long = "auth" in _words(name) and len(value) >= LONG_CHARACTERS and "{" not in value
    if name.lower() in SECRET_HEADERS or is_long or _is_secret_name(name):
        return f"a credential in the header {name}"
    return "a value that looks like a secret" if _looks_like_secret(value) else ""


def find_secret_in_member(name: str, value: str) -> str:
    """Return the reason why a member of a body, or another named text, is probably a secret, empty without one.

    A name such as `password_reset` is not that of a secret, and a text with blanks or a placeholder is not its value.
    """
    if len(value) >= MEMBER_CHARACTERS and _is_secret_member(name) and not re.search(r"[\s{]", value):
        return f"a credential in {name[:64]}"
    return "a value that looks like a secret" if _SECRET_VALUES.search(value) else ""


@functools.lru_cache(maxsize=256)  # all items of a list have the same name
def _is_secret_member(name: str) -> bool:
    words = _WORDS.sub("_", name).lower().split("_")
    is_key = words[-1] == "key" and not KEY_WORDS.isdisjoint(words)
    return is_key or words[-1] in SECRET_WORDS - {"sig", "signature"}


def has_secret_segment(url: str) -> bool:
    """Return whether a part of the path is as long and random as the tokens of incoming webhooks."""
    path = re.sub(r"\{[^{}]*\}", "", url.partition("?")[0])
    return any(_LONG_SEGMENT.fullmatch(part) and not _consists_of_words(part) for part in path.split("/")[3:])


def find_secret_in_url(url: str) -> str:
    """Return the reason why a URL or its template probably contains a secret, empty without one.

    The value of a parameter that consists of placeholders is data of the event, and no secret of the operator.
    """
    if _SECRET_URLS.match(url):
        return "a path that is a secret"
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if "@" in parts.netloc:
        return "a user name or password"
    for name, value in parse_qsl(parts.query.replace("{", "%7B").replace("}", "%7D")):
        literal = re.sub(r"\{[^{}]*\}", "", value)
        is_long = name.lower() in SECRET_PARAMETERS and len(literal) >= LONG_CHARACTERS
        if literal and (is_long or _is_secret_name(name) or _looks_like_secret(literal)):
            return f"a secret in the query parameter {name[:64]}"
    return "a value that looks like a secret" if _SECRET_VALUES.search(parts.path) else ""


def _looks_like_secret(value: str) -> bool:
    return bool(_SCHEME.match(value) or _SECRET_VALUES.search(value))


def _consists_of_words(text: str) -> bool:
    """Return whether a text is a name such as `purchaseOrders2026ForWarehouse`, and no random token."""
    pairs = [text[at : at + 2] for at in range(len(text) - 1)]
    common = sum(pair.lower() in _COMMON_PAIRS for pair in pairs if not (pair[0].islower() and pair[1].isupper()))
    return common >= WORDS_SHARE_MIN * len(pairs)


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORDS.split(name) if word}


def _is_secret_name(name: str) -> bool:
    words = _words(name)
    return bool(words & SECRET_WORDS) or ("key" in words and bool(words & KEY_WORDS))
