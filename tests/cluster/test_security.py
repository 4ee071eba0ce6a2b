"""Who may ask what of a coordinator over HTTP: tokens, tenants and roles, with real processes."""
import http.client
import json
import os
import pathlib
import sys
import time
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import CATALOG, NOTE_CATALOG, Cluster, until

EFFECTS = NOTE_CATALOG % "127.0.0.1:9"
# Nobody listens on the discard port: the effect is parked after its one attempt.
NOTE = """
import json
print(json.dumps({"output": "noted", "effects": [{"http": {"method": "POST", "url": "http://127.0.0.1:9/hook", "body": {}}}]}))
"""
RESIDENT = """
[task.who]
executor = "exec"
command  = ["python3", "who.py"]
effect   = "pure"
resident = true
sandbox  = false
"""
WHO = """
import json, os, sys
for line in sys.stdin:
    print(json.dumps({"id": json.loads(line)["id"], "output": os.getpid()}), flush=True)
"""
REVOKED_WITHIN_S = 1.0


class SecuredCluster(Cluster):
    """Whose coordinator asks for tokens. Requests are made with `token`, by default the one of acme's operator."""

    def __init__(self, nodes=1, catalog=CATALOG + EFFECTS, flags=()):
        self.tokens = {}
        super().__init__(0, catalog, flags)
        (self.tasks / "note.py").write_text(NOTE)
        for number in range(1, nodes + 1):
            self.add_node(f"node-{number}")

    def start_coordinator(self, *more):
        self.tokens_file = self.folder / "tokens"
        if not self.tokens:
            for name, tenant, role in [("acme-client", "acme", "client"), ("acme-operator", "acme", "operator"),
                                       ("globex-client", "globex", "client"), ("globex-operator", "globex", "operator"),
                                       ("auditor", "auditors", "auditor")]:
                self.make_token(name, tenant, role)
        super().start_coordinator("--tokens", self.tokens_file, *more)

    def make_token(self, name, tenant, role):
        file = self.folder / f"{name}.http-token"
        made = self.command("keys", "token", "add", name, "--tenant", tenant, "--role", role, "--tokens", self.tokens_file,
                            "--out", file)
        assert made.returncode == 0, made.stderr
        self.tokens[name] = file.read_text().strip()
        return file

    def connect(self, timeout=30):
        return http.client.HTTPConnection(self.http, timeout=timeout)

    def ask(self, token, method, path, body=None, key=None, timeout=30):
        connection = self.connect(timeout)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            if token is not None:
                headers["Authorization"] = f"Bearer {self.tokens.get(token, token)}"
            if key:
                headers["Idempotency-Key"] = key
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def request(self, method, path, body=None, key=None, timeout=30):
        return self.ask("acme-operator", method, path, body, key, timeout)


def routes_of(run_id):
    """Every route that names a session, and what is asked there."""
    session = f"/v1/sessions/{run_id}"
    return [("GET", session, None), ("POST", f"{session}/text", {"text": "t"}),
            ("POST", f"{session}/steps", {"task": "double", "input": {"n": 1}}),
            ("POST", f"{session}/steps", {"calls": [{"task": "double", "input": {"n": 1}}]}),
            ("GET", f"{session}/predictions", None), ("GET", f"{session}/explanation", None),
            ("POST", "/v1/effects/redrive", {"run_id": run_id, "step": 0, "index": 0}),
            ("POST", "/v1/effects/drop", {"run_id": run_id, "step": 0, "index": 0}),
            ("DELETE", session, None)]


class TokensTest(unittest.TestCase):
    def start(self, **more):
        cluster = SecuredCluster(**more)
        self.addCleanup(cluster.close)
        return cluster

    def test_another_tenants_session_is_as_if_it_were_not_there(self):
        cluster = self.start(flags=("--effect-attempts", 1))
        run_id = cluster.open(context="secret of acme")
        cluster.step(run_id, "note")
        until("the effect is parked", lambda: cluster.request("GET", "/v1/effects")[1]["parked"] == 1)
        never = run_id.split("/")[0] + "/4711"
        for is_ended in (False, True):
            if is_ended:
                other = cluster.open()
                cluster.step(other, "note", key="k")
                until("the effect is parked", lambda: cluster.request("GET", "/v1/effects")[1]["parked"] == 2)
                self.assertEqual(cluster.request("DELETE", f"/v1/sessions/{other}")[0], 200)
                run_id = other
            for (method, path, body), (_, nowhere, of_nowhere) in zip(routes_of(run_id), routes_of(never)):
                with self.subTest(method=method, path=path, is_ended=is_ended):
                    status, found = cluster.ask("globex-operator", method, path, body)
                    self.assertEqual(status, 404)
                    # Word for word what a session that never was gets, but for its ID.
                    expected = cluster.ask("globex-operator", method, nowhere, of_nowhere)[1]
                    self.assertEqual(json.dumps(found).replace(run_id, "ID"), json.dumps(expected).replace(never, "ID"))
        # Lists and totals hold the asking tenant's alone.
        self.assertEqual(cluster.ask("globex-operator", "GET", "/v1/effects")[1],
                         {"effects": [], "left_out": 0, "parked": 0, "waiting": 0})
        for change in ("redrive", "drop"):
            self.assertEqual(list(cluster.ask("globex-operator", "POST", f"/v1/effects/{change}", {"all": True})[1].values()), [0])
        taught = {"sessions": [{"session": "s", "steps": [{"task": "double", "input": {"n": 1}, "output": {"twice": 2}}]}]}
        self.assertEqual(cluster.request("POST", "/v1/history", taught)[1]["learned"], 1)
        self.assertEqual(cluster.ask("globex-operator", "GET", "/v1/status")[1]["learning"]["taught"]["sessions"], 0)
        self.assertEqual(cluster.ask("globex-operator", "DELETE", "/v1/history")[1], {"forgotten": 0})
        self.assertEqual(cluster.ask("globex-operator", "POST", "/v1/history", taught)[1]["learned"], 1)
        self.assertEqual(cluster.status()["learning"]["taught"]["sessions"], 1)
        # An Idempotency-Key is its tenant's own.
        first = cluster.ask("acme-client", "POST", "/v1/sessions", {}, key="same")[1]["run_id"]
        second = cluster.ask("globex-client", "POST", "/v1/sessions", {}, key="same")[1]["run_id"]
        self.assertNotEqual(first, second)
        # Nothing of all that reached what it was aimed at, and a restart keeps it apart.
        self.assertEqual(cluster.request("GET", "/v1/effects")[1]["parked"], 2)
        cluster.kill("coordinator")
        cluster.start_coordinator()
        # The ended session is now read from the store: by its own tenant alone.
        self.assertEqual(cluster.request("GET", f"/v1/sessions/{run_id}")[1]["steps"][0]["output"], "noted")
        self.assertEqual(cluster.request("GET", f"/v1/sessions/{run_id}/explanation")[0], 200)
        for (method, path, body), (_, nowhere, of_nowhere) in zip(routes_of(run_id), routes_of(never)):
            status, found = cluster.ask("globex-operator", method, path, body)
            self.assertEqual(status, 404)
            expected = cluster.ask("globex-operator", method, nowhere, of_nowhere)[1]
            self.assertEqual(json.dumps(found).replace(run_id, "ID"), json.dumps(expected).replace(never, "ID"))
        self.assertEqual(cluster.request("GET", f"/v1/sessions/{first}")[0], 200)
        for method, path, body in routes_of(first):
            self.assertEqual(cluster.ask("globex-operator", method, path, body)[0], 404)

    def test_a_role_may_ask_what_it_is_for(self):
        cluster = self.start()
        run_id = cluster.open()
        session = f"/v1/sessions/{run_id}"
        allowed = {"GET /v1/healthz": {None, "acme-client", "acme-operator", "auditor"},
                   f"GET {session}": {"acme-client", "acme-operator"}, "GET /v1/effects": {"acme-client", "acme-operator"},
                   "DELETE /v1/history": {"acme-operator"}, "GET /v1/status": {"acme-operator", "auditor"},
                   "GET /v1/ledger": {"auditor"}}
        for asked, roles in allowed.items():
            for token in (None, "acme-client", "acme-operator", "auditor", "frt1." + "0" * 64):
                with self.subTest(asked=asked, token=token):
                    status, answer = cluster.ask(token, *asked.split(" "))
                    expected = 200 if token in roles or asked.endswith("healthz") else 403 if token in cluster.tokens else 401
                    self.assertEqual(status, expected, answer)
        # A node's key is no token.
        for secret in ((cluster.folder / "node-1.token").read_text().strip(), (cluster.folder / "node-1.token").read_text()[68:132]):
            self.assertEqual(cluster.ask(secret, "GET", session)[0], 401)

    def test_a_revoked_token_is_shut_out_within_a_second_also_while_it_waits(self):
        cluster = self.start()
        cluster.make_token("leaving", "acme", "client")
        until("the new token is known", lambda: cluster.ask("leaving", "GET", "/v1/effects")[0] == 200)
        run_id = cluster.open()
        gate = cluster.open_gate("g")
        waiting = http.client.HTTPConnection(cluster.http, timeout=30)
        waiting.request("POST", f"/v1/sessions/{run_id}/steps", json.dumps({"task": "gate", "input": {"name": "g"}}),
                        {"Content-Type": "application/json", "Authorization": f"Bearer {cluster.tokens['leaving']}"})
        until("its step runs", lambda: (cluster.tasks / "started-g").exists())
        begun = time.monotonic()
        revoked = cluster.command("keys", "token", "revoke", "leaving", "--tokens", cluster.tokens_file)
        self.assertEqual(revoked.returncode, 0, revoked.stderr)
        self.assertEqual(waiting.getresponse().status, 401)
        waited = time.monotonic() - begun
        self.assertLess(waited, REVOKED_WITHIN_S)
        self.assertEqual(cluster.ask("leaving", "GET", "/v1/effects")[0], 401)
        waiting.close()
        # Its step was confirmed and goes on; others are still let in.
        gate.write_text("")
        until("the step is decided", lambda: cluster.request("GET", f"/v1/sessions/{run_id}")[1]["next_step"] == 1)
        # A file that cannot be read changes nothing.
        cluster.tokens_file.write_text("nonsense\n")
        until("it is told", lambda: "what was read before stays in force" in cluster.log("coordinator"))
        self.assertEqual(cluster.request("GET", "/v1/effects")[0], 200)

    def test_a_nodes_key_that_is_revoked_while_its_branch_runs_is_shut_out_within_a_second(self):
        cluster = self.start(nodes=2)
        run_id = cluster.open(speculation="off")
        gate = cluster.open_gate("g")
        started = cluster.tasks / "started-g"
        asking = cluster.connect()
        asking.request("POST", f"/v1/sessions/{run_id}/steps", json.dumps({"task": "gate", "input": {"name": "g"}}),
                       {"Content-Type": "application/json", "Authorization": f"Bearer {cluster.tokens['acme-client']}"})
        until("its step runs", started.exists)
        busy = until("a node says so", lambda: [node["name"] for node in cluster.status()["nodes"] if node["busy"]])[0]
        begun = time.monotonic()
        self.assertEqual(cluster.command("keys", "revoke", busy, "--data", cluster.data).returncode, 0)
        until("it is gone", lambda: busy not in [node["name"] for node in cluster.status()["nodes"]])
        self.assertLess(time.monotonic() - begun, REVOKED_WITHIN_S)
        # Its branch runs elsewhere; what it would still say is not heard.
        until("it runs elsewhere", lambda: len(started.read_text().splitlines()) == 2)
        gate.write_text("")
        answer = json.loads(asking.getresponse().read())
        asking.close()
        self.assertEqual(answer["output"], {"passed": "g"})
        self.assertEqual(cluster.processes[busy].wait(15), 4)

    def test_tenants_share_no_resident_process(self):
        cluster = self.start(catalog=CATALOG + RESIDENT)
        (cluster.tasks / "who.py").write_text(WHO)
        processes = {}
        for token in ("acme-client", "globex-client"):
            run_id = cluster.ask(token, "POST", "/v1/sessions", {"speculation": "off"})[1]["run_id"]
            processes[token] = {cluster.ask(token, "POST", f"/v1/sessions/{run_id}/steps",
                                            {"task": "who", "input": {"n": n}})[1]["output"] for n in range(6)}
        self.assertEqual(processes["acme-client"] & processes["globex-client"], set())
        self.assertLess(len(processes["acme-client"]), 6)  # One tenant's calls do share some.

    def test_flags_come_from_a_file_and_from_the_environment_too(self):
        cluster = self.start(nodes=0)
        cluster.kill("coordinator")
        config = cluster.folder / "forerun.toml"
        config.write_text(f'[coordinator]\ntokens = "{cluster.tokens_file}"\nhttp-name = ["one.example", "two.example"]\n')
        arguments = ["coordinator", "--data", cluster.data, "--catalog", cluster.catalog, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        for flags, environment in [(["--config", config], {}), ([], {"FORERUN_TOKENS": str(cluster.tokens_file),
                                                                     "FORERUN_HTTP_NAME": "two.example"})]:
            with mock.patch.dict(os.environ, environment):
                ready = cluster.spawn("coordinator", *arguments, *flags)
            cluster.http = ready["http"].removeprefix("http://")
            self.assertEqual(cluster.ask(None, "GET", "/v1/status")[0], 401)
            self.assertEqual(cluster.ask("auditor", "GET", "/v1/status")[0], 200)
            for host, status in [("two.example", 200), ("three.example", 403)]:
                connection = cluster.connect()
                connection.request("GET", "/v1/healthz", headers={"Host": host})
                self.assertEqual(connection.getresponse().status, status)
                connection.close()
            cluster.kill("coordinator")

    def test_commands_send_their_token(self):
        cluster = self.start()
        run_id = cluster.open()
        cluster.step(run_id, "double", n=2)
        url = ("--url", f"http://{cluster.http}")
        traces = cluster.folder / "traces.jsonl"
        traces.write_text('{"session": "s", "steps": [{"task": "double", "input": {"n": 1}, "output": {"twice": 2}}]}\n')
        for name, command in [("acme-operator", ["status"]), ("acme-client", ["explain", run_id]), ("acme-client", ["predict", run_id]),
                              ("acme-client", ["run", traces]), ("acme-operator", ["learn", traces]),
                              ("acme-client", ["effects", "list"]), ("acme-operator", ["effects", "redrive", "--all"]),
                              ("auditor", ["verify", "--sample", 1])]:
            with self.subTest(command=command):
                token = cluster.folder / f"{name}.http-token"
                done = cluster.command(*command, *url, "--token-file", token)
                self.assertEqual(done.returncode, 0, done.stderr)
                refused = cluster.command(*command, *url)
                self.assertNotEqual(refused.returncode, 0)
                self.assertIn("expected Bearer and a token", refused.stderr)
        refused = cluster.command("status", *url, "--token-file", cluster.folder / "node-1.token")
        self.assertIn("a node's join token", refused.stderr)


if __name__ == "__main__":
    unittest.main()
