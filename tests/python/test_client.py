"""The Python client against a small server that answers as it is told."""
import asyncio
import concurrent.futures
import http.server
import json
import os
import pathlib
import queue
import socket
import sys
import tempfile
import threading
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
import forerun
from forerun import client as client_module

QUICK = forerun.Retries(attempts=4, first_s=0.001, max_s=0.002)
STEP = {"run_id": "u/1", "step": 0, "task": "look", "status": "ok", "output": {"n": 1}, "origin": "hit", "saved_ms": 12.5,
        "seed": "00", "winner": "look", "branch_names": ["look"], "causes": [None], "decision_hash": "ab", "seq": 3, "confidence": 0.9}
OPENED = (201, {"run_id": "u/1"}, {})
ENDED = (200, {"run_id": "u/1", "steps": 1}, {})


def problem(status, name, detail, **fields):
    return status, {"type": f"https://forerun.dev/problems/{name}", "title": "T", "status": status, "detail": detail}, fields


class Server(http.server.ThreadingHTTPServer):
    """Gives its answers in order; an answer is (status, body, headers), or a function that gets the handler."""

    daemon_threads = True

    def __init__(self, *answers):
        self.answers = queue.SimpleQueue()
        for answer in answers:
            self.answers.put(answer)
        self.seen = []
        self.connections = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                server.connections += 1

            def do(self):
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                server.seen.append((self.command, self.path, body, dict(self.headers)))
                answer = server.answers.get_nowait()
                if callable(answer):
                    return answer(self)
                self.reply(*answer)

            do_GET = do_POST = do_DELETE = do

            def reply(self, status, body, fields):
                data = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name.replace("_", "-"), value)
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def keys(self):
        return [headers.get("Idempotency-Key") for *_, headers in self.seen]


def hang_up(handler):
    """Ends the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


class ClientTest(unittest.TestCase):
    """What both clients do: each test runs a synchronous and an asynchronous one."""

    def serve(self, *answers):
        server = Server(*answers)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def each(self, answers, steps, **options):
        """Runs `steps`, written once as an async function, with both clients; yields (server, result or error) of each."""
        options.setdefault("retries", QUICK)

        async def run(client):
            try:
                return await steps(client)
            except Exception as error:
                return error

        def synchronous(server):
            with forerun.Client(server.url, **options) as client:
                return asyncio.run(run(Awaited(client)))

        async def asynchronous(server):
            async with forerun.AsyncClient(server.url, **options) as client:
                return await run(client)

        for kind in (synchronous, lambda server: asyncio.run(asynchronous(server))):
            server = self.serve(*answers)
            yield server, kind(server)

    def test_a_session_is_opened_used_and_ended(self):
        async def steps(client):
            async with client.session("order A-17", state={"a": 1}, speculation="shadow") as session:
                return await session.call("look", order="A-17")

        for server, result in self.each([OPENED, (200, STEP, {}), ENDED], steps):
            self.assertEqual(result, {"n": 1})
            self.assertEqual([seen[:3] for seen in server.seen], [
                ("POST", "/v1/sessions", {"context": "order A-17", "speculation": "shadow", "state": {"a": 1}}),
                ("POST", "/v1/sessions/u/1/steps", {"task": "look", "input": {"order": "A-17"}}),
                ("DELETE", "/v1/sessions/u/1", None)])
            self.assertEqual(server.connections, 1)
            self.assertIsNone(server.keys()[2])
            self.assertEqual(len(set(server.keys())), 3)

    def test_several_calls_come_back_in_their_order(self):
        async def steps(client):
            return await client.resume("u/1").steps([("look", {"n": 1}), ("see", {"n": 2})], expect_step=4, key="mine")

        answers = [(200, {"steps": [STEP, {**STEP, "step": 1, "task": "see", "extra": 1}]}, {})]
        for server, result in self.each(answers, steps):
            self.assertEqual([(step.task, step.step, step.origin) for step in result], [("look", 0, "hit"), ("see", 1, "hit")])
            self.assertEqual(server.seen[0][2], {"calls": [{"task": "look", "input": {"n": 1}}, {"task": "see", "input": {"n": 2}}],
                                                 "expect_step": 4})
            self.assertEqual(server.keys(), ["mine"])

    def test_a_failed_step_raises_with_each_cause(self):
        async def steps(client):
            return await client.resume("u/1").call("look", {"n": 1})

        failed = {**STEP, "status": "failed", "output": None, "causes": ["exit code 1: no such order", None, "timed out"]}
        for _, error in self.each([(200, failed, {})], steps):
            self.assertIsInstance(error, forerun.StepFailedError)
            self.assertEqual(str(error), "step 0, task look: exit code 1: no such order; timed out")
            self.assertEqual(error.step.step, 0)

    def test_a_problem_becomes_an_exception_of_its_kind_with_its_text(self):
        async def steps(client):
            return await client.resume("u/1").step("lok", {})

        for status, name, kind in [(400, "invalid-request", forerun.InvalidRequestError), (404, "not-found", forerun.NotFoundError),
                                   (409, "conflict", forerun.ConflictError), (410, "gone", forerun.GoneError),
                                   (413, "too-large", forerun.TooLargeError), (422, "key-reused", forerun.KeyReusedError)]:
            for server, error in self.each([problem(status, name, 'task "lok": did you mean "look"?')], steps):
                self.assertIs(type(error), kind)
                self.assertEqual(str(error), f'{status} {name}: task "lok": did you mean "look"?')
                self.assertEqual((error.status, error.name, error.title), (status, name, "T"))
                self.assertEqual(len(server.seen), 1)

    def test_a_token_goes_with_each_request_and_into_no_message(self):
        async def steps(client):
            return await client.status()

        secret = "frt1.canary"
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "token")
            path.write_text(secret + "\n")
            path.chmod(0o640)
            with mock.patch.dict(os.environ, {"FORERUN_TOKEN_FILE": str(path)}):
                with self.assertRaisesRegex(ValueError, "others have access to it, expected mode 0600"):
                    forerun.Client()
            path.chmod(0o600)
            for environment, options, expected in [
                    ({}, {"token": secret}, f"Bearer {secret}"), ({"FORERUN_TOKEN": secret}, {}, f"Bearer {secret}"),
                    ({"FORERUN_TOKEN_FILE": str(path), "FORERUN_TOKEN": "other"}, {}, f"Bearer {secret}"),
                    ({"FORERUN_TOKEN": "other"}, {"token": ""}, None),
                    ({"FORERUN_TOKEN": "other"}, {"headers": {"authorization": "Basic x"}}, "Basic x"), ({}, {}, None)]:
                with mock.patch.dict(os.environ, environment):
                    for server, error in self.each([problem(401, "unauthenticated", "no such token")], steps, **options):
                        self.assertIs(type(error), forerun.NotAllowedError)
                        self.assertNotIn(secret, str(error))
                        sent = {name.lower(): value for name, value in server.seen[0][3].items()}
                        self.assertEqual(sent.get("authorization"), expected)
        for kind in (forerun.Client, forerun.AsyncClient):
            with self.assertRaises(ValueError) as raised:
                kind(token="two words")
            self.assertNotIn("two words", str(raised.exception))

    def test_what_is_no_problem_document_is_quoted(self):
        async def steps(client):
            return await client.status()

        def page(handler):
            handler.send_response(502)
            handler.send_header("Content-Length", "9")
            handler.end_headers()
            handler.wfile.write(b"<h1>no\xff</")

        for _, error in self.each([page], steps):
            self.assertIs(type(error), forerun.ProblemError)
            self.assertIn("502", str(error))
            self.assertIn("<h1>no", str(error))

    def test_a_busy_coordinator_is_asked_again_with_the_same_key(self):
        async def steps(client):
            return await client.resume("u/1").call("look")

        answers = [problem(503, "overloaded", "full", Retry_After="0"), problem(429, "slow-down", "slow"), (200, STEP, {})]
        for server, result in self.each(answers, steps):
            self.assertEqual(result, {"n": 1})
            self.assertEqual(len(set(server.keys())), 1)
            self.assertEqual(len(server.seen), 3)

    def test_attempts_are_limited(self):
        async def steps(client):
            return await client.resume("u/1").call("look")

        for server, error in self.each([problem(503, "not-ready", "no worker", Retry_After="0")] * 9, steps):
            self.assertIs(type(error), forerun.UnavailableError)
            self.assertEqual(error.retry_after_s, 0)
            self.assertEqual(len(server.seen), QUICK.attempts)

    def test_a_wait_longer_than_wanted_is_an_error_at_once(self):
        async def steps(client):
            return await client.resume("u/1").call("look")

        for server, error in self.each([problem(503, "overloaded", "full", Retry_After="61")], steps):
            self.assertIs(type(error), forerun.UnavailableError)
            self.assertEqual((error.retry_after_s, len(server.seen)), (61, 1))

    def test_a_step_whose_answer_was_lost_is_asked_for_again(self):
        async def steps(client):
            return await client.resume("u/1").call("look")

        for server, result in self.each([hang_up, (200, STEP, {})], steps):
            self.assertEqual(result, {"n": 1})
            self.assertEqual(len(set(server.keys())), 1)

    def test_a_text_that_may_have_arrived_is_not_sent_twice(self):
        async def steps(client):
            return await client.resume("u/1").text("hello")

        for server, error in self.each([hang_up], steps):
            self.assertIsInstance(error, forerun.ConnectionFailedError)
            self.assertIsInstance(error, ConnectionError)
            self.assertIn("(1 attempt)", str(error))
        for server, result in self.each([problem(503, "overloaded", "full"), (204, None, {})], steps):
            self.assertIsNone(result)
            self.assertEqual(server.seen[1][2], {"text": "hello"})
            self.assertIsNone(server.keys()[1])

    def test_an_end_whose_answer_was_lost_has_ended(self):
        async def steps(client):
            return await client.resume("u/1").end()

        for _, result in self.each([hang_up, problem(409, "conflict", "has ended")], steps):
            self.assertIsNone(result)
        for _, error in self.each([problem(409, "conflict", "has ended")], steps):
            self.assertIs(type(error), forerun.ConflictError)

    def test_no_answer_in_time_is_told(self):
        never = threading.Event()
        self.addCleanup(never.set)

        async def steps(client):
            return await client.resume("u/1").call("look")

        def slow(handler):
            never.wait()
            handler.close_connection = True

        options = {"timeout_s": 0.05, "retries": forerun.Retries(attempts=2, first_s=0.001)}
        for server, error in self.each([slow, slow], steps, **options):
            self.assertIsInstance(error, forerun.TimedOutError)
            self.assertIsInstance(error, TimeoutError)
            self.assertIn("/v1/sessions/u/1/steps: no answer in time (2 attempts)", str(error))

    def test_a_drip_of_bytes_ends_at_the_deadline_too(self):
        never = threading.Event()
        self.addCleanup(never.set)

        def drip(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            while not never.wait(0.01):
                try:
                    handler.wfile.write(b"x")
                except OSError:
                    break
            handler.close_connection = True

        async def steps(client):
            return await client.status()

        for _, error in self.each([drip], steps, timeout_s=0.1, retries=forerun.Retries(attempts=1)):
            self.assertIsInstance(error, forerun.TimedOutError)

    def test_an_answer_that_ends_early_is_asked_for_again_and_one_in_chunks_is_read(self):
        def short(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "100")
            handler.end_headers()
            handler.wfile.write(b'{"n":')
            handler.close_connection = True

        def in_chunks(handler):
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b'5\r\n{"n":\r\n2;x=y\r\n1}\r\n0\r\n\r\n')

        def to_its_end(handler):
            handler.send_response(200)
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(b'{"n":2}')

        def nonsense(handler):
            handler.wfile.write(b"what?\r\n\r\n")
            handler.close_connection = True

        async def steps(client):
            return [await client.status(), await client.status()]

        for server, result in self.each([short, nonsense, in_chunks, to_its_end], steps):
            self.assertEqual(result, [{"n": 1}, {"n": 2}])
            self.assertEqual(len(server.seen), 4)

    def test_nobody_listens(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with forerun.Client(url, retries=QUICK) as client, self.assertRaises(forerun.ConnectionFailedError) as raised:
            client.status()
        self.assertIn("Connection refused (4 attempts)", str(raised.exception))

        async def asynchronous():
            async with forerun.AsyncClient(url, retries=QUICK) as client:
                await client.session("x")

        with self.assertRaises(forerun.ConnectionFailedError):
            asyncio.run(asynchronous())

    def test_a_connection_that_was_closed_while_idle_is_not_used(self):
        closed = []

        def last(handler):
            handler.reply(200, {"n": 1}, {})
            handler.close_connection = True
            closed.append(handler.connection)

        async def steps(client):
            await client.status()
            while not closed:
                await asyncio.sleep(0.001)
            while closed[0].fileno() != -1:
                await asyncio.sleep(0.001)
            closed.clear()
            return await client.resume("u/1").text("hello")

        for server, result in self.each([last, (204, None, {})], steps):
            self.assertIsNone(result)
            self.assertEqual(server.connections, 2)

    def test_an_error_in_the_block_is_what_comes_out_of_it(self):
        async def steps(client):
            async with client.session("x"):
                raise KeyError("mine")

        for server, error in self.each([OPENED, problem(404, "not-found", "no session")], steps):
            self.assertIsInstance(error, KeyError)
            self.assertEqual(server.seen[1][0], "DELETE")

    def test_an_answer_of_another_program_is_named(self):
        async def steps(client):
            return await client.resume("u/1").call("look")

        for _, error in self.each([(200, {"hello": 1}, {})], steps):
            self.assertIsInstance(error, forerun.ForerunError)
            self.assertIn("is this a coordinator", str(error))

    def test_inputs_are_given_once_and_are_json(self):
        session = forerun.Client("http://127.0.0.1:1").resume("u/1")
        for wrong in (lambda: session.call("look", {"a": 1}, b=2), lambda: session.call(print, a=1)):
            self.assertRaises(TypeError, wrong)
        self.assertRaises(ValueError, lambda: session.call("look", a=float("nan")))
        for url in ("127.0.0.1:7480", "ftp://x", "http://", "http://x?y"):
            self.assertRaises(ValueError, forerun.Client, url)

    @unittest.skipUnless(hasattr(sys, "stdlib_module_names"), "asks Python 3.10 or later for its own modules")
    def test_the_client_is_one_file(self):
        """It can be copied alone: it imports nothing but the standard library."""
        source = pathlib.Path(client_module.__file__).read_text()
        imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
        self.assertLessEqual(imported, set(sys.stdlib_module_names))

    def test_async_calls_made_together_are_one_list_and_later_ones_wait_their_turn(self):
        release = threading.Event()

        def hold(handler):
            release.wait(10)
            handler.reply(200, {"steps": [{**STEP, "output": 1}, {**STEP, "output": 2}]}, {})

        async def steps(url):
            async with forerun.AsyncClient(url, retries=QUICK) as client:
                session = client.resume("u/1")
                calls = [asyncio.ensure_future(session.call("look", n=n)) for n in (1, 2)]
                while not server.seen:
                    await asyncio.sleep(0.001)
                calls += [asyncio.ensure_future(session.call("look", n=n)) for n in (3, 4, 5)]
                await asyncio.sleep(0)
                calls[3].cancel()
                release.set()
                return await asyncio.gather(*calls, session.end(), return_exceptions=True)

        later = {"steps": [{**STEP, "output": 3}, {**STEP, "output": 5}]}
        server = self.serve(hold, (200, later, {}), ENDED)
        outputs = asyncio.run(steps(server.url))
        self.assertEqual(outputs[:3] + outputs[4:5], [1, 2, 3, 5])
        self.assertIsInstance(outputs[3], asyncio.CancelledError)
        self.assertEqual([[call["input"]["n"] for call in body["calls"]] for _, _, body, _ in server.seen[:2]], [[1, 2], [3, 5]])
        self.assertEqual(server.seen[2][0], "DELETE")

    def test_of_async_calls_that_are_refused_as_a_list_each_hears_its_own_problem(self):
        async def steps(url):
            async with forerun.AsyncClient(url, retries=QUICK) as client:
                session = client.resume("u/1")
                return await asyncio.gather(session.call("look"), session.call("lok"), return_exceptions=True)

        unknown = problem(404, "not-found", "no task lok")
        found = asyncio.run(steps(self.serve(unknown, (200, STEP, {}), unknown).url))
        self.assertEqual(found[0], {"n": 1})
        self.assertIsInstance(found[1], forerun.NotFoundError)
        down = asyncio.run(steps(self.serve(*[problem(503, "overloaded", "full")] * QUICK.attempts).url))
        self.assertEqual([type(error) for error in down], [forerun.UnavailableError] * 2)

    def test_threads_that_use_one_session_take_turns(self):
        busy = threading.Lock()

        def alone(handler):
            self.assertTrue(busy.acquire(blocking=False))
            handler.server.waited.wait(0.02)
            busy.release()
            handler.reply(200, STEP, {})

        server = self.serve(*[alone] * 8)
        server.waited = threading.Event()
        with forerun.Client(server.url, retries=QUICK) as client:
            session = client.resume("u/1")
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                self.assertEqual(list(pool.map(lambda n: session.call("look", n=n), range(8))), [{"n": 1}] * 8)

    def test_a_call_made_again_after_its_time_joins_its_step_and_another_waits_for_its_end(self):
        never = threading.Event()
        self.addCleanup(never.set)

        def slow(handler):
            never.wait()
            handler.close_connection = True

        open_step = (409, {"title": "a step is open"}, {})
        once = forerun.Retries(attempts=1)

        async def again(client):
            session = client.resume("u/1")
            with self.assertRaises(forerun.TimedOutError):
                await session.call("look", n=1)
            return [await session.call("look", n=1), await session.call("look", n=1)]

        for server, outputs in self.each([slow, (200, STEP, {}), (200, STEP, {})], again, timeout_s=0.2, retries=once):
            self.assertEqual(outputs, [{"n": 1}] * 2)
            first, second, third = server.keys()
            self.assertEqual(first, second)  # Asked again, it means the same step; answered, a new one.
            self.assertNotEqual(second, third)

        async def other(client):
            session = client.resume("u/1")
            with self.assertRaises(forerun.TimedOutError):
                await session.call("look", n=1)
            return await session.call("look", n=2)

        for server, output in self.each([slow, open_step, open_step, (200, STEP, {})], other, timeout_s=0.2, retries=once):
            self.assertEqual(output, {"n": 1})
            self.assertEqual(len(set(server.keys())), 2)

        async def nothing_left(client):
            return await client.resume("u/1").call("look", n=2)

        for _, error in self.each([open_step], nothing_left, timeout_s=0.2, retries=once):
            self.assertIsInstance(error, forerun.ConflictError)

    def test_async_sessions_run_side_by_side_and_a_cancelled_call_closes_its_connection(self):
        both = threading.Barrier(2, timeout=10)
        left = threading.Event()

        def together(handler):
            both.wait()
            handler.reply(200, STEP, {})

        def until_it_leaves(handler):
            if handler.connection.recv(1) == b"":
                left.set()
            handler.close_connection = True

        async def steps(url):
            async with forerun.AsyncClient(url, retries=QUICK) as client:
                session = client.resume("u/1")
                outputs = await asyncio.gather(session.call("look", n=1), client.resume("u/2").call("look", n=2))
                running = asyncio.ensure_future(session.call("look", n=3))
                while len(server.seen) < 3:
                    await asyncio.sleep(0.001)
                running.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await running
                return outputs

        server = self.serve(together, together, until_it_leaves)
        self.assertEqual(asyncio.run(steps(server.url)), [{"n": 1}] * 2)
        self.assertTrue(left.wait(10))


class AttemptsTest(unittest.TestCase):
    """The rule for repeating, without a socket."""

    def attempts(self, **options):
        return client_module._Attempts(client_module._Request("GET", "/x"), forerun.Retries(**options), draw=lambda: 1.0)

    def test_waits_double_up_to_their_bound(self):
        attempts = self.attempts(attempts=6, first_s=0.5, max_s=3)
        self.assertEqual([attempts.after_failure(OSError("x")) for _ in range(5)], [0.5, 1, 2, 3, 3])
        self.assertRaises(forerun.ConnectionFailedError, attempts.after_failure, OSError("x"))

    def test_the_coordinators_own_wait_is_the_least(self):
        answer = client_module._Answer(503, "7", b"{}")
        self.assertEqual(self.attempts().after_answer(answer), 7)
        self.assertEqual(self.attempts(first_s=9, max_s=9).after_answer(answer), 9)
        odd = client_module._Answer(503, "Wed, 21 Oct 2015 07:28:00 GMT", b"{}")
        self.assertEqual(self.attempts(first_s=2).after_answer(odd), 2)


class Awaited:
    """A synchronous client as an asynchronous one that blocks, so that a test is written once."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        value = getattr(self._inner, name)
        if name in ("session", "resume"):
            return lambda *args, **fields: Awaited(value(*args, **fields))

        async def call(*args, **fields):
            return value(*args, **fields)

        return call

    async def __aenter__(self):
        return Awaited(self._inner.__enter__())

    async def __aexit__(self, *error):
        return self._inner.__exit__(*error)


if __name__ == "__main__":
    unittest.main()
