"""A peer of the wire that holds a node's key and says what a test wants: what no node of ours would send. libzmq by ctypes, messages
by hand (messages/wire/v1/wire.proto)."""
import ctypes
import ctypes.util
import hashlib

DEALER, LINGER, RCVTIMEO, PUBLIC_KEY, SECRET_KEY, SERVER_KEY = 5, 17, 27, 48, 49, 50
KEY_BYTES = 32
TOKEN_PREFIX = "fr1."


def library():
    zmq = ctypes.CDLL(ctypes.util.find_library("zmq") or "libzmq.so.5", use_errno=True)
    zmq.zmq_ctx_new.restype = zmq.zmq_socket.restype = zmq.zmq_z85_encode.restype = zmq.zmq_z85_decode.restype = ctypes.c_void_p
    zmq.zmq_socket.argtypes = [ctypes.c_void_p, ctypes.c_int]
    zmq.zmq_connect.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    zmq.zmq_setsockopt.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    zmq.zmq_send.argtypes = zmq.zmq_recv.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    zmq.zmq_close.argtypes = zmq.zmq_ctx_term.argtypes = [ctypes.c_void_p]
    return zmq


# ---- Protobuf

def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def field(number, value):
    """A number, or bytes (a message too)."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value % (1 << 64))
    return varint(number << 3 | 2) + varint(len(value)) + value


def frame(*envelopes):
    """Of (field of Envelope, message)."""
    return b"".join(field(1, field(kind, message)) for kind, message in envelopes)


def head(size=0, epoch=0):
    root = hashlib.sha256(b"").digest()  # Of an empty ledger.
    return field(1, size) + field(2, root) + field(3, epoch)


def join(workers, name=b"raw", instance=1, slots=1, mark=0, size=0, epoch=0):
    offers = b"".join(field(5, field(1, worker) + field(2, slots) + field(3, mark)) for worker in workers)
    return 1, field(1, 1) + field(2, b"test") + field(3, name) + field(4, instance) + offers + field(6, head(size)) + field(7, epoch)


def heartbeat(epoch, size=0):
    return 2, field(1, epoch) + field(2, head(size))


def fetch(start):
    return 4, field(1, start)


def mark_stored(worker, mark):
    return 5, field(1, worker) + field(2, mark)


def branch_ended(epoch, token, latency_us=0, freed_after_us=0):
    return 3, (field(1, epoch) + field(2, token) + field(3, 1) + field(4, b"null") + field(8, latency_us) +
               field(9, freed_after_us))


class RawPeer:
    def __init__(self, token, address):
        self._zmq = library()
        secret = bytes.fromhex(token.removeprefix(TOKEN_PREFIX))
        server, own = secret[:KEY_BYTES], secret[KEY_BYTES:2 * KEY_BYTES]
        text = ctypes.create_string_buffer(41)
        public = ctypes.create_string_buffer(41)
        self._zmq.zmq_z85_encode(text, ctypes.c_char_p(own), ctypes.c_size_t(KEY_BYTES))
        assert self._zmq.zmq_curve_public(public, text) == 0
        self._context = self._zmq.zmq_ctx_new()
        self._socket = self._zmq.zmq_socket(self._context, DEALER)
        for option, value in ((PUBLIC_KEY, public.value), (SECRET_KEY, text.value), (SERVER_KEY, None)):
            if value is None:
                buffer, size = server, KEY_BYTES
            else:
                buffer, size = value + b"\0", len(value) + 1
            self._set(option, buffer, size)
        for option, value in ((LINGER, 0), (RCVTIMEO, 10_000)):
            number = ctypes.c_int(value)
            assert self._zmq.zmq_setsockopt(self._socket, option, ctypes.byref(number), ctypes.sizeof(number)) == 0
        assert self._zmq.zmq_connect(self._socket, f"tcp://{address}".encode()) == 0

    def _set(self, option, value, size):
        assert self._zmq.zmq_setsockopt(self._socket, option, ctypes.c_char_p(value), size) == 0

    def send(self, *envelopes):
        data = frame(*envelopes)
        assert self._zmq.zmq_send(self._socket, data, len(data), 0) == len(data)

    def receive(self):
        """The next frame; None when none comes in ten seconds."""
        buffer = ctypes.create_string_buffer(1 << 20)
        size = self._zmq.zmq_recv(self._socket, buffer, len(buffer), 0)
        return None if size < 0 else buffer.raw[:size]

    def close(self):
        self._zmq.zmq_close(self._socket)
        self._zmq.zmq_ctx_term(self._context)
