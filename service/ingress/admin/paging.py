"""Pages of lists: `limit` and `after` in, `items` and `next` out."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from litestar.params import QueryParameter
from msgspec import Struct

from service.errors import Rejection

ItemT = TypeVar("ItemT")

LIMIT_MAX = 200

LimitParameter = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX, description="items per page")]
After = Annotated[str | None, QueryParameter(max_length=500, description="the `next` of the previous page")]


class Page(Struct, Generic[ItemT], frozen=True):
    """Page of a list, the number of items on all pages, and the name of the last item for the next page."""

    items: Sequence[ItemT]
    total: int
    next: str | None = None


def page_of(items: Sequence[ItemT], name: Callable[[ItemT], str], limit: int, after: str | None) -> Page[ItemT]:
    """Return one page of a list; `name` returns the name of an item.

    Raises:
        Rejection: 409 `page_gone`: The item `after` is gone. Start again.
    """
    start = 0
    if after is not None:
        names = [name(item) for item in items]
        if after not in names:
            raise Rejection(
                409, "page_gone", "The last item of the previous page is gone. Start again without `after`."
            )
        start = names.index(after) + 1
    page = items[start : start + limit]
    has_more = start + limit < len(items)
    return Page(page, len(items), name(page[-1]) if has_more and page else None)
