"""Functions of a worker: lanes, deferred effects, and plain arq functions of other packages.

A package registers a list of coroutine functions, or of results of `arq.func`, in the entry point group
`waybill.functions`. Their jobs are in the same queue, and run as `workers.arq_jobs` describes.
"""

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from arq.worker import Function, func

from service.errors import ConfigError
from service.store.queue.ingest import EFFECTS_FUNCTION, LANE_FUNCTION
from workers.processing.process import finish_effects, process_lane

ENTRY_POINT_GROUP = "waybill.functions"


def load_functions() -> Sequence[Function]:
    """Return the functions of Waybill, and those that other packages register.

    Raises:
        ConfigError: a registered function cannot be imported, is not valid, or has a name that is taken.
    """
    functions = {
        LANE_FUNCTION: func(process_lane, name=LANE_FUNCTION, keep_result=0),  # pyright: ignore[reportArgumentType] - arq types ctx as dict
        EFFECTS_FUNCTION: func(finish_effects, name=EFFECTS_FUNCTION, keep_result=0),  # pyright: ignore[reportArgumentType] - arq types ctx as dict
    }
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        for function in _registered(entry):
            if function.name in functions:
                fix = "give it another name: arq.func(..., name=...)"
                raise ConfigError(_path(entry), f"the function name {function.name} is taken", fix)
            functions[function.name] = function
    return list(functions.values())


def _registered(entry: EntryPoint) -> Iterator[Function]:
    try:
        registered: Iterable[Any] = iter(entry.load())
    except (ImportError, AttributeError, TypeError) as error:
        fix = "name a list of coroutine functions in the entry point, and install the package with its extras"
        raise ConfigError(_path(entry), f"{entry.value} cannot be loaded ({error})", fix) from error
    for coroutine in registered:
        try:
            function = func(coroutine)
        except (RuntimeError, ImportError, AttributeError) as error:
            raise ConfigError(_path(entry), str(error), "list coroutine functions or results of arq.func") from error
        if function.keep_result_forever:
            fix = "set keep_result to a duration: results without a limit would fill the store"
            raise ConfigError(_path(entry), f"{function.name} has keep_result_forever", fix)
        yield function


def _path(entry: EntryPoint) -> str:
    return f"entry point {ENTRY_POINT_GROUP}.{entry.name}"
