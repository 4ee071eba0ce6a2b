"""`forerun verify` on a running cluster: what it accepts, and that it names node, entry, found and expected."""
import json
import pathlib
import re
import signal
import sqlite3
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import TASKS, Cluster, until


class Verifier(unittest.TestCase):
    nodes = 2

    def setUp(self):
        self.cluster = Cluster(self.nodes)
        self.addCleanup(self.cluster.close)
        run_id = self.cluster.open()
        for n in range(6):
            self.cluster.step(run_id, "double", n=n)
        self.cluster.step(run_id, "vote")
        until("all ledgers agree", lambda: self.cluster.heads_agree(self.nodes))

    def verify(self, *more):
        done = self.cluster.command("verify", "--url", f"http://{self.cluster.http}", *more)
        self.assertNotEqual(done.stdout, "", done.stderr)
        return done.returncode, json.loads(done.stdout), done.stderr

    def in_replica(self, statement, name="node-2"):
        connection = sqlite3.connect(self.cluster.folder / name / "replica.db")
        with connection:
            connection.execute(statement)
        connection.close()

    def refuse(self, *said, more=()):
        code, report, problems = self.verify(*more)
        self.assertEqual((code, report["agree"]), (5, False), problems)
        for words in ("found ", "expected ", *said):
            self.assertIn(words, problems)


class VerifyTest(Verifier):
    def test_an_honest_cluster_agrees_and_runs_a_sample_again(self):
        key = self.cluster.request("GET", "/v1/status")[1]["ledger"]["public_key"]
        code, report, problems = self.verify("--key", key, "--sample", 5)
        self.assertEqual((code, problems), (0, ""))
        self.assertEqual(report, {"nodes": 2, "agree": True, "entries": report["entries"], "recomputed": 7,
                                  "not_recomputed": 0, "re_executed": 5})
        self.assertEqual(self.verify("--sample", 100)[1]["re_executed"], 7)

    def test_a_flipped_byte_in_a_nodes_store_is_found_where_it_is(self):
        # In a time, which no rule ties to anything: only the tree shows it.
        self.in_replica("UPDATE entries SET leaf = replace(leaf, '\"wasted_ms\":0', '\"wasted_ms\":1') WHERE seq = 3")
        self.refuse("node node-2 (", "entry 3: root up to it: found ")

    def test_an_entry_in_another_order_is_found(self):
        self.in_replica("UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE seq = 3) WHERE seq = 2")
        self.refuse("node node-2 (", "entry 2: seq: found 3, expected 2")

    def test_a_wrong_winner_is_found(self):
        self.in_replica("UPDATE entries SET leaf = replace(leaf, '\"winning_branch_index\":0', '\"winning_branch_index\":-1')"
                        " WHERE seq = 4")
        self.refuse("node node-2 (", "entry 4: ")

    def test_a_truncated_replica_is_found(self):
        self.in_replica("DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)")
        self.refuse("node node-2 (", "found nothing")

    def test_a_foreign_key_is_found(self):
        self.refuse("coordinator: entry 0: public_key: ", more=("--key", "ab" * 32))

    def test_of_two_workers_that_differ_none_is_named(self):
        lies = self.cluster.folder / "lies"
        lies.mkdir()
        (lies / "tasks.py").write_text(TASKS.replace('2 * call["n"]', '3 * call["n"]'))
        self.cluster.tasks_of["node-2"] = lies
        self.cluster.kill("node-2")
        liar = self.cluster.start_node("node-2")["workers"][0]
        self.cluster.kill("node-1")
        until("node-1 is lost", lambda: len(self.cluster.status()["nodes"]) == 1)
        self.assertEqual(self.cluster.step(self.cluster.open(), "double", n=5)["output"], {"twice": 15})
        self.cluster.start_node("node-1")
        until("all ledgers agree", lambda: self.cluster.heads_agree(2))
        code, report, problems = self.verify("--sample", 100)
        self.assertEqual((code, report["agree"]), (5, False))
        # Of two, nobody can tell who lies, and nobody is named first.
        self.assertRegex(problems, r"cluster: entry \d+: output_hash: found [0-9a-f]{64} by worker [0-9a-f-]{36} on node "
                                   rf"node-1, expected [0-9a-f]{{64}} as worker {liar} on node node-2 answered: one of the two is wrong")

    def in_ledger(self, statement):
        connection = sqlite3.connect(self.cluster.data / "ledger.db")
        with connection:
            connection.execute(statement)
        connection.close()

    def test_a_flipped_byte_in_the_coordinators_own_store_is_found(self):
        self.in_ledger("UPDATE entries SET leaf = replace(leaf, '\"wasted_ms\":0', '\"wasted_ms\":1') WHERE seq = 3")
        self.refuse("coordinator: entry 3: root up to it: ", "as node node-")

    def test_in_a_later_term_the_changed_entry_is_named_and_not_where_it_shows(self):
        self.cluster.kill("coordinator")
        self.cluster.start_coordinator()
        until("nodes are back", lambda: self.cluster.heads_agree(2))
        self.cluster.step(self.cluster.open(), "double", n=9)
        until("all ledgers agree", lambda: self.cluster.heads_agree(2))
        change = "UPDATE entries SET leaf = replace(leaf, '\"wasted_ms\":{}', '\"wasted_ms\":{}') WHERE seq = 3"
        self.in_replica(change.format(0, 1))
        self.refuse("node node-2 (", "entry 3: root up to it: ")
        self.in_replica(change.format(1, 0))
        self.in_ledger(change.format(0, 1))
        self.refuse("coordinator: entry 3: root up to it: ")

    def test_an_input_that_was_changed_in_the_coordinators_store_is_found(self):
        self.in_ledger("UPDATE payloads SET call = replace(call, '\"n\":2', '\"n\":7') WHERE seq = 3")
        self.refuse("coordinator: entry 3: ", "input_hash")

    def test_a_cluster_that_misses_a_node_or_all_of_them_does_not_agree(self):
        self.cluster.kill("node-2")
        until("node-2 is lost", lambda: len(self.cluster.status()["nodes"]) == 1)
        self.assertEqual([node["name"] for node in self.cluster.status()["absent"]], ["node-2"])
        self.refuse("node node-2 (", "found no replica to read", more=("--sample", 0))
        self.refuse("cluster: nodes: found 1, expected at least 2", more=("--sample", 0, "--nodes", 2))
        self.cluster.kill("node-1")
        until("node-1 is lost", lambda: not self.cluster.status()["nodes"])
        self.refuse("cluster: nodes: found 0, expected at least 1", more=("--sample", 0))

    def test_an_empty_pin_is_a_usage_error(self):
        done = self.cluster.command("verify", "--url", f"http://{self.cluster.http}", "--key", "")
        self.assertEqual(done.returncode, 2)

    def test_a_sample_that_finds_no_free_slot_is_no_finding(self):
        waiting = []
        for n in range(8):  # All slots of both nodes.
            name = f"slot-{n}"
            self.cluster.open_gate(name)
            waiting.append(self.cluster.send_only("POST", f"/v1/sessions/{self.cluster.open()}/steps",
                                                  {"task": "gate", "input": {"name": name}}, name))
            self.addCleanup(waiting[-1].close)
            until("it runs", (self.cluster.tasks / f"started-{name}").exists)
        code, report, problems = self.verify("--sample", 3, "--deadline-s", 1)
        self.assertEqual((code, report["agree"], report["re_executed"]), (1, True, 0), problems)
        self.assertIn("3 steps of the sample had no second answer before the deadline", problems)

    def test_a_node_that_does_not_answer_is_named(self):
        self.cluster.processes["node-2"].send_signal(signal.SIGSTOP)
        code, report, problems = self.verify("--sample", 0)
        self.assertEqual((code, report["agree"]), (5, False))
        self.assertRegex(problems, r"node node-2 \(.*was lost: silent")


class VerifyThreeTest(Verifier):
    nodes = 3

    def test_a_lying_worker_is_named_by_two_honest_ones(self):
        lies = self.cluster.folder / "lies"
        lies.mkdir()
        (lies / "tasks.py").write_text(TASKS.replace('2 * call["n"]', '3 * call["n"]'))
        self.cluster.tasks_of["node-2"] = lies
        self.cluster.kill("node-2")
        liar = self.cluster.start_node("node-2")["workers"][0]
        for name in ("node-1", "node-3"):
            self.cluster.kill(name)
        until("two are lost", lambda: len(self.cluster.status()["nodes"]) == 1)
        self.assertEqual(self.cluster.step(self.cluster.open(), "double", n=5)["output"], {"twice": 15})
        for name in ("node-1", "node-3"):
            self.cluster.start_node(name)
        until("all ledgers agree", lambda: self.cluster.heads_agree(3))
        code, report, problems = self.verify("--sample", 100)
        self.assertEqual((code, report["agree"]), (5, False))
        self.assertRegex(problems, rf"worker {liar} on node node-2: entry \d+: output_hash: found [0-9a-f]{{64}}, expected [0-9a-f]{{64}}, "
                                   r"which worker [0-9a-f-]{36} on node node-[13] and worker [0-9a-f-]{36} on node node-[13] answered")

    def test_lies_about_write_sets_and_failures_are_named(self):
        cluster = Cluster(3, """
[task.noted]
executor = "exec"
command  = ["sh", "noted.sh"]
effect   = "pure"
envelope = true
state    = []
sandbox  = false
[task.sound]
executor = "exec"
command  = ["sh", "sound.sh"]
effect   = "pure"
state    = []
sandbox  = false
""")
        self.addCleanup(cluster.close)
        lies = cluster.folder / "lies"
        lies.mkdir()
        for folder, noted, end in ((cluster.tasks, 1, 0), (lies, 2, 7)):
            (folder / "noted.sh").write_text('cat > /dev/null; echo \'{"output": 1, "writes": {"n": %d}}\'' % noted)
            (folder / "sound.sh").write_text("cat > /dev/null; echo 1; exit %d" % end)
        cluster.tasks_of["node-2"] = lies
        for name in ("node-1", "node-2", "node-3"):
            cluster.kill(name)
        liar = cluster.start_node("node-2")["workers"][0]
        until("the liar is alone", lambda: [node["name"] for node in cluster.status()["nodes"]] == ["node-2"])
        run_id = cluster.open()
        self.assertEqual(cluster.step(run_id, "noted")["output"], 1)
        self.assertEqual(cluster.step(run_id, "sound")["status"], "failed")
        for name in ("node-1", "node-3"):
            cluster.start_node(name)
        until("all ledgers agree", lambda: cluster.heads_agree(3))
        done = cluster.command("verify", "--url", f"http://{cluster.http}", "--sample", 10)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertRegex(done.stderr, rf"worker {liar} on node node-2: entry \d+: writes_hash: found [0-9a-f]{{64}}, expected [0-9a-f]{{64}}, which")
        self.assertRegex(done.stderr, rf"worker {liar} on node node-2: entry \d+: output_hash: found none \(it failed\), expected [0-9a-f]{{64}}, which")

    def test_a_lying_worker_is_quarantined_while_it_works(self):
        cluster = Cluster(3, flags=("--recheck-share", 1))
        self.addCleanup(cluster.close)
        lies = cluster.folder / "lies"
        lies.mkdir()
        (lies / "tasks.py").write_text(TASKS.replace('2 * call["n"]', '3 * call["n"]'))
        cluster.tasks_of["node-2"] = lies
        cluster.kill("node-2")
        cluster.start_node("node-2")
        until("all are there", lambda: sum(node["live"] for node in cluster.status()["nodes"]) == 3)
        run_id = cluster.open()
        step = iter(range(1, 1000))
        def suspect():
            cluster.step(run_id, "double", n=next(step))
            return next(node for node in cluster.status()["nodes"] if node["name"] == "node-2")["quarantined"]
        until("it is found", suspect, 60)
        self.assertRegex(cluster.log("coordinator"), r"recheck: entry \d+, task double: node node-2 answered")
        self.assertEqual([node["name"] for node in cluster.status()["nodes"] if node["quarantined"]], ["node-2"])
        recheck = cluster.status()["recheck"]
        self.assertEqual((len(recheck["lies"]), recheck["not_deterministic"]), (1, []))
        def liar():
            return next((node for node in cluster.status()["nodes"] if node["name"] == "node-2"), None)
        self.assertEqual((liar()["slots"], liar()["busy"]), (0, 0))
        cluster.kill("node-2")
        cluster.start_node("node-2")  # Its next start does not end it,
        for n in range(1001, 1031):  # None that the liar has answered.
            self.assertEqual(cluster.step(run_id, "double", n=n)["output"], {"twice": 2 * n})
        cluster.kill("coordinator")  # nor does the coordinator's.
        cluster.start_coordinator()
        until("all are back", lambda: len(cluster.status()["nodes"]) == 3)
        self.assertEqual((liar()["quarantined"], liar()["slots"]), (True, 0))
        for n in range(2001, 2031):
            self.assertEqual(cluster.step(run_id, "double", n=n)["output"], {"twice": 2 * n})
        # Its tool is mended, and it gets another key: work again, with the same workers.
        workers = liar()["workers"]
        del cluster.tasks_of["node-2"]
        token = cluster.folder / "renewed.token"
        self.assertEqual(cluster.command("keys", "renew", "node-2", "--data", cluster.data, "--out", token).returncode, 0)
        self.assertEqual(cluster.processes["node-2"].wait(20), 4)  # The old key is shut out.
        cluster.start_node("node-2", "--token-file", token)
        self.assertEqual((liar()["quarantined"], liar()["slots"], liar()["workers"]), (False, 4, workers))


if __name__ == "__main__":
    unittest.main()
