"""The world outside, for the example: a carrier and a warehouse that take their time, and a mailbox that counts what arrives."""
import contextlib
import http.server
import json
import threading
import time

ANSWER_S = 0.3


class Outside(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        self.mails = {}  # Idempotency key -> mail.
        outside = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                time.sleep(ANSWER_S)
                kind, _, name = self.path.strip("/").partition("/")
                number = sum(name.encode())
                if kind == "parcels":
                    self.reply({"parcel": name, "state": "delivered" if number % 4 else "on its way"})
                elif kind == "stock":
                    self.reply({"article": name, "left": number % 7})
                else:
                    self.send_error(404)

            def do_POST(self):
                mail = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outside.mails[self.headers["Idempotency-Key"]] = mail
                self.reply({})

            def reply(self, body):
                data = json.dumps(body).encode()
                with contextlib.suppress(ConnectionError):  # A tool that was cancelled has left.
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def outside():
    server = Outside()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
