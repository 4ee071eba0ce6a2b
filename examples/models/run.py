#!/usr/bin/env python3
"""Races two classifiers under all four selections, says which answered and how fast, and audits the decisions."""
import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "python"))
import forerun

SELECTIONS = ["seeded", "ranked", "ordered", "first"]


def race(client, select, letters):
    """Confirms each letter as one call of the race; who answered, how often it was right, and the waits."""
    winners, right, waits_ms = collections.Counter(), 0, []
    with client.session(f"topics, {select}", speculation="off") as session:
        for topic, text in letters:
            begun = time.perf_counter()
            step = session.step(f"topic_{select}", {"text": text})
            waits_ms.append((time.perf_counter() - begun) * 1000)
            winners[step.winner] += 1
            right += step.result()["topic"] == topic
    return {"select": select, "rules": winners["rules"], "bayes": winners["bayes"], "right": right,
            "p50_ms": round(statistics.median(waits_ms), 2), "p90_ms": round(statistics.quantiles(waits_ms, n=10)[-1], 2)}


def told(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def audit(binary, data, key, folder):
    """The ledger's export, checked by the auditor that docs/proof.md prints and by Forerun's own."""
    told(binary, "ledger", "export", folder / "export", "--data", data)
    auditor = folder / "auditor.py"
    auditor.write_text("".join(re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "proof.md").read_text(), re.S)))
    return {"auditor": told(sys.executable, auditor, folder / "export", key).splitlines(),
            "verify": json.loads(told(binary, "verify", "--offline", folder / "export", "--key", key))}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line instead of a table")
    options = parser.parse_args()
    built = ROOT / "build" / "release" / "forerun"
    if built.exists():
        os.environ.setdefault("FORERUN_BINARY", str(built))
    binary = os.environ.get("FORERUN_BINARY", "forerun")
    letters = [line.split("\t") for line in (HERE / "test.tsv").read_text().splitlines()]
    with tempfile.TemporaryDirectory(prefix="forerun-models-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # A node that runs as root runs commands as nobody.
        tasks = shutil.copytree(HERE, folder / "tasks")
        data = folder / "data"
        with forerun.dev(tasks / "catalog.toml", data=data) as client:
            with client.session("warm up", speculation="off") as session:
                for task in ("rules", "bayes"):
                    session.call(task, text="Where is my parcel?")
            races = [race(client, select, letters) for select in SELECTIONS]
            # Whom to trust comes from the coordinator itself, not from the export that is judged.
            key = client.status()["ledger"]["public_key"]
            audited = audit(binary, data / "coordinator", key, folder)
    if options.json:
        print(json.dumps({"letters": len(letters), "races": races, **audited}))
        return
    print(f"{len(letters)} letters a race; who answered, how many were right, what a client waited")
    print("select    rules  bayes  right  p50 ms  p90 ms")
    for row in races:
        print("{select:8}  {rules:5}  {bayes:5}  {right:5}  {p50_ms:6.1f}  {p90_ms:6.1f}".format(**row))
    print("auditor:", "; ".join(audited["auditor"]))
    print("forerun verify --offline:", json.dumps(audited["verify"]))


if __name__ == "__main__":
    main()
