"""A client of Forerun in one file, with nothing but the standard library.

    from forerun import Client

    with Client("http://127.0.0.1:7480") as client:
        with client.session("a customer asks about order A-17") as session:
            order = session.call("order_lookup", order_id="A-17")
            stock, price = session.calls([("stock", {"item": order["item"]}), ("price", {"item": order["item"]})])

`AsyncClient` is the same with `async with` and `await`. What a request means is in docs/http.md, this file in docs/python.md.
"""
from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import io
import json
import os
import random
import select
import socket
import ssl
import stat
import threading
import time
import urllib.parse
import uuid
from typing import (Any, AsyncIterator, Callable, ContextManager, Dict, Iterable, Iterator, List, Literal, Mapping, NoReturn, Optional,
                    Tuple, Union)

__all__ = ["AsyncClient", "AsyncSession", "Client", "ConflictError", "ConnectionFailedError", "ForerunError", "GoneError",
           "InvalidRequestError", "KeyReusedError", "NotAllowedError", "NotFoundError", "ProblemError", "Retries", "Session", "Step",
           "StepFailedError", "TimedOutError", "TooLargeError", "UnavailableError"]

DEFAULT_URL = "http://127.0.0.1:7480"
DEFAULT_TIMEOUT_S = 120.0  # Of one attempt; a task's own default is 30 s, and a race's losers may come first.
ANSWER_BYTES_MAX = 256 << 20
HEAD_BYTES_MAX = 64 << 10
IDLE_CONNECTIONS_MAX = 32
CONNECT_TIMEOUT_S = 10.0
CALLS_MAX = 64  # Of one list; the coordinator takes no more.

Task = Union[str, Callable[..., Any]]
Call = Tuple[Task, Mapping[str, Any]]
Speculation = Literal["on", "off", "shadow"]


# ---- What can go wrong


class ForerunError(Exception):
    """The parent of all that this client raises, except for wrong arguments (TypeError, ValueError)."""


class ConnectionFailedError(ForerunError, ConnectionError):
    """No answer came: nobody listens there, or the connection broke, at every attempt."""


class TimedOutError(ForerunError, TimeoutError):
    """No answer came in time, at any attempt. A step that was confirmed goes on: ask again with its key."""


class ProblemError(ForerunError):
    """The coordinator refused a request and said why, as a problem document (RFC 9457).

    `status` is the HTTP status, `name` the problem's short name, such as "conflict", `detail` its text for people, and
    `document` all that came.
    """

    def __init__(self, status: int, document: Mapping[str, Any]):
        self.status = status
        self.document = dict(document)
        self.type = str(document.get("type", "about:blank"))
        self.name = self.type.rsplit("/", 1)[-1]
        self.title = str(document.get("title", ""))
        self.detail = str(document.get("detail", ""))
        super().__init__(f"{status} {self.name}: {self.detail or self.title or 'no detail'}")


class InvalidRequestError(ProblemError):
    """400, and every other status below 500 that has no class of its own."""


class NotAllowedError(ProblemError):
    """The token is missing, unknown or revoked, or may not ask this (401, 403)."""


class NotFoundError(ProblemError):
    """404: no such session or task; the detail has the nearest name."""


class ConflictError(ProblemError):
    """409: `expect_step` is not the next one, the session has ended, or a step is open."""


class GoneError(ProblemError):
    """410: the outputs of that key are no longer kept."""


class TooLargeError(ProblemError):
    """413: a body over the limit, or too many calls at once."""


class KeyReusedError(ProblemError):
    """422: the key came before, with another request."""


class UnavailableError(ProblemError):
    """429 and 503 at every attempt: a limit was reached, or no worker has joined yet. `retry_after_s` is when to come back."""

    retry_after_s: Optional[float] = None


class StepFailedError(ForerunError):
    """The step was decided, and no branch of it was valid. `step` is the whole record, `causes` are its branches'."""

    def __init__(self, step: "Step"):
        self.step = step
        self.causes = [cause for cause in step.causes if cause is not None]
        super().__init__(f"step {step.step}, task {step.task}: " + ("; ".join(self.causes) or "no cause given"))


_PROBLEMS = {401: NotAllowedError, 403: NotAllowedError, 404: NotFoundError, 409: ConflictError, 410: GoneError, 413: TooLargeError,
             422: KeyReusedError, 429: UnavailableError, 503: UnavailableError}


# ---- What comes back


@dataclasses.dataclass(frozen=True)
class Step:
    """One confirmed call and its answer, as the coordinator recorded it."""

    run_id: str
    step: int
    task: str
    status: str  # "ok" or "failed"
    output: Any
    origin: str  # "hit": it was there already; "late_hit": it was running; "miss"
    saved_ms: float
    seed: str
    winner: Optional[str]
    branch_names: List[str]
    causes: List[Optional[str]]
    decision_hash: str
    seq: int
    confidence: Optional[float]

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    def result(self) -> Any:
        """The output. Raises StepFailedError when no branch was valid."""
        if self.failed:
            raise StepFailedError(self)
        return self.output


_STEP_FIELDS = [field.name for field in dataclasses.fields(Step)]


def _document(answer: Any) -> Dict[str, Any]:
    if not isinstance(answer, dict):
        raise ForerunError("answer: no JSON object; is this a coordinator?")
    return answer


def _member(answer: Any, name: str) -> Any:
    document = _document(answer)
    if name not in document:
        raise ForerunError(f"answer: no member {name!r}; is this a coordinator of this version?")
    return document[name]


def _step(document: Any) -> Step:
    return Step(**{name: _member(document, name) for name in _STEP_FIELDS})


def _steps(document: Any) -> List[Step]:
    steps = _member(document, "steps")
    if not isinstance(steps, list):
        raise ForerunError("answer: steps is no list; is this a coordinator of this version?")
    return [_step(item) for item in steps]


class _Pages:
    """A session put together from its pages."""

    def __init__(self, run_id: str) -> None:
        self._path = f"/v1/sessions/{run_id}"
        self._steps: List[Any] = []
        self._next = 0
        self.session: Dict[str, Any] = {}
        self.is_whole = False

    @property
    def next_path(self) -> str:
        return f"{self._path}?from={self._next}" if self._steps else self._path

    def add(self, answer: Any) -> None:
        steps = _member(answer, "steps")
        if not isinstance(steps, list):
            raise ForerunError("answer: steps is no list; is this a coordinator of this version?")
        self._steps += steps
        self._next = _member(steps[-1], "step") + 1 if steps else self._next
        self.is_whole = not steps or self._next >= _member(answer, "next_step")
        # What stands beside the steps is of the latest page's moment.
        self.session = {**answer, "first": 0, "steps": self._steps}


# ---- One request and its attempts, without any input or output


@dataclasses.dataclass(frozen=True)
class Retries:
    """How often, and after which waits, a request is sent again.

    A wait is drawn between half of its bound and all of it; the bound doubles from `first_s` to `max_s`. A longer
    `Retry-After` is honoured up to `retry_after_max_s`; beyond that the error is raised at once.
    """

    attempts: int = 6
    first_s: float = 0.1
    max_s: float = 5.0
    retry_after_max_s: float = 60.0


@dataclasses.dataclass(frozen=True)
class _Request:
    method: str
    path: str
    body: Optional[bytes] = None
    key: Optional[str] = None
    is_repeatable: bool = True  # May be sent again when it is not known whether it arrived.

    def headers(self) -> Dict[str, str]:
        headers = {"Accept": "application/json"}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.key is not None:
            headers["Idempotency-Key"] = self.key
        return headers


@dataclasses.dataclass(frozen=True)
class _Answer:
    status: int
    retry_after: Optional[str]
    body: bytes


@dataclasses.dataclass(frozen=True)
class _Done:
    result: Any


class _NotSentError(Exception):
    """Nothing was sent: the connection could not be made. `__cause__` says why."""


class _Attempts:
    """Decides what becomes of a request after each attempt. Knows no clock and no socket."""

    def __init__(self, request: _Request, retries: Retries, draw: Callable[[], float] = random.random):
        self._request = request
        self._retries = retries
        self._draw = draw
        self._made = 0
        self._is_sent = False  # Once an attempt may have arrived without our knowing.

    def after_answer(self, answer: _Answer) -> Union[_Done, float]:
        """The result, or seconds to wait before the next attempt. Raises ProblemError."""
        self._made += 1
        if 200 <= answer.status < 300:
            return _Done(_read_json(answer))
        problem = _problem_of(answer)
        if not isinstance(problem, UnavailableError):
            if self._is_sent and self._request.method == "DELETE" and problem.status == 409:
                return _Done(None)  # An attempt whose answer was lost has done it.
            raise problem
        asked = problem.retry_after_s or 0.0
        if self._is_last() or asked > self._retries.retry_after_max_s:
            raise problem
        return max(asked, self._wait())

    def after_failure(self, failure: BaseException) -> float:
        """Seconds to wait before the next attempt. Raises when there is none."""
        self._made += 1
        was_sent = not isinstance(failure, _NotSentError)
        self._is_sent = self._is_sent or was_sent
        reason = failure.__cause__ if isinstance(failure, _NotSentError) else failure
        if self._is_last() or (was_sent and not self._request.is_repeatable):
            self._give_up(reason or failure)
        return self._wait()

    def _give_up(self, reason: BaseException) -> NoReturn:
        subject = f"{self._request.method} {self._request.path}: "
        tries = f"{self._made} attempt" + ("s" if self._made > 1 else "")
        why = str(reason) or type(reason).__name__
        if isinstance(reason, (TimeoutError, socket.timeout, asyncio.TimeoutError)):
            raise TimedOutError(f"{subject}no answer in time ({tries})") from reason
        raise ConnectionFailedError(f"{subject}{why} ({tries})") from reason

    def _is_last(self) -> bool:
        return self._made >= self._retries.attempts

    def _wait(self) -> float:
        bound = min(self._retries.first_s * 2 ** (self._made - 1), self._retries.max_s)
        return float(bound * (0.5 + 0.5 * self._draw()))


def _read_json(answer: _Answer) -> Any:
    if not answer.body:
        return None
    try:
        return json.loads(answer.body)
    except ValueError as problem:
        raise ForerunError(f"answer of status {answer.status}: not JSON: {problem}") from problem


def _problem_of(answer: _Answer) -> ProblemError:
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):  # Of something in between, such as a proxy.
        document = {"detail": answer.body[:512].decode("utf-8", "replace")}
    kind = _PROBLEMS.get(answer.status, InvalidRequestError if answer.status < 500 else ProblemError)
    problem = kind(answer.status, document)
    if isinstance(problem, UnavailableError):
        with contextlib.suppress(TypeError, ValueError):
            problem.retry_after_s = max(0.0, float(answer.retry_after))  # type: ignore[arg-type]
    return problem


# ---- The requests


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _task_name(task: Task) -> str:
    if isinstance(task, str):
        return task
    name = getattr(getattr(task, "__forerun_task__", None), "name", None)
    if not isinstance(name, str):
        raise TypeError(f"{task!r}: expected a task's name, or a function with @forerun.task")
    return name


def _merged(given: Optional[Mapping[str, Any]], fields: Mapping[str, Any]) -> Dict[str, Any]:
    if given is not None and fields:
        raise TypeError("input: given both as a mapping and as keywords, expected one of them")
    return dict(fields if given is None else given)


def _open_request(context: str, speculation: str, state: Optional[Mapping[str, Any]], key: Optional[str],
                  world: Optional[str]) -> _Request:
    body: Dict[str, Any] = {"context": context, "speculation": speculation}
    if state is not None:
        body["state"] = dict(state)
    if world is not None:
        body["world"] = world
    return _Request("POST", "/v1/sessions", _json_bytes(body), key or str(uuid.uuid4()))


def _steps_request(run_id: str, body: Dict[str, Any], expect_step: Optional[int], key: Optional[str]) -> _Request:
    if expect_step is not None:
        body["expect_step"] = expect_step
    return _Request("POST", f"/v1/sessions/{run_id}/steps", _json_bytes(body), key or str(uuid.uuid4()))


def _end_request(run_id: str) -> _Request:
    return _Request("DELETE", f"/v1/sessions/{run_id}")


def _one_call(task: Task, given: Mapping[str, Any]) -> Dict[str, Any]:
    return {"task": _task_name(task), "input": dict(given)}


def _list_body(calls: Iterable[Call]) -> Dict[str, Any]:
    return {"calls": [_one_call(task, given) for task, given in calls]}


class _Unanswered:
    """Of a session: what was asked for and not answered, because its time was up, its connection broke or its caller gave up. Its
    step may still run, so that the session takes no other until it has ended."""

    def __init__(self) -> None:
        self._request: Optional[_Request] = None

    def joined(self, request: _Request, has_own_key: bool) -> _Request:
        """`request`, under the key of what was not answered if it is the same: asking again means that, not a second step."""
        left = self._request
        is_same = left is not None and not has_own_key and (left.method, left.path, left.body) == (
            request.method, request.path, request.body)
        return left if is_same and left is not None else request

    def answered(self) -> None:
        self._request = None

    def failed(self, request: _Request, failure: BaseException) -> None:
        if not isinstance(failure, ProblemError):
            self._request = request

    def waits(self, timeout_s: float) -> Iterator[float]:
        """Seconds to wait, one after another, for a step that may still run; none where there is none."""
        until = time.monotonic() + timeout_s
        wait_s = 0.01
        while self._request is not None and time.monotonic() < until:
            yield wait_s
            wait_s = min(2 * wait_s, 0.5)


def _text_request(run_id: str, text: str) -> _Request:
    return _Request("POST", f"/v1/sessions/{run_id}/text", _json_bytes({"text": text}), is_repeatable=False)


def _token() -> str:
    """The token of the environment: of $FORERUN_TOKEN_FILE, else $FORERUN_TOKEN; empty for none."""
    path = os.environ.get("FORERUN_TOKEN_FILE")
    if path:
        with open(path, encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & 0o077:
                raise ValueError(f"{path}: others have access to it, expected mode 0600")
            return file.read(4096).strip()
    return os.environ.get("FORERUN_TOKEN", "")


def _trusting(ca_file: Optional[str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _Site:
    """Where the coordinator is, and what each request to it carries."""

    def __init__(self, url: Optional[str], headers: Optional[Mapping[str, str]], ssl_context: Optional[ssl.SSLContext],
                 token: Optional[str], ca_file: Optional[str]):
        text = url or os.environ.get("FORERUN_URL") or DEFAULT_URL
        parts = urllib.parse.urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"url: {text!r}, expected http://HOST:PORT")
        self.url = text.rstrip("/")
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.authority = parts.netloc.rsplit("@", 1)[-1]
        self.prefix = parts.path.rstrip("/")
        self.headers = dict(headers or {})
        token = _token() if token is None else token
        if token and not any(name.lower() == "authorization" for name in self.headers):
            if not all("!" <= character <= "~" for character in token):
                raise ValueError("token: expected printable ASCII characters")  # Its text is in no message.
            self.headers["Authorization"] = f"Bearer {token}"
        self.ssl_context = None
        if parts.scheme == "https":
            self.ssl_context = ssl_context or _trusting(ca_file or os.environ.get("FORERUN_CA") or None)


# ---- Synchronous


class Client:
    """A coordinator's client. Thread-safe; its connections are kept and shared.

    `url`: by default $FORERUN_URL, else http://127.0.0.1:7480. `timeout_s`: of one attempt, its answer included. `headers` go
    with each request. `token`: of `forerun keys token add`; by default the one in $FORERUN_TOKEN_FILE, else $FORERUN_TOKEN.
    `ca_file`: certificates to trust for https; by default $FORERUN_CA, else the system's.
    """

    def __init__(self, url: Optional[str] = None, *, timeout_s: float = DEFAULT_TIMEOUT_S, retries: Retries = Retries(),
                 headers: Optional[Mapping[str, str]] = None, ssl_context: Optional[ssl.SSLContext] = None,
                 token: Optional[str] = None, ca_file: Optional[str] = None):
        self._site = _Site(url, headers, ssl_context, token, ca_file)
        self._timeout_s = timeout_s
        self._retries = retries
        self._lock = threading.Lock()
        self._idle: List[http.client.HTTPConnection] = []
        self._is_closed = False

    @property
    def url(self) -> str:
        return self._site.url

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Closes the idle connections; one in use closes after its answer."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def session(self, context: str = "", *, speculation: Speculation = "on", state: Optional[Mapping[str, Any]] = None,
                key: Optional[str] = None, world: Optional[str] = None) -> "Session":
        """Opens a session; as a context manager it ends with the block. `context`: what the session is about, in the user's
        words; predictions read it. `speculation`: "on", "off" or "shadow". `key`: the same key opens the same session."""
        opened = self._send(_open_request(context, speculation, state, key, world))
        return Session(self, _member(opened, "run_id"))

    def resume(self, run_id: str) -> "Session":
        """A session that is open already."""
        return Session(self, run_id)

    def status(self) -> Dict[str, Any]:
        """What the cluster does: nodes, sessions, steps, speculation (docs/http.md)."""
        return _document(self._send(_Request("GET", "/v1/status")))

    def get(self, path: str) -> Any:
        """Any other GET of docs/http.md, such as "/v1/effects"."""
        return self._send(_Request("GET", path))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Any other POST of docs/http.md, such as "/v1/history". Not repeated once it may have arrived."""
        return self._send(_Request("POST", path, _json_bytes(dict(body)), is_repeatable=False))

    def _send(self, request: _Request) -> Any:
        attempts = _Attempts(request, self._retries)
        while True:
            try:
                answer = self._attempt(request)
            except (OSError, http.client.HTTPException, _NotSentError) as failure:
                wait_s = attempts.after_failure(failure)
            else:
                outcome = attempts.after_answer(answer)
                if isinstance(outcome, _Done):
                    return outcome.result
                wait_s = outcome
            time.sleep(wait_s)

    def _attempt(self, request: _Request) -> _Answer:
        deadline = time.monotonic() + self._timeout_s
        connection = self._take()
        is_reusable = False
        try:
            connection.sock.settimeout(self._timeout_s)
            headers = {**self._site.headers, **request.headers()}
            connection.request(request.method, self._site.prefix + request.path, request.body, headers)
            response = connection.getresponse()
            body = _read_body(response, connection.sock, deadline)
            is_reusable = not response.will_close
            return _Answer(response.status, response.getheader("Retry-After"), body)
        finally:
            self._give_back(connection, is_reusable)

    def _take(self) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect()
            if not _is_stale(connection.sock):
                return connection
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        site = self._site
        timeout_s = min(self._timeout_s, CONNECT_TIMEOUT_S)
        connection = (http.client.HTTPConnection(site.host, site.port, timeout=timeout_s) if site.ssl_context is None else
                      http.client.HTTPSConnection(site.host, site.port, timeout=timeout_s, context=site.ssl_context))
        try:
            connection.connect()
        except OSError as failure:
            connection.close()
            raise _NotSentError from failure
        return connection

    def _give_back(self, connection: http.client.HTTPConnection, is_reusable: bool) -> None:
        with self._lock:
            if is_reusable and not self._is_closed and len(self._idle) < IDLE_CONNECTIONS_MAX:
                self._idle.append(connection)
                return
        connection.close()


def _is_stale(sock: Optional[socket.socket]) -> bool:
    """An idle connection that can be read has been closed by the other side (or says what nobody asked)."""
    if sock is None:
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _read_body(response: http.client.HTTPResponse, sock: Optional[socket.socket], deadline: float) -> bytes:
    """All of it, by the deadline: a drip of bytes must not hold a caller for ever."""
    parts: List[bytes] = []
    size = 0
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer did not arrive whole in time")
        if sock is not None:
            with contextlib.suppress(OSError):  # Closed by http.client once a closing answer's head was read.
                sock.settimeout(left_s)
        part = response.read1(1 << 16)
        if not part:
            if response.length:
                raise http.client.IncompleteRead(b"".join(parts), response.length)
            response.close()  # read1() does not notice that it was the end.
            return b"".join(parts)
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise ForerunError(f"answer: more than {ANSWER_BYTES_MAX} bytes")
        parts.append(part)


class Session:
    """One run: an ordered sequence of confirmed calls. Ends with its `with` block, or by end(). Threads that call it at once take
    turns; calls() runs several side by side. The step of a call that was not answered in time goes on: the same call made next
    joins it, another one waits for its end."""

    is_async = False

    def __init__(self, client: Client, run_id: str):
        self._client = client
        self.run_id = run_id
        self._turn = threading.Lock()
        self._unanswered = _Unanswered()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.end()
        else:  # What went wrong in the block matters more than how its session ends.
            with contextlib.suppress(ForerunError):
                self._confirm(_end_request(self.run_id), is_patient=False)

    def call(self, task: Task, input: Optional[Mapping[str, Any]] = None, /, **fields: Any) -> Any:
        """Confirms one call and returns its output: `call("order", {"id": 7})` or `call("order", id=7)`. `task` may be a function
        with @forerun.task. Raises StepFailedError when no branch was valid."""
        return self.step(task, _merged(input, fields)).result()

    def calls(self, calls: Iterable[Call]) -> List[Any]:
        """Confirms several calls at once, which run side by side, and returns their outputs in order. Raises StepFailedError for
        the first one that failed; steps() gives all."""
        return [step.result() for step in self.steps(calls)]

    def step(self, task: Task, input: Mapping[str, Any], *, expect_step: Optional[int] = None, key: Optional[str] = None) -> Step:
        """As call(), but returns the whole record, also of a failed step. `key`: the same key and call return what was, also
        after a crash of this program; by default each call has a key of its own."""
        request = _steps_request(self.run_id, _one_call(task, input), expect_step, key)
        return _step(self._confirm(request, key is not None, expect_step is None))

    def steps(self, calls: Iterable[Call], *, expect_step: Optional[int] = None, key: Optional[str] = None) -> List[Step]:
        """As calls(), but returns the whole records, also of failed steps."""
        request = _steps_request(self.run_id, _list_body(calls), expect_step, key)
        return _steps(self._confirm(request, key is not None, expect_step is None))

    def _confirm(self, request: _Request, has_own_key: bool = True, is_patient: bool = True) -> Any:
        """The answer to a request for steps."""
        with self._turn:
            request = self._unanswered.joined(request, has_own_key)
            waits = self._unanswered.waits(self._client._timeout_s if is_patient else 0.0)
            while True:
                try:
                    found = self._client._send(request)
                except ConflictError:
                    wait_s = next(waits, None)
                    if wait_s is None:
                        raise
                    time.sleep(wait_s)
                except BaseException as failure:
                    self._unanswered.failed(request, failure)
                    raise
                else:
                    self._unanswered.answered()
                    return found

    def tools(self) -> ContextManager[None]:
        """In its block, functions with @forerun.task that are called run as steps of this session: in this thread, and in what it
        starts there (a ThreadPoolExecutor's calls, threads). Called from any other thread meanwhile they raise RuntimeError."""
        from forerun.tasks import calls_go_to
        return calls_go_to(self)

    def text(self, text: str) -> None:
        """Says what reached the session since the last call, such as a customer's words; predictions read it."""
        self._client._send(_text_request(self.run_id, text))

    def show(self) -> Dict[str, Any]:
        """All of the session: context, state, steps. A long one is asked for page by page."""
        pages = _Pages(self.run_id)
        while not pages.is_whole:
            pages.add(self._client.get(pages.next_path))
        return pages.session

    def predictions(self) -> Dict[str, Any]:
        """What is expected next, how sure, and why."""
        return _document(self._client.get(f"/v1/sessions/{self.run_id}/predictions"))

    def end(self) -> None:
        """Ends it; what still runs ahead for it is discarded."""
        self._confirm(_end_request(self.run_id))


# ---- asyncio


class AsyncClient:
    """As Client, for asyncio: `async with AsyncClient() as client, client.session("…") as session: await session.call(…)`.
    Cancelling a call closes its connection; its step goes on, as that of a call that was not answered in time. For one event
    loop."""

    def __init__(self, url: Optional[str] = None, *, timeout_s: float = DEFAULT_TIMEOUT_S, retries: Retries = Retries(),
                 headers: Optional[Mapping[str, str]] = None, ssl_context: Optional[ssl.SSLContext] = None,
                 token: Optional[str] = None, ca_file: Optional[str] = None):
        self._site = _Site(url, headers, ssl_context, token, ca_file)
        self._timeout_s = timeout_s
        self._retries = retries
        self._idle: List[Tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._is_closed = False

    @property
    def url(self) -> str:
        return self._site.url

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    async def close(self) -> None:
        self._is_closed = True
        idle, self._idle = self._idle, []
        for _, writer in idle:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def session(self, context: str = "", *, speculation: Speculation = "on", state: Optional[Mapping[str, Any]] = None,
                key: Optional[str] = None, world: Optional[str] = None) -> "_Opening":
        """As Client.session: `async with client.session(…) as session`, or `session = await client.session(…)`."""
        return _Opening(self, _open_request(context, speculation, state, key, world))

    def resume(self, run_id: str) -> "AsyncSession":
        return AsyncSession(self, run_id)

    async def status(self) -> Dict[str, Any]:
        return _document(await self._send(_Request("GET", "/v1/status")))

    async def get(self, path: str) -> Any:
        return await self._send(_Request("GET", path))

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._send(_Request("POST", path, _json_bytes(dict(body)), is_repeatable=False))

    async def _send(self, request: _Request) -> Any:
        attempts = _Attempts(request, self._retries)
        while True:
            try:
                answer = await asyncio.wait_for(self._attempt(request), self._timeout_s)
            except (OSError, EOFError, asyncio.TimeoutError, http.client.HTTPException, _NotSentError) as failure:
                wait_s = attempts.after_failure(failure)
            else:
                outcome = attempts.after_answer(answer)
                if isinstance(outcome, _Done):
                    return outcome.result
                wait_s = outcome
            await asyncio.sleep(wait_s)

    async def _attempt(self, request: _Request) -> _Answer:
        reader, writer = await self._take()
        is_reusable = False
        try:
            writer.write(_wire_head(self._site, request) + (request.body or b""))
            await writer.drain()
            status, fields = await _read_head(reader)
            body, is_reusable = await _read_async_body(reader, status, fields)
            return _Answer(status, fields.get("Retry-After"), body)
        finally:
            if is_reusable and not self._is_closed and len(self._idle) < IDLE_CONNECTIONS_MAX:
                self._idle.append((reader, writer))
            else:
                writer.close()

    async def _take(self) -> Tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing() and not _is_stale(writer.get_extra_info("socket")):
                return reader, writer
            writer.close()
        try:
            return await asyncio.open_connection(self._site.host, self._site.port, ssl=self._site.ssl_context,
                                                 limit=HEAD_BYTES_MAX)
        except OSError as failure:
            raise _NotSentError from failure


def _wire_head(site: _Site, request: _Request) -> bytes:
    lines = [f"{request.method} {site.prefix}{request.path} HTTP/1.1", f"Host: {site.authority}"]
    lines += [f"{name}: {value}" for name, value in {**site.headers, **request.headers()}.items()]
    if request.body is not None:
        lines.append(f"Content-Length: {len(request.body)}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("headers: a line's end in one of them")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _read_head(reader: asyncio.StreamReader) -> Tuple[int, http.client.HTTPMessage]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as problem:
        raise http.client.HTTPException("the answer's head is too long") from problem
    line, _, rest = head.partition(b"\r\n")
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise http.client.BadStatusLine(line[:80].decode("latin-1"))
    return int(words[1]), http.client.parse_headers(io.BytesIO(rest))


async def _read_async_body(reader: asyncio.StreamReader, status: int, fields: http.client.HTTPMessage) -> Tuple[bytes, bool]:
    """The body, and whether the connection can be used again."""
    is_kept = fields.get("Connection", "").lower() != "close"
    if status in (204, 304):
        return b"", is_kept
    if fields.get("Transfer-Encoding", "").lower() == "chunked":
        parts: List[bytes] = []
        size = 0
        while True:
            length = _length_of((await reader.readuntil(b"\r\n")).split(b";")[0].decode("latin-1"), 16)
            size += length
            if size > ANSWER_BYTES_MAX:
                raise ForerunError(f"answer: more than {ANSWER_BYTES_MAX} bytes")
            if length == 0:
                return b"".join(parts), False  # A trailer may follow, which nobody needs.
            parts.append((await reader.readexactly(length + 2))[:-2])
    length = _length_of(fields["Content-Length"], 10) if "Content-Length" in fields else -1
    if length > ANSWER_BYTES_MAX:
        raise ForerunError(f"answer: {length} bytes, expected at most {ANSWER_BYTES_MAX}")
    if length >= 0:
        return await reader.readexactly(length), is_kept
    body = await reader.read(ANSWER_BYTES_MAX)  # To the connection's end.
    return body, False


def _length_of(text: str, base: int) -> int:
    try:
        length = int(text, base)
    except ValueError:
        length = -1
    if length < 0:
        raise http.client.HTTPException(f"the answer's length is {text[:40]!r}")
    return length


_Asked = Tuple[Dict[str, Any], "asyncio.Future[Step]"]  # A call, and who waits for its step.


class AsyncSession:
    """As Session, for asyncio. Calls that are made side by side (`asyncio.gather`) go out as one list, or with the next one while
    a request runs, in the order in which they were made."""

    is_async = True

    def __init__(self, client: AsyncClient, run_id: str):
        self._client = client
        self.run_id = run_id
        self._asked: List[_Asked] = []
        self._sender: Optional["asyncio.Task[None]"] = None
        self._turn: Optional[asyncio.Lock] = None  # A session has one request for steps at a time.
        self._unanswered = _Unanswered()

    async def __aenter__(self) -> "AsyncSession":
        return self

    async def __aexit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            await self.end()
            return
        if self._sender is not None:
            self._sender.cancel()
        with contextlib.suppress(ForerunError):
            await self._end(is_patient=False)

    async def call(self, task: Task, input: Optional[Mapping[str, Any]] = None, /, **fields: Any) -> Any:
        return (await self.step(task, _merged(input, fields))).result()

    async def calls(self, calls: Iterable[Call]) -> List[Any]:
        return [step.result() for step in await self.steps(calls)]

    async def step(self, task: Task, input: Mapping[str, Any], *, expect_step: Optional[int] = None,
                   key: Optional[str] = None) -> Step:
        call = _one_call(task, input)
        if expect_step is not None or key is not None:
            async with self._in_turn():
                request = _steps_request(self.run_id, call, expect_step, key)
                return _step(await self._confirm(request, key is not None, expect_step is None))
        loop = asyncio.get_running_loop()
        answer: "asyncio.Future[Step]" = loop.create_future()
        self._asked.append((call, answer))
        if self._sender is None or self._sender.done():
            self._sender = loop.create_task(self._send_asked())
        return await answer

    async def steps(self, calls: Iterable[Call], *, expect_step: Optional[int] = None, key: Optional[str] = None) -> List[Step]:
        async with self._in_turn():
            request = _steps_request(self.run_id, _list_body(calls), expect_step, key)
            return _steps(await self._confirm(request, key is not None, expect_step is None))

    async def _confirm(self, request: _Request, has_own_key: bool = True, is_patient: bool = True) -> Any:
        request = self._unanswered.joined(request, has_own_key)
        waits = self._unanswered.waits(self._client._timeout_s if is_patient else 0.0)
        while True:
            try:
                found = await self._client._send(request)
            except ConflictError:
                wait_s = next(waits, None)
                if wait_s is None:
                    raise
                await asyncio.sleep(wait_s)
            except BaseException as failure:
                self._unanswered.failed(request, failure)
                raise
            else:
                self._unanswered.answered()
                return found

    @contextlib.asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """Behind all that was asked before."""
        if self._sender is not None and not self._sender.done():
            await asyncio.wait([self._sender])
        async with self._lock():
            yield

    def _lock(self) -> asyncio.Lock:
        self._turn = self._turn or asyncio.Lock()
        return self._turn

    async def _send_asked(self) -> None:
        await asyncio.sleep(0)  # Tasks that were started together have asked by then.
        while self._asked:
            async with self._lock():
                asked, self._asked = self._asked[:CALLS_MAX], self._asked[CALLS_MAX:]
                await self._send_list(asked)

    async def _send_list(self, asked: List[_Asked]) -> None:
        """One request, and its steps or error to all who wait; ends early when none of them waits any more."""
        asked = [one for one in asked if not one[1].done()]
        if not asked:
            return
        calls = [call for call, _ in asked]
        request = _steps_request(self.run_id, calls[0] if len(calls) == 1 else {"calls": calls}, None, None)
        sending = asyncio.ensure_future(self._confirm(request, has_own_key=False))
        for _, answer in asked:
            answer.add_done_callback(lambda _: all(answer.done() for _, answer in asked) and sending.cancel())
        try:
            found = await sending
            steps = [_step(found)] if len(calls) == 1 else _steps(found)
        except asyncio.CancelledError:
            if not all(answer.done() for _, answer in asked):
                for _, answer in asked:
                    answer.cancel()
                raise
        except Exception as error:
            if len(asked) > 1 and isinstance(error, ProblemError) and not isinstance(error, UnavailableError):
                for one in asked:  # The list was refused whole: each call alone says which of them was meant.
                    await self._send_list([one])
                return
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for (_, answer), step in zip(asked, steps):
                if not answer.done():
                    answer.set_result(step)

    def tools(self) -> ContextManager[None]:
        """As Session.tools(), for this task and those that it starts; functions must be coroutines'."""
        from forerun.tasks import calls_go_to
        return calls_go_to(self)

    async def text(self, text: str) -> None:
        await self._client._send(_text_request(self.run_id, text))

    async def show(self) -> Dict[str, Any]:
        pages = _Pages(self.run_id)
        while not pages.is_whole:
            pages.add(await self._client.get(pages.next_path))
        return pages.session

    async def predictions(self) -> Dict[str, Any]:
        return _document(await self._client.get(f"/v1/sessions/{self.run_id}/predictions"))

    async def end(self) -> None:
        await self._end(is_patient=True)

    async def _end(self, is_patient: bool) -> None:
        async with self._in_turn():
            await self._confirm(_end_request(self.run_id), is_patient=is_patient)


class _Opening:
    """A session that is about to be opened, to be awaited or entered."""

    def __init__(self, client: AsyncClient, request: _Request):
        self._client = client
        self._request = request
        self._session: Optional[AsyncSession] = None

    async def _open(self) -> AsyncSession:
        opened = await self._client._send(self._request)
        self._session = AsyncSession(self._client, _member(opened, "run_id"))
        return self._session

    def __await__(self) -> Any:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncSession:
        return await self._open()

    async def __aexit__(self, *error: Any) -> None:
        assert self._session is not None
        await self._session.__aexit__(*error)
