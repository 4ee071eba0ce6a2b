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
    cluster = Cluster(nodes=2, catalog=CATALOG % receiver.address)
    try:
        (cluster.tasks / "note.py").write_text(NOTE % receiver.address)
        ended = cluster.open(context="golden")
        calls = [("double", {"n": 1}), ("vote", {"n": 2}), ("careful", {"n": 3}), ("append", {"name": "golden"}),
                 ("look_up", {"name": "golden"}), ("double", {"m": "wrong"})]
        for number, (task, call) in enumerate(calls):
            body = {"task": task, "input": call}
            status, answer = cluster.request("POST", f"/v1/sessions/{ended}/steps", body, f"key-{number}")
            assert status == 200, answer
        cluster.request("DELETE", f"/v1/sessions/{ended}")
        left_open = cluster.open(state={"kept": 1})
        cluster.step(left_open, "double", key="open-key", n=7)
        cluster.step(left_open, "note", n="golden")  # Its effects are refused: they wait.
        traces = cluster.folder / "traces.jsonl"
        traces.write_text(json.dumps({"session": "taught", "steps": [{"task": "double", "input": {"n": 1}, "output": {"twice": 2}}]}))
        assert cluster.command("learn", traces, "--url", f"http://{cluster.http}").returncode == 0
        writing = cluster.open()
        cluster.open_gate("golden")
        waiter = threading.Thread(target=ask, args=(cluster, writing))
        waiter.start()
        until("the write runs", (cluster.tasks / "writes-slow").exists)
        until("all ledgers agree", lambda: cluster.heads_agree(2))
        for name in ("coordinator", "node-1", "node-2"):  # In its middle: its intent is on the disk.
            cluster.kill(name)
        waiter.join()
        expected = {"run_ids": [ended, left_open, writing]}
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


def ask(cluster, run_id):
    try:
        cluster.request("POST", f"/v1/sessions/{run_id}/steps", {"task": "append", "input": {"name": "slow", "gate": "golden"}},
                        "write-key", timeout=20)
    except OSError:
        pass
    except harness.http.client.HTTPException:
        pass


if __name__ == "__main__":
    main()
