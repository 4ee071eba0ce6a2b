"""A TCP proxy between a node and its coordinator that cuts, closes, delays and slows what passes.

A node joins at HOST:PORT and subscribes on the same host, so each node's proxy is a loopback address of its own with both
ports. Bytes inside a TCP stream are never lost or reordered, by a network as little as here: what a lossy link does to TCP is
delay, and what a dead one does is an end. So loss is a closed connection, with all that was in flight.
"""
import asyncio
import collections
import socket
import struct
import threading
import time

CHUNK_BYTES = 16 << 10  # Read at once.
HELD_BYTES_MAX = 1 << 20  # A direction that is cut or slow holds so much, then the sender feels it, as with a full socket.
DIRECTIONS = ("to_coordinator", "to_node")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST.


class Link:
    """One node's way to the coordinator. Thread-safe: what is set counts for bytes that pass later."""

    TROUBLES = {
        "cut": lambda link, _: link.set(cut=set(DIRECTIONS)),
        "cut in": lambda link, _: link.set(cut={"to_node"}),
        "cut out": lambda link, _: link.set(cut={"to_coordinator"}),
        "lose": lambda link, _: link.lose(),
        "delay": lambda link, prng: link.set(delay_s=prng.uniform(0.02, 0.3)),
        "thin": lambda link, prng: link.set(bytes_per_s=prng.choice([2_000, 20_000, 200_000])),
    }

    def __init__(self, number, ports, target="127.0.0.1"):
        self.host, self.target = f"127.0.1.{number}", target
        self.heal()
        self.passed = collections.Counter()  # Bytes, by direction.
        self.writers = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.ports = [self.call(self.listen(port)) for port in ports]

    def prefix(self):
        """Of a command that is to run at the node's end."""
        return []

    def join(self, listen):
        """Where the node finds the coordinator."""
        return f"{self.host}:{listen.split(':')[1]}"

    def set(self, **trouble):
        for name, value in trouble.items():
            setattr(self, name, value)

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def listen(self, port):
        server = await asyncio.start_server(lambda r, w: self.serve(r, w, bound), self.host, port, limit=CHUNK_BYTES)
        bound = server.sockets[0].getsockname()[1]
        return bound

    async def serve(self, reader, writer, port):
        while self.cut:  # A handshake needs both directions.
            await asyncio.sleep(0.01)
            if reader.at_eof():
                writer.close()
                return
        try:
            there_reader, there_writer = await asyncio.open_connection(self.target, port, limit=CHUNK_BYTES)
        except OSError:
            writer.close()
            return
        self.writers |= {writer, there_writer}
        for one in (writer, there_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        both = [self.loop.create_task(self.carry(reader, there_writer, "to_coordinator")),
                self.loop.create_task(self.carry(there_reader, writer, "to_node"))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        self.drop({writer, there_writer})

    def drop(self, writers):
        for writer in writers:
            self.writers.discard(writer)
            writer.transport.abort()

    async def carry(self, reader, writer, direction):
        """In order, each chunk when it is due: a reader that fills a queue, and a writer that empties it."""
        queue = asyncio.Queue(maxsize=HELD_BYTES_MAX // CHUNK_BYTES)

        async def send():
            free_at = 0.0  # When the link has carried what went before.
            while True:
                due, data = await queue.get()
                if not data:
                    return
                if self.bytes_per_s:
                    free_at = max(free_at, time.monotonic()) + len(data) / self.bytes_per_s
                    due = max(due, free_at)
                while direction in self.cut or time.monotonic() < due:
                    await asyncio.sleep(min(0.01, max(due - time.monotonic(), 0.001)))
                writer.write(data)
                self.passed[direction] += len(data)
                await writer.drain()

        sender = self.loop.create_task(send())
        try:
            while True:
                data = await reader.read(CHUNK_BYTES)
                await queue.put((time.monotonic() + self.delay_s, data))
                if not data:
                    await sender
                    return
        except OSError:
            return
        finally:
            sender.cancel()

    def lose(self):
        """Resets all connections; what was in flight is gone."""
        async def reset():
            writers = set(self.writers)
            for writer in writers:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.drop(writers)
        self.call(reset())

    def heal(self):
        """Nothing is cut, and bytes pass at once and at any rate."""
        self.set(cut=set(), delay_s=0.0, bytes_per_s=None)

    def close(self):
        async def end():
            self.drop(set(self.writers))
            for task in asyncio.all_tasks(self.loop) - {asyncio.current_task()}:
                task.cancel()
        self.call(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
