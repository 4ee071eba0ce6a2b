"""Real processes of `forerun` on loopback: ports chosen by the system, data in a temporary folder, kill -9 at will."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import proxy
import wires

BINARY = os.environ.get("FORERUN_BINARY", "build/release/forerun")

CATALOG = """
[task.double]
executor = "exec"
command  = ["python3", "tasks.py", "double"]
effect   = "pure"
sandbox  = false
[task.look_up]
executor = "exec"
command  = ["python3", "tasks.py", "look_up"]
effect   = "read"
reads    = ["item/{name}"]
sandbox  = false
[task.gate]
executor = "exec"
command  = ["python3", "tasks.py", "gate"]
effect   = "pure"
sandbox  = false
[task.append]
executor = "exec"
command  = ["python3", "tasks.py", "append"]
effect   = "write"
writes   = ["item/{name}"]
sandbox  = false
[task.append_again]
executor = "exec"
command  = ["python3", "tasks.py", "append"]
effect   = "write"
writes   = ["item/{name}"]
idempotent = true
sandbox  = false
[task.yes]
executor = "exec"
command  = ["python3", "tasks.py", "yes"]
effect   = "pure"
sandbox  = false
[task.no]
executor = "exec"
command  = ["python3", "tasks.py", "no"]
effect   = "pure"
sandbox  = false
[race.vote]
branches = ["yes", "no"]
select   = "ranked"
[race.careful]
branches = ["no", "yes"]
select   = "ordered"
valid    = [{ branch = "no", pointer = "/sure", equals = true }]
"""

# A command that asks for effects; the number is the port of who receives them.
NOTE_CATALOG = """
[effects]
allow = ["http://%s/hook"]
[task.note]
executor = "exec"
command  = ["python3", "note.py"]
effect   = "pure"
envelope = true
sandbox  = false
"""

TASKS = '''
import json, os, pathlib, sys
call = json.load(sys.stdin)
kind = sys.argv[1]
item = pathlib.Path("item-" + call.get("name", "x"))
def log(path):
    with open(path, "a") as file:
        file.write(os.environ.get("FORERUN_OUTSIDE_KEY", "-") + "\\n")
if kind == "double":
    print(json.dumps({"twice": 2 * call["n"]}))
elif kind == "look_up":
    print(json.dumps({"value": item.read_text() if item.exists() else None}))
elif kind == "gate":
    log("started-" + call["name"])
    with open("gate-" + call["name"]) as gate:
        gate.read()
    print(json.dumps({"passed": call["name"]}))
elif kind == "append":
    log("writes-" + call["name"])
    if call.get("gate"):
        with open("gate-" + call["gate"]) as gate:
            gate.read()
    item.write_text(call["name"])
    print("null")
else:
    print(json.dumps({"by": kind, "sure": False}))
'''


def until(what, condition, seconds=10.0):
    """Polls until the condition holds; returns what it gave. Fails with `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            found = condition()
            if found:
                return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def is_stopped(process):
    """Whether it was stopped by a signal and not let go on. False where there is no /proc."""
    try:
        return pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """With `links` each node reaches the coordinator over a link of its own, in `self.links`: `wires` (wires.py; this process
    has entered) or `proxies` (proxy.py)."""

    def __init__(self, nodes=2, catalog=CATALOG, flags=(), links=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="forerun-test-"))
        self.tasks = self.folder / "tasks"
        self.tasks.mkdir()
        (self.tasks / "tasks.py").write_text(TASKS)
        self.tasks_of = {}  # Node -> folder, where one runs other tasks than the rest.
        self.catalog = self.folder / "catalog.toml"
        self.catalog.write_text(catalog)
        self.data = self.folder / "coordinator"
        self.processes = {}
        # Of its coordinator. Unless a test asks for it, or trouble is what it is about, no step runs again by chance.
        self.flags = flags if links or "--recheck-share" in flags else ("--recheck-share", 0, *flags)
        self.listen = self.http = "127.0.0.1:0"
        self.links = {}
        if links == "wires":
            self.listen = f"{wires.HUB}:0"
        elif links == "proxies":
            publish_port = free_port()  # A proxy must know it; it stays the same over restarts.
            self.flags = (*flags, "--publish-port", publish_port)
        self.start_coordinator()
        for number in range(1, nodes + 1 if links else 1):
            self.links[f"node-{number}"] = wires.Wire(number) if links == "wires" else proxy.Link(
                number, (int(self.listen.split(":")[1]), publish_port))
        for number in range(1, nodes + 1):
            self.add_node(f"node-{number}")

    def close(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
            process.stdout.close()
        for link in self.links.values():
            link.close()
        shutil.rmtree(self.folder)

    def command(self, *arguments):
        return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=30)

    def launch(self, name, *arguments, program=BINARY, failpoint=None):
        """Starts a process, with a failpoint armed (base/failpoint.hpp) if one is given; it may end at any moment."""
        prefix = self.links[name].prefix() if name in self.links else []
        environment = os.environ if failpoint is None else {**os.environ, "FORERUN_FAILPOINT": failpoint}
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen([*prefix, program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=log, text=True,
                                       env=environment)
        if name in self.processes:
            self.processes[name].stdout.close()
        self.processes[name] = process
        return process

    def spawn(self, name, *arguments, program=BINARY):
        """Starts a process and returns the first line that it prints, as JSON."""
        process = self.launch(name, *arguments, program=program)
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"{name} ended with {process.wait()}: {self.log(name)}")
        return json.loads(line)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()[-2000:]

    def coordinator_arguments(self):
        return ["coordinator", "--data", self.data, "--catalog", self.catalog, "--listen", self.listen, "--http", self.http,
                "--control-share", 0, *self.flags]

    def start_coordinator(self, *more):
        ready = self.spawn("coordinator", *self.coordinator_arguments(), *more)
        self.listen = ready["join"]
        self.http = ready["http"].removeprefix("http://")

    def node_arguments(self, name, data=None):
        join = self.links[name].join(self.listen) if name in self.links else self.listen
        return ["node", "--join", join, "--data", data or self.folder / name, "--name", name, "--slots", 4,
                "--tasks-dir", self.tasks_of.get(name, self.tasks)]

    def token_for(self, name):
        token = self.folder / f"{name}.token"
        token.unlink(missing_ok=True)
        added = self.command("keys", "add", name, "--data", self.data, "--out", token)
        assert added.returncode == 0, added.stderr
        return token

    def add_node(self, name):
        self.start_node(name, "--token-file", self.token_for(name))

    def start_node(self, name, *more):
        return self.spawn(name, *self.node_arguments(name), *more)

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()

    def request(self, method, path, body=None, key=None, timeout=30):
        connection = http.client.HTTPConnection(self.http, timeout=timeout)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            if key:
                headers["Idempotency-Key"] = key
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def send_only(self, method, path, body, key):
        """Sends a request and returns its connection, unanswered."""
        connection = http.client.HTTPConnection(self.http, timeout=30)
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json", "Idempotency-Key": key})
        return connection

    def open(self, **body):
        status, answer = until("a session opens", lambda: (lambda a: a if a[0] == 201 else None)(
            self.request("POST", "/v1/sessions", body)))
        assert status == 201
        return answer["run_id"]

    def step(self, run_id, task, key=None, **call_input):
        status, answer = self.request("POST", f"/v1/sessions/{run_id}/steps", {"task": task, "input": call_input}, key)
        assert status == 200, answer
        return answer

    def status(self):
        return self.request("GET", "/v1/status", timeout=2)[1]

    def heads_agree(self, nodes):
        status = self.status()
        roots = {node["ledger"]["root"] for node in status["nodes"]} | {status["ledger"]["root"]}
        return len(status["nodes"]) == nodes and len(roots) == 1 and status

    def open_gate(self, name):
        path = self.tasks / f"gate-{name}"
        if not path.exists():
            os.mkfifo(path)
        return path

    def export(self, name="export"):
        folder = self.folder / name
        done = self.command("ledger", "export", folder, "--data", self.data)
        assert done.returncode == 0, done.stderr
        return folder
