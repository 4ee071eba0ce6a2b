"""`@forerun.task`: a function of an agent, declared as a task of a cluster. docs/python.md tells how they are run.

A decorated function stays as it is: calling it runs it here, but in a block of Session.tools() as a step of that session.
`forerun.worker` runs it in a cluster.
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import dataclasses
import difflib
import enum
import functools
import inspect
import json
import math
import re
import sys
import threading
import typing
import uuid
from typing import (Any, Callable, Dict, Iterator, List, Literal, Mapping, Optional, Sequence, Tuple, TypeVar, Union,
                    cast)

__all__ = ["Answer", "Cancelled", "Context", "InputError", "OutputError", "allow_effects", "here", "http_effect", "task",
           "task_effect", "together"]

JSON_DEPTH_MAX = 64
INTEGER_MAX = 2**53 - 1  # Beyond it a JSON number is not exact everywhere: send it as a text.
TAG_FIELD = re.compile(r"\{([^{}]*)\}")
MISSING: Any = object()
# What has no form of its own in JSON, by its type's name, and a form that keeps all of it.
WRITTEN_AS = {"datetime": "value.isoformat()", "date": "value.isoformat()", "time": "value.isoformat()", "Decimal": "str(value)",
              "UUID": "str(value)", "PosixPath": "str(value)", "bytes": "base64.b64encode(value).decode()",
              "complex": "[value.real, value.imag]", "ndarray": "value.tolist()", "DataFrame": "value.to_dict('records')",
              "generator": "list(value)", "coroutine": "its result: an async def function is awaited"}
Function = TypeVar("Function", bound=Callable[..., Any])


class InputError(ValueError):
    """An input that a task does not take; says where, what was found and what was expected."""


class OutputError(TypeError):
    """What a task returned is no JSON."""


class Cancelled(BaseException):
    """Raised in a running function when nobody needs its answer any more. Clean up within milliseconds, and let it pass."""


@dataclasses.dataclass(frozen=True)
class Context:
    """What a call brings beside its input. A function gets one by a parameter annotated with this class."""

    state: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # What the task gets of its session's state.
    key: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)  # Of a `write`: equal when it runs again.


@dataclasses.dataclass(frozen=True)
class Answer:
    """An output with what shall change when it is committed: `writes`, a merge patch (RFC 7396) of the session's state, and
    `effects`, made by http_effect() and task_effect()."""

    output: Any
    writes: Optional[Mapping[str, Any]] = None
    effects: Sequence[Mapping[str, Any]] = ()


def http_effect(method: str, url: str, *, body: Any = MISSING, headers: Optional[Mapping[str, str]] = None) -> Dict[str, Any]:
    """A request that is sent once its step is durable, at least once, with one Idempotency-Key. See allow_effects()."""
    request: Dict[str, Any] = {"method": method, "url": url}
    if body is not MISSING:
        request["body"] = body
    if headers is not None:
        request["headers"] = dict(headers)
    return {"http": request}


def task_effect(task: Union[str, Callable[..., Any]], input: Mapping[str, Any]) -> Dict[str, Any]:
    """A call of a `write` that is idempotent, made once its step is durable."""
    return {"task": task if isinstance(task, str) else spec_of(task).name, "input": dict(input)}


# ---- Declaring


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is declared of a function."""

    name: str
    function: Callable[..., Any]
    keys: Mapping[str, Any]  # Of its table in catalog.toml, as given.
    parameters: Mapping[str, inspect.Parameter]
    takes_others: bool  # It has **fields.
    context_names: Sequence[str]  # Parameters that take a Context.

    @property
    def envelope(self) -> bool:
        return bool(self.keys.get("envelope"))

    def bind(self, *args: Any, **fields: Any) -> Dict[str, Any]:
        """The input that a call of the function with these arguments stands for."""
        parameters = [parameter for parameter in inspect.signature(self.function).parameters.values()
                      if parameter.name in self.parameters or parameter.kind is parameter.VAR_KEYWORD]
        bound = inspect.Signature(parameters).bind(*args, **fields)
        given = dict(bound.arguments)
        for parameter in bound.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                given.update(given.pop(parameter.name, {}))
        return {name: to_json(value, f"{self.name}: input.{name}") for name, value in given.items()}

    def run(self, given: Any, context: Context) -> Any:
        """Calls the function with a checked input. Raises InputError. A coroutine function returns its coroutine."""
        hints = hints_of(self.function)
        if not isinstance(given, dict):
            raise InputError(f"input: {shown(given)}, expected an object")
        arguments = {name: from_json(value, hints.get(name, Any), f"input.{name}") for name, value in given.items()
                     if name in self.parameters or self._refuse_unless_taken(name)}
        for name, parameter in self.parameters.items():
            if name not in given and parameter.default is parameter.empty:
                raise InputError(f"input.{name}: missing, expected {type_name(hints.get(name, Any))}")
        return self.function(**arguments, **{name: context for name in self.context_names})

    def returned(self, output: Any) -> Any:
        """A step's output as the function itself would return it: a dataclass again, say. As it is where that does not fit."""
        hint = hints_of(self.function).get("return", Any)
        try:
            return output if hint is Answer else from_json(output, hint, "output")
        except InputError:
            return output

    def _refuse_unless_taken(self, name: str) -> bool:
        if self.takes_others:
            return True
        near = difflib.get_close_matches(name, self.parameters, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f", expected {', '.join(self.parameters) or 'none'}"
        raise InputError(f"input.{name}: unknown{hint}")


@functools.lru_cache(maxsize=None)
def hints_of(function: Callable[..., Any]) -> Dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception as problem:
        raise TypeError(f"task {function.__qualname__}: its annotations cannot be read: {problem}") from problem


def place_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


_declared: List[Spec] = []
_effects: Dict[str, List[str]] = {"allow": [], "tasks": []}


def declared() -> List[Spec]:
    """All that this process has declared, in order."""
    return list(_declared)


def declared_effects() -> Dict[str, List[str]]:
    return {name: list(values) for name, values in _effects.items()}


def spec_of(function: Callable[..., Any]) -> Spec:
    spec = getattr(function, "__forerun_task__", None)
    if not isinstance(spec, Spec):
        raise TypeError(f"{function!r}: expected a function with @forerun.task")
    return spec


def allow_effects(*urls: str, tasks: Sequence[Union[str, Callable[..., Any]]] = ()) -> None:
    """Allows effects: requests to URLs that begin so, calls of these tasks. The catalog's table [effects]."""
    _effects["allow"] += [url for url in urls if url not in _effects["allow"]]
    names = [task if isinstance(task, str) else spec_of(task).name for task in tasks]
    _effects["tasks"] += [name for name in names if name not in _effects["tasks"]]


def task(*, effect: Literal["pure", "read", "write"], name: Optional[str] = None,
         reads: Optional[Sequence[str]] = None, writes: Optional[Sequence[str]] = None,
         scope: Optional[Literal["tenant", "session"]] = None, idempotent: Optional[bool] = None,
         deterministic: Optional[bool] = None, hedge: Optional[bool] = None, timeout_ms: Optional[int] = None,
         max_age_ms: Optional[int] = None, pool: Optional[str] = None, state: Optional[Sequence[str]] = None,
         envelope: Optional[bool] = None,
         description: Optional[str] = None, example: Optional[Mapping[str, Any]] = None,
         next: Optional[Sequence[str]] = None, starts: Optional[bool] = None,
         sandbox: Optional[bool] = None, network: Optional[bool] = None, readable: Optional[Sequence[str]] = None,
         writable: Optional[Sequence[str]] = None, env: Optional[Mapping[str, str]] = None,
         output_kb: Optional[int] = None, memory_mb: Optional[int] = None, processes: Optional[int] = None,
         file_mb: Optional[int] = None, scratch_mb: Optional[int] = None,
         cpu_s: Optional[int] = None) -> Callable[[Function], Function]:
    """Declares a function as a task. Each parameter is a key of its table in catalog.toml (docs/catalog.md), with its default.

    `effect` has none here: whether running it changes anything is what only its author knows. `readable` and `writable` may be
    relative to the function's file. `description` is by default the first line of the docstring. `envelope` follows from `state`
    and from a return annotation Answer. Raises TypeError and ValueError for what can never work.
    """
    given = {key: value for key, value in locals().items() if key != "name" and value is not None}

    def declare(function: Function) -> Function:
        spec = _spec(function, name or function.__name__, given)
        for other in _declared:
            if other.name == spec.name:
                raise ValueError(f"task {spec.name}: declared by {place_of(other.function)} already; give one another name=")
        _declared.append(spec)
        routed = _routed(spec)
        routed.__forerun_task__ = spec  # type: ignore[attr-defined]
        return cast(Function, routed)

    return declare


# ---- Calling


_session: "contextvars.ContextVar[Any]" = contextvars.ContextVar("forerun_session", default=None)
_here = object()  # In place of a session: calls run here.


class _Blocks:
    """How many blocks of calls_go_to() are open in this process, in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0

    def count(self, change: int) -> int:
        with self._lock:
            self._open += change
            return self._open


_blocks = _Blocks()


@contextlib.contextmanager
def calls_go_to(session: Any) -> Iterator[None]:
    """In this block a decorated function that is called runs as a step of `session`: in this thread or asyncio task, and in what
    it hands to a ThreadPoolExecutor or starts as a Thread."""
    _let_threads_inherit()
    token = _session.set(session)
    _blocks.count(+1)
    try:
        yield
    finally:
        _blocks.count(-1)
        _session.reset(token)


@contextlib.contextmanager
def here() -> Iterator[None]:
    """In this block decorated functions run where they are called, whatever sessions this process has blocks of."""
    token = _session.set(_here)
    try:
        yield
    finally:
        _session.reset(token)


def _inheriting(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, to be called in another thread as if in this block."""
    session = _session.get()
    if session is None:
        return function

    @functools.wraps(function)
    def called(*args: Any, **fields: Any) -> Any:
        token = _session.set(session)
        try:
            return function(*args, **fields)
        finally:
            _session.reset(token)

    return called


@functools.lru_cache(maxsize=None)
def _let_threads_inherit() -> None:
    """A thread begins with a context of its own, in which an agent's tools would run here unnoticed. Wraps, once, what hands work
    to threads; outside a block that changes nothing."""
    submit, start = concurrent.futures.ThreadPoolExecutor.submit, threading.Thread.start

    @functools.wraps(submit)
    def submit_inheriting(self: Any, function: Callable[..., Any], /, *args: Any, **fields: Any) -> Any:
        function = _inheriting(function)
        token = _session.set(None)  # The pool's own thread, if this starts one, serves others later.
        try:
            return submit(self, function, *args, **fields)
        finally:
            _session.reset(token)

    @functools.wraps(start)
    def start_inheriting(self: threading.Thread) -> None:
        if _session.get() is not None:
            self.run = _inheriting(self.run)  # type: ignore[method-assign]
        start(self)

    concurrent.futures.ThreadPoolExecutor.submit = submit_inheriting  # type: ignore[method-assign]
    threading.Thread.start = start_inheriting  # type: ignore[method-assign]


def _has_running_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def _session_of_call(spec: Spec) -> Any:
    """Whose step a call is; None: it runs here. Raises where that cannot be known. (A task of asyncio has the context of who
    started it.)"""
    session = _session.get()
    if session is None and _blocks.count(0) > 0 and not _has_running_loop():
        raise RuntimeError(f"task {spec.name}: called in a thread that no block of session.tools() reaches, while there is one: hand "
                           "it over with contextvars.copy_context().run, or say `with forerun.here():` to run it here")
    return None if session is _here else session


def _routed(spec: Spec) -> Callable[..., Any]:
    """The function, or in a block of calls_go_to() its step."""
    function, is_async = spec.function, inspect.iscoroutinefunction(spec.function)
    signature = inspect.signature(function)

    def called(session: Any, args: Tuple[Any, ...], fields: Dict[str, Any]) -> Any:
        if session is None:
            given = signature.bind_partial(*args, **fields).arguments if spec.context_names else {}
            return function(*args, **fields, **{name: Context() for name in spec.context_names if name not in given})
        if session.is_async != is_async:
            raise TypeError(f"task {spec.name}: {'a coroutine' if is_async else 'a plain'} function, expected "
                            f"{'a plain one in a Session' if is_async else 'a coroutine one in an AsyncSession'}")
        output = session.call(spec.name, spec.bind(*args, **fields))
        return output if is_async else spec.returned(output)

    @functools.wraps(function)
    def plain(*args: Any, **fields: Any) -> Any:
        return called(_session_of_call(spec), args, fields)

    @functools.wraps(function)
    async def coroutine(*args: Any, **fields: Any) -> Any:
        session = _session_of_call(spec)
        output = await called(session, args, fields)
        return output if session is None else spec.returned(output)

    return coroutine if is_async else plain


def together(calls: Sequence[Tuple[Callable[..., Any], Mapping[str, Any]]]) -> List[Any]:
    """Calls several decorated functions, each with its input, and returns what they return, in order: in a block of
    Session.tools() side by side as one request, else one after another. For plain functions; else await AsyncSession.calls()."""
    session = _session_of_call(spec_of(calls[0][0])) if calls else None
    if session is None:
        return [function(**given) for function, given in calls]
    if session.is_async:
        raise TypeError("together: in an AsyncSession's block, expected a Session's; await session.calls(…) there")
    outputs = session.calls([(function, spec_of(function).bind(**given)) for function, given in calls])
    return [spec_of(function).returned(output) for (function, _), output in zip(calls, outputs)]


def _spec(function: Callable[..., Any], name: str, given: Mapping[str, Any]) -> Spec:
    where = f"task {name}"
    keys = dict(given)
    if keys["effect"] not in ("pure", "read", "write"):
        raise ValueError(f"{where}: effect {keys['effect']!r}, expected 'pure', 'read' or 'write'")
    if keys["effect"] != "write":
        for key in ("writes", "idempotent", "writable"):
            if key in keys:
                raise ValueError(f"{where}: {key} is for effect='write' only, this one is {keys['effect']!r}")
    if keys["effect"] == "pure" and "reads" in keys:
        raise ValueError(f"{where}: reads, but its effect is 'pure': it depends on its input alone")
    if keys["effect"] == "write" and "hedge" in keys:
        raise ValueError(f"{where}: hedge is not for effect='write', which never has a second attempt")
    parameters, takes_others, context_names = _parameters(function, where)
    for key in ("reads", "writes", "state", "readable", "writable", "next"):
        if isinstance(keys.get(key), str):
            raise TypeError(f"{where}: {key}={keys[key]!r}, expected a list of texts")
    for tag in [*keys.get("reads", ()), *keys.get("writes", ())]:
        for field in TAG_FIELD.findall(tag):
            if field not in parameters and not takes_others:
                known = ", ".join(parameters) or "none"
                raise ValueError(f"{where}: tag {tag!r}: no parameter {field!r}, expected one of {known}")
    if "description" not in keys and function.__doc__:
        keys["description"] = inspect.cleandoc(function.__doc__).splitlines()[0]
    returned = function.__annotations__.get("return")
    is_answer = returned is Answer or (isinstance(returned, str) and returned.rsplit(".", 1)[-1] == "Answer")
    if "envelope" not in keys and (is_answer or "state" in keys):
        keys["envelope"] = True
    return Spec(name, function, keys, parameters, takes_others, context_names)


def _parameters(function: Callable[..., Any], where: str) -> Tuple[Dict[str, inspect.Parameter], bool, List[str]]:
    parameters: Dict[str, inspect.Parameter] = {}
    context_names: List[str] = []
    takes_others = False
    signature = inspect.signature(function)
    if "." in function.__qualname__ and next(iter(signature.parameters), "") in ("self", "cls"):
        raise TypeError(f"{where}: a method, expected a function: there is no object to call it on where it runs")
    for parameter in signature.parameters.values():
        annotation = parameter.annotation
        if annotation is Context or (isinstance(annotation, str) and annotation.rsplit(".", 1)[-1] == "Context"):
            context_names.append(parameter.name)
        elif parameter.kind is parameter.VAR_KEYWORD:
            takes_others = True
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise TypeError(f"{where}: parameter {parameter}: an input has names only, so it can never be given")
        else:
            parameters[parameter.name] = parameter
    return parameters, takes_others, context_names


# ---- Values


def type_name(hint: Any) -> str:
    names = {str: "a text (str)", int: "a whole number (int)", float: "a number (float)", bool: "true or false (bool)",
             type(None): "null", list: "a list", dict: "an object (dict)", Any: "any value"}
    if isinstance(hint, type) and hint in names or hint is Any:
        return names[hint]
    if dataclasses.is_dataclass(hint) or is_typed_dict(hint):
        return f"an object ({hint.__name__})"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "one of " + ", ".join(json.dumps(member.value) for member in hint)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(json.dumps(part) for part in parts)
    if is_union(origin):
        return " or ".join(type_name(part) for part in parts)
    return str(hint).replace("typing.", "")


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:60] + "…"


def is_union(origin: Any) -> bool:
    return origin is Union or (sys.version_info >= (3, 10) and origin is __import__("types").UnionType)


def is_typed_dict(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, dict) and hasattr(hint, "__total__")


def from_json(value: Any, hint: Any, place: str) -> Any:
    """`value` as an instance of `hint`. Raises InputError. A hint that is not known here is not checked."""
    if hint is Any or hint is inspect.Parameter.empty or isinstance(hint, typing.TypeVar):
        return value
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is not None and getattr(typing, "Annotated", None) is origin:
        return from_json(value, parts[0], place)
    if is_union(origin):
        return _from_union(value, parts, hint, place)
    if origin is Literal:
        if any(value == part and type(value) is type(part) for part in parts):
            return value
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
    elif hint in (str, bool, dict, list):
        if type(value) is hint:
            return value
    elif hint is None or hint is type(None):
        if value is None:
            return None
    elif hint in (tuple, set, frozenset) or origin in (list, tuple, set, frozenset) or _is_abstract(origin, list):
        if isinstance(value, list):
            return _from_list(value, hint, origin or hint, parts, place)
    elif origin is dict or _is_abstract(origin, dict):
        if isinstance(value, dict):
            inner = parts[1] if len(parts) == 2 else Any
            return {name: from_json(item, inner, f"{place}.{name}") for name, item in value.items()}
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        for member in hint:
            if member.value == value and type(member.value) is type(value):
                return member
    elif dataclasses.is_dataclass(hint) or is_typed_dict(hint):
        if isinstance(value, dict):
            return _from_object(value, hint, place)
    else:
        return value
    raise InputError(f"{place}: {shown(value)}, expected {type_name(hint)}")


def _is_abstract(origin: Any, kind: type) -> bool:
    """Whether `origin` is a collections.abc class that `kind` has."""
    return isinstance(origin, type) and origin.__module__ == "collections.abc" and issubclass(kind, origin)


def _from_union(value: Any, parts: Sequence[Any], hint: Any, place: str) -> Any:
    problem: Optional[InputError] = None
    for part in sorted(parts, key=lambda part: part is float):  # 1 is an int before it is a float.
        try:
            return from_json(value, part, place)
        except InputError as found:
            problem = found
    others = [part for part in parts if part is not type(None)]
    if len(others) == 1 and problem is not None and value is not None:
        from_json(value, others[0], place)  # Raises what says more.
    raise InputError(f"{place}: {shown(value)}, expected {type_name(hint)}")


def _from_list(value: List[Any], hint: Any, origin: Any, parts: Sequence[Any], place: str) -> Any:
    make = origin if origin in (tuple, set, frozenset) else list
    if origin is tuple and parts and parts[-1] is not Ellipsis:
        if len(value) != len(parts):
            raise InputError(f"{place}: {len(value)} items, expected {len(parts)}")
        return tuple(from_json(item, part, f"{place}[{i}]") for i, (item, part) in enumerate(zip(value, parts)))
    inner = parts[0] if parts else Any
    return make(from_json(item, inner, f"{place}[{i}]") for i, item in enumerate(value))


def _from_object(value: Dict[str, Any], hint: Any, place: str) -> Any:
    hints = typing.get_type_hints(hint)
    if is_typed_dict(hint):
        needed = hint.__required_keys__
    else:
        needed = {field.name for field in dataclasses.fields(hint)
                  if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING}
    for name in value:
        if name not in hints:
            raise InputError(f"{place}.{name}: unknown, expected {', '.join(hints)}")
    for name in hints:
        if name in needed and name not in value:
            raise InputError(f"{place}.{name}: missing, expected {type_name(hints[name])}")
    members = {name: from_json(item, hints[name], f"{place}.{name}") for name, item in value.items()}
    return members if is_typed_dict(hint) else hint(**members)


def to_json(value: Any, place: str, depth: int = 1) -> Any:
    """`value` as what json.dumps() writes and a node reads. Raises OutputError, which says where."""
    if depth > JSON_DEPTH_MAX + 1:
        raise OutputError(f"{place}: nested deeper than {JSON_DEPTH_MAX}")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return to_json(value.value, place, depth)
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise OutputError(f"{place}: a text with a lone surrogate, expected Unicode text") from None
        return str(value)
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise OutputError(f"{place}: {value}: beyond 2^53 - 1, where numbers are not exact; send it as a text")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OutputError(f"{place}: {value}, expected a finite number")
        return float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name), f"{place}.{field.name}", depth + 1)
                for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise OutputError(f"{place}: a key is {name!r}, expected a text")
        return {to_json(name, place): to_json(item, f"{place}.{name}", depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item, f"{place}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        # Sorted, since equal sets must be equal inputs and outputs, and their own order changes from process to process.
        items = [to_json(item, f"{place}: an item", depth + 1) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    hint = WRITTEN_AS.get(type(value).__name__)
    raise OutputError(f"{place}: {type(value).__name__}, expected JSON: dict, list, str, int, float, bool or None"
                      + (f"; write it as {hint}" if hint else ""))
