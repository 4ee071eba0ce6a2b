"""Secrets with values that occur nowhere else, traffic that goes well and badly, crashes; then a search of all that was written or
said: no log, error, status, ledger, store, export or command line holds one."""
import base64
import hashlib
import http.server
import json
import os
import pathlib
import signal
import sqlite3
import sys
import threading
import unittest
import urllib.parse
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
from harness import until
from test_security import SecuredCluster

import forerun

FILE_SECRET = "canary-file-5f2c9b1e77"
ENVIRONMENT_SECRET = "canary-environment-81d0a4c3"
URL_SECRET = "canary-url-90e1b2c47d"
UNUSED_SECRET = "canary-unused-3b7a5590ef"  # In the node's environment, and no task's.
RESIDENT_SECRET = "canary-resident-44c1d2aa09"  # In a task's `env`: the catalog has it, nothing else may.

CATALOG = """
[task.double]
executor = "exec"
command  = ["python3", "tasks.py", "double"]
effect   = "pure"
sandbox  = false
[task.environment]
executor = "exec"
command  = ["python3", "environment.py"]
effect   = "pure"
sandbox  = false
[task.resident]
executor = "exec"
command  = ["python3", "resident.py"]
effect   = "pure"
resident = true
sandbox  = false
env      = { MODEL_KEY = "RESIDENT_SECRET" }
[task.boxed]
executor = "exec"
command  = ["python3", "boxed.py"]
effect   = "pure"
env      = { MODEL_KEY = "RESIDENT_SECRET" }
"""
HTTP_TASK = """
[task.NAME]
executor = "http"
EFFECT
url      = "URL/NAME"
headers  = { Authorization = "Bearer ${file:secrets/model.key}", X-Key = "${env:CANARY_ENVIRONMENT}" }
timeout_ms = 2000
"""
ADDRESS_TASK = """
[task.NAME]
executor = "http"
effect   = "pure"
url      = "URL/there?key=${env:CANARY_QUERY}"
timeout_ms = 1000
"""
# What a hostile or broken endpoint does with the secrets that it gets.
HOSTILE = ["well", "echo", "error", "phrase", "redirect", "nonsense", "cut", "hang"]
ENVIRONMENT = "import json, os; print(json.dumps(sorted(os.environ)))"
BOXED = "import json, sys, time; time.sleep(0.3); print(json.dumps('boxed'))"
RESIDENT = """
import json, os, sys
for line in sys.stdin:
    call = json.loads(line)
    if call["input"].get("how") == "end":
        sys.exit(3)
    if call["input"].get("how") == "nonsense":
        print("nonsense", flush=True)
        continue
    print(json.dumps({"id": call["id"], "output": sorted(os.environ)}), flush=True)
"""


class Endpoint(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        kind = self.path.split("?")[0].rsplit("/", 1)[-1].removesuffix("-write")
        told = f"{self.headers['Authorization']} {self.headers['X-Key']} {self.path}"
        self.server.seen.append(told)
        if kind == "hang":
            self.server.ending.wait(10)
        if kind in ("cut", "hang"):
            self.connection.close()
            self.close_connection = True
            return
        status, reason, body = {"echo": (200, None, json.dumps(told)), "error": (500, None, told), "phrase": (418, told, told),
                                "redirect": (307, None, ""), "nonsense": (200, None, '{"a": ' + told)}.get(
                                    kind, (200, None, json.dumps("fine")))
        self.send_response(status, reason)
        self.send_header("Content-Type", "application/json")
        if kind == "redirect":
            self.send_header("Location", f"/{urllib.parse.quote(told)}")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST

    def log_message(self, *_):
        pass


class CommandLines(threading.Thread):
    """Collects the command line of every process that is ever seen."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = set()
        self.ending = threading.Event()
        self.start()

    def run(self):
        while not self.ending.wait(0.01):
            for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    pass


def forms_of(secret):
    """A secret as it is and as it may have been written."""
    raw = secret.encode()
    return {raw, base64.b64encode(raw).rstrip(b"="), raw.hex().encode(), urllib.parse.quote(secret, safe="").encode()}


class CanariesTest(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self.server.daemon_threads = True
        self.server.seen, self.server.ending = [], threading.Event()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(self.server.ending.set)
        url = f"http://127.0.0.1:{self.server.server_port}"
        catalog = CATALOG.replace("RESIDENT_SECRET", RESIDENT_SECRET)
        for name in HOSTILE:
            catalog += HTTP_TASK.replace("NAME", name).replace("URL", url).replace("EFFECT", 'effect = "pure"')
            catalog += HTTP_TASK.replace("NAME", f"{name}-write").replace("URL", url).replace("EFFECT", 'effect = "write"')
        catalog += ADDRESS_TASK.replace("NAME", "address").replace("URL", url)
        catalog += ADDRESS_TASK.replace("NAME", "nobody").replace("URL", "http://127.0.0.1:9")
        self.lines = CommandLines()
        self.addCleanup(self.lines.ending.set)
        environment = {"CANARY_ENVIRONMENT": ENVIRONMENT_SECRET, "CANARY_QUERY": URL_SECRET, "CANARY_UNUSED": UNUSED_SECRET}
        patched = mock.patch.dict(os.environ, environment)
        patched.start()
        self.addCleanup(patched.stop)
        self.cluster = SecuredCluster(nodes=0, catalog=catalog)
        self.addCleanup(self.cluster.close)
        tasks = self.cluster.tasks
        (tasks / "secrets").mkdir(mode=0o700)
        (tasks / "secrets" / "model.key").touch(mode=0o600)
        (tasks / "secrets" / "model.key").write_text(FILE_SECRET + "\n")
        for name, text in [("environment.py", ENVIRONMENT), ("resident.py", RESIDENT), ("boxed.py", BOXED)]:
            (tasks / name).write_text(text)
        self.cluster.add_node("node-1")
        self.said = []  # All that anybody was answered.

    def say(self, *what):
        self.said.extend(what)

    def run_everything(self):
        cluster = self.cluster
        run = cluster.open(context="canaries")
        for name in [*HOSTILE, *(f"{name}-write" for name in HOSTILE), "address", "nobody", "boxed"]:
            self.say(cluster.step(run, name))
        for how in ("well", "nonsense", "end", "well"):
            self.say(cluster.step(run, "resident", how=how))
        environment = cluster.step(run, "environment")
        self.say(environment)
        self.assertFalse([name for name in environment["output"] if name.startswith("CANARY")], environment["output"])
        for token in [*cluster.tokens, "frt1." + "0" * 64]:
            for method, path, body in [("GET", f"/v1/sessions/{run}", None), ("GET", f"/v1/sessions/{run}/explanation", None),
                                       ("GET", f"/v1/sessions/{run}/predictions", None), ("GET", "/v1/effects", None),
                                       ("GET", "/v1/status", None), ("GET", "/v1/ledger?from=0&count=512", None),
                                       ("GET", "/v1/nowhere", None), ("POST", "/v1/sessions", {"no": "such member"}),
                                       ("POST", "/v1/audits", {"sample": 4})]:
                self.say(cluster.ask(token, method, path, body))
        url = f"http://{cluster.http}"
        for token in ("acme-client", "acme-operator", "auditor"):
            file = cluster.folder / f"{token}.http-token"
            for command in (["status"], ["explain", run], ["predict", run], ["verify", "--sample", 0], ["effects", "list"]):
                done = cluster.command(*command, "--url", url, "--token-file", file)
                self.say(done.stdout, done.stderr)
            with mock.patch.dict(os.environ, {"FORERUN_TOKEN": cluster.tokens[token]}):
                done = cluster.command("status", "--url", "http://127.0.0.1:9")
                self.say(done.stdout, done.stderr)
                for address in (url, "http://127.0.0.1:9"):
                    try:
                        with forerun.Client(address, retries=forerun.Retries(attempts=1)) as client:
                            self.say(repr(client), client.status(), client.get("/v1/nowhere"))
                    except forerun.ForerunError as error:
                        self.say(str(error), repr(error))
        for done in (cluster.command("keys", "list", "--data", cluster.data), cluster.command("ledger", "head", "--data", cluster.data),
                     cluster.command("keys", "token", "list", "--tokens", cluster.tokens_file)):
            self.say(done.stdout, done.stderr)

    def secrets(self):
        """Name -> (secret, files that are there to hold it)."""
        data, folder = self.cluster.data, self.cluster.folder
        found = {"file": (FILE_SECRET, {"model.key"}), "environment": (ENVIRONMENT_SECRET, set()), "url": (URL_SECRET, set()),
                 "unused": (UNUSED_SECRET, set())}
        for name, token in self.cluster.tokens.items():
            found[f"token {name}"] = (token.removeprefix("frt1."), {f"{name}.http-token"})
            found[f"hash of {name}"] = (hashlib.sha256(token.encode()).hexdigest(), {"tokens"})
        join = (folder / "node-1.token").read_text().strip()
        found["node's key"] = (join[68:132], {"node-1.token", "join.token"})
        for name in ("server.key", "ledger.key"):
            found[name] = ((data / "keys" / name).read_text().strip(), {name})
        return found

    def test_no_secret_is_where_it_does_not_belong(self):
        cluster = self.cluster
        self.run_everything()
        # Both ways to end badly, then all of it once more on what was left.
        cluster.processes["node-1"].send_signal(signal.SIGABRT)
        cluster.processes["node-1"].wait()
        cluster.start_node("node-1")
        cluster.processes["coordinator"].send_signal(signal.SIGABRT)
        cluster.processes["coordinator"].wait()
        cluster.start_coordinator()
        until("the node is back", lambda: cluster.status()["nodes"])
        self.run_everything()
        for name in ("coordinator", "node-1"):
            cluster.kill(name)
        export = cluster.export()
        self.lines.ending.set()
        self.lines.join()

        # The secrets were used, so there was something to be told.
        for secret in (FILE_SECRET, ENVIRONMENT_SECRET, URL_SECRET):
            self.assertTrue(any(secret in told for told in self.server.seen), secret)
        said = json.dumps(self.said).encode() + "".join(text for text in self.said if isinstance(text, str)).encode()
        lines = b"\n".join(self.lines.seen)
        self.assertIn(b"resident.py", lines)
        files = [path for path in cluster.folder.rglob("*") if path.is_file()]
        self.assertTrue({"node-1.log", "coordinator.log", "ledger.jsonl"} <= {path.name for path in files})
        problems = []
        for name, (secret, homes) in self.secrets().items():
            for form in forms_of(secret):
                problems += [f"{name} in an answer"] * (form in said) + [f"{name} in a command line"] * (form in lines)
                problems += [f"{name} in {path}" for path in files if path.name not in homes and form in path.read_bytes()]
        # What a catalog says is stored as its text and shown with it, and is nowhere else.
        for form in forms_of(RESIDENT_SECRET):
            problems += ["resident's in an answer"] * (form in said) + ["resident's in a command line"] * (form in lines)
            problems += [f"resident's in {path}" for path in files
                         if form in path.read_bytes() and path.name != "catalog.toml" and ".db" not in path.name]
        self.assertTrue((export / "catalog.toml").exists())
        for store in cluster.folder.rglob("*.db"):
            connection = sqlite3.connect(store)
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in connection.execute(f'SELECT * FROM "{table}"'):
                    if "catalog.toml" not in row and RESIDENT_SECRET in repr(row):
                        problems.append(f"resident's in {store}, table {table}")
            connection.close()
        self.assertEqual(problems, [])


if __name__ == "__main__":
    unittest.main()
