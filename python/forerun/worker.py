"""Runs the tasks of Python files in a cluster: a resident command that speaks JSON Lines (docs/catalog.md).

    python3 -m forerun.worker tools.py --catalog > catalog.toml     # what these files declare
    python3 -m forerun.worker tools.py                              # what a node starts, once a slot

stdout and stdin belong to the node: what a function prints goes to stderr, and what it reads from stdin is empty.
"""
from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import json
import os
import pathlib
import queue
import re
import signal
import sys
import sysconfig
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, BinaryIO, Dict, List, Mapping, Optional, Sequence

from forerun import tasks

if TYPE_CHECKING:  # Else read only where a function is a coroutine's: a worker starts once a slot.
    import asyncio

ERROR_BYTES_MAX = 512  # Of a cause; the node keeps no more.
OUTPUT_KB_DEFAULT = 1024
END_WITHIN_S = 1.0  # From the end of stdin.
LEFT_MAX = 16  # Processes that calls have started and left behind, dead ones that nobody waited for included.
CANCEL_SIGNAL = signal.SIGUSR1
SYSTEM_FOLDERS = ("/usr", "/lib", "/opt", "/nix/store")  # What a sandbox shows anyway.


def load(files: Sequence[str]) -> None:
    """Imports files and modules; what they declare is in tasks.declared() then."""
    sys.path.insert(0, os.getcwd())
    for file in files:
        if not file.endswith(".py"):
            importlib.import_module(file)
            continue
        path = pathlib.Path(file).resolve()
        if not path.is_file():
            raise FileNotFoundError(f"{file}: no such file")
        name = path.stem
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None or name in sys.modules:
            raise ImportError(f"{file}: a module {name!r} is there already; name the file otherwise")
        sys.path.insert(0, str(path.parent))
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    if not tasks.declared():
        raise ImportError(f"{', '.join(files)}: no function with @forerun.task")
    for declared in tasks.declared():
        tasks.hints_of(declared.function)  # Fails now, not at the first call.


# ---- The catalog


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml_key(name)} = {toml(item)}" for name, item in value.items()) + " }"
    return str(value)


def toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml(name)


def is_shown(path: str) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in SYSTEM_FOLDERS)


class Site:
    """How a node starts Python so that it finds what this process found."""

    def __init__(self, files: Sequence[str], python: Optional[str]):
        self.command: List[str] = [python or "python3", "-m", "forerun.worker", *files]
        self.readable: List[str] = []
        self.env: Dict[str, str] = {}
        if python is None and sys.prefix != sys.base_prefix:  # A virtual environment: its packages are wanted.
            self.command[0] = sys.executable
            self._show(sys.prefix)
            self._show(sys.base_prefix)
        home = str(pathlib.Path(__file__).resolve().parent.parent)
        own = str(pathlib.Path(sysconfig.get_path("purelib")).resolve())
        # What that interpreter searches anyway: the working folder, and its own packages.
        is_own = home.startswith("/usr/lib/python3") or (home == own and self.command[0] in ("python3", sys.executable)
                                                         and (sys.prefix != sys.base_prefix or is_shown(own)))
        if home != os.path.realpath(os.getcwd()) and not is_own:
            self.env["PYTHONPATH"] = home
            self._show(home)

    def _show(self, path: str) -> None:
        if not is_shown(path):
            self.readable.append(path)


# Keys of a task's table beside its command, in the order in which they are written.
KEYS = ("effect", "reads", "writes", "scope", "idempotent", "timeout_ms", "max_age_ms", "deterministic", "hedge", "state",
        "envelope", "pool", "network", "readable", "writable", "env", "output_kb", "memory_mb", "processes", "file_mb", "scratch_mb", "cpu_s",
        "description", "example", "next", "starts")


def table_of(spec: tasks.Spec, site: Site, with_sandbox: bool) -> str:
    """[task.NAME] of what is declared."""
    keys: Dict[str, Any] = dict(spec.keys)
    sandbox = with_sandbox and keys.pop("sandbox", True)
    keys.pop("sandbox", None)
    if site.env or "env" in keys:
        keys["env"] = {**site.env, **keys.get("env", {})}
    base = pathlib.Path(inspect.getsourcefile(spec.function) or ".").resolve().parent
    for key in ("readable", "writable"):
        paths = [str((base / path).resolve()) for path in keys.get(key, ())]
        keys[key] = (site.readable if key == "readable" else []) + paths
        if not keys[key]:
            del keys[key]
    if not sandbox:
        for key in ("network", "readable", "writable", "memory_mb", "processes", "file_mb", "scratch_mb", "cpu_s"):
            keys.pop(key, None)  # Of a sandbox alone: the catalog refuses what has no effect.
    if "example" in keys:
        keys["example"] = json.dumps(tasks.to_json(keys["example"], f"task {spec.name}: example"), ensure_ascii=False)
    lines = [f"[task.{toml_key(spec.name)}]", 'executor = "exec"', f"command = {toml(site.command)}", "resident = true"]
    lines += [] if sandbox else ["sandbox = false"]
    lines += [f"{key} = {toml(keys[key])}" for key in KEYS if key in keys]
    return "\n".join(lines) + "\n"


def catalog(files: Sequence[str], python: Optional[str] = None, with_sandbox: bool = True) -> str:
    """catalog.toml of what is declared."""
    site = Site(files, python)
    parts = [f"# Written by python3 -m forerun.worker {' '.join(files)} --catalog\n"]
    effects = {name: values for name, values in tasks.declared_effects().items() if values}
    if effects:
        parts.append("[effects]\n" + "".join(f"{name} = {toml(values)}\n" for name, values in effects.items()))
    parts += [table_of(spec, site, with_sandbox) for spec in tasks.declared()]
    return "\n".join(parts)


# ---- Answering


def cause_of(error: BaseException, own_files: Sequence[str] = ()) -> str:
    """One line for the ledger: what went wrong and where in the tools' own files."""
    try:
        text = str(error).strip()
    except Exception:
        text = ""  # An exception that cannot tell what it is about.
    cause = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, (tasks.InputError, tasks.OutputError)):
        cause = text
    else:
        places = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own_files]
        if places:
            cause += f" ({os.path.basename(places[-1].filename)}:{places[-1].lineno})"
    cause = " ".join(cause.split())
    return cause.encode("utf-8", "replace")[:ERROR_BYTES_MAX].decode("utf-8", "ignore")


def answer_of(spec: tasks.Spec, returned: Any) -> Dict[str, Any]:
    """The members of an answer beside its id. Raises OutputError."""
    members: Dict[str, Any] = {}
    output = returned
    if isinstance(returned, tasks.Answer):
        output = returned.output
        for part, value in (("writes", returned.writes), ("effects", list(returned.effects) or None)):
            if value is None:
                continue
            if not spec.envelope:
                raise tasks.OutputError(f"{spec.name}: returned {part}, expected only of a task with envelope=True")
            members[part] = tasks.to_json(value, part)
    members["output"] = tasks.to_json(output, "output")
    size = len(line_of(members["output"]))
    limit = int(spec.keys.get("output_kb", OUTPUT_KB_DEFAULT)) << 10
    if size > limit:
        raise tasks.OutputError(f"output: {size} bytes, expected at most {limit} (output_kb)")
    return members


def line_of(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def children(with_dead: bool = False) -> "frozenset[int]":
    """The processes that this one has started and that still run; or that nobody has waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()  # Mostly, at the cost of one system call.
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue  # It has ended meanwhile.
            if (with_dead or state != b"Z") and int(parent) == os.getpid():
                found.append(int(entry.name))
    return frozenset(found)


class Worker:
    """Answers calls one after another. Functions run on the main thread; a second one reads lines, so that a cancel is seen while
    a function runs: a signal then raises Cancelled in it, also out of a wait, and a coroutine is cancelled."""

    def __init__(self, calls: BinaryIO, answers: BinaryIO):
        self._calls = calls
        self._answers = answers
        self._process = os.getpid()
        self._specs = {spec.name: spec for spec in tasks.declared()}
        self._own_files = {inspect.getsourcefile(spec.function) or "" for spec in tasks.declared()}
        self._lines: "queue.SimpleQueue[Optional[Dict[str, Any]]]" = queue.SimpleQueue()
        self._running: Optional[int] = None  # The call whose function runs; set and cleared by the main thread.
        self._cancelled = 0  # The latest call that was cancelled.
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._task: Optional["asyncio.Task[Any]"] = None

    def serve(self) -> None:
        """Until stdin ends."""
        if any(inspect.iscoroutinefunction(spec.function) for spec in self._specs.values()):
            self._start_loop()
        signal.signal(CANCEL_SIGNAL, self._on_signal)
        threading.Thread(target=self._read, name="forerun-lines", daemon=True).start()
        own = children()  # Of the tools' files, such as a pool of processes.
        self._say({"ready": True})
        while True:
            call = self._lines.get()
            if call is None:
                break
            before = children()
            members = self._members(call)
            if os.getpid() != self._process:
                os._exit(0)  # The function forked and came back twice: one of both answers.
            if self._cancelled == call["id"] and children() - before:
                os._exit(0)  # A program that it started is still there: the node ends all of them, and starts anew.
            left = len(children(with_dead=True) - own)
            if left > LEFT_MAX:
                print(f"task {call['task']}: calls have left {left} processes behind, more than {LEFT_MAX}: this process starts anew; "
                      "wait for what you start, or start it once at the top of the file", file=sys.stderr)
                self._say({"id": call["id"], **members, "last": True})
                return
            self._say({"id": call["id"], **members})
        if self._loop is not None:
            self._loop.close()

    def _read(self) -> None:
        try:
            for line in self._calls:
                message = json.loads(line)
                if "cancel" in message:
                    self._cancel(message["cancel"])
                else:
                    self._lines.put(message)
        finally:  # Also after a line that no node sends.
            self._lines.put(None)
        time.sleep(END_WITHIN_S)  # Idle, this process has ended by now.
        os._exit(0)

    def _cancel(self, number: int) -> None:
        self._cancelled = number
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            loop.call_soon_threadsafe(self._cancel_task, number)
        else:
            signal.pthread_kill(threading.main_thread().ident, CANCEL_SIGNAL)  # type: ignore[arg-type]

    def _cancel_task(self, number: int) -> None:
        if self._task is not None and self._running == number:
            self._task.cancel()

    def _on_signal(self, *_: Any) -> None:
        if self._running is not None and self._running == self._cancelled:
            if self._task is not None:
                self._task.cancel()
            else:
                self._running = None  # Raised once; what cleans up after it runs undisturbed.
                raise tasks.Cancelled()

    def _members(self, call: Mapping[str, Any]) -> Dict[str, Any]:
        try:
            try:
                spec = self._specs.get(call["task"])
                if spec is None:
                    raise tasks.InputError(f"task {call['task']!r}: not in these files, expected {', '.join(self._specs)}; "
                                           "write the catalog again")
                self._running = call["id"]
                if self._cancelled == call["id"]:
                    raise tasks.Cancelled()
                returned = spec.run(call["input"], tasks.Context(call.get("state", {}), call.get("key", "")))
                if inspect.isawaitable(returned):
                    returned = self._wait_for(returned)
                members = answer_of(spec, returned)
            finally:
                self._running = None
        except tasks.Cancelled as error:
            self._running = None
            if self._cancelled == call["id"]:
                return {"cancelled": True}
            return {"error": cause_of(error, list(self._own_files))}
        except BaseException as error:  # Also SystemExit: a tool that exits fails its call, not its process.
            self._running = None
            if not isinstance(error, (tasks.InputError, tasks.OutputError)):
                traceback.print_exc()
            return {"error": cause_of(error, list(self._own_files))}
        return members

    def _start_loop(self) -> "asyncio.AbstractEventLoop":
        import asyncio
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        return self._loop

    def _wait_for(self, coroutine: Any) -> Any:
        import asyncio
        loop = self._loop or self._start_loop()  # None yet for a plain function that returned an awaitable.
        self._task = loop.create_task(_as_coroutine(coroutine))
        if self._cancelled == self._running:  # Between the first look and here.
            self._task.cancel()
        try:
            return loop.run_until_complete(self._task)
        except asyncio.CancelledError as error:
            raise tasks.Cancelled() from error
        finally:
            self._task = None

    def _say(self, members: Mapping[str, Any]) -> None:
        self._answers.write(line_of(members) + b"\n")
        self._answers.flush()


async def _as_coroutine(awaitable: Any) -> Any:
    return await awaitable


def take_streams() -> "tuple[BinaryIO, BinaryIO]":
    """stdin and stdout for the node alone. Afterwards 0 is empty and 1 is stderr, also for programs that a function starts."""
    calls = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # A new one: the old one may believe that it writes to a file.
    sys.stdout = sys.__stdout__ = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    return calls, answers


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m forerun.worker", description="Runs functions with @forerun.task.")
    parser.add_argument("files", nargs="+", metavar="FILE",
                        help="tools.py, or a module's name; a path is as the node's tasks folder has it")
    parser.add_argument("--catalog", action="store_true", help="print catalog.toml of what the files declare, and end")
    parser.add_argument("--python", metavar="PROGRAM",
                        help="with --catalog: the nodes' Python (default: python3, or that of the active virtual environment)")
    parser.add_argument("--no-sandbox", action="store_true",
                        help="with --catalog: as if each task said sandbox=False")
    options = parser.parse_args(arguments)
    if not options.catalog and (options.python or options.no_sandbox):
        parser.error("--python and --no-sandbox go with --catalog")
    calls, answers = take_streams()
    try:
        load(options.files)
        text = catalog(options.files, options.python, not options.no_sandbox) if options.catalog else ""
        worker = None if options.catalog else Worker(calls, answers)
    except Exception as error:
        traceback.print_exc()
        print(f"forerun.worker: {cause_of(error)}", file=sys.stderr)
        return 1
    if worker is None:
        answers.write(text.encode("utf-8"))
        answers.close()
    else:
        worker.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
