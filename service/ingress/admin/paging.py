"""Pages of lists: `limit` and `after` in, `items` and `next` out. `next` goes into `after`; at the end it is null."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from litestar.params import QueryParameter
from msgspec import Struct

from service.errors import Rejection

ItemT = TypeVar("ItemT")

LIMIT_MAX = 200

LimitParameter = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX, description="items of one page")]
After = Annotated[
    str | None, QueryParameter(max_length=500, description="the page after this item: the last page's `next`")
]


class Page(Struct, Generic[ItemT], frozen=True):
    """One page, how many items there are over all pages, and where the next one begins."""

    items: Sequence[ItemT]
    total: int
    next: str | None = None


def page_of(items: Sequence[ItemT], name: Callable[[ItemT], str], limit: int, after: str | None) -> Page[ItemT]:
    """Cut a page out of a list whose items have names.

    Raises:
        Rejection: 409 `page_gone`: the item that `after` names is there no more, so begin again.
    """
    begin = 0
    if after is not None:
        names = [name(item) for item in items]
        if after not in names:
            raise Rejection(409, "page_gone", "The item that the page before ended with is gone; begin again.")
        begin = names.index(after) + 1
    cut = items[begin : begin + limit]
    more = begin + limit < len(items)
    return Page(cut, len(items), name(cut[-1]) if more and cut else None)
