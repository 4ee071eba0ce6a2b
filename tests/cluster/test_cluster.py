"""What must hold with real processes, a real wire, failing disks and kill -9."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
import auditor
import forerun
import harness
from harness import Cluster, until


class ClusterTest(unittest.TestCase):
    nodes = 2

    def setUp(self):
        self.cluster = Cluster(self.nodes)
        self.addCleanup(self.cluster.close)

    def confirm_in_background(self, run_id, task, key, **call_input):
        results = []

        def work():
            results.append(self.cluster.step(run_id, task, key, **call_input))
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread, results

    def test_a_long_session_comes_in_pages_and_is_told_whole(self):
        cluster = Cluster(1, catalog='[task.noop]\nexecutor = "native"\neffect = "pure"\n')
        self.addCleanup(cluster.close)
        run_id = cluster.open()
        answers = []
        for first in range(0, 600, 60):
            calls = [{"task": "noop", "input": {"n": n}} for n in range(first, first + 60)]
            answers += cluster.request("POST", f"/v1/sessions/{run_id}/steps", {"calls": calls})[1]["steps"]

        def page(query, what=""):
            status, shown = cluster.request("GET", f"/v1/sessions/{run_id}{what}{query}")
            self.assertEqual((status, shown["next_step"]), (200, 600), shown)
            return shown
        first = page("")
        self.assertEqual((first["first"], len(first["steps"])), (0, 512))
        rest = page("?from=512")
        self.assertEqual([step["decision_hash"] for step in first["steps"] + rest["steps"]], [answer["decision_hash"] for answer in answers])
        self.assertEqual([step["step"] for step in page("?from=598&count=7")["steps"]], [598, 599])
        self.assertEqual(page("?from=600")["steps"], [])
        # A page is explained as the whole is: the chain of its first step goes on from the step before.
        told = page("?from=511&count=2", "/explanation")["steps"]
        self.assertEqual([step["chain_before"] for step in told], [page(f"?from={n}&count=1", "/explanation")["steps"][0]["chain"] for n in (510, 511)])
        for at in (("--url", f"http://{cluster.http}"), ("--data", cluster.data)):
            whole = cluster.command("explain", run_id, "--output", "json", *at)
            self.assertEqual(whole.returncode, 0, whole.stderr)
            self.assertEqual([step["step"] for step in json.loads(whole.stdout)["steps"]], list(range(600)))
            one = cluster.command("explain", run_id, 599, "--output", "json", *at)
            self.assertEqual(json.loads(one.stdout)["decision_hash"], answers[-1]["decision_hash"])
            missing = cluster.command("explain", run_id, 600, *at)
            self.assertEqual(missing.returncode, 3)
            self.assertIn("step 600: the session has 600 decided steps", missing.stderr)
        with forerun.Client(f"http://{cluster.http}") as client:
            shown = client.resume(run_id).show()
        self.assertEqual((shown["first"], [step["step"] for step in shown["steps"]]), (0, list(range(600))))
        # A step that cannot be read any more is not left out, and nothing is signed over it.
        with contextlib.closing(sqlite3.connect(cluster.data / "ledger.db", timeout=10)) as database:
            database.execute("UPDATE entries SET leaf = substr(leaf, 1, 10) WHERE step = 9")
            database.commit()
        status, problem = cluster.request("GET", f"/v1/sessions/{run_id}?count=20")
        self.assertEqual(status, 404)
        self.assertIn("cannot be read back", problem["detail"])
        cluster.kill("coordinator")
        damaged = cluster.launch("damaged", *cluster.coordinator_arguments())
        self.assertEqual(damaged.wait(20), 5)
        self.assertIn("nothing of it is signed", cluster.log("damaged"))

    def test_an_open_session_of_many_steps_is_shown_and_repeated_whole(self):
        """Only its latest answers are in memory; the rest comes from the store, as before and after a restart."""
        cluster = self.cluster
        run_id = cluster.open()
        answers = [cluster.step(run_id, "yes", key=f"k{n}", n=n) for n in range(30)]

        def check():
            status, shown = cluster.request("GET", f"/v1/sessions/{run_id}")
            self.assertEqual((status, shown["next_step"], shown["ended"]), (200, 30, False))
            for step, answer in zip(shown["steps"], answers, strict=True):
                self.assertEqual(step, {name: answer[name] for name in step})
            for n in (0, 13, 29):
                self.assertEqual(cluster.step(run_id, "yes", key=f"k{n}", n=n), answers[n])
            self.assertEqual(cluster.request("POST", f"/v1/sessions/{run_id}/steps", {"task": "yes", "input": {"n": 5}},
                                             key="k0")[0], 422)
        check()
        cluster.kill("coordinator")
        cluster.start_coordinator()
        until("the nodes are back", lambda: len(cluster.status()["nodes"]) == 2)
        check()
        self.assertEqual(cluster.step(run_id, "yes", key="k30", n=30)["step"], 30)

    def test_steps_races_and_the_audit_of_their_ledger(self):
        cluster = self.cluster
        run_id = cluster.open(context="hello")
        for n in range(3):
            answer = cluster.step(run_id, "double", n=n)
            self.assertEqual(answer["output"], {"twice": 2 * n})
            self.assertEqual(answer["step"], n)
        self.assertIn(cluster.step(run_id, "vote")["winner"], ("yes", "no"))
        self.assertEqual(cluster.step(run_id, "careful")["winner"], "yes")
        self.assertEqual(cluster.step(run_id, "double", n=None)["status"], "failed")
        listed = cluster.request("POST", f"/v1/sessions/{run_id}/steps", {"calls": [
            {"task": "append", "input": {"name": "k"}}, {"task": "look_up", "input": {"name": "k"}}]})[1]["steps"]
        self.assertEqual(listed[1]["output"], {"value": "k"})
        shown = cluster.request("GET", f"/v1/sessions/{run_id}")[1]
        self.assertEqual(shown["next_step"], 8)
        status, ended = cluster.request("DELETE", f"/v1/sessions/{run_id}")
        self.assertEqual((status, ended["steps"]), (200, 8))
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        export = cluster.export()
        self.assertEqual(auditor.audit(export)["commit"], 8)
        lines = (export / "ledger.jsonl").read_text().splitlines()
        forged = [line.replace('"winning_branch_index":0', '"winning_branch_index":1') for line in lines]
        self.assertNotEqual(lines, forged)
        (export / "ledger.jsonl").write_text("\n".join(forged) + "\n")
        with self.assertRaises(auditor.Refused):
            auditor.audit(export)

    def test_errors_say_what_to_do(self):
        cluster = self.cluster
        run_id = cluster.open()
        steps = f"/v1/sessions/{run_id}/steps"
        status, problem = cluster.request("POST", steps, {"task": "doubel", "input": {}})
        self.assertEqual(status, 404)
        self.assertIn("double", problem["detail"])
        self.assertEqual(cluster.request("POST", steps, {"task": "double", "input": {"n": 1}, "expect_step": 4})[0], 409)
        self.assertEqual(cluster.request("POST", steps, {"tsak": "double"})[0], 400)
        self.assertEqual(cluster.request("GET", "/v1/nothing")[0], 404)
        self.assertEqual(cluster.request("POST", steps, {"task": "double", "input": {"n": 1}}, key="k")[0], 200)
        self.assertEqual(cluster.request("POST", steps, {"task": "double", "input": {"n": 2}}, key="k")[0], 422)
        broken = cluster.folder / "broken.toml"
        broken.write_text('[task.a]\nexecutor = "exec"\ncommnd = ["x"]\n')
        refused = cluster.command("coordinator", "--data", cluster.folder / "other", "--catalog", broken)
        self.assertEqual(refused.returncode, 2)
        self.assertRegex(refused.stderr, r"broken\.toml:3.*command")

    def test_a_killed_node_loses_nothing(self):
        cluster = self.cluster
        run_id = cluster.open()
        gate = cluster.open_gate("g")
        thread, results = self.confirm_in_background(run_id, "gate", None, name="g")
        started = cluster.tasks / "started-g"
        until("the task starts", lambda: started.exists() and started.read_text().count("\n") == 1)
        busy = until("one node is busy", lambda: [n["name"] for n in cluster.status()["nodes"] if n["busy"]])
        killed = time.monotonic()
        cluster.kill(busy[0])
        until("it runs elsewhere", lambda: started.read_text().count("\n") == 2, 4.0)
        self.assertLess(time.monotonic() - killed, 4.0)
        gate.write_text("")
        thread.join(10)
        self.assertEqual(results[0]["output"], {"passed": "g"})
        cluster.start_node(busy[0])
        until("the node is back and caught up", lambda: cluster.heads_agree(2))

    def test_a_silent_node_is_replaced_and_comes_back(self):
        cluster = self.cluster
        run_id = cluster.open()
        gate = cluster.open_gate("g")
        thread, results = self.confirm_in_background(run_id, "gate", None, name="g")
        started = cluster.tasks / "started-g"
        until("the task starts", started.exists)
        busy = until("one node is busy", lambda: [n["name"] for n in cluster.status()["nodes"] if n["busy"]])[0]
        cluster.processes[busy].send_signal(signal.SIGSTOP)
        until("it runs elsewhere", lambda: started.read_text().count("\n") == 2, 4.0)
        gate.write_text("")
        thread.join(10)
        self.assertEqual(results[0]["status"], "ok")
        cluster.processes[busy].send_signal(signal.SIGCONT)
        until("it is back and caught up", lambda: cluster.heads_agree(2))

    def test_a_killed_coordinator_keeps_what_it_acknowledged(self):
        cluster = self.cluster
        run_id = cluster.open()
        first = cluster.step(run_id, "double", key="one", n=1)
        gate = cluster.open_gate("g")
        connection = cluster.send_only("POST", f"/v1/sessions/{run_id}/steps",
                                       {"task": "gate", "input": {"name": "g"}}, "two")
        until("the task starts", (cluster.tasks / "started-g").exists)
        epoch = cluster.status()["epoch"]
        cluster.kill("coordinator")
        connection.close()
        cluster.start_coordinator()
        until("both nodes rejoin", lambda: len(cluster.status()["nodes"]) == 2)
        self.assertGreater(cluster.status()["epoch"], epoch)
        for name in ("node-1", "node-2"):  # Once for the first coordinator, once for the second.
            self.assertEqual(len(re.findall(f"joined {name} ", cluster.log("coordinator"))), 2, cluster.log("coordinator"))
            self.assertLessEqual(cluster.log(name).count(" joined\n"), 2, cluster.log(name))
        shown = cluster.request("GET", f"/v1/sessions/{run_id}")[1]
        self.assertEqual([step["decision_hash"] for step in shown["steps"]], [first["decision_hash"]])
        again = cluster.step(run_id, "double", key="one", n=1)
        self.assertEqual(again["decision_hash"], first["decision_hash"])
        thread, results = self.confirm_in_background(run_id, "gate", "two", name="g")
        until("it starts again", lambda: (cluster.tasks / "started-g").read_text().count("\n") == 2)
        gate.write_text("")
        thread.join(10)
        self.assertEqual(results[0]["step"], 1)
        other = cluster.open()
        self.assertNotIn(other, (run_id,))
        self.assertTrue(other.split("/")[0] != run_id.split("/")[0] or
                        int(other.split("/")[1]) > int(run_id.split("/")[1]) + 1000)
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        self.assertEqual(auditor.audit(cluster.export())["epoch"], 2)

    def fill_disk(self, name, file, spare):
        """From now on no file of the process may grow further than this one by `spare` bytes: its writes fail."""
        limit = max(path.stat().st_size for path in file.parent.glob(file.name + "*")) + spare
        resource.prlimit(self.cluster.processes[name].pid, resource.RLIMIT_FSIZE, (limit, limit))

    def test_a_coordinator_whose_disk_fails_ends_and_loses_nothing_acknowledged(self):
        cluster = self.cluster
        run_id = cluster.open()
        answers = [cluster.step(run_id, "double", key="0", n=0)]
        self.fill_disk("coordinator", cluster.data / "ledger.db", 60_000)
        with self.assertRaises((OSError, http.client.HTTPException)):
            for n in range(1, 1000):
                answers.append(cluster.step(run_id, "double", key=str(n), n=n))
        self.assertEqual(cluster.processes["coordinator"].wait(15), 1, cluster.log("coordinator"))
        self.assertIn("the store failed, so nothing can be promised any more: ", cluster.log("coordinator"))
        cluster.start_coordinator()
        until("both nodes rejoin", lambda: len(cluster.status()["nodes"]) == 2)
        steps = cluster.request("GET", f"/v1/sessions/{run_id}")[1]["steps"]
        self.assertEqual([step["decision_hash"] for step in steps[:len(answers)]],
                         [answer["decision_hash"] for answer in answers])
        unanswered = len(answers)
        self.assertEqual(cluster.step(run_id, "double", key=str(unanswered), n=unanswered)["step"], unanswered)
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        auditor.audit(cluster.export())

    def test_a_node_whose_disk_fails_ends_and_catches_up_later(self):
        cluster = self.cluster
        run_id = cluster.open()
        cluster.step(run_id, "double", n=0)
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        self.fill_disk("node-1", cluster.folder / "node-1" / "replica.db", 20_000)
        steps = 1
        while cluster.processes["node-1"].poll() is None:
            self.assertEqual(cluster.step(run_id, "double", n=steps)["step"], steps)
            steps += 1
            self.assertLess(steps, 1000)
        self.assertEqual(cluster.processes["node-1"].returncode, 1, cluster.log("node-1"))
        self.assertIn("the node's store failed: ", cluster.log("node-1"))
        cluster.start_node("node-1")
        until("all ledgers agree", lambda: cluster.heads_agree(2))

    def test_a_write_in_flight_at_a_crash(self):
        cluster = self.cluster
        once, again = cluster.open(), cluster.open()
        gates = [cluster.open_gate("once"), cluster.open_gate("again")]
        bodies = {"once": {"task": "append", "input": {"name": "once", "gate": "once"}},
                  "again": {"task": "append_again", "input": {"name": "again", "gate": "again"}}}
        connections = [cluster.send_only("POST", f"/v1/sessions/{run}/steps", bodies[name], name)
                       for run, name in ((once, "once"), (again, "again"))]
        for name in bodies:
            until("the write starts", (cluster.tasks / f"writes-{name}").exists)
        cluster.kill("coordinator")
        for connection in connections:
            connection.close()
        # Without the write in its catalog a coordinator could not say what became of it.
        catalog = cluster.folder / "catalog.toml"
        text = catalog.read_text()
        self.assertIn("[task.append]", text)
        catalog.write_text(text.replace("[task.append]", "[task.renamed]"))
        refused = cluster.command(*cluster.coordinator_arguments())
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("`append` was under way", refused.stderr)
        catalog.write_text(text)
        cluster.start_coordinator()
        until("the idempotent one runs again",
              lambda: (cluster.tasks / "writes-again").read_text().count("\n") == 2)
        gates[1].write_text("")
        failed = cluster.request("POST", f"/v1/sessions/{once}/steps", bodies["once"], "once")[1]
        self.assertEqual(failed["status"], "failed")
        self.assertTrue(failed["causes"][0].startswith("unknown"), failed["causes"])
        self.assertEqual((cluster.tasks / "writes-once").read_text().count("\n"), 1)
        done = cluster.request("POST", f"/v1/sessions/{again}/steps", bodies["again"], "again")[1]
        self.assertEqual(done["status"], "ok")
        keys = (cluster.tasks / "writes-again").read_text().split()
        self.assertEqual(len(keys), 2)
        self.assertEqual(keys[0], keys[1])
        self.assertEqual(len(keys[0]), 64)

    def test_a_session_that_ended_before_a_crash_still_answers_its_keys(self):
        cluster = self.cluster
        run_id = cluster.open()
        first = cluster.step(run_id, "double", key="one", n=1)
        path = f"/v1/sessions/{run_id}"
        ended = cluster.request("DELETE", path)
        self.assertEqual(ended[0], 200, ended)
        cluster.kill("coordinator")
        cluster.start_coordinator()
        self.assertEqual(cluster.request("DELETE", path), ended)
        again = cluster.step(run_id, "double", key="one", n=1)
        self.assertEqual((again["decision_hash"], again["output"]), (first["decision_hash"], first["output"]))
        body = {"task": "double", "input": {"n": 2}}
        self.assertIn("another request", cluster.request("POST", path + "/steps", body, "one")[1]["detail"])
        status, refused = cluster.request("POST", path + "/steps", body, "two")
        self.assertEqual(status, 409)
        self.assertIn("has ended", refused["detail"])

    def test_one_owner_for_an_identity_and_for_a_data_directory(self):
        cluster = self.cluster
        second = cluster.command("coordinator", "--data", cluster.data, "--catalog", cluster.catalog, "--listen",
                                 "127.0.0.1:0", "--http", "127.0.0.1:0")
        self.assertEqual(second.returncode, 4, second.stderr)
        cluster.kill("node-1")
        copy = cluster.folder / "copy"
        shutil.copytree(cluster.folder / "node-1", copy)
        cluster.start_node("node-1")
        refused = cluster.command(*cluster.node_arguments("copy", copy))
        self.assertEqual(refused.returncode, 4, refused.stderr)
        self.assertIn("already served", refused.stderr)

    def test_a_revoked_key_is_shut_out(self):
        cluster = self.cluster
        self.assertEqual(cluster.command("keys", "revoke", "node-2", "--data", cluster.data).returncode, 0)
        until("the revoked node is gone", lambda: [n["name"] for n in cluster.status()["nodes"]] == ["node-1"])
        self.assertEqual(cluster.step(cluster.open(), "double", n=4)["output"], {"twice": 8})
        self.assertEqual(cluster.processes["node-2"].wait(15), 4)
        self.assertEqual(cluster.log("node-2").count("refuses this node's key"), 2)  # Soon, and at last.

    def test_a_node_that_gets_no_connection_says_why_once(self):
        cluster = self.cluster
        token = cluster.folder / "other.token"
        cluster.command("keys", "add", "node-1", "--data", cluster.folder / "other", "--out", token)

        def start(name, *arguments):
            with open(cluster.folder / f"{name}.log", "ab") as log:
                cluster.processes[name] = subprocess.Popen(
                    [harness.BINARY, *map(str, arguments)], stdout=subprocess.PIPE, stderr=log, text=True)
        start("stranger", *cluster.node_arguments("stranger"), "--token-file", token)
        arguments = cluster.node_arguments("lonely")
        arguments[arguments.index("--join") + 1] = "127.0.0.1:1"
        start("lonely", *arguments, "--token-file", cluster.folder / "node-1.token")
        until("it says that it is another cluster's",
              lambda: "is the token another cluster's" in cluster.log("stranger"))
        until("it says that nobody is there", lambda: "cannot be reached" in cluster.log("lonely"))
        time.sleep(2)  # Several more attempts.
        for name in ("stranger", "lonely"):
            self.assertIsNone(cluster.processes[name].poll())
            self.assertEqual(cluster.log(name).count("coordinator at"), 1, cluster.log(name))

    def restart_coordinator(self, *more):
        self.cluster.start_coordinator(*more)
        until("its nodes rejoin", lambda: len(self.cluster.status()["nodes"]) == self.running_nodes())

    def running_nodes(self):
        return sum(process.poll() is None for name, process in self.cluster.processes.items() if name != "coordinator")

    def back_up(self):
        """A copy of the coordinator's folder, taken while it does not run; it goes on afterwards."""
        self.cluster.kill("coordinator")
        backup = self.cluster.folder / "backup"
        shutil.copytree(self.cluster.data, backup)
        self.restart_coordinator()
        return backup

    def put_back(self, backup, *more):
        self.cluster.kill("coordinator")
        shutil.rmtree(self.cluster.data)
        os.rename(backup, self.cluster.data)
        self.restart_coordinator(*more)

    def test_a_node_that_diverged_keeps_both_heads_and_returns_only_by_resync(self):
        cluster = self.cluster
        run_id = cluster.open()
        cluster.step(run_id, "double", n=0)
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        backup = self.back_up()
        cluster.step(run_id, "double", n=1)
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        for name in ("node-1", "node-2"):
            cluster.kill(name)
        self.put_back(backup)
        cluster.add_node("node-3")  # It knows of nothing that was lost, so two histories begin.
        for n in range(7, 12):
            cluster.step(run_id, "double", n=n)
        for name in ("node-1", "node-2"):
            cluster.start_node(name)
            self.assertEqual(cluster.processes[name].wait(15), 5, cluster.log(name))
            proof = json.loads((cluster.folder / name / "divergence.json").read_text())
            self.assertEqual(sorted(proof), ["coordinator", "entry", "own", "own_signed", "why"])
            self.assertGreaterEqual(proof["own"]["size"], proof["own_signed"]["size"])
            for head in (proof["own_signed"], proof["coordinator"]):
                message = auditor.canonical({name: head[name] for name in ("epoch", "root", "size")})
                auditor.verify_signature(head["public_key"], message, head["signature"])
        refused = cluster.command(*cluster.node_arguments("node-1"))
        self.assertEqual(refused.returncode, 5, refused.stderr)
        self.assertIn("divergence.json", refused.stderr)
        for name in ("node-1", "node-2"):
            cluster.start_node(name, "--resync")
            self.assertTrue((cluster.folder / name / "divergence.before-resync-1.json").exists())
        self.assertEqual(cluster.step(run_id, "double", n=2)["step"], 6)
        until("all ledgers agree", lambda: cluster.heads_agree(3))

    def test_a_coordinator_put_back_without_its_nodes_ends_before_it_decides_anything(self):
        cluster = self.cluster
        run_id = cluster.open()
        cluster.step(run_id, "double", n=0)
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        backup = self.back_up()
        again = cluster.folder / "again"
        shutil.copytree(backup, again)
        cluster.step(run_id, "double", n=1)
        lost = cluster.status()["ledger"]["size"]
        until("all is signed", lambda: self.signed_size("node-1") == lost)
        for name in ("node-1", "node-2"):
            cluster.kill(name)
        self.put_back(backup)
        cluster.processes["node-1"].stdout.close()
        with open(cluster.folder / "node-1.log", "ab") as log:
            cluster.processes["node-1"] = subprocess.Popen(
                [harness.BINARY, *map(str, cluster.node_arguments("node-1"))], stdout=subprocess.PIPE, stderr=log)
        self.assertEqual(cluster.processes["coordinator"].wait(15), 5, cluster.log("coordinator"))
        self.assertRegex(cluster.log("coordinator"), f"node node-1 holds {lost} entries that this ledger's key has "
                         "signed, this store only [0-9]+: an older copy .* put the copy back again")
        self.put_back(again, "--adopt-wait-ms", 4000)  # As it says; only node-1 runs.
        self.assertIn("entries that this store had lost", cluster.log("coordinator"))
        until("all ledgers agree", lambda: cluster.heads_agree(1))

    def signed_size(self, name):
        """Entries of the node's replica under a head that the coordinator signed."""
        database = sqlite3.connect(f"file:{self.cluster.folder / name / 'replica.db'}?mode=ro", uri=True)
        with contextlib.closing(database):
            return (database.execute("SELECT size FROM head").fetchone() or [0])[0]

    def test_a_coordinator_put_back_from_a_copy_adopts_what_its_nodes_hold(self):
        cluster = self.cluster
        gone_on, waiting = cluster.open(), cluster.open()
        for run_id in (gone_on, waiting):
            cluster.step(run_id, "double", n=0)
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        backup = self.back_up()
        for n in range(1, 4):
            cluster.step(gone_on, "double", n=n)
        never_seen = cluster.open()
        cluster.step(never_seen, "double", n=9)
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        lost = cluster.status()["ledger"]
        for name in ("node-1", "node-2"):  # An entry that was never signed is nobody's to adopt.
            until("all is signed", lambda: self.signed_size(name) == lost["size"])
        self.put_back(backup)
        self.assertRegex(cluster.log("coordinator"), r"adopted [0-9]+ entries that this store had lost, from node ")
        self.assertGreater(cluster.status()["ledger"]["size"], lost["size"])
        self.assertEqual(cluster.step(waiting, "double", n=1)["step"], 1)
        status, problem = cluster.request("POST", f"/v1/sessions/{gone_on}/steps", {"task": "double", "input": {"n": 4}})
        self.assertEqual((status, problem["detail"].endswith("has ended: open another one")), (409, True), problem)
        self.assertEqual(cluster.request("GET", f"/v1/sessions/{never_seen}")[0], 404)
        self.assertGreater(int(cluster.open().split("/")[1]), int(never_seen.split("/")[1]))
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        verified = cluster.command("verify", "--url", f"http://{cluster.http}", "--output", "json")
        self.assertEqual(verified.returncode, 0, verified.stderr)
        cluster.kill("coordinator")
        cluster.start_coordinator()  # What was adopted is durable, and holds.
        self.assertEqual(cluster.step(waiting, "double", n=2)["step"], 2)

    def test_a_changed_replica_is_found_and_resynced(self):
        cluster = self.cluster
        cluster.step(cluster.open(), "double", n=1)
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        cluster.processes["node-1"].terminate()
        cluster.processes["node-1"].wait()
        database = sqlite3.connect(cluster.folder / "node-1" / "replica.db")
        leaf = database.execute("SELECT leaf FROM entries WHERE seq = 1").fetchone()[0]
        forged = leaf.replace('"winning_branch_index":0', '"winning_branch_index":9')
        self.assertNotEqual(leaf, forged)
        database.execute("UPDATE entries SET leaf = ? WHERE seq = 1", (forged,))
        database.commit()
        database.close()
        refused = cluster.command(*cluster.node_arguments("node-1"))
        self.assertEqual(refused.returncode, 5, refused.stderr)
        self.assertIn("--resync", refused.stderr)
        cluster.start_node("node-1", "--resync")
        until("it is back with the same ledger", lambda: cluster.heads_agree(2))

    def test_a_damaged_ledger_is_signed_by_nobody(self):
        cluster = self.cluster
        run_id = cluster.open()
        for n in range(3):
            cluster.step(run_id, "double", n=n)
        self.assertEqual(cluster.command("ledger", "head", "--data", cluster.data).returncode, 0)
        cluster.kill("coordinator")

        def ledger(statement):
            database = sqlite3.connect(cluster.data / "ledger.db")
            with database:
                database.execute(statement)
            database.close()
        start = ("coordinator", "--data", cluster.data, "--catalog", cluster.catalog, "--listen", cluster.listen,
                 "--http", cluster.http)
        fork = cluster.folder / "fork"
        for damage, repair in (
                # No hash of the entry itself covers this field, only the root does.
                ("UPDATE entries SET leaf = replace(leaf, '\"wasted_ms\":0', '\"wasted_ms\":1') WHERE seq = 2",
                 "UPDATE entries SET leaf = replace(leaf, '\"wasted_ms\":1', '\"wasted_ms\":0') WHERE seq = 2"),
                ("UPDATE entries SET seq = 1000 WHERE seq = 3", "UPDATE entries SET seq = 3 WHERE seq = 1000")):
            ledger(damage)
            for command in (("ledger", "head", "--data", cluster.data), ("ledger", "prove", 1, "--data", cluster.data),
                            ("ledger", "export", fork, "--data", cluster.data), start):
                refused = cluster.command(*command)
                self.assertEqual((refused.returncode, refused.stdout), (5, ""), refused.stderr)
                self.assertRegex(refused.stderr, r"ledger\.db: entr(y|ies) .*found .*, expected .*put back")
            self.assertFalse(fork.exists())
            ledger(repair)
        cluster.start_coordinator()
        until("both nodes rejoin", lambda: len(cluster.status()["nodes"]) == 2)
        self.assertEqual(cluster.step(run_id, "double", n=3)["step"], 3)
        os.rename(cluster.data / "keys", cluster.data / "keys.away")
        self.assertEqual(cluster.command("ledger", "head", "--data", cluster.data).returncode, 3)
        self.assertFalse((cluster.data / "keys").exists())

    def test_a_client_that_leaves_ends_its_wait_not_its_step(self):
        cluster = self.cluster
        run_id = cluster.open()
        gate = cluster.open_gate("g")
        connection = cluster.send_only("POST", f"/v1/sessions/{run_id}/steps",
                                       {"task": "gate", "input": {"name": "g"}}, "k")
        until("the task starts", (cluster.tasks / "started-g").exists)
        connection.close()
        gate.write_text("")
        until("the step is committed", lambda: cluster.request("GET", f"/v1/sessions/{run_id}")[1]["next_step"] == 1)
        self.assertEqual(cluster.step(run_id, "gate", "k", name="g")["step"], 0)


class DevTest(unittest.TestCase):
    def test_dev_starts_again_on_kept_data(self):
        folder = pathlib.Path(harness.tempfile.mkdtemp(prefix="forerun-test-"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "catalog.toml").write_text(harness.CATALOG)
        for _ in range(2):
            process = subprocess.Popen([harness.BINARY, "dev", folder / "catalog.toml", "--data", folder / "data"],
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "Ctrl-C" in line:
                    break
            process.terminate()
            process.wait(20)
            process.stdout.close()
            self.assertTrue(lines and "Ctrl-C" in lines[-1], lines)

    def test_dev_prints_curl_lines_that_work_and_leaves_nothing(self):
        folder = pathlib.Path(harness.tempfile.mkdtemp(prefix="forerun-test-"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "tasks.py").write_text(harness.TASKS)
        (folder / "catalog.toml").write_text(harness.CATALOG)
        process = subprocess.Popen([harness.BINARY, "dev", folder / "catalog.toml"], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(process.stdout.close)
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        curls = [line for line in lines if line.strip().startswith("curl")]
        self.assertEqual(len(curls), 3)
        for line in curls:
            done = subprocess.run(["sh", "-c", line.strip() + " --fail"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, line + done.stderr)
            json.loads(done.stdout)
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        self.assertEqual(len(children), 2)
        process.terminate()
        process.wait(20)
        self.assertFalse([pid for pid in children if pathlib.Path(f"/proc/{pid}").exists()])


if __name__ == "__main__":
    unittest.main()
