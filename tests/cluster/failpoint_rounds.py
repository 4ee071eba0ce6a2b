"""Kills the process at every failpoint that the program has, while clients work, and checks all that kill_rounds.py checks.

    python3 tests/cluster/failpoint_rounds.py [--seed 1] [--only PREFIX]

For each point and each process that passes it: the process is started with the point armed, must die there (by SIGKILL, and its
log names the point), starts again, and the cluster is whole again. Then the same with a cut of the power, which takes what no
disk has synced, and with system calls that fail. Points of a first start and of a node that diverged have clusters of their own.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness
from harness import Cluster, until
from kill_rounds import POINT_MAX_S, Lost, Rounds, failpoints, guarded

FIRST_START = ("file.", "store.", "disk.write", "disk.sync", "disk.synced", "ledger.term", "ledger.text", "ledger.written",
               "coordinator.recovered", "coordinator.persisted")
DIVERGED = ("divergence.",)
BOTH = ("disk.",)
NODES_OWN = ("file.", "store.", "replica.", "identity.", "node.")
FAILING = {"file.write": ("node-1",), "file.rename": ("node-1",), "disk.write": ("coordinator", "node-1"),
           "disk.sync": ("coordinator",), "disk.checkpoint": ("coordinator", "node-1")}
POWER = ("disk.", "ledger.", "coordinator.persisted", "coordinator.reply", "coordinator.send", "coordinator.publish",
         "replica.", "identity.")

# Passed all the time: a power cut comes when much was acknowledged since the start, so that a lost sync would show.
OFTEN = ("disk.write", "disk.sync", "ledger.commit", "ledger.written", "coordinator.persisted", "coordinator.reply",
         "coordinator.send", "coordinator.publish")


def victims_of(point):
    if point.startswith(BOTH):
        return ("coordinator", "node-1")
    return ("node-1",) if point.startswith(NODES_OWN) else ("coordinator",)


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
            elif point.startswith("ledger.history"):
                self.teach(point)
                time.sleep(0.1)
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
        apart = FIRST_START[:0] + DIVERGED
        for point in self.points:
            if point.startswith(apart) or not point.startswith(only):
                continue
            for name in victims_of(point):
                yield name, point, 1, "kill"
                if point.startswith(POWER):
                    yield name, point, self.prng.choice([5, 20, 40]) if point.startswith(OFTEN) else 1, "power"
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
    except (Lost, AssertionError) as problem:
        print(f"failpoint_rounds: {problem}", file=sys.stderr)
        return 1
    rounds = FailpointRounds(options.seed)
    return guarded(rounds, lambda: {"first_starts": first, "diverged": apart, **rounds.run(options.only, say)},
                   f"failpoint_rounds: seed {options.seed}")


if __name__ == "__main__":
    sys.exit(main())
