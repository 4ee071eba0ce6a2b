#!/usr/bin/env python3
"""Starts the outside world and a cluster, lets the agent answer letters, and shows what ran ahead."""
import argparse
import collections
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "python"))
import forerun

from service import outside

CUSTOMERS = 12
WORDS = ["it came broken", "where is my order?", "I want to exchange it"]
ARTICLES = ["lamp", "kettle", "clock", "chair"]
DELIVERED_WITHIN_S = 20
MARKS = {"hit": "*", "late_hit": "+", "miss": ""}
TOLD = """
* was there already, + was running already
{letters} letters in {took_s} s, {steps} calls: {hits} hits, {late_hits} late hits
saved {saved_s} s, wasted {wasted_s} s of slot time
{mails} mails (hash {mails_hash}), {refunds} refunds"""


def prepare(folder, url):
    """The agent's folder: its tools, the handbook, the database, where the services are, and the catalog."""
    folder.chmod(0o755)  # A node that runs as root runs commands as nobody.
    shutil.copy(HERE / "tools.py", folder)
    shutil.copytree(HERE / "policies", folder / "policies")
    (folder / "service.json").write_text(json.dumps({"url": url}))
    (folder / "data").mkdir()
    database = sqlite3.connect(folder / "data" / "shop.db")
    with database:
        database.executescript(
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT, town TEXT);"
            "CREATE TABLE orders (id TEXT PRIMARY KEY, customer_id INTEGER, article TEXT, amount REAL, parcel TEXT);"
            "CREATE TABLE refunds (key TEXT PRIMARY KEY, order_id TEXT, amount REAL);")
        for number in range(CUSTOMERS):
            database.execute("INSERT INTO customers VALUES (?, ?, ?)",
                             (number, f"customer-{number}@example.org", f"town {number % 3}"))
            for nth in range(2):
                database.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?)",
                                 (f"A-{number:02}{nth}", number, ARTICLES[(number + nth) % 4], 10.5 + number,
                                  f"P-{number:02}{nth}"))
    database.close()
    (folder / "data").chmod(0o777)
    (folder / "data" / "shop.db").chmod(0o666)
    with open(folder / "catalog.toml", "w") as catalog:
        subprocess.run([sys.executable, "-m", "forerun.worker", "tools.py", "--catalog"], cwd=folder, stdout=catalog, check=True,
                       env={**os.environ, "PYTHONPATH": str(ROOT / "python"), "PYTHONDONTWRITEBYTECODE": "1"})


def letters(count):
    return [{"from": f"customer-{n % CUSTOMERS}@example.org", "text": WORDS[n % len(WORDS)]} for n in range(count)]


def delivered(client):
    deadline = time.monotonic() + DELIVERED_WITHIN_S
    while client.get("/v1/effects")["effects"]:
        if time.monotonic() > deadline:
            raise SystemExit("effects were not delivered in time")
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--letters", type=int, default=36)
    parser.add_argument("--at-once", type=int, default=4, help="letters side by side")
    parser.add_argument("--think-s", type=float, default=0.2, help="a model's turn between two calls")
    parser.add_argument("--speculation", choices=["on", "off"], default="on")
    parser.add_argument("--json", action="store_true", help="one line instead of a table")
    options = parser.parse_args()
    built = ROOT / "build" / "release" / "forerun"
    if built.exists():
        os.environ.setdefault("FORERUN_BINARY", str(built))
    with tempfile.TemporaryDirectory(prefix="forerun-agent-") as name, outside() as world:
        folder = pathlib.Path(name)
        prepare(folder, world.url)
        sys.path.insert(0, str(folder))
        import agent

        def answer(letter):
            begun = time.monotonic()
            with client.session(letter["text"], speculation=options.speculation) as session, session.tools():
                agent.answer(letter, options.think_s)
                took = time.monotonic() - begun
                steps = session.show()["steps"]
            saved = sum(step["saved_ms"] for step in steps) / 1000
            marks = " ".join(step["task"] + MARKS[step["origin"]] for step in steps)
            if not options.json:
                print(f"{letter['from']:24} {took:5.2f} s, saved {saved:4.2f} s  {marks}", flush=True)
            return took, steps

        with forerun.dev(folder / "catalog.toml", slots=4) as client:
            with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
                sessions = list(pool.map(answer, letters(options.letters)))
            delivered(client)
            status = client.status()
        steps = [step for _, session in sessions for step in session]
        with contextlib.closing(sqlite3.connect(folder / "data" / "shop.db")) as database:
            refunds = database.execute("SELECT count(*), count(DISTINCT order_id) FROM refunds").fetchone()
        origins = collections.Counter(step["origin"] for step in steps)
        sent = sorted(json.dumps(mail, sort_keys=True) for mail in world.mails.values())
        report = {"letters": len(sessions), "took_s": round(sum(took for took, _ in sessions), 2), "steps": len(steps),
                  "hits": origins["hit"], "late_hits": origins["late_hit"],
                  "saved_s": round(sum(step["saved_ms"] for step in steps) / 1000, 2),
                  "wasted_s": round(status["speculation"]["wasted_ms"] / 1000, 2), "mails": len(sent),
                  "mails_hash": hashlib.sha256("\n".join(sent).encode()).hexdigest()[:16],
                  "refunds": refunds[0], "refunded_orders": refunds[1]}
    print(json.dumps(report) if options.json else TOLD.format(**report))


if __name__ == "__main__":
    main()
