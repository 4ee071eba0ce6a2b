"""Forerun for Python: a client, and functions of an agent as tasks of a cluster. docs/python.md is the guide.

    import forerun

    @forerun.task(effect="read", reads=["order/{order_id}"])
    def order_lookup(order_id: str) -> dict: ...

    with forerun.Client() as client, client.session("a question about order A-17") as session:
        session.call("order_lookup", order_id="A-17")
"""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from .client import *
    from .local import *
    from .tasks import *

# A worker starts once a slot: it does not read what only clients need.
_HOMES = {
    "client": ["AsyncClient", "AsyncSession", "Client", "ConflictError", "ConnectionFailedError", "ForerunError", "GoneError",
               "InvalidRequestError", "KeyReusedError", "NotAllowedError", "NotFoundError", "ProblemError", "Retries", "Session", "Step",
               "StepFailedError", "TimedOutError", "TooLargeError", "UnavailableError"],
    "local": ["dev"],
    "tasks": ["Answer", "Cancelled", "Context", "InputError", "OutputError", "allow_effects", "here", "http_effect", "task",
              "task_effect", "together"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted([*globals(), *__all__])
