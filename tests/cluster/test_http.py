"""http tasks with real processes: a model's endpoint, its secret, its limit, and a write that is sent once."""
import contextlib
import http.server
import json
import pathlib
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import Cluster, until

SECRET = "sk-cluster-test-0123456789"
CATALOG = """
[pool.models]
max_in_flight = 2
[task.chat]
executor = "http"
effect   = "pure"
pool     = "models"
template = "openai-chat"
url      = "URL/v1"
model    = "small"
headers  = { Authorization = "Bearer ${file:model.key}" }
stream   = true
[task.pay]
executor = "http"
url      = "URL/pay"
headers  = { X-Key = "${env:FORERUN_TEST_NOT_SET}" }
[task.note]
executor = "http"
url      = "URL/note/${input:/name}"
method   = "PUT"
[task.hang]
executor = "http"
effect   = "pure"
url      = "URL/hang"
[task.quick]
executor = "http"
effect   = "pure"
url      = "URL/quick"
[race.either]
branches = ["hang", "quick"]
select   = "first"
"""


class Endpoint(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.answer()

    def do_PUT(self):
        self.answer()

    def answer(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.seen.append((self.path, dict(self.headers), body))
            server.running += 1
            server.most = max(server.most, server.running)
        if self.path == "/quick":
            server.hanging.wait(20)
        elif server.gate is not None:
            server.hanging.set()
            server.gate.wait(20)
        with server.lock:
            server.running -= 1
        if self.path.startswith("/v1/"):
            words = ["You said ", body["messages"][-1]["content"]]
            events = [{"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]} for word in words]
            events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            text = "".join(f"data: {json.dumps(each)}\n\n" for each in events) + "data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            text, kind = json.dumps({"done": self.path}), "application/json"
        with contextlib.suppress(OSError):  # The client may have left.
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class HttpTest(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self.server.daemon_threads = True
        self.server.lock = threading.Lock()
        self.server.hanging = threading.Event()
        self.server.seen, self.server.running, self.server.most, self.server.gate = [], 0, 0, None
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        url = f"http://127.0.0.1:{self.server.server_port}"
        self.cluster = Cluster(1, CATALOG.replace("URL", url))
        self.addCleanup(self.cluster.close)
        (self.cluster.tasks / "model.key").write_text(SECRET + "\n")

    def test_a_streamed_chat_and_a_write_with_its_key(self):
        run = self.cluster.open(speculation="off")
        self.assertEqual(self.cluster.step(run, "chat", prompt="hello")["output"], "You said hello")
        self.assertEqual(self.cluster.step(run, "note", name="a b")["output"], {"done": "/note/a%20b"})
        failed = self.cluster.step(run, "pay", amount=1)
        self.assertIn("${env:FORERUN_TEST_NOT_SET}", json.dumps(failed))
        (chat, headers, body), (_, write, _) = self.server.seen
        self.assertEqual((chat, headers["Authorization"]), ("/v1/chat/completions", f"Bearer {SECRET}"))
        self.assertEqual((body["model"], body["stream"]), ("small", True))
        self.assertEqual(len(write["Idempotency-Key"]), 64)
        self.assertNotIn("Idempotency-Key", headers)

    def test_a_secret_is_told_to_nobody_but_the_endpoint(self):
        run = self.cluster.open()
        for i in range(3):
            self.cluster.step(run, "chat", prompt=str(i))
        for process in self.cluster.processes.values():
            self.assertNotIn(SECRET, pathlib.Path(f"/proc/{process.pid}/cmdline").read_text())
            self.assertNotIn(SECRET, pathlib.Path(f"/proc/{process.pid}/environ").read_text())
        self.assertNotIn(SECRET, json.dumps(self.cluster.status()))
        self.cluster.export()
        for path in self.cluster.folder.rglob("*"):
            if path.is_file() and path.name != "model.key":
                self.assertNotIn(SECRET.encode(), path.read_bytes(), path)

    def test_a_pool_bounds_what_is_on_its_way(self):
        self.server.gate = threading.Event()
        runs = [self.cluster.open(speculation="off") for _ in range(4)]
        threads = [threading.Thread(target=self.cluster.step, args=(run, "chat"), kwargs={"prompt": str(i)})
                   for i, run in enumerate(runs)]
        for thread in threads:
            thread.start()
        until("two are on their way", lambda: self.server.running == 2)
        self.server.gate.set()
        for thread in threads:
            thread.join()
        self.assertEqual((self.server.most, len(self.server.seen)), (2, 4))

    def test_the_loser_of_a_race_closes_its_connection(self):
        self.server.gate = threading.Event()
        self.addCleanup(self.server.gate.set)
        node = self.cluster.processes["node-1"].pid
        port = f"{self.server.server_port:04X}"

        def connections():
            lines = [line.split() for line in pathlib.Path(f"/proc/{node}/net/tcp").read_text().splitlines()[1:]]
            return [line for line in lines if line[2].endswith(":" + port) and line[3] == "01"]

        run = self.cluster.open(speculation="off")
        self.assertEqual(self.cluster.step(run, "either")["output"], {"done": "/quick"})
        until("the winner's connection alone is kept", lambda: len(connections()) == 1)


if __name__ == "__main__":
    unittest.main()
