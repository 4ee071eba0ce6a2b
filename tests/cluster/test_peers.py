"""What a peer that means ill can reach: another worker's identity, numbers beyond all bounds, more than its share of connections, secrets
that others may read. Real processes."""
import contextlib
import http.client
import json
import os
import pathlib
import resource
import socket
import stat
import subprocess
import sys
import time
import unittest
import uuid
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import raw_peer
from harness import BINARY, Cluster, until
from raw_peer import RawPeer
from test_security import REVOKED_WITHIN_S, SecuredCluster

UNBOUNDED = (1 << 63, (1 << 64) - 1, 1 << 53)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def names_of(cluster):
    return [node["name"] for node in cluster.status()["nodes"]]


class PeersTest(unittest.TestCase):
    def start(self, kind=Cluster, **more):
        cluster = kind(**more)
        self.addCleanup(cluster.close)
        return cluster

    def raw(self, cluster, name):
        token = cluster.token_for(name)
        allowed = len((cluster.data / "keys" / "allowed").read_text().splitlines())
        until("its key is known", lambda: f"keys: {allowed} nodes are allowed" in (cluster.folder / "coordinator.log").read_text())
        peer = RawPeer(token.read_text().strip(), cluster.listen)
        self.addCleanup(peer.close)
        return peer

    def test_a_node_with_another_workers_identity_is_refused(self):
        cluster = self.start(nodes=2)
        worker = next(node for node in cluster.status()["nodes"] if node["name"] == "node-1")["workers"][0]
        claim = ["--worker", worker, "--token-file", cluster.token_for("thief")]

        def refused():
            thief = cluster.launch("thief", *cluster.node_arguments("thief"), *claim)
            self.assertEqual(thief.wait(20), 4)
            self.assertRegex(cluster.log("thief"), rf"worker {worker} belongs to the key [0-9a-f]{{16}} \(node-1\), found [0-9a-f]{{16}} \(thief\)")
            self.assertNotIn("thief", names_of(cluster))

        refused()  # Its owner lives,
        cluster.kill("node-1")
        until("node-1 is lost", lambda: names_of(cluster) == ["node-2"])
        refused()  # is away,
        cluster.kill("coordinator")
        cluster.start_coordinator()
        refused()  # and has not come yet in this term.
        self.assertIn("belongs to the key", cluster.log("coordinator"))
        # Its key is renewed: the old one is out, and its data goes on under the new one.
        old = (cluster.folder / "node-1.token").read_text()
        renewed = cluster.folder / "renewed.token"
        done = cluster.command("keys", "renew", "node-1", "--data", cluster.data, "--out", renewed)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotEqual(renewed.read_text(), old)
        self.assertEqual(cluster.start_node("node-1", "--token-file", renewed)["workers"], [worker])
        refused()
        self.assertEqual(cluster.command("keys", "renew", "nobody", "--data", cluster.data).returncode, 3)
        stale = cluster.launch("stale", *cluster.node_arguments("stale"), "--token-file", cluster.folder / "node-1.token")
        self.assertEqual(stale.wait(20), 4)

    def test_numbers_beyond_all_bounds_are_dropped_and_nothing_ends(self):
        cluster = self.start(nodes=1)
        run_id = cluster.open()
        worker = uuid.uuid4().bytes
        peer = self.raw(cluster, "raw")
        peer.send(raw_peer.join([worker]))
        self.assertIsNotNone(peer.receive())
        until("it has joined", lambda: "raw" in names_of(cluster))
        epoch = cluster.status()["epoch"]
        for number in UNBOUNDED:
            for message in (raw_peer.join([worker], mark=number), raw_peer.join([worker], size=number), raw_peer.join([worker], epoch=number),
                            raw_peer.heartbeat(epoch, size=number), raw_peer.mark_stored(worker, number), raw_peer.fetch(number)):
                peer.send(message)
        for time_us in (-1, (1 << 63) - 1, 366 * 24 * 3600 * 1_000_000):
            peer.send(raw_peer.branch_ended(epoch, 1, latency_us=time_us))
            peer.send(raw_peer.branch_ended(epoch, 1, freed_after_us=time_us))
        sent = 6 * len(UNBOUNDED) + 6
        whole_log = cluster.folder / "coordinator.log"
        until("all are dropped", lambda: whole_log.read_text().count("dropped a frame: wire: ") == sent)
        self.assertRegex(whole_log.read_text(), r"wire: mark_stored: mark: 9223372036854775808, expected at most 9007199254740991")
        self.assertRegex(whole_log.read_text(), r"latency_us: -1, expected 0 to ")
        peer.close()
        until("it is lost", lambda: names_of(cluster) == ["node-1"])
        self.assertEqual(cluster.step(run_id, "double", n=2)["output"], {"twice": 4})
        # What it said is in no store: the next start reads it.
        cluster.kill("coordinator")
        cluster.start_coordinator()
        until("the node is back", lambda: names_of(cluster) == ["node-1"])
        self.assertEqual(cluster.step(run_id, "double", n=3)["output"], {"twice": 6})

    def test_one_address_has_a_share_of_the_connections(self):
        cluster = self.start(nodes=0)
        cluster.kill("coordinator")
        # Few descriptors, as a shell gives them, and more that the process may take.
        ready = cluster.spawn("coordinator", "-c", 'ulimit -Sn 600; ulimit -Hn 1200; exec "$@"', "sh", BINARY,
                              *map(str, cluster.coordinator_arguments()), program="/bin/sh")
        cluster.http = ready["http"].removeprefix("http://")
        host, port = cluster.http.split(":")
        own = cluster.status()["http"]
        self.assertEqual((own["connections_max"], own["connections_per_peer_max"], own["connections_refused"]), (688, 172, 0))
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(172)]

            def refused():
                with socket.create_connection((host, int(port)), timeout=10) as one:
                    return one.recv(4096).decode()
            said = until("the next is refused", refused)
            self.assertTrue(said.startswith("HTTP/1.1 503 "), said)
            self.assertIn("\r\nRetry-After: 1\r\n", said)
            self.assertIn("this address has 172, expected at most that many", said)
            # Another address is served meanwhile, and the status tells.
            other = http.client.HTTPConnection(host, int(port), timeout=10, source_address=("127.0.0.2", 0))
            other.request("GET", "/v1/status")
            own = json.loads(other.getresponse().read())["http"]
            other.close()
            self.assertGreaterEqual(own["connections_refused"], 1)
            self.assertEqual(own["connections"], 173)
            held[0].close()
            until("its place is free", lambda: cluster.request("GET", "/v1/healthz", timeout=5)[0] == 200)

    def test_slow_bodies_shut_nobody_out(self):
        cluster = self.start(nodes=1)
        host, port = cluster.http.split(":")
        length = 1 << 20

        def opens(address):
            client = http.client.HTTPConnection(host, int(port), timeout=10, source_address=(address, 0))
            try:
                client.request("POST", "/v1/sessions", "{}".ljust(length), {"Content-Type": "application/json"})
                answer = client.getresponse()
                return answer.status, answer.getheader("Retry-After"), json.loads(answer.read())
            finally:
                client.close()

        with contextlib.ExitStack() as stack:
            held = []
            for _ in range(300):
                slow = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # What is sent is with the server, not here.
                slow.sendall(f"POST /v1/sessions HTTP/1.1\r\nHost: {cluster.http}\r\nContent-Type: application/json\r\n"
                             f"Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n".encode())
                self.assertEqual(slow.recv(4096), b"HTTP/1.1 100 Continue\r\n\r\n")
                slow.sendall(b" ")
                held.append(slow)
            # What is announced keeps nobody away.
            self.assertEqual(opens("127.0.0.1")[0], 201)
            # What has come does, but nobody at another address.
            for slow in held[:63]:
                slow.sendall(b" " * (length - 2))
            _, retry, said = until("its share is spent", lambda: (answer := opens("127.0.0.1"))[0] == 503 and answer)
            self.assertEqual(retry, "1")
            self.assertEqual(said["detail"], f"bodies: expected at most {64 << 20} bytes at once from one address")
            self.assertEqual(opens("127.0.0.2")[0], 201)
            for slow in held:
                slow.close()
            until("its share is free", lambda: opens("127.0.0.1")[0] == 201)

    def test_secrets_in_files_are_their_owners_alone(self):
        cluster = self.start(SecuredCluster, nodes=0)
        url = ("--url", f"http://{cluster.http}")
        before = os.umask(0o022)
        self.addCleanup(os.umask, before)
        for number, command in enumerate((["keys", "add", "node-{}", "--data", cluster.data],
                                          ["keys", "token", "add", "t-{}", "--role", "operator", "--tokens", cluster.tokens_file])):
            kept, redirected = cluster.folder / f"kept-{number}", cluster.folder / f"redirected-{number}"
            done = cluster.command(*[str(word).format(1) for word in command], "--out", kept)
            self.assertEqual((done.returncode, done.stdout, mode_of(kept)), (0, "", 0o600))
            self.assertNotIn(kept.read_text().strip(), done.stderr)
            again = cluster.command(*[str(word).format(2) for word in command], "--out", kept)
            self.assertEqual(again.returncode, 4)
            self.assertIn("expected a new file", again.stderr)
            with open(redirected, "w") as out:
                subprocess.run([BINARY, *[str(word).format(3) for word in command]], stdout=out, stderr=subprocess.DEVNULL, check=True)
            self.assertEqual((mode_of(redirected), len(redirected.read_text())), (0o600, len(kept.read_text())))
        # Who reads such a file refuses one that others may read.
        token = cluster.folder / "kept-1"
        until("it counts", lambda: cluster.command("status", *url, "--token-file", token).returncode == 0)
        for mode in (0o644, 0o640, 0o604):
            for file, command in ((token, ["status", *url]), (cluster.folder / "kept-0", cluster.node_arguments("node-1"))):
                file.chmod(mode)
                refused = cluster.command(*command, "--token-file", file)
                self.assertEqual(refused.returncode, 4, refused.stderr)
                self.assertIn(f"{file}: others have access to it, expected mode 0600", refused.stderr)
        # A pipe has no mode that counts.
        token.chmod(0o600)
        with open(token) as pipe_from:
            secret = pipe_from.read()
        done = subprocess.run([BINARY, "status", *url, "--token-file", "/dev/stdin"], input=secret, text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_nodes_token_is_no_argument(self):
        cluster = self.start(nodes=0)
        secret = cluster.token_for("node-1").read_text().strip()
        for flag in (["--token", secret], [f"--token={secret}"]):
            refused = cluster.command(*cluster.node_arguments("node-1"), *flag)
            self.assertEqual(refused.returncode, 2)
            self.assertIn("expected --token-file FILE or FORERUN_TOKEN", refused.stderr)
            self.assertNotIn(secret, refused.stdout + refused.stderr)
            self.assertNotIn(secret[68:132], refused.stdout + refused.stderr)
        with mock.patch.dict(os.environ, {"FORERUN_TOKEN": secret}):
            cluster.start_node("node-1")
        self.assertNotIn(secret, pathlib.Path(f"/proc/{cluster.processes['node-1'].pid}/cmdline").read_text())

    def test_a_token_in_a_query_is_not_repeated(self):
        cluster = self.start(SecuredCluster, nodes=0)
        secret = cluster.tokens["acme-operator"]
        for target in ("/v1/status?token={}", "/v1/ledger?access_token={}", "/v1/nowhere?{}", "/v1/sessions/x?t={}"):
            for token in (None, "acme-operator", "auditor"):
                status, answer = cluster.ask(token, "GET", target.format(secret))
                self.assertIn(status, (400, 401, 403, 404))
                self.assertNotIn(secret, json.dumps(answer))

    def test_a_revocation_that_could_not_be_read_is_not_lost(self):
        cluster = self.start(SecuredCluster, nodes=0)
        pid = cluster.processes["coordinator"].pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        self.assertEqual(cluster.ask("acme-client", "POST", "/v1/sessions", {})[0], 503)  # No worker; but let in.
        whole_log = cluster.folder / "coordinator.log"
        # No descriptor is left for a moment: the file's state is seen, and what it holds cannot be read.
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            self.assertEqual(cluster.command("keys", "token", "revoke", "acme-client", "--tokens", cluster.tokens_file).returncode, 0)
            until("it is tried", lambda: "what was read before stays in force, and it is tried again" in whole_log.read_text())
            time.sleep(0.6)  # Some more times, with the same file.
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        began = time.monotonic()
        until("it is shut out", lambda: cluster.ask("acme-client", "POST", "/v1/sessions", {})[0] == 401, REVOKED_WITHIN_S + 1)
        self.assertLess(time.monotonic() - began, REVOKED_WITHIN_S)
        self.assertEqual(whole_log.read_text().count("Too many open files"), 1)
        self.assertEqual(cluster.ask("acme-operator", "GET", "/v1/status")[0], 200)


if __name__ == "__main__":
    unittest.main()
