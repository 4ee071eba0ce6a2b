"""Session state and effects over real processes: kill -9 of the coordinator while effects are on their way to a real
HTTP receiver that counts keys."""
import collections
import http.server
import json
import random
import threading
import unittest

from harness import NOTE_CATALOG, Cluster, until

TASK = '''
import json, sys
call = json.load(sys.stdin)
state, n = call["state"], call["input"]["n"]
seen = state.get("seen", [])
print(json.dumps({
    "output": {"before": seen},
    "writes": {"seen": seen + [n], "last": n},
    "effects": [{"http": {"method": "POST", "url": "http://%s/hook", "body": {"n": n, "part": part}}}
                for part in range(2)]}))
'''


class Receiver(http.server.ThreadingHTTPServer):
    """Counts what arrives, by key; refuses a share of it. Holds the next request at `hold_at`, one of POINTS, until
    `go_on` is set."""

    POINTS = ["arrived", "counted", "refused", "answered"]

    def __init__(self, refuses=0.0, host="127.0.0.1"):
        self.lock = threading.Lock()
        self.bodies = {}
        self.counts = collections.Counter()
        self.order = []
        self.problems = []
        self.refuses = refuses
        self.hold_at = None
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.random = random.Random(7)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                key = self.headers["Idempotency-Key"]
                receiver.pass_by("arrived")
                with receiver.lock:
                    refused = receiver.random.random() < receiver.refuses or receiver.hold_at == "refused"
                    if not refused:
                        if receiver.bodies.setdefault(key, body) != body:
                            receiver.problems.append(f"key {key} came with two bodies")
                        receiver.counts[key] += 1
                        receiver.order.append((body["n"], body["part"]))
                receiver.pass_by("counted")
                self.send_response(503 if refused else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                self.wfile.flush()
                receiver.pass_by("refused")
                receiver.pass_by("answered")

            def log_message(self, *_):
                pass

        super().__init__((host, 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        """HOST:PORT."""
        return "%s:%d" % self.server_address

    def pass_by(self, point):
        if self.hold_at == point:
            self.hold_at = None
            self.reached.set()
            self.go_on.wait(30)

    def handle_error(self, *_):
        pass  # The node that asked was killed.


class EffectsTest(unittest.TestCase):
    def start(self, refuses=0.0, *flags):
        self.receiver = Receiver(refuses)
        self.addCleanup(self.receiver.server_close)
        self.addCleanup(self.receiver.shutdown)
        cluster = Cluster(nodes=2, catalog=NOTE_CATALOG % self.receiver.address, flags=flags)
        self.addCleanup(cluster.close)
        (cluster.tasks / "note.py").write_text(TASK % self.receiver.address)
        return cluster

    def expected_keys(self, cluster):
        """Of every committed effect, from the ledger alone."""
        folder = cluster.export("export-at-end")
        keys = {}
        for line in (folder / "ledger.jsonl").read_text().splitlines():
            entry = json.loads(line)
            if entry["kind"] == "commit" and entry["effects_hash"] is not None:
                for index in range(2):
                    keys[f"{entry['seed_chain']}-{index}"] = entry["step"]
        return keys

    def test_kill_9_loses_no_effect_and_invents_none(self):
        cluster = self.start(refuses=0.2)
        run_id = cluster.open(state={"seen": [], "kept": 1})
        dice = random.Random(11)
        for n in range(12):
            until(f"step {n}", lambda: cluster.request(
                "POST", f"/v1/sessions/{run_id}/steps", {"task": "note", "input": {"n": n}}, key=f"n{n}")[0] == 200, 20)
            if n % 2 == 1:
                # Somewhere between the decision, the sending, the answer and the note that it was delivered.
                threading.Event().wait(dice.random() * 0.05)
                cluster.kill("coordinator")
                cluster.start_coordinator()
        until("all effects are delivered",
              lambda: cluster.request("GET", "/v1/effects")[1]["waiting"] == 0, 60)
        shown = cluster.request("GET", f"/v1/sessions/{run_id}")[1]
        self.assertEqual(shown["state"], {"kept": 1, "last": 11, "seen": list(range(12))})
        self.assertEqual(shown["steps"][5]["output"], {"before": list(range(5))})
        keys = self.expected_keys(cluster)
        self.assertEqual(len(keys), 24)
        self.assertEqual(set(self.receiver.counts), set(keys))  # Each at least once, and no other key.
        self.assertEqual(self.receiver.problems, [])
        firsts = list(dict.fromkeys(self.receiver.order))
        self.assertEqual(firsts, [(n, part) for n in range(12) for part in range(2)])  # In step order.

    def kill_at_each_point(self, kill):
        cluster = self.start()
        run_id = cluster.open()
        for n, point in enumerate(Receiver.POINTS):
            receiver = self.receiver
            receiver.reached.clear()
            receiver.go_on.clear()
            receiver.hold_at = point
            self.assertEqual(cluster.step(run_id, "note", n=n)["status"], "ok")
            self.assertTrue(receiver.reached.wait(20), point)
            kill(cluster)
            receiver.go_on.set()
            until(f"both are delivered after a kill at {point}",
                  lambda: cluster.request("GET", "/v1/effects")[1]["waiting"] == 0, 60)
        self.assertEqual(set(self.receiver.counts), set(self.expected_keys(cluster)))
        self.assertEqual(len(self.receiver.counts), 2 * len(Receiver.POINTS))
        self.assertEqual(self.receiver.problems, [])

    def test_an_effect_is_delivered_wherever_its_coordinator_is_killed(self):
        def kill(cluster):
            cluster.kill("coordinator")
            cluster.start_coordinator()
        self.kill_at_each_point(kill)

    def test_an_effect_is_delivered_wherever_its_node_is_killed(self):
        def kill(cluster):
            for name in ["node-1", "node-2"]:
                cluster.kill(name)
            for name in ["node-1", "node-2"]:
                cluster.start_node(name)
        self.kill_at_each_point(kill)

    def test_a_receiver_that_is_not_allowed_gets_nothing(self):
        cluster = self.start()
        (cluster.tasks / "note.py").write_text(TASK.replace("/hook", "/elsewhere")
                                               % self.receiver.server_address[1])
        run_id = cluster.open()
        step = cluster.step(run_id, "note", n=1)
        self.assertEqual(step["status"], "failed")
        self.assertIn("not allowed", step["causes"][0])
        self.assertEqual(cluster.request("GET", f"/v1/sessions/{run_id}")[1]["state"], {})
        self.assertEqual(self.receiver.counts, {})

    def test_the_command_lists_what_is_not_delivered(self):
        cluster = self.start(refuses=1.0)
        run_id = cluster.open()
        cluster.step(run_id, "note", n=1)
        listed = until("an attempt failed", lambda: (lambda shown: shown if shown["effects"][0]["cause"] else None)(
            json.loads(cluster.command("effects", "list", "--url", "http://" + cluster.http).stdout)))
        self.assertEqual(listed["waiting"], 2)
        self.assertIn("status 503", listed["effects"][0]["cause"])
        dropped = cluster.command("effects", "drop", run_id, 0, 0, "--url", "http://" + cluster.http)
        self.assertEqual(dropped.returncode, 4, dropped.stderr)  # Only what is parked may be dropped.
        self.receiver.refuses = 0.0
        until("it is delivered", lambda: cluster.request("GET", "/v1/effects")[1]["waiting"] == 0, 20)

    def test_what_is_parked_is_redriven_or_dropped_by_command(self):
        cluster = self.start(1.0, "--effect-attempts", 1)

        def effects(*words, code=0):
            done = cluster.command("effects", *words, "--url", "http://" + cluster.http)
            self.assertEqual(done.returncode, code, done.stderr)
            return json.loads(done.stdout) if code == 0 else done.stderr

        def states():
            return [(effect["index"], effect["state"]) for effect in effects("list")["effects"]]

        run_id = cluster.open()
        cluster.step(run_id, "note", n=1)
        # The first is parked and holds back the second, which nothing has been sent of.
        until("it is parked", lambda: states() == [(0, "parked"), (1, "waiting")])
        self.assertEqual(effects("list")["parked"], 1)
        cluster.kill("coordinator")
        cluster.start_coordinator()  # What is parked stays so.
        until("it is parked still", lambda: states() == [(0, "parked"), (1, "waiting")])
        self.assertIn("RUN_ID and STEP", effects("redrive", code=2))
        self.assertEqual(effects("redrive", run_id, 0, 0), {"redriven": 1})
        until("it is parked again", lambda: states() == [(0, "parked"), (1, "waiting")])
        self.assertIn("status 404", effects("drop", run_id, 7, code=3))
        self.assertEqual(self.receiver.counts, {})
        self.assertEqual(effects("drop", run_id, 0), {"dropped": 1})
        until("the second is parked", lambda: states() == [(1, "parked")])
        self.receiver.refuses = 0.0
        self.assertEqual(effects("redrive", "--all"), {"redriven": 1})
        until("it is delivered", lambda: states() == [], 20)
        self.assertEqual(list(self.receiver.counts.values()), [1])
        self.assertEqual(self.receiver.order, [(1, 1)])
        self.assertEqual(cluster.request("POST", "/v1/effects/drop", {"all": True}), (200, {"dropped": 0}))
        status, problem = cluster.request("POST", "/v1/effects/redrive", {"all": 1})
        self.assertEqual((status, "all" in problem["detail"]), (400, True))


if __name__ == "__main__":
    unittest.main()
