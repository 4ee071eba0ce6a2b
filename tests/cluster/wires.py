"""A network of its own for a cluster under test: every node in a network namespace, its packets carried by this process.

The process itself moves to a namespace (`enter`), in which the coordinator listens on HUB. A node's namespace hangs on it by
two TUN devices, one at each end, and a thread that reads packets here and writes them there. So packets are lost, doubled,
overtaken, late or cut off one way below TCP, and no port or address of the machine is touched. Where that is not allowed
(no root, no `ip`, no /dev/net/tun), proxy.py stands in.
"""
import ctypes
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time

HUB = "198.18.0.1"  # RFC 2544's range for tests of networks. Node N is 198.18.N.2.
PACKET_BYTES_MAX = 65535
HELD_PACKETS_MAX = 4096  # In one wire, on their way; what comes then is lost, as in a full router.
DIRECTIONS = ("to_coordinator", "to_node")
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=10)


def enter():
    """Moves this process, which has one thread yet, to a namespace of its own; false where that cannot be."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
        return False
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))  # It may be there and not be allowed.
    except OSError:
        return False
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return False
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{HUB}/32", "dev", "lo")
    return True


def tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


class Wire:
    """Between one node's namespace and the hub. What is set counts for packets that are sent later. Thread-safe."""

    TROUBLES = {
        "cut": lambda wire, _: wire.set(cut=set(DIRECTIONS)),
        "cut in": lambda wire, _: wire.set(cut={"to_node"}),
        "cut out": lambda wire, _: wire.set(cut={"to_coordinator"}),
        "lose": lambda wire, prng: wire.set(lost=prng.choice([0.02, 0.1, 0.3])),
        "double": lambda wire, prng: wire.set(doubled=prng.uniform(0.1, 0.5)),
        "reorder": lambda wire, _: wire.set(jitter_s=0.05),
        "delay": lambda wire, prng: wire.set(delay_s=prng.uniform(0.02, 0.3)),
        "thin": lambda wire, prng: wire.set(bytes_per_s=prng.choice([5_000, 20_000, 200_000])),
    }

    def __init__(self, number, seed=1):
        self.prng = random.Random(f"wire {seed}/{number}")
        self.heal()
        self.passed = dict.fromkeys(DIRECTIONS, 0)  # Packets, by direction.
        self.dropped = dict.fromkeys(DIRECTIONS, 0)
        # Holds the node's namespace while no process is in it. Its pipe closes with this process, and it ends.
        self.holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        here, there = f"hub{number}", f"node{number}"
        own = os.readlink("/proc/self/ns/net")
        deadline = time.monotonic() + 10
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == own:
            assert time.monotonic() < deadline, "unshare made no namespace"
            time.sleep(0.001)
        self.ends = {tun(here): "to_node", tun(there): "to_coordinator"}  # By where what is read here goes.
        self.other = dict(zip(self.ends, reversed(list(self.ends))))
        run("ip", "address", "add", f"198.18.{number}.1", "peer", f"198.18.{number}.2", "dev", here)
        run("ip", "link", "set", here, "up")
        run("ip", "link", "set", there, "netns", str(self.holder.pid))
        for words in (["link", "set", "lo", "up"], ["address", "add", f"198.18.{number}.2/16", "dev", there],
                      ["link", "set", there, "up"]):
            run(*self.prefix(), "ip", *words)
        self.wake, self.waker = os.pipe()
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    def prefix(self):
        """Of a command that is to run in the node's namespace."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--"]

    def join(self, listen):
        """Where the node finds the coordinator."""
        return listen

    def set(self, **trouble):
        for name, value in trouble.items():
            setattr(self, name, value)

    def heal(self):
        self.set(cut=set(), lost=0.0, doubled=0.0, jitter_s=0.0, delay_s=0.0, bytes_per_s=None)

    def carry(self):
        held = []  # (due, number, end, packet): a heap, so that what is late is overtaken.
        free_at = dict.fromkeys(self.ends, 0.0)  # When the line has carried what went before.
        number = 0
        while True:
            timeout = max(held[0][0] - time.monotonic(), 0) if held else None
            ready, _, _ = select.select([*self.ends, self.wake], [], [], timeout)
            if self.wake in ready:
                return
            now = time.monotonic()
            for end in ready:
                packet = os.read(end, PACKET_BYTES_MAX)
                direction = self.ends[end]
                if direction in self.cut or self.prng.random() < self.lost or len(held) >= HELD_PACKETS_MAX:
                    self.dropped[direction] += 1
                    continue
                for _ in range(2 if self.prng.random() < self.doubled else 1):
                    due = now
                    if self.bytes_per_s:
                        due = free_at[end] = max(free_at[end], now) + len(packet) / self.bytes_per_s
                    number += 1
                    heapq.heappush(held, (due + self.delay_s + self.prng.random() * self.jitter_s, number, end, packet))
            while held and held[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(held)
                try:
                    os.write(self.other[end], packet)
                    self.passed[self.ends[end]] += 1
                except OSError:  # The device's queue is full.
                    self.dropped[self.ends[end]] += 1

    def close(self):
        os.write(self.waker, b"x")
        self.thread.join()
        for descriptor in (*self.ends, self.wake, self.waker):
            os.close(descriptor)
        self.holder.stdin.close()
        self.holder.wait()
