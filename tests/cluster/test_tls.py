"""HTTPS with real processes: certificates, their renewal, what is refused beyond loopback, and clients that drip."""
import asyncio
import contextlib
import datetime
import http.client
import ipaddress
import json
import pathlib
import socket
import ssl
import sys
import unittest
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
from harness import until
from test_security import SecuredCluster

import forerun


def make_certificate(folder, common_name="forerun test"):
    """A key and a certificate that is its own authority, for this machine's names. Returns the certificate's serial number."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.utcnow()
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                   .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"),
                                                               x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
                   .sign(key, hashes.SHA256()))
    key_file = folder / "key.pem"
    key_file.touch(mode=0o600)
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate.serial_number


class TlsCluster(SecuredCluster):
    def start_coordinator(self, *more):
        if not (self.folder / "cert.pem").exists():
            self.serial_number = make_certificate(self.folder)
        super().start_coordinator("--tls-certificate", self.folder / "cert.pem", "--tls-key", self.folder / "key.pem", *more)
        self.http = self.http.removeprefix("https://")

    @property
    def url(self):
        return f"https://{self.http}"

    def trusting(self):
        return ssl.create_default_context(cafile=self.folder / "cert.pem")

    def connect(self, timeout=30):
        return http.client.HTTPSConnection(self.http, timeout=timeout, context=self.trusting())


class TlsTest(unittest.TestCase):
    def start(self, **more):
        cluster = TlsCluster(**more)
        self.addCleanup(cluster.close)
        return cluster

    def test_commands_and_clients_check_the_server_and_are_answered(self):
        cluster = self.start()
        token = cluster.folder / "acme-operator.http-token"
        ca = cluster.folder / "cert.pem"
        done = cluster.command("status", "--url", cluster.url, "--token-file", token, "--ca", ca)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(json.loads(done.stdout)["nodes"]), 1)
        for url, flags, said in [(cluster.url, [], "certificate"), (f"http://{cluster.http}", ["--ca", ca], ""),
                                 (cluster.url.replace("127.0.0.1", "127.0.0.2"), ["--ca", ca], "127.0.0.2")]:
            refused = cluster.command("status", "--url", url, "--token-file", token, *flags)
            self.assertEqual(refused.returncode, 1, refused.stderr)
            self.assertIn(said, refused.stderr)

        options = {"token": cluster.tokens["acme-client"], "ca_file": str(ca)}
        with forerun.Client(cluster.url, **options) as client, client.session() as session:
            self.assertEqual(session.call("double", n=4), {"twice": 8})
            self.assertEqual(session.calls([("double", {"n": n}) for n in range(20)]), [{"twice": 2 * n} for n in range(20)])

        async def several():
            async with forerun.AsyncClient(cluster.url, **options) as client, client.session() as session:
                return await asyncio.gather(*(session.call("double", n=n) for n in range(20)))

        self.assertEqual(asyncio.run(several()), [{"twice": 2 * n} for n in range(20)])
        with self.assertRaises((forerun.ForerunError, ssl.SSLError)):
            with forerun.Client(cluster.url, token=options["token"], retries=forerun.Retries(attempts=1)) as client:
                client.status()

    def test_a_body_of_many_records_and_an_end_that_is_told(self):
        cluster = self.start()
        run_id = cluster.open()
        connection = cluster.connect()
        text = "x" * 200_000
        for _ in range(3):  # On one connection.
            connection.request("POST", f"/v1/sessions/{run_id}/text", json.dumps({"text": text}),
                               {"Content-Type": "application/json", "Authorization": f"Bearer {cluster.tokens['acme-client']}"})
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.read()), (204, b""))
        connection.close()
        host, port = cluster.http.rsplit(":", 1)
        with cluster.trusting().wrap_socket(socket.create_connection((host, int(port)), 30), server_hostname="localhost",
                                            suppress_ragged_eofs=False) as raw:
            raw.sendall(b"GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            received = b""
            while chunk := raw.recv(4096):  # An end without close_notify would raise.
                received += chunk
            self.assertTrue(received.endswith(b'{"ok":true}'), received)
            self.assertIn(raw.version(), ("TLSv1.2", "TLSv1.3"))

    def test_versions_before_1_2_and_clients_without_tls_get_nothing(self):
        cluster = self.start()
        host, port = cluster.http.rsplit(":", 1)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection((host, int(port)), 30) as raw, self.assertRaises(ssl.SSLError):
            old.wrap_socket(raw)
        with socket.create_connection((host, int(port)), 30) as raw:
            raw.sendall(b"GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                self.assertNotIn(b"ok", raw.recv(4096))

    def test_a_renewed_certificate_is_used_without_a_restart(self):
        cluster = self.start()

        def served():
            host, port = cluster.http.rsplit(":", 1)
            pem = ssl.get_server_certificate((host, int(port)))
            return x509.load_pem_x509_certificate(pem.encode()).serial_number

        self.assertEqual(served(), cluster.serial_number)
        renewed = make_certificate(cluster.folder, "renewed")
        until("the new certificate is served", lambda: served() == renewed)
        (cluster.folder / "cert.pem").write_text("nonsense")
        until("it is told", lambda: "stays in force" in cluster.log("coordinator"))
        self.assertEqual(served(), renewed)

    def test_what_is_refused_beyond_loopback(self):
        cluster = self.start(nodes=0)
        cluster.kill("coordinator")
        make_certificate(cluster.folder)
        tokens = ["--tokens", cluster.tokens_file]
        certificate = ["--tls-certificate", cluster.folder / "cert.pem"]
        key = ["--tls-key", cluster.folder / "key.pem"]

        def start(*flags, host="0.0.0.0"):
            return cluster.command("coordinator", "--data", cluster.data, "--catalog", cluster.catalog, "--listen", "127.0.0.1:0",
                                   "--http", f"{host}:0", *flags)

        for flags, code, said in [([], 4, "expected tokens (--tokens FILE)"), ([*certificate, *key], 4, "expected tokens"),
                                  (["--behind-tls-proxy"], 4, "expected tokens"), (tokens, 4, "expected TLS"),
                                  ([*tokens, *certificate], 2, "both or none"), ([*tokens, *key], 4, "expected TLS"),
                                  ([*tokens, *key, "--tls-certificate", cluster.catalog], 2, "expected a certificate")]:
            with self.subTest(flags=flags):
                refused = start(*flags)
                self.assertEqual(refused.returncode, code, refused.stderr)
                self.assertIn(said, refused.stderr)
        (cluster.folder / "key.pem").chmod(0o644)
        refused = start(*tokens, *certificate, *key)
        self.assertEqual(refused.returncode, 4, refused.stderr)
        self.assertIn("others may read it", refused.stderr)
        (cluster.folder / "key.pem").chmod(0o600)
        for flags in ([*tokens, *certificate, *key], [*tokens, "--behind-tls-proxy"]):
            ready = cluster.spawn("coordinator", "coordinator", "--data", cluster.data, "--catalog", cluster.catalog, "--listen",
                                  "127.0.0.1:0", "--http", "0.0.0.0:0", "--http-name", "forerun.example", *flags)
            port = int(ready["http"].rsplit(":", 1)[1])
            for name, status in [("forerun.example", 200), ("127.0.0.1", 200), ("evil.example", 403)]:
                connection = (http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=cluster.trusting())
                              if ready["http"].startswith("https:") else http.client.HTTPConnection("127.0.0.1", port, timeout=30))
                connection.request("GET", "/v1/healthz", headers={"Host": f"{name}:{port}"})
                self.assertEqual(connection.getresponse().status, status)
                connection.close()
            cluster.kill("coordinator")


if __name__ == "__main__":
    unittest.main()
