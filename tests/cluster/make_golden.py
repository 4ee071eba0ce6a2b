"""Writes what a cluster of this version leaves on its disks: tests/data/golden/NAME, read by tests of all later versions.

    python3 tests/cluster/make_golden.py NAME

Run once for each format that is released; what is there is never written again. Stores are SQL text (the pages are SQLite's
business, the tables ours), exports are the files as they are. `expected.json` says what a reader must find.
"""
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness
from harness import Cluster, until
from kill_rounds import CATALOG, NOTE
from test_effects import Receiver

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "golden"


def dump(database, target):
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    marks = [f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};"
             for name in ("application_id", "user_version")]
    target.write_text("\n".join([*marks, *connection.iterdump()]) + "\n")
    connection.close()


def main():
    folder = GOLDEN / sys.argv[1]
    folder.mkdir(parents=True)  # Fails where it is.
    receiver = Receiver(refuses=1.0)
    cluster = Cluster(nodes=3, catalog=CATALOG % receiver.address, flags=("--recheck-share", 1))
    try:
        (cluster.tasks / "note.py").write_text(NOTE % receiver.address)
        quarantined = quarantine(cluster, "node-3")
        ended = cluster.open(context="golden")
        cluster.request("POST", f"/v1/sessions/{ended}/text", {"text": "before step 0"})
        calls = [("double", {"n": 1}), ("vote", {"n": 2}), ("careful", {"n": 3}), ("append", {"name": "golden"}),
                 ("look_up", {"name": "golden"}), ("double", {"m": "wrong"})]
        for number, (task, call) in enumerate(calls):
            body = {"task": task, "input": call}
            status, answer = cluster.request("POST", f"/v1/sessions/{ended}/steps", body, f"key-{number}")
            assert status == 200, answer
        cluster.request("DELETE", f"/v1/sessions/{ended}")
        _, opened = cluster.request("POST", "/v1/sessions", {"state": {"kept": 1}}, "opening-key")
        left_open = opened["run_id"]
        cluster.request("POST", f"/v1/sessions/{left_open}/text", {"text": "before step 0"})
        cluster.step(left_open, "double", key="open-key", n=7)
        cluster.request("POST", f"/v1/sessions/{left_open}/text", {"text": "before step 1"})
        cluster.step(left_open, "note", n="golden")  # Its effects are refused: they wait.
        cluster.request("POST", f"/v1/sessions/{left_open}/text", {"text": "behind all steps"})
        traces = cluster.folder / "traces.jsonl"
        traces.write_text(json.dumps({"session": "taught", "steps": [{"task": "double", "input": {"n": 1}, "output": {"twice": 2}}]}))
        assert cluster.command("learn", traces, "--url", f"http://{cluster.http}").returncode == 0
        writing = cluster.open()
        cluster.open_gate("golden")
        waiter = threading.Thread(target=ask, args=(cluster, writing))
        waiter.start()
        until("the write runs", (cluster.tasks / "writes-slow").exists)
        until("the step before it is decided", lambda: cluster.request("GET", f"/v1/sessions/{writing}")[1]["next_step"] == 1)
        until("all ledgers agree", lambda: cluster.heads_agree(3))
        owners = {node["workers"][0]: [node["node"], node["name"]] for node in cluster.status()["nodes"]}
        for name in ("coordinator", "node-1", "node-2", "node-3"):  # In its middle: its intent is on the disk.
            cluster.kill(name)
        waiter.join()
        expected = {"run_ids": [ended, left_open, writing], "owners": owners, "quarantined": [quarantined],
                    "texts": [[0, "before step 0"], [1, "before step 1"], [2, "behind all steps"]]}
        dump(cluster.data / "ledger.db", folder / "ledger.sql")
        dump(cluster.folder / "node-1" / "replica.db", folder / "replica.sql")
        dump(cluster.folder / "node-1" / "identity.db", folder / "identity.sql")
        exported = cluster.folder / "export"
        done = cluster.command("ledger", "export", exported, "--data", cluster.data)
        assert done.returncode == 0, done.stderr
        shutil.copytree(exported, folder / "export")
        head = json.loads((exported / "head.json").read_text())
        expected.update(entries=head["size"], root=head["root"], ledger_key=head["public_key"])
        (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
        print(subprocess.run(["du", "-ah", str(folder)], capture_output=True, text=True, check=True).stdout)
    finally:
        cluster.close()
        receiver.shutdown()
        receiver.server_close()


def quarantine(cluster, name):
    """Has a node lie until it is given no work any more. Returns its key."""
    lies = cluster.folder / "lies"
    lies.mkdir()
    (lies / "tasks.py").write_text(harness.TASKS.replace('2 * call["n"]', '3 * call["n"]'))
    cluster.tasks_of[name] = lies
    cluster.kill(name)
    cluster.start_node(name)
    run_id = cluster.open(speculation="off")
    numbers = iter(range(1000))

    def found():
        cluster.step(run_id, "double", n=next(numbers))
        return next((node["node"] for node in cluster.status()["nodes"] if node["quarantined"]), None)
    key = until("it is found", found, 60)
    cluster.request("DELETE", f"/v1/sessions/{run_id}")
    return key


def ask(cluster, run_id):
    """A list that is cut in its middle, a write."""
    try:
        cluster.request("POST", f"/v1/sessions/{run_id}/steps", {"calls": [
            {"task": "double", "input": {"n": 4}}, {"task": "append", "input": {"name": "slow", "gate": "golden"}}]},
                        "write-key", timeout=20)
    except OSError:
        pass
    except harness.http.client.HTTPException:
        pass


if __name__ == "__main__":
    main()
