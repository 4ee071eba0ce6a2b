"""Overload and soak of a real cluster, printed as JSON.

    python3 tests/cluster/soak.py overload [--seconds 60] [--factor 10]
    python3 tests/cluster/soak.py soak [--sessions 10000] [--calls 1000000] [--seconds 600]

`overload` measures what the cluster carries, then offers it that times FACTOR, each request from a session of its own, and then
again what it carries. It fails unless memory and queues are bounded, refusals are early (503 or 429 with Retry-After) and full speed
comes back within seconds. `soak` keeps so many sessions open and calls in them, in turn, until the calls or the seconds are used up; a session
that has had --session-calls ends, and another one opens. It fails unless memory is flat in the second half of the calls.
"""
import argparse
import asyncio
import collections
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import Cluster, until

NAP_MS = 50
SLOTS = 8  # Of both nodes, so 160 calls a second.
BACK_WITHIN_S = 15.0  # What was taken when the load ends is worked off: at most 10 s of it.
REFUSED_WITHIN_S = 1.0
LATE_MAX_S = 0.25  # What this program was too late to ask by more than that it does not ask in a burst: that were another load.
OVERLOADED_RSS_MAX_MB = 600
GROWTH_BYTES_A_CALL_MAX = 100  # A Merkle frontier, marks and tables with limits: nothing of a session that has ended.

CATALOG = """
[task.nap]
executor = "native"
effect   = "pure"
[task.noop]
executor = "native"
effect   = "pure"
"""


def rss_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


class Http:
    """One keep-alive connection, from the next of ADDRESSES addresses: one alone may not have as many as are wanted here."""

    ADDRESSES = 16
    made = itertools.count()

    def __init__(self, address):
        self.host, port = address.split(":")
        self.port = int(port)
        self.own = f"127.0.0.{2 + next(self.made) % self.ADDRESSES}"
        self.reader = self.writer = None

    async def ask(self, method, path, body=None):
        """Returns status, headers and the body's bytes."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port, local_addr=(self.own, 0))
        data = b"" if body is None else json.dumps(body).encode()
        kind = "" if body is None else "Content-Type: application/json\r\n"
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{kind}"
                          f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        answer = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split()[1]), headers, answer

    def close(self):
        if self.writer is not None:
            self.writer.close()
            self.writer = None


async def open_session(http, **body):
    """Asks until one is open. A connection that is closed meanwhile is made again: this program, too, can be too busy to ask in time."""
    while True:
        try:
            status, _, answer = await http.ask("POST", "/v1/sessions", {"speculation": "off", **body})
            if status == 201:
                return json.loads(answer)["run_id"]
        except (OSError, asyncio.IncompleteReadError):
            http.close()
        await asyncio.sleep(0.2)


async def carried(cluster, clients, seconds):
    """Calls a second with so many that ask without a pause."""
    done = 0
    until_at = time.monotonic() + seconds

    async def client():
        nonlocal done
        http = Http(cluster.http)
        run_id = await open_session(http)
        while time.monotonic() < until_at:
            status, _, _ = await http.ask("POST", f"/v1/sessions/{run_id}/steps", {"task": "nap", "input": {"ms": NAP_MS}})
            done += status == 200
        http.close()
    await asyncio.gather(*(client() for _ in range(clients)))
    return done / seconds


def quantile(values, share):
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 3) if values else None


PROBE = """
import http.client, json, sys, threading, time
address, ends_at, nap_ms = sys.argv[1], time.monotonic() + float(sys.argv[2]), int(sys.argv[3])
took = []
def ask(run_id):
    while time.monotonic() < ends_at:
        try:
            connection = http.client.HTTPConnection(address, timeout=60)
            connection.connect()
            began = time.monotonic()
            connection.request("POST", f"/v1/sessions/{run_id}/steps", json.dumps({"task": "nap", "input": {"ms": nap_ms}}),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                took.append(time.monotonic() - began)
            connection.close()
        except OSError:
            pass
        time.sleep(0.05)
threads = [threading.Thread(target=ask, args=(run_id,)) for run_id in sys.argv[4:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(took))
"""


async def overload(options):
    cluster = Cluster(nodes=2, catalog=CATALOG)  # Of four slots each.
    try:
        capacity = await carried(cluster, 2 * SLOTS, 5)
        print(f"carries {capacity:.0f} calls/s", file=sys.stderr)
        statuses = collections.Counter()
        answered, refused, without_hint = [], [], 0
        memory, waiting = [], []
        ends_at = time.monotonic() + options.seconds
        free = collections.deque()
        tasks = set()
        opened = 0

        async def one(run):
            nonlocal without_hint
            http, run_id = run
            began = time.monotonic()
            try:
                status, headers, _ = await asyncio.wait_for(
                    http.ask("POST", f"/v1/sessions/{run_id}/steps", {"task": "nap", "input": {"ms": NAP_MS}}), 120)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as problem:
                statuses[type(problem).__name__] += 1
                http.close()
                return
            took = time.monotonic() - began
            statuses[status] += 1
            if status == 200:
                answered.append(took)
            else:
                refused.append(took)
                without_hint += "retry-after" not in headers
            free.append(run)

        async def another():
            http = Http(cluster.http)
            await one((http, await open_session(http)))

        def note():
            memory.append(rss_mb(cluster.processes["coordinator"].pid))
            waiting.append(len(tasks))
        # A program of its own sees how soon a call is refused: this one is busy with thousands of them.
        http = Http(cluster.http)
        probe = subprocess.Popen([sys.executable, "-c", PROBE, cluster.http, str(options.seconds), str(NAP_MS),
                                  *[await open_session(http) for _ in range(8)]], stdout=subprocess.PIPE, text=True)
        http.close()
        began = slept = time.monotonic()
        noted = 0.0
        offered = 0
        late = []
        skipped = 0  # Of those that were due.
        while time.monotonic() < ends_at:
            late.append(time.monotonic() - slept)
            due = int((time.monotonic() - began) * capacity * options.factor)
            skipped = max(skipped, due - offered - int(LATE_MAX_S * capacity * options.factor))
            while offered + skipped < due:
                if not free and opened < options.sessions:
                    opened += 1
                    task = asyncio.ensure_future(another())
                elif free:
                    task = asyncio.ensure_future(one(free.popleft()))
                else:
                    skipped += 1
                    statuses["not offered: no session free"] += 1
                    continue
                offered += 1
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            if time.monotonic() - noted > 2:
                noted = time.monotonic()
                note()
                print(f"{noted - began:.0f} s: {len(tasks)} wait, {dict(statuses)}, {memory[-1]:.0f} MB", file=sys.stderr)
            slept = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
        note()
        for task in set(tasks):  # Those clients leave, as impatient ones do; their steps go on.
            task.cancel()
        back_from = time.monotonic()
        seen = json.loads((await asyncio.get_running_loop().run_in_executor(None, probe.communicate))[0])
        result = {"load": round(os.getloadavg()[1]), "this_was_late_s": {"p50": quantile(late, .5), "p99": quantile(late, .99)},
                  "not_offered_per_s": round(skipped / options.seconds), "carries_per_s": round(capacity), "offered_per_s": round(offered / options.seconds),
                  "statuses": {str(name): count for name, count in statuses.items()},
                  "answered_per_s": round(statuses[200] / options.seconds),
                  "answered_s": {"p50": quantile(answered, .5), "p99": quantile(answered, .99)},
                  "refused_s": {"p50": quantile(refused, .5), "p90": quantile(refused, .9), "p99": quantile(refused, .99)},
                  "refusals_without_retry_after": without_hint,
                  "probe_refused_s": {"p50": quantile(seen, .5), "p90": quantile(seen, .9), "p99": quantile(seen, .99),
                                      "count": len(seen)},
                  "coordinator_mb": {"before": round(memory[0]), "max": round(max(memory)), "end": round(memory[-1])},
                  "waiting_max": max(waiting),
                  "nodes_mb": [round(rss_mb(cluster.processes[f"node-{n}"].pid)) for n in (1, 2)]}
        # A new client's own pace says when all that was taken has been worked off.
        http = Http(cluster.http)
        run_id = await open_session(http)
        while True:
            asked = time.monotonic()
            status, _, _ = await http.ask("POST", f"/v1/sessions/{run_id}/steps", {"task": "nap", "input": {"ms": NAP_MS}})
            if status == 200 and time.monotonic() - asked < 4 * NAP_MS / 1000:
                break
            if status != 200:
                await asyncio.sleep(0.1)
        result["back_s"] = round(time.monotonic() - back_from, 1)
        result["carries_again_per_s"] = round(await carried(cluster, 2 * SLOTS, 5))
        print(json.dumps(result))
        missed = []
        if result["coordinator_mb"]["max"] > OVERLOADED_RSS_MAX_MB:
            missed.append("memory")
        if without_hint or (seen and quantile(seen, .9) > REFUSED_WITHIN_S):
            missed.append("early refusals")
        if not refused:
            missed.append("refusals: none")
        if result["back_s"] > BACK_WITHIN_S:
            missed.append("back within seconds")
        if result["carries_again_per_s"] < 0.8 * capacity or result["answered_per_s"] < 0.8 * capacity:
            missed.append("full speed again")
        return missed
    finally:
        cluster.close()


async def soak(options):
    cluster = Cluster(nodes=2, catalog=CATALOG)
    try:
        sessions = []
        done = failed = 0
        samples = []

        async def opener():
            http = Http(cluster.http)
            while len(sessions) < options.sessions:
                sessions.append(await open_session(http, speculation="on"))
            http.close()
        began = time.monotonic()
        await asyncio.gather(*(opener() for _ in range(16)))
        opened_in = time.monotonic() - began
        print(f"{len(sessions)} sessions open after {opened_in:.0f} s, "
              f"{rss_mb(cluster.processes['coordinator'].pid):.0f} MB", file=sys.stderr)
        began = time.monotonic()
        next_session = iter(range(1 << 62))
        busy = set()
        # Calls, by the session's place; from the start as many sessions are young as are old.
        had = collections.Counter({index: index * options.list % options.session_calls for index in range(len(sessions))})

        async def client():
            nonlocal done, failed
            http = Http(cluster.http)
            while done < options.calls and time.monotonic() - began < options.seconds:
                index = next(next_session) % len(sessions)
                if index in busy:
                    continue
                busy.add(index)
                status, _, _ = await http.ask("POST", f"/v1/sessions/{sessions[index]}/steps", {
                    "calls": [{"task": "noop", "input": {"n": n}} for n in range(options.list)]})
                had[index] += options.list
                if had[index] >= options.session_calls:
                    had[index] = 0
                    await http.ask("DELETE", f"/v1/sessions/{sessions[index]}")
                    sessions[index] = await open_session(http, speculation="on")
                busy.discard(index)
                done += options.list if status == 200 else 0
                failed += status != 200
            http.close()

        async def watch():
            while True:
                samples.append((time.monotonic() - began, done, rss_mb(cluster.processes["coordinator"].pid),
                                rss_mb(cluster.processes["node-1"].pid), rss_mb(cluster.processes["node-2"].pid)))
                print("%.0f s: %d calls, coordinator %.0f MB, nodes %.0f and %.0f MB" % samples[-1], file=sys.stderr)
                await asyncio.sleep(10)
        watcher = asyncio.ensure_future(watch())
        await asyncio.gather(*(client() for _ in range(32)))
        watcher.cancel()
        took = time.monotonic() - began
        samples.append((took, done, *(rss_mb(cluster.processes[name].pid) for name in ("coordinator", "node-1", "node-2"))))
        half = next(sample for sample in samples if sample[1] >= done / 2)
        growth = {}
        for place, name in ((2, "coordinator"), (3, "node-1"), (4, "node-2")):
            growth[name] = round((samples[-1][place] - half[place]) * (1 << 20) / max(1, done - half[1]))
        until("all ledgers agree", lambda: cluster.heads_agree(2), 120)
        size = cluster.status()["ledger"]["size"]
        print(json.dumps({"sessions": len(sessions), "calls": done, "failed": failed, "seconds": round(took),
                          "calls_per_s": round(done / took), "entries": size,
                          "rss_mb_at_half": [round(value) for value in half[2:]],
                          "rss_mb_at_end": [round(value) for value in samples[-1][2:]],
                          "growth_bytes_a_call": growth,
                          "ledger_mb": sum(f.stat().st_size for f in cluster.data.glob("ledger.db*")) >> 20}))
        return [f"flat memory of {name}: {bytes_} bytes a call" for name, bytes_ in growth.items()
                if bytes_ > GROWTH_BYTES_A_CALL_MAX] + (["failed calls"] if failed else [])
    finally:
        cluster.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("what", choices=["overload", "soak"])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--factor", type=float, default=10)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--session-calls", type=int, default=30, help="of one session of the soak")
    parser.add_argument("--list", type=int, default=10, help="calls in one request of the soak")
    options = parser.parse_args()
    missed = asyncio.run(overload(options) if options.what == "overload" else soak(options))
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
