"""Kills, stops and restarts coordinator and nodes at random while clients work, and checks what they saw against the ledger.

    python3 tests/cluster/kill_rounds.py [--rounds 50] [--seed 1]

Each round draws a victim and what happens to it: `kill -9`, an end in order, or a stop that outlasts the heartbeat's patience;
sometimes two at once, or all of them. Clients ask again under their Idempotency-Key until they are answered. After each round
everything runs again and every client has been answered at least once; then, or when a step took too long, it says so and the
seed. At the end all ledgers agree, `forerun verify` finds nothing, each step that was acknowledged is in its session with the
same decision, and no write ran twice.
"""
import argparse
import collections
import concurrent.futures
import http.client
import json
import pathlib
import random
import signal
import sys
import threading
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import Cluster, until

NODES = 3
CLIENTS = 4
STEPS_MAX = 6  # Of a session.
ANSWER_MAX_S = 60.0  # From a step's first try to its answer.
ROUND_MAX_S = 60.0
CHECK_EVERY = 10  # Rounds between two whole checks.
ACKNOWLEDGED = ("step", "task", "status", "output", "winner", "seed", "decision_hash", "seq")


class Lost(Exception):
    """Something that was promised does not hold."""


class Client:
    """One session after the other until it is told to end; keeps all that was acknowledged."""

    def __init__(self, cluster, number, seed):
        self.cluster = cluster
        self.prng = random.Random(f"{seed}/{number}")
        self.answered = 0
        self.sessions = {}  # Run ID -> steps as they were acknowledged.
        self.ends = threading.Event()

    def ask(self, method, path, body, key):
        """Asks until there is an answer that is one; returns it, or nothing at the end."""
        deadline = time.monotonic() + ANSWER_MAX_S
        while not self.ends.is_set():
            try:
                status, answer = self.cluster.request(method, path, body, key, timeout=5)
            except (OSError, http.client.HTTPException):
                status, answer = 0, None
            if status in (200, 201):
                self.answered += 1
                return answer
            if status not in (0, 503):
                raise Lost(f"{method} {path} {body}: {status} {answer}")
            if time.monotonic() > deadline:
                raise Lost(f"{method} {path} {body}: not answered within {ANSWER_MAX_S} s, last {status} {answer}")
            self.ends.wait(0.02)
        return None

    def run(self):
        while not self.ends.is_set():
            opened = self.ask("POST", "/v1/sessions", {}, str(uuid.UUID(int=self.prng.getrandbits(128))))
            if opened is None:
                return
            run_id = opened["run_id"]
            if run_id in self.sessions:
                raise Lost(f"run ID {run_id} was given twice")
            steps = self.sessions[run_id] = []
            for n in range(self.prng.randrange(1, STEPS_MAX + 1)):
                name = f"i{self.prng.randrange(4)}"
                call = self.prng.choice([("double", {"n": n}), ("double", {"n": n}), ("look_up", {"name": name}),
                                         ("vote", {"n": n}), ("append", {"name": f"{name}-{uuid.uuid4().hex}"})])
                step = self.ask("POST", f"/v1/sessions/{run_id}/steps", {"task": call[0], "input": call[1]},
                                str(uuid.UUID(int=self.prng.getrandbits(128))))
                if step is None:
                    return
                if step["step"] != n:
                    raise Lost(f"{run_id}: step {n} was answered as step {step['step']}")
                steps.append({name: step[name] for name in ACKNOWLEDGED})


class Rounds:
    def __init__(self, seed):
        self.prng = random.Random(seed)
        self.cluster = Cluster(nodes=NODES)
        self.clients = [Client(self.cluster, number, seed) for number in range(CLIENTS)]
        self.done = collections.Counter()

    def victims(self):
        everyone = ["coordinator"] + [f"node-{n}" for n in range(1, NODES + 1)]
        kind = self.prng.random()
        if kind < 0.1:
            return everyone
        if kind < 0.25:
            return self.prng.sample(everyone, 2)
        return [self.prng.choice(everyone)]

    def strike(self):
        """Returns what must be started, or go on, again."""
        struck = []
        for name in self.victims():
            how = self.prng.choice(["kill", "kill", "kill", "end", "stop"])
            process = self.cluster.processes[name]
            if how == "stop":
                process.send_signal(signal.SIGSTOP)
            elif how == "end":
                process.terminate()
            else:
                process.kill()
            self.done[f"{how} {name.split('-')[0]}"] += 1
            struck.append((name, how))
        return struck

    def put_right(self, struck):
        for name, how in sorted(struck):  # The coordinator first.
            if how == "stop":
                self.cluster.processes[name].send_signal(signal.SIGCONT)
                continue
            self.cluster.processes[name].wait(20)
            if name == "coordinator":
                self.cluster.start_coordinator()
            else:
                self.cluster.start_node(name)

    def one(self):
        time.sleep(self.prng.uniform(0, 0.4))  # The moment is drawn: it is what a round is about.
        struck = self.strike()
        time.sleep(self.prng.choice([0, 0, self.prng.uniform(0, 0.5), self.prng.uniform(2.5, 4)]))
        self.put_right(struck)
        before = [client.answered for client in self.clients]
        until("every node is back and every client is answered", lambda: self.fails() or (
            len(self.cluster.status()["nodes"]) == NODES and
            all(client.answered > was for client, was in zip(self.clients, before))), ROUND_MAX_S)
        return struck

    def fails(self):
        return any(future.done() and future.exception() for future in self.futures)

    def check(self):
        """All that was acknowledged so far, against the coordinator and the whole cluster."""
        acknowledged = 0
        for client in self.clients:
            for run_id, steps in list(client.sessions.items()):
                kept = list(steps)
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
                acknowledged += len(kept)
        return acknowledged

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

    def run(self, rounds, say):
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            self.futures = [pool.submit(client.run) for client in self.clients]
            try:
                for number in range(rounds):
                    struck = self.one()
                    if self.fails():
                        break
                    say(f"round {number}: " + ", ".join(f"{how} {name}" for name, how in struck))
                    if number % CHECK_EVERY == CHECK_EVERY - 1:
                        self.check()
            finally:
                for client in self.clients:
                    client.ends.set()
            for future in self.futures:
                future.result()
        acknowledged = self.check()
        verified = self.check_at_rest()
        return {"rounds": rounds, "acknowledged": acknowledged, "sessions": sum(len(c.sessions) for c in self.clients),
                "entries": verified["entries"], "done": dict(sorted(self.done.items()))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1, help="of victims, moments and calls; the machine does the rest")
    options = parser.parse_args()
    rounds = Rounds(options.seed)
    try:
        print(json.dumps(rounds.run(options.rounds, lambda line: print(line, file=sys.stderr))))
    except (Lost, AssertionError) as problem:
        for name in rounds.cluster.processes:
            print(f"--- {name}\n{rounds.cluster.log(name)}", file=sys.stderr)
        print(f"kill_rounds: {problem}; seed {options.seed}", file=sys.stderr)
        return 1
    finally:
        rounds.cluster.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
