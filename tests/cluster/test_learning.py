"""learn, predict and run, with real processes: what is taught and confirmed is predicted, also after kill -9."""
import gzip
import json
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

STEPS = [("double", {"n": 1}, {"twice": 2}), ("double", {"n": 2}, {"twice": 4}), ("vote", {"n": 3}, None)]


def session(name, steps=STEPS, with_outputs=True, **more):
    return {"session": name, "steps": [{"task": task, "input": call_input, **({"output": output} if with_outputs else {}),
                                        **more} for task, call_input, output in steps]}


class LearningTest(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(1)
        self.addCleanup(self.cluster.close)

    def write(self, name, sessions):
        path = self.cluster.folder / name
        text = "".join(json.dumps(each) + "\n" for each in sessions)
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
        return path

    def command(self, *arguments, code=0):
        done = self.cluster.command(*arguments, "--url", f"http://{self.cluster.http}", "--output", "json")
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout) if done.stdout else done.stderr

    def predict(self, run_id):
        return self.command("predict", run_id)

    def expected(self):
        """What is expected first in a new session, as (task, input)."""
        run_id = self.cluster.open(speculation="off")
        found = self.predict(run_id)["predictions"]
        return (found[0]["task"], found[0]["input"]) if found else None

    def restart(self):
        self.cluster.kill("coordinator")
        self.cluster.start_coordinator()
        until("the node is back", lambda: self.cluster.status()["nodes"])

    def test_learn_predict_run_restart_predict(self):
        traces = self.write("traces.jsonl.gz", [session(f"s{i}") for i in range(12)])
        learned = self.command("learn", traces)
        self.assertEqual(learned, {"sessions": 12, "steps": 36, "learned": 12, "learned_steps": 36, "known": 0,
                                   "refused": 0, "left": 0})
        first = ("double", {"n": 1})
        self.assertEqual(self.expected(), first)

        ran = self.command("run", self.write("written.jsonl", [session("w1", with_outputs=False),
                                                               session("w2", with_outputs=False)]), "--concurrency", 2)
        self.assertEqual((ran["sessions"], ran["steps"], ran["failed"], ran["stopped"]), (2, 6, 0, False))
        self.assertEqual(ran["hits"] + ran["late_hits"] + ran["misses"], 6)
        run = ran["runs"][0]
        self.assertEqual([step["task"] for step in run["steps"]], ["double", "double", "vote"])
        self.assertTrue(self.cluster.request("GET", f"/v1/sessions/{run['run_id']}")[1]["ended"])

        self.restart()
        self.assertEqual(self.expected(), first)
        until("all is learned again", lambda: self.cluster.status()["learning"]["left"] == 0)
        self.assertEqual(self.cluster.status()["learning"]["past_steps"], 42)
        # The same file again teaches nothing.
        self.assertEqual((lambda a: (a["learned"], a["known"]))(self.command("learn", traces)), (0, 12))

        self.assertEqual(self.command("learn", "--forget"), {"forgotten": 12})
        self.restart()
        until("all is learned again", lambda: self.cluster.status()["learning"]["left"] == 0)
        learning = self.cluster.status()["learning"]
        self.assertEqual((learning["past_steps"], learning["taught"]["sessions"]), (6, 0))

    def test_a_prediction_is_told_with_its_reasons_and_admission(self):
        self.command("learn", self.write("traces.jsonl", [session(f"s{i}") for i in range(8)]))
        run_id = self.cluster.open()
        told = self.predict(run_id)
        self.assertEqual((told["run_id"], told["after_step"], told["running"]), (run_id, None, []))
        best = told["predictions"][0]
        self.assertTrue(best["reasons"])
        self.assertEqual((best["admission"]["decision"], best["admission"]["because"]), ("waits", "budget empty"))
        text = self.cluster.command("predict", run_id, "--url", f"http://{self.cluster.http}")
        self.assertRegex(text.stdout, r"(?s)before its first step\n1\. .* %  double \{\"n\":1\}\n     because .*budget empty")
        missing = run_id.split("/")[0] + "/999999"
        self.assertIn("no such open session", self.command("predict", missing, code=3))

    def test_what_cannot_be_learned_is_named(self):
        broken = session("s7")
        del broken["steps"][1]["input"]
        status, problem = self.cluster.request("POST", "/v1/history", {"sessions": [session("s6"), broken]})
        self.assertEqual((status, problem["status"]), (400, 400))
        self.assertIn('session "s7": step 1: member "input"', problem["detail"])
        self.assertEqual(self.cluster.status()["learning"]["taught"]["sessions"], 0)
        huge = session("huge", [("double", {"n": "x" * 600_000}, None)] * 2)
        learned = self.command("learn", self.write("huge.jsonl", [session("a"), huge, session("b")]), code=4)
        self.assertEqual((learned["learned"], learned["refused"]), (2, 1))

    def test_run_compares_recorded_outputs(self):
        right = self.write("right.jsonl", [session("a", STEPS[:2])])
        self.assertEqual(self.command("run", right, "--expect")["differences"], 0)
        wrong = self.write("wrong.jsonl", [session("a", [("double", {"n": 1}, {"twice": 3})])])
        self.assertEqual(self.command("run", wrong, "--expect", code=5)["differences"], 1)

    def test_run_reads_stdin_and_goes_on_with_the_same_key(self):
        text = json.dumps(session("a", with_outputs=False))
        def run(*more):
            done = subprocess.run([harness.BINARY, "run", "-", "--url", f"http://{self.cluster.http}", "--output", "json",
                                   *more], input=text, capture_output=True, text=True, timeout=30)
            self.assertEqual(done.returncode, 0, done.stderr)
            return json.loads(done.stdout)["runs"][0]["run_id"]
        self.assertEqual(run("--key", "mine"), run("--key", "mine"))
        self.assertNotEqual(run(), run())

    def test_run_names_what_fails_and_goes_on(self):
        mixed = self.write("mixed.jsonl", [session("bad", [("nothing", {}, None)]), session("good", STEPS[:1])])
        done = self.cluster.command("run", mixed, "--url", f"http://{self.cluster.http}", "--output", "json",
                                    "--concurrency", 1)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn('session "bad"', done.stderr)
        ran = json.loads(done.stdout)
        self.assertEqual((ran["failed_sessions"], ran["steps"]), (1, 1))

    def test_run_stops_cleanly_at_a_signal(self):
        gate = self.cluster.open_gate("g")
        slow = self.write("slow.jsonl", [session("slow", [("gate", {"name": "g"}, None), ("double", {"n": 1}, None)])])
        process = subprocess.Popen([harness.BINARY, "run", slow, "--url", f"http://{self.cluster.http}", "--output", "json"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until("the first step runs", lambda: (self.cluster.tasks / "started-g").exists())
        process.send_signal(signal.SIGINT)
        gate.write_text("")
        out, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 1, err)
        ran = json.loads(out)
        self.assertEqual((ran["stopped"], ran["steps"]), (True, 1))
        self.assertTrue(self.cluster.request("GET", f"/v1/sessions/{ran['runs'][0]['run_id']}")[1]["ended"])


class RecordedTest(unittest.TestCase):
    """`forerun predict --session`, without a cluster."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="forerun-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "train.jsonl").write_text("".join(json.dumps(session(f"t{i}")) + "\n" for i in range(10)))
        (self.folder / "one.jsonl").write_text(json.dumps(session("one")) + "\n")

    def predict(self, *arguments):
        return subprocess.run([harness.BINARY, "predict", *map(str, arguments)], capture_output=True, text=True, timeout=30)

    def test_a_place_in_a_recorded_session_is_predicted(self):
        done = self.predict(self.folder / "one.jsonl", "--train", self.folder / "train.jsonl", "--session", "one", "--at", 1,
                            "--output", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual((told["after_step"], told["learned"], told["recorded"]["rank"]), (0, {"sessions": 10, "steps": 30}, 1))
        self.assertEqual(told["predictions"][0]["input"], {"n": 2})
        text = self.predict(self.folder / "one.jsonl", "--train", self.folder / "train.jsonl", "--session", "one", "--at", 1)
        self.assertRegex(text.stdout, r'recorded: double \{"n":2\}  \(rank 1\)\n$')

    def test_what_is_not_there_is_not_found(self):
        for arguments, message in ((("--session", "onne"), 'did you mean "one"'),
                                   (("--session", "one", "--at", 4), "has 3 steps")):
            done = self.predict(self.folder / "one.jsonl", *arguments)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn(message, done.stderr)


if __name__ == "__main__":
    unittest.main()
