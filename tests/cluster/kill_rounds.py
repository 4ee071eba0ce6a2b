"""Kills, stops and cuts off coordinator and nodes at random while clients work, and checks what they saw against the ledger.

    python3 tests/cluster/kill_rounds.py [--rounds 50] [--seed 1]

Each round draws a victim and what happens to it: `kill -9` at any moment or at a failpoint (base/failpoint.hpp), a cut of the
power that takes what was not synced, an end in order, a stop that outlasts the heartbeat's patience or strikes at a failpoint, or
a network in trouble: each node in a network namespace of its own, with packets cut off (both ways or one), lost, doubled,
overtaken, late or slow (wires.py); where there are no namespaces, a proxy's connections (proxy.py). Sometimes two at once, or
all of them. Clients send steps, lists of steps and texts, and ask again under their Idempotency-Key until they are answered; now
and then once more after that. After each round everything runs again, every client has been answered at least once, and what was
acknowledged since the last one is where it was. When a step took too long, or anything is lost, it says so and the seed. At the end:

- all ledgers agree, and `forerun verify` finds nothing;
- each step that was acknowledged is in its session with the same decision, those of a list in the list's order;
- a key that is asked again gets the session or the steps that it got;
- texts of a session are those that were sent, whole, in that order and behind the same step: each one that an acknowledged step
  of the same term followed, and of the rest any (a text's 204 does not wait for the disk, so a crash may take it);
- no write ran twice under one key;
- every effect of a commit was delivered, no other, and none under two keys;
- `forerun replay --speculation off` comes to the same decisions.
"""
import argparse
import collections
import concurrent.futures
import http.client
import json
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness
import wires
from harness import Cluster, until
from test_effects import Receiver

NODES = 3
CLIENTS = 4
REQUESTS_MAX = 6  # Of a session, each a step or a list of them.
LIST_SHARE = 0.25  # Of requests,
LIST_MAX = 6  # of so many calls; at least two.
TEXT_SHARE = 0.2  # Of requests, with a text before them.
AGAIN_SHARE = 0.15  # Of requests, asked once more when they were answered.
ANSWER_MAX_S = 60.0  # From a step's first try to its answer.
ROUND_MAX_S = 60.0
POINT_MAX_S = 30.0  # Until an armed failpoint is reached.
CHECK_ALL_EVERY = 10  # Rounds; between, what clients did since the last one is checked.
ACKNOWLEDGED = ("step", "task", "status", "output", "winner", "seed", "decision_hash", "seq")
COMMANDS_AGAIN_MAX = 1500  # Decisions; beyond it a replay takes what commands answered as recorded.
REFUSED_SHARE = 0.1  # Of effects, by their receiver.

CATALOG = harness.CATALOG + harness.NOTE_CATALOG + """[task.noop]
executor = "native"
effect   = "pure"
"""

NOTE = '''
import json, sys
n = json.load(sys.stdin)["input"]["n"]
print(json.dumps({"output": {"noted": n}, "effects": [
    {"http": {"method": "POST", "url": "http://%s/hook", "body": {"n": n, "part": part}}} for part in range(2)]}))
'''

ENDS = ("kill", "kill", "failpoint", "power", "exit-at", "stop-at", "end", "stop")
ACTIONS = {"failpoint": "kill", "power": "power", "exit-at": "exit", "stop-at": "stop"}  # At a failpoint (base/failpoint.hpp).

LINKS = {"wires": "a network namespace for each node", "proxies": "a proxy for each node"}

# What a round may draw; the rest needs a case of its own (failpoint_rounds.py).
AT_WORK = {
    "coordinator": ("ledger.term", "ledger.session", "ledger.ended", "ledger.said", "ledger.opening_key", "ledger.intent",
                    "ledger.commit", "ledger.effect", "ledger.delivered", "ledger.mark", "ledger.text", "ledger.written",
                    "coordinator.", "disk.write", "disk.sync"),
    "node": ("replica.append", "replica.written", "node.", "disk.write", "disk.sync"),
}


def failpoints():
    """The names of all that the program has."""
    listed = subprocess.run([harness.BINARY, "selftest", "--failpoints"], capture_output=True, text=True, check=True)
    return listed.stdout.split()


class Lost(Exception):
    """Something that was promised does not hold."""


def stored(cluster, sql, *values):
    """Rows of the coordinator's own file, read beside it."""
    connection = sqlite3.connect(f"file:{cluster.data / 'ledger.db'}?mode=ro", uri=True, timeout=20)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def texts_of(cluster, run_id):
    """(steps before it, text) of all that the store has of a session, in order."""
    home, _, counter = run_id.partition("/")
    return stored(cluster, "SELECT t.step, t.text FROM session_texts t JOIN sessions s ON s.id = t.session "
                  "WHERE s.home = ? AND s.counter = ? ORDER BY t.place", uuid.UUID(home).bytes, int(counter))


def check_texts(run_id, found, sent, sure):
    """Texts as they were sent; those at `sure` must be there. One that was sent twice may be there twice."""
    once = [text for at, text in enumerate(found) if at == 0 or found[at - 1] != text]
    rest = iter(enumerate(sent))
    places = []
    for text in once:
        place = next((at for at, other in rest if other == text), None)
        if place is None:
            raise Lost(f"{run_id}: the store has the text {text} behind {places}, sent were {sent}")
        places.append(place)
    lost = [sent[at] for at in sure if at not in places]
    if lost:
        raise Lost(f"{run_id}: acknowledged steps of the same term followed the texts {lost}, the store has {found}")


class Client:
    """One session after the other until it is told to end; keeps all that was acknowledged."""

    def __init__(self, cluster, number, seed):
        self.cluster = cluster
        self.prng = random.Random(f"{seed}/{number}")
        self.answered = 0
        self.sessions = {}  # Run ID -> steps as they were acknowledged.
        self.openings = {}  # Run ID -> the key that it was opened under.
        self.last = {}  # Run ID of an open session -> its latest request that was answered: body, key, steps.
        self.texts = {}  # Run ID -> (steps before it, text), as they were sent.
        self.sure = {}  # Run ID -> which of these an acknowledged step of the same term followed.
        self.counts = collections.Counter()
        self.ends = threading.Event()

    def ask(self, method, path, body, key):
        """Asks until there is an answer that is one; returns its status and what it says, or nothing at the end."""
        deadline = time.monotonic() + ANSWER_MAX_S
        while not self.ends.is_set():
            try:
                status, answer = self.cluster.request(method, path, body, key, timeout=5)
            except (OSError, http.client.HTTPException):
                status, answer = 0, None
            if status in (200, 201, 204) or (method == "DELETE" and status in (404, 409)):  # It had ended before.
                self.answered += 1
                return status, answer
            if status not in (0, 503):
                raise Lost(f"{method} {path} {body}: {status} {answer}")
            if time.monotonic() > deadline:
                raise Lost(f"{method} {path} {body}: not answered within {ANSWER_MAX_S} s, last {status} {answer}")
            self.ends.wait(0.02)
        return None

    def name(self):
        return uuid.UUID(int=self.prng.getrandbits(128)).hex

    def call(self, n):
        name = f"i{self.prng.randrange(4)}"
        task, call_input = self.prng.choice([
            ("double", {"n": n}), ("double", {"n": n}), ("look_up", {"name": name}), ("vote", {"n": n}),
            ("noop", {"n": n}), ("noop", {"n": n}), ("append", {"name": f"{name}-{self.name()}"}), ("note", {"n": self.name()})])
        return {"task": task, "input": call_input}

    def open(self):
        """Returns the run ID of another session."""
        key = self.name()
        opened = self.ask("POST", "/v1/sessions", {}, key)
        if opened is None:
            return None
        run_id = opened[1]["run_id"]
        if run_id in self.sessions:
            raise Lost(f"run ID {run_id} was given twice")
        self.openings[run_id] = key
        self.texts[run_id] = []
        self.sure[run_id] = []
        self.sessions[run_id] = []
        return run_id

    def epoch(self):
        """Of the coordinator; nothing while it cannot be asked."""
        try:
            return self.cluster.status()["epoch"]
        except (OSError, http.client.HTTPException):
            return None

    def say(self, run_id):
        """A text and then a request, until both are answered."""
        epoch = self.epoch()
        text = f"text {self.name()} " + "x" * self.prng.choice([0, 10, 1000])
        self.texts[run_id].append((len(self.sessions[run_id]), text))
        self.counts["texts"] += 1
        if self.ask("POST", f"/v1/sessions/{run_id}/text", {"text": text}, None) is None:
            return None
        answered = self.request(run_id)
        if answered is not None and epoch is not None and epoch == self.epoch():
            self.sure[run_id].append(len(self.texts[run_id]) - 1)
            self.counts["texts_sure"] += 1
        return answered

    def steps_of(self, run_id, body, answer, first):
        """What was answered, as it is kept; checks that it is the answer to these calls, in their order."""
        calls = body.get("calls", [body])
        steps = answer["steps"] if "calls" in body else [answer]
        if len(steps) != len(calls):
            raise Lost(f"{run_id}: {len(calls)} calls were answered with {len(steps)} steps: {answer}")
        for number, (call, step) in enumerate(zip(calls, steps), first):
            if step["step"] != number or step["task"] != call["task"]:
                raise Lost(f"{run_id}: step {number}, {call}, was answered as step {step['step']}, {step['task']}")
            if call["task"] == "double" and step["output"] != {"twice": 2 * call["input"]["n"]}:
                raise Lost(f"{run_id}: step {number}, {call}, was answered with {step['output']}")
        return [{name: step[name] for name in ACKNOWLEDGED} for step in steps]

    def request(self, run_id):
        """A step or a list of them, until it is answered."""
        steps = self.sessions[run_id]
        first = len(steps)
        if self.prng.random() < LIST_SHARE:
            calls = [self.call(first + at) for at in range(self.prng.randint(2, LIST_MAX))]
            body = {"calls": calls}
            self.counts["lists"] += 1
            self.counts["calls_in_lists"] += len(calls)
        else:
            body = self.call(first)
        key = self.name()
        answered = self.ask("POST", f"/v1/sessions/{run_id}/steps", body, key)
        if answered is None:
            return None
        steps += self.steps_of(run_id, body, answered[1], first)
        self.last[run_id] = (body, key, steps[first:])
        if self.prng.random() < AGAIN_SHARE:
            return self.again(run_id, *self.last[run_id])
        return answered

    def again(self, run_id, body, key, steps):
        """The same key gets the same steps."""
        self.counts["asked_again"] += 1
        answered = self.ask("POST", f"/v1/sessions/{run_id}/steps", body, key)
        if answered is not None:
            same = self.steps_of(run_id, body, answered[1], steps[0]["step"])
            if same != steps:
                raise Lost(f"{run_id}: {body} was answered with {steps}, and under the same key with {same}")
        return answered

    def run(self):
        while not self.ends.is_set():
            run_id = self.open()
            if run_id is None:
                return
            for _ in range(self.prng.randrange(1, REQUESTS_MAX + 1)):
                ask = self.say if self.prng.random() < TEXT_SHARE else self.request
                if ask(run_id) is None:
                    return
            if self.prng.random() < 0.7:
                self.last.pop(run_id, None)
                self.ask("DELETE", f"/v1/sessions/{run_id}", None, None)


class Rounds:
    def __init__(self, seed):
        self.prng = random.Random(seed)
        self.links = "wires" if wires.enter() else "proxies"
        self.receiver = Receiver(REFUSED_SHARE, wires.HUB if self.links == "wires" else "127.0.0.1")
        self.cluster = Cluster(nodes=NODES, catalog=CATALOG % self.receiver.address, links=self.links)
        (self.cluster.tasks / "note.py").write_text(NOTE % self.receiver.address)
        self.clients = [Client(self.cluster, number, seed) for number in range(CLIENTS)]
        self.done = collections.Counter()
        self.checked = {}  # Run ID -> so many of its steps are where they were acknowledged.
        self.points = failpoints()

    def close(self):
        self.cluster.close()
        self.receiver.shutdown()
        self.receiver.server_close()

    def victims(self):
        everyone = ["coordinator"] + [f"node-{n}" for n in range(1, NODES + 1)]
        kind = self.prng.random()
        if kind < 0.1:
            return everyone
        if kind < 0.25:
            return self.prng.sample(everyone, 2)
        return [self.prng.choice(everyone)]

    def arm(self, name, point, nth=1, action="kill", arguments=()):
        """Starts it again so that it meets its end there."""
        process = self.cluster.processes[name]
        process.terminate()
        process.wait(20)
        own = self.cluster.coordinator_arguments() if name == "coordinator" else self.cluster.node_arguments(name)
        return self.cluster.launch(name, *own, *arguments, failpoint=f"{point}:{nth}:{action}")

    def strike(self):
        """Returns what must be started, go on, or be connected again."""
        struck = []
        for name in self.victims():
            link = self.cluster.links.get(name)
            troubles = link.TROUBLES if link else {}
            how = self.prng.choice([*ENDS, *troubles])
            process = self.cluster.processes[name]
            kind = name.split("-")[0]
            if how == "stop":
                process.send_signal(signal.SIGSTOP)
            elif how == "end":
                process.terminate()
            elif how == "kill":
                process.kill()
            elif how in ACTIONS:
                point = self.prng.choice([p for p in self.points if p.startswith(AT_WORK[kind])])
                self.arm(name, point, self.prng.choice([1, 1, 2, 5, 20]), ACTIONS[how])
                self.done[f"{how} {kind}"] += 1
                struck.append((name, f"{how} {point}"))
                continue
            else:
                troubles[how](link, self.prng)
            self.done[f"{how} {kind}"] += 1
            struck.append((name, how))
        return struck

    def put_right(self, struck):
        for name, how in sorted(struck):  # The coordinator first.
            process = self.cluster.processes[name]
            if how == "stop" or (how.startswith("stop-at") and harness.is_stopped(process)):
                process.send_signal(signal.SIGCONT)
                continue
            if name in self.cluster.links and how in self.cluster.links[name].TROUBLES:
                self.cluster.links[name].heal()
                continue
            if how.split()[0] in ACTIONS:
                process.kill()  # Where the point was not reached in time.
            process.wait(20)
            self.start(name)

    def start(self, name):
        if name == "coordinator":
            self.cluster.start_coordinator()
        else:
            self.cluster.start_node(name)

    def await_whole(self):
        before = [client.answered for client in self.clients]
        until("every node is back and every client is answered", lambda: self.fails() or (
            len(self.cluster.status()["nodes"]) == NODES and
            all(client.answered > was for client, was in zip(self.clients, before))), ROUND_MAX_S)

    def one(self):
        time.sleep(self.prng.uniform(0, 0.4))  # The moment is drawn: it is what a round is about.
        struck = self.strike()
        time.sleep(self.prng.choice([0, 0, self.prng.uniform(0, 0.5), self.prng.uniform(2.5, 4)]))
        self.put_right(struck)
        self.await_whole()
        return struck

    def fails(self):
        return any(future.done() and future.exception() for future in self.futures)

    def check(self, all_of_them=True):
        """What was acknowledged so far, or since the last look, against the coordinator. Returns how many steps were looked at."""
        looked_at = 0
        for client in self.clients:
            for run_id, steps in list(client.sessions.items()):
                kept, sure = list(steps), list(client.sure[run_id])
                if not all_of_them and len(kept) == self.checked.get(run_id):
                    continue
                if client.texts[run_id]:
                    check_texts(run_id, texts_of(self.cluster, run_id), client.texts[run_id], sure)
                status, session = self.cluster.request("GET", f"/v1/sessions/{run_id}")
                if status != 200:
                    raise Lost(f"{run_id}: {status} {session}")
                found = [{name: step[name] for name in ACKNOWLEDGED if name in step} for step in session["steps"]]
                for step, there in zip(kept, found):
                    wrong = [name for name in there if there[name] != step[name]]
                    if wrong or "decision_hash" not in there:
                        raise Lost(f"{run_id} step {step['step']}: acknowledged {step}, the ledger has {there}")
                if len(found) < len(kept):
                    raise Lost(f"{run_id}: {len(kept)} steps were acknowledged, the ledger has {len(found)}")
                self.checked[run_id] = len(kept)
                looked_at += len(kept)
        return looked_at

    def check_keys(self):
        """Keys that are asked again: of all openings, and of the latest request of each open session."""
        for client in self.clients:
            client.ends.clear()
            for run_id, key in client.openings.items():
                _, again = client.ask("POST", "/v1/sessions", {}, key)
                if again["run_id"] != run_id:
                    raise Lost(f"{run_id} was opened under a key that opens {again['run_id']} now")
            for run_id, request in client.last.items():
                client.again(run_id, *request)

    def check_effects(self, export):
        """The export's effects were delivered, each under its own key; nothing else was."""
        keys = set()
        for line in (export / "ledger.jsonl").read_text().splitlines():
            entry = json.loads(line)
            if entry["kind"] == "commit" and entry["effects_hash"] is not None:
                keys |= {f"{entry['seed_chain']}-{index}" for index in range(2)}
        with self.receiver.lock:
            delivered = dict(self.receiver.bodies)
            problems = list(self.receiver.problems)
        if problems:
            raise Lost(f"effects: {problems[:3]}")
        if set(delivered) - keys:
            raise Lost(f"effects of no commit were delivered: {sorted(set(delivered) - keys)[:3]}")
        if keys - set(delivered):
            raise Lost(f"effects were not delivered: {sorted(keys - set(delivered))[:3]}")
        under = collections.Counter((body["n"], body["part"]) for body in delivered.values())
        twice = [which for which, count in under.items() if count > 1]
        if twice:
            raise Lost(f"an effect was delivered under two keys: {twice[:3]}")
        return len(keys)

    def check_replay(self, export, decisions):
        """The recorded sessions once more, without speculation; commands run again where they are not too many."""
        commands = ["--tasks-dir", str(self.cluster.tasks)] if decisions <= COMMANDS_AGAIN_MAX else []
        replayed = subprocess.run([harness.BINARY, "replay", str(export), "--speculation", "off", *commands],
                                  capture_output=True, text=True, timeout=600)
        if replayed.returncode != 0:
            raise Lost(f"replay without speculation: {replayed.returncode}: {replayed.stdout} {replayed.stderr[-500:]}")
        return json.loads(replayed.stdout)

    def check_at_rest(self):
        until("all ledgers agree", lambda: self.cluster.heads_agree(NODES), 20)
        verified = self.cluster.command("verify", "--url", f"http://{self.cluster.http}", "--output", "json")
        if verified.returncode != 0:
            raise Lost(f"verify: {verified.returncode}: {verified.stderr}")
        for log in self.cluster.tasks.glob("writes-*"):
            keys = log.read_text().split()
            if len(keys) != len(set(keys)):
                raise Lost(f"{log.name}: a write ran twice under one key: {keys}")
        return json.loads(verified.stdout)

    def work(self, meanwhile):
        """Runs clients beside `meanwhile`, then checks everything."""
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            self.futures = [pool.submit(client.run) for client in self.clients]
            try:
                meanwhile()
            finally:
                for client in self.clients:
                    client.ends.set()
            for future in self.futures:
                future.result()
        acknowledged = self.check()
        self.check_keys()
        export = self.cluster.folder / "export-at-end"
        self.cluster.request("POST", "/v1/effects/redrive", {"all": True})
        until("all effects are delivered", lambda: self.cluster.request("GET", "/v1/effects")[1]["waiting"] == 0, 60)
        verified = self.check_at_rest()
        self.cluster.export("export-at-end")
        effects = self.check_effects(export)
        replayed = self.check_replay(export, acknowledged)
        counts = sum((client.counts for client in self.clients), collections.Counter())
        return {"links": LINKS[self.links], "acknowledged": acknowledged,
                "sessions": sum(len(c.sessions) for c in self.clients), **dict(sorted(counts.items())), "entries": verified["entries"], "effects": effects, "replayed": replayed["decisions"],
                "not_replayed": replayed["not_replayed"], "differences": replayed["differences"],
                "done": dict(sorted(self.done.items()))}

    def run(self, rounds, say):
        def strikes():
            for number in range(rounds):
                struck = self.one()
                if self.fails():
                    break
                say(f"round {number}: " + ", ".join(f"{how} {name}" for name, how in struck))
                self.check(all_of_them=number % CHECK_ALL_EVERY == CHECK_ALL_EVERY - 1)
        return {"rounds": rounds, **self.work(strikes)}


def guarded(rounds, run, hint):
    """Runs it; prints the result, or what was lost with the ends of all logs. Returns the exit code."""
    try:
        print(json.dumps(run()))
    except (Lost, AssertionError, subprocess.TimeoutExpired) as problem:
        for name in rounds.cluster.processes:
            print(f"--- {name}\n{rounds.cluster.log(name)}", file=sys.stderr)
        print(f"{problem}; {hint}", file=sys.stderr)
        return 1
    finally:
        rounds.close()
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1, help="of victims, moments and calls; the machine does the rest")
    options = parser.parse_args()
    rounds = Rounds(options.seed)
    return guarded(rounds, lambda: rounds.run(options.rounds, lambda line: print(line, file=sys.stderr)),
                   f"kill_rounds: seed {options.seed}")


if __name__ == "__main__":
    sys.exit(main())
