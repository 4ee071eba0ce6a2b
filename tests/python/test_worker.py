"""`@forerun.task` and `forerun.worker`: the lines of docs/catalog.md from the process's side, inputs, and the catalog."""
import asyncio
import concurrent.futures
import contextvars
import dataclasses
import datetime
import enum
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import tomllib
import typing
import unittest
from typing import Any, Dict, List, Literal, Optional, Sequence, Tuple, TypedDict, Union

PYTHON = str(pathlib.Path(__file__).resolve().parents[2] / "python")
sys.path.insert(0, PYTHON)
import forerun
from forerun import tasks

TOOLS = '''
import asyncio, os, subprocess, sys, time
import forerun

print("loading")

@forerun.task(effect="pure")
def double(n: int) -> int:
    """Twice as much."""
    print("double of", n)
    os.write(1, b"raw\\n")
    subprocess.run(["echo", "a program's own output"], check=True)
    return 2 * n

@forerun.task(effect="read", reads=["order/{order_id}"], name="order look-up")
def lookup(order_id: str, with_lines: bool = False) -> dict:
    return {"order_id": order_id, "lines": [1] if with_lines else []}

@forerun.task(effect="pure")
def fails(how: str):
    if how == "exit":
        sys.exit(3)
    if how == "bytes":
        return {"at": [b"x"]}
    if how == "large":
        return "x" * (2 << 20)
    if how == "nan":
        return float("nan")
    if how == "number":
        return 2**60
    if how == "surrogate":
        return "\\ud800"
    if how == "writes":
        return forerun.Answer(1, writes={"a": 1})
    if how == "words":
        raise ValueError("\\ud800 " + "many words\\n" * 200)
    raise KeyError(how)

@forerun.task(effect="pure")
def reads_stdin() -> str:
    return sys.stdin.read()

@forerun.task(effect="pure")
def sleeps(seconds: float) -> str:
    print("sleeping")
    time.sleep(seconds)
    return "slept"

@forerun.task(effect="pure")
def sleeps_in_peace(seconds: float) -> str:
    print("sleeping")
    try:
        time.sleep(seconds)
    finally:
        print("cleaned up")

@forerun.task(effect="pure")
async def sleeps_async(seconds: float) -> str:
    print("sleeping")
    await asyncio.sleep(seconds)
    return "slept"

@forerun.task(effect="pure")
def forks(n: int) -> int:
    child = os.fork()
    return -1 if child == 0 else n

@forerun.task(effect="pure")
def leaves_a_program(n: int) -> int:
    subprocess.Popen(["sleep", "60"])
    return n

@forerun.task(effect="pure")
def ends_its_program(seconds: float) -> None:
    with subprocess.Popen(["sleep", str(seconds)]) as program:
        try:
            print("sleeping")  # Whoever cancels after it finds a function that cleans up.
            program.wait()
        finally:
            program.kill()

@forerun.task(effect="pure")
def waits_for_a_program(seconds: float) -> str:
    program = subprocess.Popen(["sleep", str(seconds)])
    print(program.pid)
    program.wait()

@forerun.task(effect="pure")
def keeps_a_program(seconds: float) -> int:
    return subprocess.Popen(["sleep", str(seconds)]).pid

class Silent(Exception):
    def __str__(self):
        raise ValueError("nothing to say")

@forerun.task(effect="pure")
def fails_silently():
    raise Silent()

@forerun.task(effect="write", writes=["note/{n}"], idempotent=True, state=["/seen"])
def note(n: int, context: forerun.Context) -> forerun.Answer:
    seen = context.state.get("seen", [])
    return forerun.Answer({"key": context.key, "before": seen}, writes={"seen": seen + [n]},
                          effects=[forerun.http_effect("POST", "http://127.0.0.1:1/x", body={"n": n}), forerun.task_effect("note", {"n": 1})])

forerun.allow_effects("http://127.0.0.1:1/x", tasks=[note])
'''


class Process:
    """One worker; `errors` is its stderr."""

    def __init__(self, folder, *arguments):
        self.process = subprocess.Popen([sys.executable, "-m", "forerun.worker", *arguments], cwd=folder, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": PYTHON},
                                        start_new_session=True)

    def send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def line(self):
        return json.loads(self.process.stdout.readline())

    def until_error_line(self, line):
        for said in self.process.stderr:
            if said.decode().rstrip("\n") == line:
                return
        raise AssertionError(f"stderr ended without {line!r}")

    def ask(self, number, task, **given):
        self.send({"id": number, "task": task, "input": given})
        return self.line()

    def end(self):
        """Ends stdin; the exit code and stderr."""
        self.process.stdin.close()
        errors = self.process.stderr.read().decode()
        code = self.process.wait(10)
        self.close()
        return code, errors

    def close(self):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass


class WorkerTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "tools.py").write_text(TOOLS)

    def start(self, *arguments):
        process = Process(self.folder, *(arguments or ["tools.py"]))
        self.addCleanup(process.close)
        return process

    def ready(self):
        process = self.start()
        self.assertEqual(process.line(), {"ready": True})
        return process

    def test_it_answers_one_call_after_another_and_ends_with_stdin(self):
        worker = self.ready()
        self.assertEqual(worker.ask(1, "double", n=4), {"id": 1, "output": 8})
        self.assertEqual(worker.ask(2, "order look-up", order_id="A"), {"id": 2, "output": {"lines": [], "order_id": "A"}})
        self.assertEqual(worker.ask(3, "sleeps_async", seconds=0), {"id": 3, "output": "slept"})
        code, errors = worker.end()
        self.assertEqual(code, 0)
        # What the file, its functions and their programs print is no answer.
        for said in ("loading", "double of 4", "raw", "a program's own output"):
            self.assertIn(said, errors)

    def test_it_ends_with_stdin_also_while_a_function_runs(self):
        worker = self.ready()
        worker.send({"id": 1, "task": "sleeps", "input": {"seconds": 600}})
        worker.until_error_line("sleeping")
        self.assertEqual(worker.end()[0], 0)

    def test_a_function_finds_an_empty_stdin(self):
        self.assertEqual(self.ready().ask(1, "reads_stdin"), {"id": 1, "output": ""})

    def test_what_goes_wrong_is_a_cause_and_the_process_lives(self):
        worker = self.ready()
        causes = {"x": "KeyError: 'x' (tools.py:37)", "exit": "SystemExit: 3 (tools.py:22)",
                  "bytes": "output.at[0]: bytes, expected JSON: dict, list, str, int, float, bool or None; write it as "
                           "base64.b64encode(value).decode()",
                  "large": "output: 2097154 bytes, expected at most 1048576 (output_kb)",
                  "nan": "output: nan, expected a finite number",
                  "number": "output: 1152921504606846976: beyond 2^53 - 1, where numbers are not exact; send it as a text",
                  "surrogate": "output: a text with a lone surrogate, expected Unicode text",
                  "writes": "fails: returned writes, expected only of a task with envelope=True"}
        for number, (how, cause) in enumerate(causes.items(), 1):
            self.assertEqual(worker.ask(number, "fails", how=how), {"id": number, "error": cause})
        long = worker.ask(50, "fails", how="words")["error"]
        self.assertTrue(long.startswith("ValueError: ? many words many"))
        self.assertLessEqual(len(long.encode()), 512)
        self.assertEqual(worker.ask(51, "double", n="4"), {"id": 51, "error": 'input.n: "4", expected a whole number (int)'})
        self.assertEqual(worker.ask(52, "double", m=4), {"id": 52, "error": "input.m: unknown, expected n"})
        self.assertEqual(worker.ask(55, "order look-up", order="A")["error"], "input.order: unknown; did you mean 'order_id'?")
        self.assertEqual(worker.ask(56, "order look-up")["error"], "input.order_id: missing, expected a text (str)")
        self.assertIn("not in these files, expected double,", worker.ask(53, "other")["error"])
        self.assertRegex(worker.ask(57, "fails_silently")["error"], r"^Silent \(tools.py:\d+\)$")
        self.assertEqual(worker.ask(54, "double", n=1), {"id": 54, "output": 2})
        self.assertIn("KeyError: 'x'", worker.end()[1])

    def test_a_cancelled_function_stops_at_once_and_the_process_serves_on(self):
        worker = self.ready()
        for number, task in enumerate(["sleeps", "sleeps_in_peace", "sleeps_async", "ends_its_program"] * 3, 1):
            worker.send({"id": number, "task": task, "input": {"seconds": 600}})
            worker.until_error_line("sleeping")
            worker.send({"cancel": number})
            self.assertEqual(worker.line(), {"id": number, "cancelled": True}, task)
        self.assertEqual(worker.ask(99, "double", n=1), {"id": 99, "output": 2})

    def test_a_process_ends_whose_cancelled_function_has_left_a_program(self):
        worker = self.ready()
        helper = worker.ask(1, "keeps_a_program", seconds=60)["output"]
        self.addCleanup(os.kill, helper, signal.SIGKILL)
        for number, task in [(2, "sleeps"), (3, "ends_its_program")]:  # What was there before is no reason.
            worker.send({"id": number, "task": task, "input": {"seconds": 600}})
            worker.until_error_line("sleeping")
            worker.send({"cancel": number})
            self.assertEqual(worker.line(), {"id": number, "cancelled": True}, task)
        worker.send({"id": 4, "task": "waits_for_a_program", "input": {"seconds": 61}})
        program = int(worker.process.stderr.readline())
        self.addCleanup(os.kill, program, signal.SIGKILL)
        worker.send({"cancel": 4})
        self.assertEqual(worker.process.stdout.readline(), b"")  # The node kills all that is left.
        self.assertEqual(worker.process.wait(10), 0)

    def test_a_cancel_that_comes_late_changes_nothing(self):
        worker = self.ready()
        for number in range(1, 200):
            worker.send({"id": number, "task": "sleeps", "input": {"seconds": 0}})
            worker.send({"cancel": number})  # Before, while or after it runs.
            answer = worker.line()
            self.assertIn(answer, [{"id": number, "cancelled": True}, {"id": number, "output": "slept"}])
        self.assertEqual(worker.ask(500, "double", n=1), {"id": 500, "output": 2})

    def test_a_function_that_forks_answers_once(self):
        worker = self.ready()
        self.assertEqual([worker.ask(number, "forks", n=number) for number in range(1, 6)],
                         [{"id": number, "output": number} for number in range(1, 6)])

    def test_a_process_whose_calls_leave_programs_behind_says_that_it_ends(self):
        worker = self.ready()
        for number in range(1, 17):
            self.assertEqual(worker.ask(number, "leaves_a_program", n=number), {"id": number, "output": number})
        self.assertEqual(worker.ask(17, "leaves_a_program", n=17), {"id": 17, "output": 17, "last": True})
        worker.until_error_line("task leaves_a_program: calls have left 17 processes behind, more than 16: this process starts anew; "
                                "wait for what you start, or start it once at the top of the file")
        os.killpg(worker.process.pid, signal.SIGKILL)  # As the node does.

    def test_an_envelope_brings_state_and_key_and_takes_writes_and_effects(self):
        worker = self.ready()
        worker.send({"id": 1, "task": "note", "input": {"n": 3}, "state": {"seen": [1]}, "key": "k"})
        self.assertEqual(worker.line(), {
            "id": 1, "output": {"key": "k", "before": [1]}, "writes": {"seen": [1, 3]},
            "effects": [{"http": {"method": "POST", "url": "http://127.0.0.1:1/x", "body": {"n": 3}}},
                        {"task": "note", "input": {"n": 1}}]})

    def test_a_file_that_cannot_be_loaded_says_why_in_its_last_line(self):
        (self.folder / "broken.py").write_text("import forerun\nimport no_such_module\n")
        (self.folder / "empty.py").write_text("x = 1\n")
        (self.folder / "forward.py").write_text("import forerun\n@forerun.task(effect='pure')\ndef f(x: 'Nothing'): ...\n")
        for file, said in [("broken.py", "ModuleNotFoundError: No module named 'no_such_module'"),
                           ("empty.py", "ImportError: empty.py: no function with @forerun.task"),
                           ("gone.py", "FileNotFoundError: gone.py: no such file"),
                           ("forward.py", "TypeError: task f: its annotations cannot be read: name 'Nothing' is not defined")]:
            code, errors = self.start(file).end()
            self.assertEqual((code, errors.splitlines()[-1]), (1, "forerun.worker: " + said))

    def test_the_catalog_says_what_is_declared(self):
        done = subprocess.run([sys.executable, "-m", "forerun.worker", "tools.py", "--catalog"], cwd=self.folder, capture_output=True,
                              text=True, env={**os.environ, "PYTHONPATH": PYTHON}, check=True)
        self.assertIn("loading", done.stderr)
        catalog = tomllib.loads(done.stdout)
        self.assertEqual(catalog["effects"], {"allow": ["http://127.0.0.1:1/x"], "tasks": ["note"]})
        self.assertEqual(catalog["task"]["order look-up"], {
            "executor": "exec", "command": ["python3", "-m", "forerun.worker", "tools.py"], "resident": True, "effect": "read",
            "reads": ["order/{order_id}"], "readable": [PYTHON], "env": {"PYTHONPATH": PYTHON}})
        self.assertEqual(catalog["task"]["double"]["description"], "Twice as much.")
        note = catalog["task"]["note"]
        self.assertEqual((note["state"], note["envelope"], note["idempotent"], note["writes"]), (["/seen"], True, True, ["note/{n}"]))
        without = subprocess.run([sys.executable, "-m", "forerun.worker", "tools.py", "--catalog", "--no-sandbox", "--python", "/p"],
                                 cwd=self.folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": PYTHON}, check=True)
        double = tomllib.loads(without.stdout)["task"]["double"]
        self.assertEqual((double["sandbox"], double["command"][0], "readable" in double), (False, "/p", False))

    def test_the_catalog_can_go_to_a_file_while_stderr_is_a_pipe(self):
        with open(self.folder / "catalog.toml", "wb") as catalog:
            done = subprocess.run([sys.executable, "-m", "forerun.worker", "tools.py", "--catalog"], cwd=self.folder, stdout=catalog,
                                  stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": PYTHON})
        self.assertEqual((done.returncode, done.stderr), (0, "loading\n"))
        self.assertIn("double", tomllib.loads((self.folder / "catalog.toml").read_text())["task"])

    def test_the_page_declares_what_it_says(self):
        page = (pathlib.Path(PYTHON).parent / "docs" / "python.md").read_text()
        (self.folder / "page.py").write_text(re.search(r"```python\n(.*?)```", page, re.S).group(1))
        done = subprocess.run([sys.executable, "-m", "forerun.worker", "page.py", "--catalog"], cwd=self.folder, capture_output=True,
                              text=True, env={**os.environ, "PYTHONPATH": PYTHON})
        self.assertEqual(done.returncode, 0, done.stderr)
        found = tomllib.loads(done.stdout)["task"]
        self.assertEqual([(name, task["effect"]) for name, task in found.items()], [("order", "read"), ("refund", "write")])

    def test_paths_are_the_files_own_and_texts_are_toml(self):
        (self.folder / "paths.py").write_text(
            'import forerun\n@forerun.task(effect="write", writable=["data"], readable=["/srv/x"], env={"A b": "1"}, timeout_ms=5,\n'
            '              description="a \\"quote\\" \\x7f \U0001f600 \\\\", example={"a": [1.5, None]}, network=True, next=["g"], starts=True)\n'
            "def f(a: list): ...\n")
        done = subprocess.run([sys.executable, "-m", "forerun.worker", "paths.py", "--catalog"], cwd=self.folder, capture_output=True,
                              text=True, env={**os.environ, "PYTHONPATH": PYTHON}, check=True)
        table = tomllib.loads(done.stdout)["task"]["f"]
        self.assertEqual(table["writable"], [str((self.folder / "data").resolve())])
        self.assertEqual(table["readable"], [PYTHON, "/srv/x"])
        self.assertEqual(table["env"], {"PYTHONPATH": PYTHON, "A b": "1"})
        self.assertEqual((table["description"], table["timeout_ms"], table["network"]), ('a "quote" \x7f \U0001f600 \\', 5, True))
        self.assertEqual(json.loads(table["example"]), {"a": [1.5, None]})
        self.assertEqual((table["next"], table["starts"]), (["g"], True))


class Colour(enum.Enum):
    red = "red"
    blue = "blue"


@dataclasses.dataclass
class Item:
    name: str
    count: int = 1


class Place(TypedDict):
    town: str


class InputTest(unittest.TestCase):
    def test_values_become_what_the_signature_says(self):
        for value, hint, expected in [
                (1, float, 1.0), (2.0, int, 2), ("x", str, "x"), (None, Optional[int], None), (3, Optional[int], 3),
                (3, Union[float, int], 3), ([1, 2], List[int], [1, 2]), ([1, "a"], Tuple[int, str], (1, "a")),
                ([1, 2], Tuple[int, ...], (1, 2)), ([1], Sequence[float], [1.0]), ({"a": 1}, Dict[str, float], {"a": 1.0}),
                ("red", Colour, Colour.red), ("b", Literal["a", "b"], "b"), ({"name": "n"}, Item, Item("n")),
                ([{"name": "n", "count": 2}], List[Item], [Item("n", 2)]), ({"town": "t"}, Place, {"town": "t"}),
                ({"any": [1]}, Any, {"any": [1]}), ([1, 1], typing.Set[int], {1})]:
            with self.subTest(value=value, hint=hint):
                found = tasks.from_json(value, hint, "input")
                self.assertEqual((found, type(found)), (expected, type(expected)))

    def test_what_does_not_fit_says_where_what_and_what_instead(self):
        for value, hint, said in [
                (True, int, "input.x: true, expected a whole number (int)"), (1.5, int, "input.x: 1.5, expected a whole number (int)"),
                (1, str, "input.x: 1, expected a text (str)"), (1, bool, "input.x: 1, expected true or false (bool)"),
                (None, str, "input.x: null, expected a text (str)"),
                ("x", Optional[int], 'input.x: "x", expected a whole number (int)'),
                ("x", Union[int, bool], 'input.x: "x", expected a whole number (int) or true or false (bool)'),
                ([1, "a"], List[int], 'input.x[1]: "a", expected a whole number (int)'),
                ({"a": "b"}, Dict[str, int], 'input.x.a: "b", expected a whole number (int)'),
                ("green", Colour, 'input.x: "green", expected one of "red", "blue"'), (1, Literal["a"], 'input.x: 1, expected one of "a"'),
                ({"name": "n", "cont": 2}, Item, "input.x.cont: unknown, expected name, count"),
                ({}, Item, "input.x.name: missing, expected a text (str)"), ({}, Place, "input.x.town: missing, expected a text (str)"),
                ("x", Item, 'input.x: "x", expected an object (Item)'), ([1], Tuple[int, int], "input.x: 1 items, expected 2"),
                ("y" * 100, int, 'input.x: "' + "y" * 59 + "…, expected a whole number (int)")]:
            with self.subTest(value=value, hint=hint), self.assertRaises(forerun.InputError) as raised:
                tasks.from_json(value, hint, "input.x")
            self.assertEqual(str(raised.exception), said)


    def test_sets_are_written_in_one_order_and_what_json_lacks_says_how(self):
        self.assertEqual(tasks.to_json({"of": frozenset(["b", "a", "c"]), "in": {3, 1}}, "output"), {"of": ["a", "b", "c"], "in": [1, 3]})
        self.assertRaisesRegex(forerun.OutputError, r"^output: an item: datetime, .*; write it as value.isoformat\(\)$", tasks.to_json,
                               {datetime.datetime.now()}, "output")


class DeclarationTest(unittest.TestCase):
    def setUp(self):
        self.addCleanup(tasks._declared.clear)

    def test_a_function_stays_as_it_is(self):
        @forerun.task(effect="pure")
        def add(a: int, b: int = 2, *, c: int = 3) -> int:
            return a + b + c

        @forerun.task(effect="write")
        def keeps(a: int, context: forerun.Context) -> str:
            return context.key

        self.assertEqual(add(1), 6)
        self.assertEqual(add.__name__, "add")
        self.assertNotEqual(keeps(1), keeps(a=1))  # Each has a key of its own.
        self.assertEqual(keeps(1, forerun.Context(key="k")), "k")
        self.assertEqual(forerun.together([(add, {"a": 1}), (add, {"a": 2})]), [6, 7])
        self.assertEqual(tasks.spec_of(add).bind(1, c=5), {"a": 1, "c": 5})
        self.assertRaises(TypeError, tasks.spec_of(add).bind)
        self.assertRaises(TypeError, tasks.spec_of, print)

    def test_in_a_sessions_block_a_function_is_a_step(self):
        @forerun.task(effect="pure", name="plus")
        def add(a: int, b: int = 2) -> int:
            raise AssertionError("it runs here")

        @forerun.task(effect="write")
        def keeps(a: int, context: forerun.Context) -> str:
            raise AssertionError("it runs here")

        @forerun.task(effect="pure")
        async def later(a: int) -> int:
            raise AssertionError("it runs here")

        @forerun.task(effect="pure")
        def item(name: str) -> Optional[Item]:
            raise AssertionError("it runs here")

        class Session(forerun.Session):
            def call(self, task, input=None, /, **fields):
                return {"name": "n", "count": 2} if task == "item" else (task, input or fields)

            def calls(self, calls):
                return [(tasks.spec_of(task).name, given) for task, given in calls]

        class AsyncSession(forerun.AsyncSession):
            async def call(self, task, input=None, /, **fields):
                return task, input or fields

        with Session(None, "u/1").tools():
            self.assertEqual(add(1), ("plus", {"a": 1}))
            self.assertEqual(keeps(a=1), ("keeps", {"a": 1}))
            self.assertEqual(forerun.together([(add, {"a": 1})]), [("plus", {"a": 1})])
            self.assertEqual(item("n"), Item("n", 2))  # As the function itself would have returned it.
            self.assertRaisesRegex(TypeError, "missing a required argument: 'a'", add)
            self.assertRaisesRegex(TypeError, "expected a plain one in a Session", lambda: asyncio.run(later(1)))
        self.assertRaises(AssertionError, add, 1)

        # Threads: what a block hands over belongs to it, what comes from elsewhere is told so.
        results = []
        with concurrent.futures.ThreadPoolExecutor(1) as pool, concurrent.futures.ThreadPoolExecutor(1) as other:
            with Session(None, "u/1").tools():
                self.assertEqual(pool.submit(add, 1).result(), ("plus", {"a": 1}))
                self.assertEqual(list(pool.map(add, [2])), [("plus", {"a": 2})])
                thread = threading.Thread(target=lambda: results.append(add(3)))
                thread.start()
                thread.join()
                self.assertEqual(results, [("plus", {"a": 3})])
                with forerun.here():
                    self.assertRaises(AssertionError, add, 1)
                    self.assertRaises(AssertionError, pool.submit(add, 1).result)
                elsewhere = contextvars.Context()
                self.assertRaisesRegex(RuntimeError, "task plus: called in a thread that no block of session.tools",
                                       elsewhere.run(other.submit, add, 1).result)
            # A thread of a pool that served a block serves others as before.
            self.assertRaises(AssertionError, pool.submit(add, 1).result)

        async def asynchronous():
            with AsyncSession(None, "u/1").tools():
                self.assertRaisesRegex(TypeError, "expected a coroutine one in an AsyncSession", add, 1)
                return await asyncio.gather(later(1), later(a=2))

        self.assertEqual(asyncio.run(asynchronous()), [("later", {"a": 1}), ("later", {"a": 2})])

    def test_what_can_never_work_is_refused_where_it_is_written(self):
        def by_id(order_id: str): ...
        def positional(a, /): ...
        def many(*items): ...

        class Tools:
            def method(self, a: int): ...

        for given, function, said in [
                ({"effect": "reads"}, by_id, "effect 'reads', expected 'pure', 'read' or 'write'"),
                ({"effect": "read", "reads": ["order/{orderid}"]}, by_id, "no parameter 'orderid', expected one of order_id"),
                ({"effect": "read", "reads": "order/{order_id}"}, by_id, "expected a list of texts"),
                ({"effect": "pure", "reads": []}, by_id, "its effect is 'pure'"),
                ({"effect": "write", "hedge": False}, by_id, "hedge is not for effect='write'"),
                ({"effect": "pure"}, Tools.method, "a method, expected a function"),
                ({"effect": "read", "writes": []}, by_id, "writes is for effect='write' only"),
                ({"effect": "pure"}, positional, "it can never be given"), ({"effect": "pure"}, many, "it can never be given")]:
            with self.subTest(given=given), self.assertRaises((TypeError, ValueError)) as raised:
                forerun.task(**given)(function)
            self.assertIn(said, str(raised.exception))
        forerun.task(effect="pure")(by_id)
        with self.assertRaisesRegex(ValueError, "declared by .*by_id already"):
            forerun.task(effect="pure")(by_id)

    def test_other_fields_are_taken_by_a_function_that_takes_them(self):
        @forerun.task(effect="pure")
        def any_fields(a: int = 0, **others: Any) -> dict:
            return {"a": a, **others}

        spec = tasks.spec_of(any_fields)
        self.assertEqual(spec.run({"b": 1}, forerun.Context()), {"a": 0, "b": 1})
        self.assertEqual(spec.bind(b=1), {"b": 1})

    def test_every_public_name_is_there(self):
        for name in forerun.__all__:
            self.assertIsNotNone(getattr(forerun, name))
        for module in ("client", "local", "tasks"):
            self.assertLessEqual(set(__import__(f"forerun.{module}", fromlist=["x"]).__all__), set(forerun.__all__))


if __name__ == "__main__":
    unittest.main()
