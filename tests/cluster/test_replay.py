"""`forerun replay`: exported sessions run again on throw-away clusters, and every decision compared."""
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness
from harness import Cluster, until
from test_effects import Receiver

CATALOG = """
[task.echo]
executor = "exec"
command  = ["cat"]
effect   = "pure"
sandbox  = false
[task.gate]
executor = "exec"
command  = ["sh", "-c", "input=$(cat); echo x >> started; cat gate > /dev/null; echo \\"$input\\""]
effect   = "pure"
sandbox  = false
[task.model]
executor = "exec"
command  = ["sh", "-c", "cat > /dev/null; echo $$"]
effect   = "pure"
deterministic = false
sandbox  = false
[task.broken]
executor = "exec"
command  = ["sh", "-c", "cat > /dev/null; echo out of paper >&2; exit 3"]
effect   = "pure"
sandbox  = false
[task.late]
executor = "exec"
command  = ["sh", "-c", "sleep 60"]
effect   = "pure"
timeout_ms = 200
sandbox  = false
[task.lines]
executor = "exec"
command  = ["sh", "-c", "cat > /dev/null; cat written | wc -l"]
effect   = "read"
reads    = ["written"]
sandbox  = false
[task.append]
executor = "exec"
command  = ["sh", "-c", "cat > /dev/null; echo x >> written; echo null"]
effect   = "write"
writes   = ["written"]
sandbox  = false
[race.even]
branches = ["broken", "echo", "model"]
[race.cascade]
branches = ["late", "echo"]
select   = "ordered"
[race.drawn]
branches = ["model", "echo", "broken"]
select   = "seeded"
valid    = [{ branch = "echo", pointer = "/n", at_least = 1 }]
[race.fastest]
branches = ["late", "broken", "echo", "model"]
select   = "first"
[race.hopeless]
branches = ["broken", "late"]
"""


def processes_below(pid):
    """Live children of a process, as pairs of PID and command line."""
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
                if int(stat.rpartition(")")[2].split()[1]) == pid:
                    found.append((int(folder.name), (folder / "cmdline").read_text().split("\0")))
            except OSError:
                pass
    return found


def open_for_those_who_wait(gate):
    """Lets every reader of a named pipe see its end; nothing when there is none."""
    with contextlib.suppress(OSError):
        os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))


class ReplayTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Three sessions over two terms, one of them still open, exported while the cluster runs."""
        cls.cluster = Cluster(2, CATALOG)
        cls.addClassCleanup(cls.cluster.close)
        cluster = cls.cluster
        (cluster.tasks / "gate").touch()
        (cluster.tasks / "written").touch()
        cls.runs = [cluster.open() for _ in range(3)]
        for number, run_id in enumerate(cls.runs):
            cls.confirm(run_id, number, ["echo", "model", "even", "lines", "append", "lines", "broken"])
        cluster.kill("coordinator")
        cluster.start_coordinator()
        until("the nodes are back", lambda: sum(node["live"] for node in cluster.status()["nodes"]) == 2)
        for number, run_id in enumerate(cls.runs):
            cls.confirm(run_id, number, ["cascade", "drawn", "fastest", "echo", "echo", "hopeless"])
        cls.confirm(cls.runs[0], 0, ["gate", "late", "model"])
        cluster.request("POST", f"/v1/sessions/{cls.runs[1]}/steps", {"calls": [
            {"task": "append", "input": {}}, {"task": "echo", "input": {"n": 7}}, {"task": "lines", "input": {}}]})
        cluster.request("DELETE", f"/v1/sessions/{cls.runs[1]}")
        cls.export = cluster.export()
        cls.decisions = 3 * 13 + 3 + 3

    @classmethod
    def confirm(cls, run_id, number, tasks):
        for task in tasks:
            cls.cluster.step(run_id, task, n=number)

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="forerun-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def start(self, *flags, export=None, tasks=None):
        return subprocess.Popen([harness.BINARY, "replay", str(export or self.export), "--tasks-dir",
                                 str(tasks or self.cluster.tasks), *map(str, flags)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def replay(self, *flags, code=0, **where):
        process = self.start(*flags, **where)
        out, self.log = process.communicate(timeout=60)
        self.assertEqual(process.returncode, code, self.log)
        return json.loads(out) if out else None

    def check_equal(self, result):
        self.assertEqual(result["differences"], 0, self.log)
        self.assertEqual(result["decisions"], self.decisions)
        self.assertEqual(result["executed"] + result["as_recorded"], self.decisions)
        self.assertGreater(result["executed"], self.decisions // 3)
        self.assertGreater(result["as_recorded"], self.decisions // 3)

    def copy(self):
        copy = self.folder / "export"
        shutil.copytree(self.export, copy)
        return copy

    def test_one_worker_decides_as_the_whole_cluster_did_and_nothing_is_written(self):
        written = (self.cluster.tasks / "written").read_text()
        self.assertEqual(written.count("x"), 4)
        self.check_equal(self.replay("--nodes", 1, "--slots", 1, "--speculation", "off"))
        self.assertEqual((self.cluster.tasks / "written").read_text(), written)

    def test_sixteen_slots_with_speculation_decide_the_same(self):
        self.check_equal(self.replay("--nodes", 1, "--slots", 16))

    def test_eight_nodes_with_speculation_decide_the_same(self):
        result = self.replay("--nodes", 8, "--slots", 2)
        self.check_equal(result)
        self.assertEqual(result["nodes_live"], 8)

    def test_eight_nodes_without_speculation_decide_the_same(self):
        self.check_equal(self.replay("--nodes", 8, "--slots", 2, "--speculation", "off"))

    def test_sixteen_workers_decide_the_same(self):
        self.check_equal(self.replay("--nodes", 1, "--workers", 16, "--slots", 1, "--concurrency", 3))

    def test_a_node_that_is_killed_meanwhile_changes_no_decision(self):
        tasks = self.folder / "tasks"
        tasks.mkdir()
        os.mkfifo(tasks / "gate")
        started = tasks / "started"
        process = self.start("--nodes", 3, "--slots", 8, tasks=tasks)
        until("the gate's task runs", started.exists)
        nodes = [pid for pid, command in processes_below(process.pid) if "node" in command]
        self.assertEqual(len(nodes), 3)
        busy = [pid for pid in nodes if any("gate" in " ".join(command) for _, command in processes_below(pid))]
        self.assertEqual(len(busy), 1)
        os.kill(busy[0], signal.SIGKILL)
        until("it runs elsewhere", lambda: started.read_text().count("x") == 2)
        # The killed node's command may wait at the gate too, so it is opened until nobody comes any more.
        until("the replay ends", lambda: open_for_those_who_wait(tasks / "gate") or process.poll() is not None, 60)
        out, self.log = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, self.log)
        self.check_equal(json.loads(out))
        self.assertEqual(json.loads(out)["nodes_live"], 2)

    def test_a_branch_that_loses_node_after_node_is_no_difference(self):
        tasks = self.folder / "tasks"
        tasks.mkdir()
        os.mkfifo(tasks / "gate")
        started = tasks / "started"
        process = self.start("--nodes", 6, "--slots", 8, tasks=tasks)
        for lost in range(1, 5):  # A branch of a cluster that is no replay gives up at its third.
            until("the gate's task runs", lambda: started.exists() and started.read_text().count("x") == lost)
            nodes = [pid for pid, command in processes_below(process.pid) if "node" in command]
            os.kill(next(pid for pid in nodes if any("gate" in " ".join(command) for _, command in processes_below(pid))),
                    signal.SIGKILL)
        until("the replay ends", lambda: open_for_those_who_wait(tasks / "gate") or process.poll() is not None, 60)
        out, self.log = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, self.log)
        self.check_equal(json.loads(out))
        self.assertEqual(json.loads(out)["nodes_live"], 2)

    def test_a_node_that_is_killed_before_it_joined_changes_no_decision(self):
        process = self.start("--nodes", 3)
        def node():
            return next((pid for pid, command in processes_below(process.pid) if "node" in command), None)
        until("the first node starts", node)
        os.kill(node(), signal.SIGKILL)
        out, self.log = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, self.log)
        self.check_equal(json.loads(out))
        self.assertEqual(json.loads(out)["nodes_live"], 2)

    def test_a_cluster_without_nodes_fails_soon(self):
        tasks = self.folder / "tasks"
        tasks.mkdir()
        os.mkfifo(tasks / "gate")
        started = tasks / "started"
        process = self.start("--nodes", 2, "--slots", 8, tasks=tasks)
        until("the gate's task runs", started.exists)
        for pid in [pid for pid, command in processes_below(process.pid) if "node" in command]:
            os.kill(pid, signal.SIGKILL)
        _, said = process.communicate(timeout=20)  # A request may take a minute.
        self.assertEqual(process.returncode, 1, said)
        self.assertIn("every node has ended", said)

    def test_a_head_of_other_entries_is_found(self):
        copy = self.copy()
        head = json.loads((copy / "head.json").read_text())
        head["size"] += 1
        (copy / "head.json").write_text(json.dumps(head, sort_keys=True, separators=(",", ":")) + "\n")
        result = self.replay(code=5, export=copy)
        self.assertEqual((result["differences"], result["head_holds"]), (0, False))
        self.assertIn("head.json: size: found ", self.log)

    def test_a_task_that_answers_differently_is_found(self):
        result = self.replay("--plant", "wrong-output", code=5)
        self.assertGreater(result["differences"], 0)
        self.assertRegex(self.log, r"difference: run [0-9a-f-]{36}/\d+ step \d+ \(echo\): expected [0-9a-f]{64}, "
                                   r"found [0-9a-f]{64}; output_hash: expected")

    def test_a_forged_decision_is_found_also_when_its_hashes_are_right(self):
        copy = self.copy()
        lines = (copy / "ledger.jsonl").read_text().splitlines()
        at = next(i for i, line in enumerate(lines) if '"task":"echo"' in line and '"kind":"commit"' in line)
        entry = json.loads(lines[at])
        forged = json.dumps({"n": 41}, separators=(",", ":"))
        entry["output_hash"] = hashlib.sha256(forged.encode()).hexdigest()
        members = ("branch_names", "branch_validities", "deterministic_tie_breaker_seed", "effects_hash", "input_hash",
                   "output_hash", "run_id", "select", "step", "task", "winning_branch_index", "writes_hash")
        text = json.dumps({name: entry[name] for name in members}, sort_keys=True, separators=(",", ":"))
        entry["decision_hash"] = hashlib.sha256(text.encode()).hexdigest()
        lines[at] = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        (copy / "ledger.jsonl").write_text("\n".join(lines) + "\n")
        with open(copy / "outputs.jsonl", "a") as outputs:
            outputs.write(json.dumps({"output": {"n": 41}, "output_hash": entry["output_hash"]}) + "\n")
        result = self.replay(export=copy, code=5)
        self.assertEqual(result["differences"], 1)
        self.assertEqual(result["differing"][0]["expected"], entry["decision_hash"])

    def test_a_forged_winner_is_found(self):
        copy = self.copy()
        text = (copy / "ledger.jsonl").read_text()
        (copy / "ledger.jsonl").write_text(text.replace('"winning_branch_index":0', '"winning_branch_index":-1', 1))
        result = self.replay(export=copy, code=5)
        self.assertEqual(result["differences"], 1)
        self.assertIn("does not hold", self.log)

    def test_a_session_ends_where_its_input_was_erased(self):
        copy = self.copy()
        lines = (copy / "inputs.jsonl").read_text().splitlines()
        kept = [line for line in lines if '"task":"late"' not in line]
        self.assertEqual(len(lines) - len(kept), 1)
        (copy / "inputs.jsonl").write_text("\n".join(kept) + "\n")
        result = self.replay(export=copy)
        self.assertEqual((result["differences"], result["not_replayed"]), (0, 2))
        self.assertRegex(self.log, rf"not replayed: run {self.runs[0]} from step 14 \(2 decisions\): its input was erased")

    def test_one_session_is_replayed_alone_with_its_story(self):
        result = self.replay("--session", self.runs[0])
        self.assertEqual((result["sessions"], result["decisions"], result["differences"]), (1, 16, 0))
        story = result["story"]
        self.assertEqual([step["step"] for step in story], list(range(16)))
        fastest = next(step for step in story if step["task"] == "fastest")
        self.assertEqual(fastest["rank"][-1], fastest["winner"])
        late = next(step for step in story if step["task"] == "late")
        self.assertEqual(late["branches"], [{"name": "late", "valid": False, "how": "as recorded",
                                             "cause": "timed out after 200 ms"}])
        self.assertEqual(story[0]["branches"][0]["how"], "run again")
        self.assertTrue(all(step["recorded_hash"] == step["replayed_hash"] for step in story))
        self.assertIn("step 15  model", self.log)

    def test_without_the_tasks_all_is_taken_as_recorded(self):
        done = self.cluster.command("replay", self.export)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual((result["executed"], result["as_recorded"]), (0, self.decisions))
        self.assertIn("--tasks-dir", done.stderr)
        self.assertIn("no task was run again", done.stderr)

    def test_errors_say_what_to_do(self):
        self.replay("--session", "8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17", code=3)
        self.replay(export=self.folder / "none", code=3)
        self.replay("--nodes", 0, code=2)
        copy = self.copy()
        catalog = (copy / "catalog.toml").read_text()
        (copy / "catalog.toml").write_text(catalog.replace("[race.even]", "[race.odd]"))
        self.replay(export=copy, code=2)
        self.assertRegex(self.log, "step 2: .*even.*--catalog FILE")
        self.check_equal(self.replay("--catalog", self.export / "catalog.toml", export=copy))

    def test_only_a_coordinator_that_replays_takes_a_run_id(self):
        given = {"run_id": "8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17"}
        status, problem = self.cluster.request("POST", "/v1/sessions", given)
        self.assertEqual(status, 409)
        self.assertIn("forerun replay", problem["detail"])
        used = self.cluster.command("coordinator", "--data", self.folder / "used", "--catalog", self.cluster.catalog,
                                    "--replay", self.folder / "none")
        self.assertEqual(used.returncode, 3)


STATE_CATALOG = """
[effects]
allow = ["http://127.0.0.1:%d/hook"]
[task.add]
executor = "exec"
command  = ["python3", "state.py", "%d"]
effect   = "pure"
envelope = true
sandbox  = false
[task.draw]
executor = "exec"
command  = ["python3", "state.py", "%d"]
effect   = "pure"
envelope = true
deterministic = false
sandbox  = false
[task.save]
executor = "exec"
command  = ["python3", "state.py", "%d"]
effect   = "write"
envelope = true
sandbox  = false
"""

STATE_TASK = '''
import json, os, sys
call = json.load(sys.stdin)
seen = call["state"].get("seen", [])
hook = {"http": {"method": "POST", "url": "http://127.0.0.1:%s/hook" % sys.argv[1], "body": {"n": call["input"]["n"], "part": 0}}}
print(json.dumps({"output": {"before": seen, "by": call["input"].get("by") and os.getpid()},
                  "writes": {"seen": seen + [call["input"]["n"]]}, "effects": [hook]}))
'''


class StateReplayTest(unittest.TestCase):
    def test_state_writes_and_effects_are_replayed_and_nothing_is_delivered(self):
        receiver = Receiver()
        self.addCleanup(receiver.server_close)
        self.addCleanup(receiver.shutdown)
        port = receiver.server_port
        cluster = Cluster(2, STATE_CATALOG % (port, port, port, port))
        self.addCleanup(cluster.close)
        (cluster.tasks / "state.py").write_text(STATE_TASK)
        plain, opened, listed = cluster.open(), cluster.open(state={"seen": [7]}), cluster.open()
        for n, task in enumerate(["add", "add", "draw", "save", "add", "draw"]):
            cluster.step(plain, task, n=n, by=task == "draw")
        cluster.step(opened, "add", n=0)
        cluster.step(listed, "add", n=0)
        calls = [{"task": "add", "input": {"n": n}} for n in (1, 2)]
        status, _ = cluster.request("POST", f"/v1/sessions/{listed}/steps", {"calls": calls})
        self.assertEqual(status, 200)
        until("all effects are delivered", lambda: sum(receiver.counts.values()) >= 10 and
              cluster.request("GET", "/v1/effects")[1]["waiting"] == 0)
        delivered = sum(receiver.counts.values())
        export = cluster.export()
        verified = cluster.command("verify", "--offline", export)
        self.assertEqual((verified.returncode, json.loads(verified.stdout)["not_recomputed"]), (0, 0), verified.stderr)
        for flags in (["--nodes", 1, "--slots", 1, "--speculation", "off"], ["--nodes", 3]):
            done = cluster.command("replay", export, "--tasks-dir", cluster.tasks, *flags)
            self.assertEqual(done.returncode, 0, done.stderr)
            result = json.loads(done.stdout)
            # One session was opened with a state; a list's second call has not seen the first one's writes.
            self.assertEqual((result["decisions"], result["differences"], result["not_replayed"]), (10, 0, 0), done.stderr)
            self.assertEqual((result["executed"], result["as_recorded"]), (7, 3))
        self.assertEqual(sum(receiver.counts.values()), delivered)
        states = (export / "states.jsonl").read_text()
        self.assertIn('"state":{"seen":[7]}', states)
        (export / "states.jsonl").write_text(states.replace('{"seen":[7]}', '{"seen":[8]}'))
        changed = cluster.command("replay", export)
        self.assertEqual((changed.returncode, "states.jsonl" in changed.stderr), (5, True), changed.stderr)
        (export / "states.jsonl").write_text(states)
        lines = (export / "writes.jsonl").read_text().splitlines()
        (export / "writes.jsonl").write_text("\n".join(lines[1:]) + "\n")
        erased = cluster.command("verify", "--offline", export)
        self.assertEqual((erased.returncode, json.loads(erased.stdout)["not_recomputed"] > 0), (0, True), erased.stderr)
        (export / "writes.jsonl").write_text(lines[0].replace("[0]", "[9]") + "\n")
        forged = cluster.command("verify", "--offline", export)
        self.assertEqual(forged.returncode, 5)
        self.assertIn("writes.jsonl line 1: writes_hash: found ", forged.stderr)


if __name__ == "__main__":
    unittest.main()
