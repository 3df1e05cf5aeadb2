"""Routes of a mock: paths to one record, to a list of records, and to anything else."""

from msgspec import Struct

ANY = "*"
ID = "{id}"

PathSegments = tuple[str, ...]


class Route(Struct, frozen=True):
    """A path to a kind of record; `wrapped` puts it under `data`, `writes` lists what else than GET it takes."""

    platform: str
    kind: str
    steps: PathSegments
    wrapped: bool = False
    writes: tuple[str, ...] = ()

    def record_id(self, segments: PathSegments) -> str:
        """Return the id in a path that matches."""
        return segments[self.steps.index(ID)]


class ListRoute(Struct, frozen=True):
    """A path to a list, to which POST adds if `creates`; `asks` is one that is asked by POST."""

    platform: str
    kind: str
    steps: PathSegments
    creates: bool = False
    asks: bool = False


def path_matches(segments: PathSegments, steps: PathSegments) -> bool:
    """Return True if a path matches the steps of a route."""
    return len(segments) == len(steps) and all(
        step in {segment, ANY, ID} for segment, step in zip(segments, steps, strict=True)
    )


def path_steps(platform: str, path: str) -> PathSegments:
    """Split a path below a platform's URL."""
    return (platform, *path.split("/"))


def record_route(platform: str, kind: str, path: str, *writes: str, wrapped: bool = False) -> Route:
    """Build the route to one record."""
    return Route(platform, kind, path_steps(platform, path), wrapped, writes)


def list_route(platform: str, kind: str, path: str, *, creates: bool = False, asks: bool = False) -> ListRoute:
    """Build the route to a list."""
    return ListRoute(platform, kind, path_steps(platform, path), creates, asks)
