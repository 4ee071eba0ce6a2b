"""Functions with @forerun.task on a real cluster, called by the Python client: in sandboxes, without, through kill -9."""
import asyncio
import concurrent.futures
import contextlib
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest
import unittest.mock

PYTHON = pathlib.Path(__file__).resolve().parents[2] / "python"
sys.path.insert(0, str(PYTHON))
import forerun
from harness import BINARY, Cluster, until

TOOLS = '''
import json, os, pathlib, sqlite3, time, uuid
import forerun

PROCESS = str(uuid.uuid4())

@forerun.task(effect="read", reads=["item/{name}"], readable=["data"])
def look_up(name: str) -> dict:
    """An item of the database."""
    print("looking up", name)
    with sqlite3.connect("file:data/items.db?mode=ro", uri=True) as items:
        return {"count": items.execute("SELECT count FROM items WHERE name = ?", [name]).fetchone()[0]}

@forerun.task(effect="write", writes=["item/{name}"], idempotent=True, writable=["data"])
def add(name: str, count: int, context: forerun.Context) -> str:
    with sqlite3.connect("data/items.db") as items:
        items.execute("UPDATE items SET count = count + ? WHERE name = ?", [count, name])
    return context.key

@forerun.task(effect="pure")
def process() -> str:
    time.sleep(0.05)
    return PROCESS

@forerun.task(effect="pure")
def quick(n: int) -> str:
    return "quick"

@forerun.task(effect="pure")
def naps(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"

@forerun.task(effect="pure")
def sleeps(n: int) -> str:
    time.sleep(60)
    return "slept"

@forerun.task(effect="pure")
async def slept_async(n: int) -> str:
    import asyncio
    await asyncio.sleep(60)

@forerun.task(effect="read", reads=[], readable=["data"])
def gate(name: str) -> str:
    while not pathlib.Path("data", name).exists():
        time.sleep(0.01)
    return name

@forerun.task(effect="read", reads=[], state=["/seen"])
def note(n: int, context: forerun.Context) -> forerun.Answer:
    seen = context.state.get("seen", [])
    return forerun.Answer(len(seen), writes={"seen": seen + [n]})

@forerun.task(effect="pure")
def leaves(n: int) -> dict:
    """What an earlier call left in the work folder, the home and the system."""
    pathlib.Path("left").write_text("x") if os.access(".", os.W_OK) else None
    return {"user": os.getuid(), "sees_home": os.path.isdir("/root/.ssh"), "can_write": os.access("/usr", os.W_OK)}
'''
EVERY_KEY = '''
import forerun
@forerun.task(effect="read", reads=["a/{a}"], scope="session", deterministic=False, hedge=False, timeout_ms=1000, max_age_ms=5,
              pool="few", state=["/x"], envelope=True, description='a "b"', example={"a": "\\u00fc\\x7f"}, network=True, readable=["/srv"],
              env={"A": "1"}, output_kb=3, memory_mb=100, processes=5, file_mb=2, scratch_mb=3, cpu_s=4, name="a.b c", next=["g"], starts=True)
def f(a: str): ...
@forerun.task(effect="write", writes=["a/{a}"], idempotent=True, writable=["/srv"], sandbox=True)
def g(a: str): ...
@forerun.task(effect="write", writable=["/srv"], network=True, memory_mb=100, sandbox=False)
def h(a: str): ...
forerun.allow_effects("http://x.example/", tasks=[g])
'''
RACES = """
[race.either]
branches = ["sleeps", "quick"]
select = "first"
[race.either_async]
branches = ["slept_async", "quick"]
select = "first"
"""


class PythonTest(unittest.TestCase):
    def start(self, *flags):
        """A cluster whose tasks folder holds the tools and a database; its client."""
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "tools.py").write_text(TOOLS)
            written = subprocess.run([sys.executable, "-m", "forerun.worker", "tools.py", "--catalog", *flags], cwd=folder,
                                     capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(PYTHON)})
        self.assertEqual(written.returncode, 0, written.stderr)
        cluster = Cluster(nodes=0, catalog="")
        self.addCleanup(cluster.close)
        cluster.kill("coordinator")
        cluster.folder.chmod(0o755)  # A node of root's runs commands as nobody.
        cluster.catalog.write_text(written.stdout.replace(os.path.realpath(folder), str(cluster.tasks)) + RACES)
        (cluster.tasks / "tools.py").write_text(TOOLS)
        data = cluster.tasks / "data"
        data.mkdir()
        subprocess.run([sys.executable, "-c", "import sqlite3\nwith sqlite3.connect('items.db') as items:\n"
                        " items.execute('CREATE TABLE items (name TEXT, count INTEGER)')\n"
                        " items.execute('INSERT INTO items VALUES (\"nail\", 5)')"], cwd=data, check=True)
        data.chmod(0o777)
        (data / "items.db").chmod(0o666)
        cluster.start_coordinator()
        cluster.add_node("node-1")
        # In order, so that no resident is left that still writes its byte code into a folder that goes.
        self.addCleanup(lambda: (cluster.processes["node-1"].terminate(), cluster.processes["node-1"].wait(20)))
        client = forerun.Client("http://" + cluster.http)
        self.addCleanup(client.close)
        return cluster, client

    def test_every_key_is_one_that_a_catalog_has(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "tools.py").write_text(EVERY_KEY)
            for flags in ([], ["--no-sandbox"]):
                written = subprocess.run([sys.executable, "-m", "forerun.worker", "tools.py", "--catalog", *flags], cwd=folder,
                                         capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(PYTHON)})
                catalog = pathlib.Path(folder) / "catalog.toml"
                catalog.write_text(written.stdout + "[pool.few]\nmax_in_flight = 1\n")
                with forerun.dev(catalog, binary=BINARY) as client:
                    self.assertEqual(client.status()["nodes"][0]["slots"], 4)
                catalog.write_text(written.stdout)
                with self.assertRaisesRegex(forerun.ForerunError, 'exit code 2: .*pool.*"few"'), forerun.dev(catalog, binary=BINARY):
                    pass

    def sandboxed(self):
        cluster, client = self.start()
        with client.session() as session:
            step = session.step("quick", {"n": 1})
        if any("no usable sandbox" in (cause or "") for cause in step.causes):
            self.skipTest(step.causes[0])
        return cluster, client

    def check_tools(self, client):
        with client.session("nails") as session:
            self.assertEqual(session.call("look_up", name="nail"), {"count": 5})
            key = session.call("add", name="nail", count=2)
            self.assertRegex(key, "^[0-9a-f]{64}$")
            # Side by side, in the list's order where they touch each other.
            self.assertEqual(session.calls([("look_up", {"name": "nail"}), ("add", {"name": "nail", "count": 1}),
                                            ("look_up", {"name": "nail"})])[::2], [{"count": 7}, {"count": 8}])
            self.assertEqual([session.call("note", n=n) for n in (4, 5)], [0, 1])
            self.assertEqual(session.show()["state"], {"seen": [4, 5]})
            with self.assertRaises(forerun.StepFailedError) as raised:
                session.call("look_up", nme="nail")
            self.assertIn("input.nme: unknown; did you mean 'name'?", str(raised.exception))
            with self.assertRaises(forerun.StepFailedError) as raised:
                session.call("look_up", name="screw")
            self.assertIn("TypeError: 'NoneType' object is not subscriptable (tools.py:12)", str(raised.exception))
            with self.assertRaises(forerun.NotFoundError) as missing:
                session.call("look_upp")
            self.assertIn("look_up", str(missing.exception))

    def test_tools_in_sandboxes(self):
        _, client = self.sandboxed()
        self.check_tools(client)
        with client.session() as session:
            self.assertEqual(session.call("leaves", n=1), {"user": os.getuid() or 65534, "sees_home": False, "can_write": False})

    def test_tools_without_sandboxes(self):
        cluster, client = self.start("--no-sandbox")
        self.check_tools(client)
        log = (cluster.folder / "node-1.log").read_text()  # What a tool printed, and its traceback.
        self.assertRegex(log, r"Z resident python3 -m forerun.worker tools.py: looking up nail\n")
        self.assertRegex(log, r"tools.py: TypeError: 'NoneType' object is not subscriptable\n")

    def test_an_agent_that_calls_its_tools_in_threads_makes_steps_of_them(self):
        _, client = self.start("--no-sandbox")
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.object(sys, "path", [folder, *sys.path]):
            (pathlib.Path(folder) / "tools_called_here.py").write_text(TOOLS)
            tools = importlib.import_module("tools_called_here")
            with client.session() as session, concurrent.futures.ThreadPoolExecutor(4) as pool:
                with session.tools():
                    asked = [pool.submit(tools.quick, n) for n in range(6)] + [pool.submit(tools.look_up, "nail")]
                    self.assertEqual([each.result() for each in asked], ["quick"] * 6 + [{"count": 5}])
                self.assertEqual(len(session.show()["steps"]), 7)

    def test_a_call_that_was_not_answered_in_time_is_joined_when_it_is_made_again(self):
        _, client = self.start("--no-sandbox")
        hasty = forerun.Client(client.url, timeout_s=0.3, retries=forerun.Retries(attempts=1))
        self.addCleanup(hasty.close)
        session = hasty.session(speculation="off")

        def answer(task, **fields):
            with contextlib.suppress(forerun.TimedOutError, forerun.ConflictError):
                return session.call(task, **fields)

        self.assertIsNone(answer("naps", seconds=0.8))
        self.assertEqual(until("it is answered", lambda: answer("naps", seconds=0.8)), "rested")
        self.assertEqual([step["task"] for step in session.show()["steps"]], ["naps"])
        self.assertIsNone(answer("naps", seconds=0.8))  # Answered before, so this is another step.
        self.assertEqual(until("it has waited for that one", lambda: answer("quick", n=1)), "quick")
        self.assertEqual([step["task"] for step in session.show()["steps"]], ["naps", "naps", "quick"])

    def test_losers_stop_and_their_processes_serve_on(self):
        _, client = self.start("--no-sandbox")
        with client.session(speculation="off") as session:
            def processes():
                return set(session.calls([("process", {})] * 4))
            before = until("four processes are warm", lambda: (lambda found: found if len(found) == 4 else None)(processes()))
            for n in range(10):
                self.assertEqual(session.call("either", n=n), "quick")
                self.assertEqual(session.call("either_async", n=n), "quick")
            # A busy machine may give one less than its 10 ms now and then, which costs its process; never all of them.
            self.assertTrue(before & until("all are free", lambda: (lambda found: found if len(found) == 4 else None)(processes())))

    def test_a_call_outlives_its_coordinator(self):
        cluster, client = self.start("--no-sandbox")
        session = client.session()
        answers = []
        asking = threading.Thread(target=lambda: answers.append(session.call("gate", name="open")))
        asking.start()
        until("it runs", lambda: any(node["busy"] for node in cluster.status()["nodes"]))
        cluster.kill("coordinator")
        cluster.start_coordinator()
        (cluster.tasks / "data" / "open").touch()
        asking.join(30)
        self.assertEqual(answers, ["open"])
        self.assertEqual([step["task"] for step in session.show()["steps"]], ["gate"])

    def test_asyncio(self):
        _, client = self.start("--no-sandbox")

        async def one(asynchronous, n):
            async with asynchronous.session(f"session {n}") as session:
                both = asyncio.gather(session.call("quick", n=n), session.call("look_up", name="nail"))
                lost = asyncio.gather(session.call("quick", nn=n), return_exceptions=True)
                self.assertIsInstance((await lost)[0], forerun.StepFailedError)
                return await both

        async def all_of_them():
            async with forerun.AsyncClient(client.url) as asynchronous:
                return await asyncio.gather(*(one(asynchronous, n) for n in range(20)))

        self.assertEqual(asyncio.run(all_of_them()), [["quick", {"count": 5}]] * 20)
        self.assertEqual(client.status()["sessions"]["open"], 0)

    def test_after_a_cancelled_call_the_next_waits_for_its_step(self):
        _, client = self.start("--no-sandbox")

        async def leaves(session):
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(session.call("naps", seconds=0.5), 0.1)

        async def run():
            async with forerun.AsyncClient(client.url) as asynchronous, asynchronous.session("hurry") as session:
                await leaves(session)
                self.assertEqual(await session.call("quick", n=1), "quick")
                await leaves(session)
                return session.run_id

        run_id = asyncio.run(run())
        self.assertEqual([step["task"] for step in client.resume(run_id).show()["steps"]], ["naps", "quick", "naps"])
        self.assertEqual(client.status()["sessions"]["open"], 0)


if __name__ == "__main__":
    unittest.main()
