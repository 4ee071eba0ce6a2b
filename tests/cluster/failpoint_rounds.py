"""Kills the process at every failpoint that the program has, while clients work, and checks all that kill_rounds.py checks.

    python3 tests/cluster/failpoint_rounds.py [--seed 1] [--only PREFIX]

For each point and each process that passes it: the process is started with the point armed, must die there (by SIGKILL, and its
log names the point), starts again, and the cluster is whole again. Then the same with a cut of the power, which takes what no
disk has synced, and with system calls that fail. Points of a first start and of a node that diverged have clusters of their own; so
have those of rows that come one at a time (ROWS), where it is known what must be there afterwards, and what must not.
"""
import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness
from harness import Cluster, until
from kill_rounds import POINT_MAX_S, Lost, Rounds, failpoints, guarded, stored, texts_of

FIRST_START = ("file.", "store.", "disk.write", "disk.sync", "disk.synced", "ledger.term", "ledger.text", "ledger.written",
               "coordinator.recovered", "coordinator.persisted")
DIVERGED = ("divergence.",)
# Each by the name of its case in Rows; the first four are struck under load, too.
ROWS = {"ledger.said": "said", "ledger.opening_key": "opening_key", "ledger.ended": "ended", "ledger.owner": "owner",
        "ledger.forgotten": "forgotten", "ledger.quarantine": "quarantine", "ledger.keys_dropped": "keys_dropped"}
NOT_UNDER_LOAD = (*DIVERGED, "ledger.quarantine", "ledger.keys_dropped")
OPENING_KEYS_MAX = 100_000  # coordinator/settings.hpp
BOTH = ("disk.",)
NODES_OWN = ("file.", "store.", "replica.", "identity.", "node.")
FAILING = {"file.write": ("node-1",), "file.rename": ("node-1",), "disk.write": ("coordinator", "node-1"),
           "disk.sync": ("coordinator",), "disk.checkpoint": ("coordinator", "node-1")}
POWER = ("disk.", "ledger.", "coordinator.persisted", "coordinator.reply", "coordinator.send", "coordinator.publish",
         "replica.", "identity.")

# Passed all the time: a power cut comes when much was acknowledged since the start, so that a lost sync would show.
OFTEN = ("disk.write", "disk.sync", "ledger.commit", "ledger.said", "ledger.written", "coordinator.persisted",
         "coordinator.reply", "coordinator.send", "coordinator.publish")


def victims_of(point):
    if point.startswith(BOTH):
        return ("coordinator", "node-1")
    return ("node-1",) if point.startswith(NODES_OWN) else ("coordinator",)


def fails_alone(point):
    """A transaction that is to fail because of what is in it."""
    return point.startswith("ledger.") and point.endswith(".before")


def renew(cluster, name):
    """Gives a node another key and starts it with that, without waiting for it. Returns the new token's file."""
    token = cluster.folder / f"{name}.{uuid.uuid4().hex}.token"
    done = cluster.command("keys", "renew", name, "--data", cluster.data, "--out", token)
    if done.returncode != 0:
        raise Lost(f"keys renew {name}: {done.returncode}: {done.stderr}")
    if cluster.processes[name].wait(20) != 4:
        raise Lost(f"{name}: its key was renewed, and it ended with {cluster.processes[name].returncode}, expected 4")
    cluster.launch(name, *cluster.node_arguments(name), "--token-file", token)
    return token


def died_at(process, log, point, action, seconds=POINT_MAX_S):
    """It ended at the point, as the action says."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Lost(f"{point}: not reached within {seconds} s") from None
    if f"failpoint {point}: {action}\n" not in log():
        raise Lost(f"{point}: the process ended with {code}, but not there: {log()[-500:]}")
    if action in ("kill", "power") and code != -signal.SIGKILL:
        raise Lost(f"{point}: {action}: ended with {code}, expected SIGKILL")
    if action == "fail" and code not in (1, 4):
        raise Lost(f"{point}: a failure that was not taken for one: the process ended with {code}")


class FailpointRounds(Rounds):
    def strike_at(self, name, point, nth, action):
        cluster = self.cluster
        more = []
        process = cluster.processes[name]
        process.terminate()
        process.wait(20)
        if point.startswith("file."):
            more = ["--token-file", cluster.folder / f"{name}.token"]
        elif point.startswith("replica.reset"):
            more = ["--resync"]
        elif point.startswith("ledger.parked"):
            more = ["--effect-attempts", 1]
        elif point.startswith(("store.", "replica.epoch")):
            for file in (cluster.folder / name).glob("replica.db*"):
                file.unlink()
        process = self.arm(name, point, nth, action, more)
        deadline = time.monotonic() + POINT_MAX_S
        while process.poll() is None and time.monotonic() < deadline:
            if point.startswith("identity.") or (name != "coordinator" and point in ("disk.sync", "disk.synced")):
                # A new term reserves run IDs at their workers, and makes nodes sync.
                cluster.kill("coordinator")
                cluster.start_coordinator()
                time.sleep(0.5)
            elif point.startswith(("ledger.history", "ledger.forgotten")):
                self.teach(point)
                if "forgotten" in point:
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        cluster.request("DELETE", "/v1/history", timeout=5)
                time.sleep(0.1)
            elif point.startswith("ledger.owner"):
                with contextlib.suppress(AssertionError):  # It dies meanwhile.
                    until("it serves", cluster.status, 5)
                    renew(cluster, "node-1")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POINT_MAX_S)
            else:
                time.sleep(0.02)
        died_at(process, lambda: cluster.log(name), point, action, 1)
        self.start(name)
        self.await_whole()
        self.done[action] += 1

    def teach(self, name):
        traces = self.cluster.folder / "traces.jsonl"
        number = self.prng.getrandbits(32)
        traces.write_text("".join(json.dumps({"session": f"{name}-{number}-{i}", "steps": [
            {"task": "noop", "input": {"n": n}, "output": {}} for n in range(3)]}) + "\n" for i in range(4)))
        self.cluster.command("learn", traces, "--url", f"http://{self.cluster.http}")

    def plan(self, only):
        for point in self.points:
            if point.startswith(NOT_UNDER_LOAD) or not point.startswith(only):
                continue
            for name in victims_of(point):
                yield name, point, 1, "kill"
                if point.startswith(POWER):
                    yield name, point, self.prng.choice([5, 20, 40]) if point.startswith(OFTEN) else 1, "power"
            if fails_alone(point):
                yield "coordinator", point, 1, "fail"
        for point, names in FAILING.items():
            for name in names:
                if point.startswith(only):
                    yield name, point, 1, "fail"

    def run(self, only, say):
        reached = []

        def strikes():
            self.await_whole()
            for name, point, nth, action in self.plan(only):
                began = time.monotonic()
                self.strike_at(name, point, nth, action)
                if self.fails():
                    return
                reached.append(point)
                say(f"{name} {point}:{nth}:{action} {time.monotonic() - began:.1f} s")
        result = self.work(strikes)
        return {"points": len(set(reached)), "strikes": len(reached), **result}


def first_start(points, only, say):
    """A coordinator that dies in its first start is whole after the second."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="forerun-test-"))
    (folder / "catalog.toml").write_text(harness.CATALOG)
    reached = 0
    try:
        for point in points:
            if not point.startswith(FIRST_START) or not point.startswith(only):
                continue
            for nth in range(1, 5):
                data = folder / f"{point}-{nth}"
                log = folder / f"{point}-{nth}.log"
                command = [harness.BINARY, "coordinator", "--data", str(data), "--catalog", str(folder / "catalog.toml"),
                           "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
                with open(log, "wb") as err:
                    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err,
                                               env={**os.environ, "FORERUN_FAILPOINT": f"{point}:{nth}:kill"})
                    line = process.stdout.readline()
                    if line and nth > 1:  # So often it is not reached before it is ready.
                        process.kill()
                    try:
                        process.wait(10)
                    except subprocess.TimeoutExpired:
                        process.kill()
                    process.wait()
                    process.stdout.close()
                if f"failpoint {point}: kill" not in log.read_text():
                    if nth == 1:
                        raise Lost(f"{point}: not reached in a first start")
                    break
                reached += 1
                again = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                try:
                    line = again.stdout.readline()
                    again.terminate()
                    _, err = again.communicate(timeout=20)
                    if not line:
                        raise Lost(f"first start, {point}:{nth}: does not start again: {err}")
                finally:
                    again.kill()
                say(f"first start {point}:{nth}")
    finally:
        shutil.rmtree(folder)
    return reached


def diverged(points, only, say):
    """A node whose ledger is another history dies around the record of it: it must still refuse to go on."""
    points = [point for point in points if point.startswith(DIVERGED) and point.startswith(only)]
    if not points:
        return 0
    cluster = Cluster(nodes=1)
    try:
        run_id = cluster.open()
        cluster.step(run_id, "double", n=0)
        until("all ledgers agree", lambda: cluster.heads_agree(1))
        cluster.processes["coordinator"].terminate()
        cluster.processes["coordinator"].wait()
        backup = cluster.folder / "backup"
        shutil.copytree(cluster.data, backup)
        cluster.start_coordinator()
        cluster.step(run_id, "double", n=1)
        until("all ledgers agree", lambda: cluster.heads_agree(1))
        for name in ("coordinator", "node-1"):
            cluster.kill(name)
        shutil.rmtree(cluster.data)
        os.rename(backup, cluster.data)
        cluster.start_coordinator()
        cluster.add_node("node-2")
        for n in range(5):
            cluster.step(run_id, "double", n=n)
        proof = cluster.folder / "node-1" / "divergence.json"
        for point in points:
            more = ["--resync"] if "settle" in point else []
            process = cluster.launch("node-1", *cluster.node_arguments("node-1"), *more, failpoint=point)
            died_at(process, lambda: cluster.log("node-1"), point, "kill")
            if "settled" not in point.rpartition(".")[0] and "record" in point:
                refused = cluster.command(*cluster.node_arguments("node-1"))
                if refused.returncode != 5 or not proof.exists():
                    raise Lost(f"{point}: a node that diverged went on: {refused.returncode} {refused.stderr}")
                if point == points[0]:
                    proof.unlink()  # As if it had never been found; the next point finds it once more.
            say(f"diverged {point}")
        cluster.start_node("node-1", "--resync")
        until("all ledgers agree", lambda: cluster.heads_agree(2))
    finally:
        cluster.close()
    return len(points)


class Rows:
    """Rows that are written one at a time, each because a case has it written. A case is a generator: it prepares; once the
    coordinator runs with the point armed, it has its row written, which ends the coordinator; once that runs again it gets whether
    the row must be there, and looks."""

    NODES = 3
    TASKS_THAT_LIE = harness.TASKS.replace('2 * call["n"]', '3 * call["n"]')

    def __init__(self):
        self.cluster = Cluster(nodes=self.NODES, flags=("--recheck-share", 1))
        self.numbers = iter(range(1 << 31))
        self.run_id = self.cluster.open()
        self.sessions = [self.cluster.open() for _ in range(6)]
        self.pool = concurrent.futures.ThreadPoolExecutor(len(self.sessions))
        self.texts = []

    def strike(self, name, point, action):
        cluster = self.cluster
        case = getattr(self, name)()
        next(case)
        self.process = self.restart(f"{point}:1:{action}")
        self.await_whole()
        next(case)
        died_at(self.process, lambda: cluster.log("coordinator"), point, action)
        cluster.start_coordinator()
        with contextlib.suppress(StopIteration):
            case.send(point.endswith(".after"))
        self.await_whole()

    def restart(self, failpoint):
        process = self.cluster.processes["coordinator"]
        process.terminate()
        process.wait(20)
        return self.cluster.launch("coordinator", *self.cluster.coordinator_arguments(), failpoint=failpoint)

    def await_whole(self):
        until("all are back", lambda: self.cluster.heads_agree(self.NODES), 30)

    def expect(self, what, found, expected):
        if found != expected:
            raise Lost(f"{what}: found {found}, expected {expected}")

    def name(self):
        return f"row {next(self.numbers)}"

    def ask_once(self, *request):
        """While the coordinator dies: there may be no answer."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, answer = self.cluster.request(*request, timeout=10)
            if status not in (200, 201, 204):
                raise Lost(f"{request}: {status} {answer}")

    def count(self, table):
        return stored(self.cluster, f"SELECT count(*) FROM {table}")[0][0]

    def session(self, run_id, what):
        home, _, counter = run_id.partition("/")
        return stored(self.cluster, f"SELECT {what} FROM sessions WHERE home = ? AND counter = ?", uuid.UUID(home).bytes,
                      int(counter))[0][0]

    def said(self):
        text = self.name()
        yield
        self.ask_once("POST", f"/v1/sessions/{self.run_id}/text", {"text": text})
        is_there = yield
        self.texts += [(self.session(self.run_id, "next_step"), text)] * is_there
        self.expect("texts", texts_of(self.cluster, self.run_id), self.texts)
        # Its 204 does not wait for the disk, a step's answer does, and holds what came before it.
        self.await_whole()
        last = self.name()
        self.expect("a text", self.cluster.request("POST", f"/v1/sessions/{self.run_id}/text", {"text": last})[0], 204)
        self.texts.append((self.session(self.run_id, "next_step"), last))
        self.cluster.step(self.run_id, "vote", n=1)
        self.cluster.kill("coordinator")
        self.cluster.start_coordinator()
        self.expect("texts before an acknowledged step", texts_of(self.cluster, self.run_id), self.texts)

    def opening_key(self):
        key = self.name()
        sessions = self.count("sessions")
        yield
        self.ask_once("POST", "/v1/sessions", {}, key)
        is_there = yield
        kept = stored(self.cluster, "SELECT s.home, s.counter FROM keys k JOIN sessions s ON s.id = k.session WHERE k.key = ?", key)
        self.expect("sessions of a key", len(kept), int(is_there))
        self.expect("sessions", self.count("sessions"), sessions + is_there)
        self.await_whole()
        answers = [self.cluster.request("POST", "/v1/sessions", {}, key) for _ in range(2)]
        self.expect("the key asked again", [status for status, _ in answers], [201, 201])
        run_ids = {answer["run_id"] for _, answer in answers} | {f"{uuid.UUID(bytes=home)}/{counter}" for home, counter in kept}
        self.expect("sessions of one key", len(run_ids), 1)
        self.expect("sessions", self.count("sessions"), sessions + 1)

    def ended(self):
        run_id = self.cluster.open()
        yield
        self.ask_once("DELETE", f"/v1/sessions/{run_id}")
        is_there = yield
        self.expect("ended", self.session(run_id, "ended"), int(is_there))
        self.await_whole()
        status, answer = self.cluster.request("POST", f"/v1/sessions/{run_id}/steps", {"task": "double", "input": {"n": 1}})
        if status not in ((404, 409) if is_there else (200,)):
            raise Lost(f"a step of a session that had {'' if is_there else 'not '}ended: {status} {answer}")
        self.cluster.request("DELETE", f"/v1/sessions/{run_id}")

    def forgotten(self):
        traces = self.cluster.folder / "traces.jsonl"
        traces.write_text("".join(json.dumps({"session": self.name(), "steps": [{"task": "double", "input": {"n": n}, "output": {}}]}) +
                                  "\n" for n in range(4)))
        self.cluster.command("learn", traces, "--url", f"http://{self.cluster.http}")
        taught = self.count("history")
        self.expect("four sessions were taught", taught >= 4, True)
        yield
        self.ask_once("DELETE", "/v1/history")
        is_there = yield
        self.expect("taught sessions", self.count("history"), 0 if is_there else taught)

    def key_of(self, name):
        listed = self.cluster.command("keys", "list", "--data", self.cluster.data).stdout.splitlines()
        return next(line.split()[0] for line in listed if line.split()[1] == name)

    def owner(self):
        worker = next(node for node in self.cluster.status()["nodes"] if node["name"] == "node-1")["workers"][0]
        before = self.key_of("node-1")

        def owners():
            return stored(self.cluster, "SELECT node, name FROM owners WHERE worker = ?", uuid.UUID(worker).bytes)
        self.expect("owner", owners(), [(before, "node-1")])
        yield
        token = renew(self.cluster, "node-1")
        self.process.wait(POINT_MAX_S)
        self.cluster.kill("node-1")  # So that it does not write its row once more.
        is_there = yield
        self.expect("owner", owners(), [(self.key_of("node-1") if is_there else before, "node-1")])
        thief = self.cluster.launch("thief", *self.cluster.node_arguments("thief"), "--worker", worker,
                                    "--token-file", self.cluster.token_for("thief"))
        if thief.wait(20) != 4 or f"worker {worker} belongs to the key " not in self.cluster.log("thief"):
            raise Lost(f"another key took a worker: {self.cluster.log('thief')}")
        self.expect("revoked", self.cluster.command("keys", "revoke", "thief", "--data", self.cluster.data).returncode, 0)
        self.expect("workers", self.cluster.start_node("node-1", "--token-file", token)["workers"], [worker])
        until("its row is written", lambda: owners() == [(self.key_of("node-1"), "node-1")])  # Its welcome does not wait for it.

    def doubles(self, rounds):
        """Whether they are true: steps of several sessions at once, so that every node gets some. Nobody has answered them before."""
        def is_true(run_id):
            n = 1_000_000 + 7 * next(self.numbers) ** 2 % 999_983
            return self.cluster.step(run_id, "double", n=n)["output"] == {"twice": 2 * n}
        return [true for _ in range(rounds) for true in self.pool.map(is_true, self.sessions)]

    def liar(self):
        return next((node for node in self.cluster.status()["nodes"] if node["name"] == "node-2"), {"quarantined": None})

    def quarantine(self):
        cluster = self.cluster
        lies = cluster.folder / "lies"
        lies.mkdir(exist_ok=True)
        (lies / "tasks.py").write_text(self.TASKS_THAT_LIE)
        cluster.tasks_of["node-2"] = lies
        cluster.kill("node-2")
        cluster.start_node("node-2")
        key = self.key_of("node-2")
        yield
        deadline = time.monotonic() + 60
        with contextlib.suppress(OSError, http.client.HTTPException):
            while time.monotonic() < deadline:
                self.doubles(1)
        is_there = yield
        self.expect("quarantined", (key,) in stored(cluster, "SELECT node FROM quarantined"), is_there)
        self.await_whole()
        if is_there:
            self.expect("quarantined", (self.liar()["quarantined"], self.liar()["slots"]), (True, 0))
            self.expect("true answers", all(self.doubles(4)), True)
        else:
            until("it is found again", lambda: self.doubles(1) and self.liar()["quarantined"], 60)
        del cluster.tasks_of["node-2"]
        renew(cluster, "node-2")
        until("another key ends it", lambda: self.liar()["quarantined"] is False, 20)

    def strike_keys_dropped(self, point, action):
        """A start drops them, so the coordinator dies before it is whole."""
        cluster = self.cluster
        own = self.name()
        _, opened = cluster.request("POST", "/v1/sessions", {}, own)
        cluster.kill("coordinator")
        with contextlib.closing(sqlite3.connect(cluster.data / "ledger.db")) as file, file:
            there = file.execute("SELECT count(*) FROM keys WHERE scope LIKE 'open:%'").fetchone()[0]
            session = file.execute("SELECT max(id) FROM sessions").fetchone()[0]
            more = OPENING_KEYS_MAX + 100 - there
            file.executemany("INSERT INTO keys VALUES ('open:other', ?, zeroblob(32), ?, 0, 0)",
                             ((f"{point} {action} {number}", session) for number in range(more)))
        process = cluster.launch("coordinator", *cluster.coordinator_arguments(), failpoint=f"{point}:1:{action}")
        died_at(process, lambda: cluster.log("coordinator"), point, action)
        with contextlib.closing(sqlite3.connect(cluster.data / "ledger.db")) as file:
            kept = file.execute("SELECT count(*) FROM keys WHERE scope LIKE 'open:%'").fetchone()[0]
        self.expect("opening keys", kept, OPENING_KEYS_MAX + (0 if point.endswith(".after") else 100))
        cluster.start_coordinator()
        self.expect("opening keys", stored(cluster, "SELECT count(*) FROM keys WHERE scope LIKE 'open:%'"), [(OPENING_KEYS_MAX,)])
        self.await_whole()
        self.expect("a key of another tenant", cluster.request("POST", "/v1/sessions", {}, own), (201, opened))


def rows(points, only, say):
    """Strikes at each of ROWS. Returns how many."""
    strikes = [(name, point, action) for prefix, name in ROWS.items() for point in points
               if point.startswith(prefix + ".") and point.startswith(only)
               for action in ("kill", "power", *(["fail"] if fails_alone(point) else []))]
    if not strikes:
        return 0
    case = Rows()
    try:
        for name, point, action in strikes:
            began = time.monotonic()
            if name == "keys_dropped":
                case.strike_keys_dropped(point, action)
            else:
                case.strike(name, point, action)
            say(f"row {point}:{action} {time.monotonic() - began:.1f} s")
    except (Lost, AssertionError) as problem:
        raise Lost(f"row {point}:{action}: {problem}\n{case.cluster.log('coordinator')}") from problem
    finally:
        case.cluster.close()
        case.pool.shutdown()
    return len(strikes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="PREFIX", help="points whose names begin so")
    options = parser.parse_args()

    def say(line):
        print(line, file=sys.stderr)

    points = failpoints()
    if not points:
        print("failpoint_rounds: this build has none: configure it with -DFORERUN_FAILPOINTS=ON", file=sys.stderr)
        return 1
    try:
        first = first_start(points, options.only, say)
        apart = diverged(points, options.only, say)
        alone = rows(points, options.only, say)
    except (Lost, AssertionError, subprocess.TimeoutExpired) as problem:
        print(f"failpoint_rounds: {problem}", file=sys.stderr)
        return 1
    rounds = FailpointRounds(options.seed)
    return guarded(rounds, lambda: {"first_starts": first, "diverged": apart, "rows": alone, **rounds.run(options.only, say)},
                   f"failpoint_rounds: seed {options.seed}")


if __name__ == "__main__":
    sys.exit(main())
