"""Functions of a worker: lanes, deferred effects, and plain arq functions of other packages.

A package registers a list of coroutine functions, or of results of `arq.func`, in the entry point group
`waybill.functions`. Their jobs are in the same queue, and run as `workers.arq_jobs` describes.
"""

from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from typing import Any, cast

from arq.worker import Function, func

from service.extensions import invalid_extension, load_extensions
from service.store.queue.ingest import EFFECTS_FUNCTION, LANE_FUNCTION
from workers.processing.process import finish_effects, process_lane

ENTRY_POINT_GROUP = "waybill.functions"


def load_functions() -> Sequence[Function]:
    """Return the functions of Waybill, and those that other packages register.

    Raises:
        ConfigErrors: registered functions cannot be imported, are not valid, or have a name that is taken.
    """
    functions = {
        LANE_FUNCTION: func(process_lane, name=LANE_FUNCTION, keep_result=0),  # pyright: ignore[reportArgumentType] - arq types ctx as dict
        EFFECTS_FUNCTION: func(finish_effects, name=EFFECTS_FUNCTION, keep_result=0),  # pyright: ignore[reportArgumentType] - arq types ctx as dict
    }

    def read(registered: object, entry: EntryPoint) -> Iterator[Function]:
        for function in _registered(registered, entry):
            if function.name in functions:
                fix = "give it another name: arq.func(..., name=...)"
                raise invalid_extension(entry, f"the function name {function.name} is taken", fix)
            functions[function.name] = function
            yield function

    load_extensions(ENTRY_POINT_GROUP, read)
    return list(functions.values())


def _registered(registered: object, entry: EntryPoint) -> Iterator[Function]:
    fix = "list coroutine functions or results of arq.func"
    if not isinstance(registered, Sequence):
        raise invalid_extension(entry, f"{entry.value} is not a sequence of functions", fix)
    for coroutine in cast("Sequence[Any]", registered):
        try:
            function = func(coroutine)
        except Exception as error:
            raise invalid_extension(entry, str(error), fix) from error
        if function.keep_result_forever:
            fix = "set keep_result to a duration: results without a limit would fill the store"
            raise invalid_extension(entry, f"{function.name} has keep_result_forever", fix)
        yield function
