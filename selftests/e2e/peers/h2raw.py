# SPDX-License-Identifier: MIT
"""HTTP/2 by hand, for what no decent library would send: frames over a socket, with TLS or not."""
import select
import socket
import ssl
import struct
import time

import hpack
from hyperframe import frame as frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ERRORS = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR",
          "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL",
          "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY",
          "HTTP_1_1_REQUIRED"]
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def code(name):
    return ERRORS.index(name)


def raw_frame(kind, flags, stream, body=b""):
    return struct.pack("!I", len(body))[1:] + struct.pack("!BBI", kind, flags, stream) + body


def message(payload):
    """A gRPC message: length-prefixed, not compressed."""
    return b"\0" + struct.pack("!I", len(payload)) + payload


class Connection:
    """Frames in and out. Answers SETTINGS and PING by itself where auto is true."""

    def __init__(self, sock, auto=True):
        self.sock, self.auto = sock, auto
        self.decoder, self.encoder = hpack.Decoder(), hpack.Encoder()
        self.decoder.max_allowed_table_size = 65536
        self._in = b""
        self._block = None  # (stream, flags, bytes) of a header block under way
        self.eof = False

    def send(self, data):
        self.sock.sendall(data)

    def frame(self, kind, flags, stream, body=b""):
        self.send(raw_frame(kind, flags, stream, body))

    def settings(self, **values):
        names = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5, "headers": 6}
        self.frame(4, 0, 0, b"".join(struct.pack("!HI", names[k], v) for k, v in values.items()))

    def headers(self, stream, headers, end=False):
        block = self.encoder.encode(headers)
        self.frame(1, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def data(self, stream, data, end=False):
        while len(data) > 16384:
            self.frame(0, 0, stream, data[:16384])
            data = data[16384:]
        self.frame(0, END_STREAM if end else 0, stream, data)

    def reset(self, stream, name="CANCEL"):
        self.frame(3, 0, stream, struct.pack("!I", code(name)))

    def goaway(self, last, name="NO_ERROR"):
        self.frame(7, 0, 0, struct.pack("!II", last, code(name)))

    def credit(self, stream, size):
        self.frame(8, 0, stream, struct.pack("!I", size))

    def ping(self, body=b"12345678"):
        self.frame(6, 0, 0, body)

    def next(self, timeout=5):
        """The next frame as a dict (kind, stream, flags, and by kind: headers, data, code,
        last, values); None at the end of the connection; TimeoutError after timeout."""
        end = time.monotonic() + timeout
        while True:
            while len(self._in) < 9 or len(self._in) < 9 + int.from_bytes(self._in[:3], "big"):
                if not self._receive(end - time.monotonic()):
                    return None
            size = int.from_bytes(self._in[:3], "big")
            kind, flags, stream = struct.unpack("!BBI", self._in[3:9])
            body, self._in = self._in[9:9 + size], self._in[9 + size:]
            seen = self._parse(kind, flags, stream & 0x7fffffff, body)
            if seen:
                return seen

    def _receive(self, left):
        if self.eof:
            return False
        pending = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
        if not pending and not select.select([self.sock], [], [], max(left, 0))[0]:
            raise TimeoutError("no frame in time")
        try:
            got = self.sock.recv(65536)
        except (ssl.SSLWantReadError, BlockingIOError):
            return True
        except (ConnectionError, ssl.SSLError):
            got = b""
        self.eof = not got
        self._in += got
        return bool(got)

    def _parse(self, kind, flags, stream, body):
        seen = {"kind": frames.FRAMES[kind].__name__ if kind in frames.FRAMES else str(kind),
                "stream": stream, "flags": flags, "time": time.monotonic()}
        if kind == 0:
            seen.update(data=body, end=bool(flags & END_STREAM))
        elif kind in (1, 9):
            if kind == 1:
                if flags & 8:
                    body = body[1:len(body) - body[0]]
                if flags & 0x20:
                    body = body[5:]
                self._block = [stream, flags, body]
            else:
                self._block[2] += body
            if not flags & END_HEADERS:
                return None
            stream, first, block = self._block
            headers = [(_text(k), _text(v)) for k, v in self.decoder.decode(block, raw=True)]
            seen.update(kind="HeadersFrame", headers=headers, end=bool(first & END_STREAM))
        elif kind == 3:
            seen["code"] = ERRORS[struct.unpack("!I", body)[0]]
        elif kind == 4:
            seen["values"] = {k: v for k, v in struct.iter_unpack("!HI", body)}
            if self.auto and not flags & ACK:
                self.frame(4, ACK, 0)
        elif kind == 6 and self.auto and not flags & ACK:
            self.frame(6, ACK, 0, body)
        elif kind == 7:
            last, error = struct.unpack("!II", body[:8])
            seen.update(last=last, code=ERRORS[error], text=body[8:].decode("latin-1"))
        elif kind == 8:
            seen["size"] = struct.unpack("!I", body)[0]
        return seen

    def until(self, want, timeout=5):
        """Frames up to and with the first for which want(frame); all of them where the
        connection ends first. TimeoutError after timeout."""
        end = time.monotonic() + timeout
        seen = []
        while True:
            got = self.next(max(end - time.monotonic(), 0))
            if got is None:
                return seen
            seen.append(got)
            if want(got):
                return seen

    def close(self):
        self.sock.close()


def _text(value):
    return bytes(value).decode("latin-1")


REQUEST = [(":method", "POST"), (":scheme", "https"), (":path", "/sluice.test.Echo/Unary"),
           (":authority", "sluice.test"), ("content-type", "application/grpc"),
           ("te", "trailers")]


class Client(Connection):
    """A client connection to the balancer. tls None: cleartext; else an SSLContext."""

    def __init__(self, address, tls, source=None, timeout=5, auto=True, session=None):
        sock = socket.create_connection(address, timeout, source and (source, 0))
        try:
            if tls:
                sock = tls.wrap_socket(sock, server_hostname="sluice.test", session=session)
        except BaseException:
            sock.close()
            raise
        super().__init__(sock, auto)
        self.address = address

    def hello(self, **settings):
        self.send(PREFACE)
        self.settings(**settings)
        return self

    def request(self, stream=1, replace=(), add=(), end=False, drop=()):
        replace = dict(replace)
        headers = [(k, replace.get(k, v)) for k, v in REQUEST if k not in drop]
        self.headers(stream, headers + list(add), end)

    def call(self, stream=1, payload=b"", timeout=5, **changes):
        """A whole unary call: the answer as answer() has it."""
        self.request(stream, **changes)
        self.data(stream, message(payload), end=True)
        return self.answer(stream, timeout)

    def answer(self, stream, timeout=5):
        """dict: headers, data, trailers (Trailers-Only: headers are the trailers too), reset."""
        result = {"headers": None, "data": b"", "trailers": None, "reset": None}

        def over(f):
            if f["stream"] != stream:
                return f["kind"] == "GoAwayFrame" and f["code"] != "NO_ERROR"
            if f["kind"] == "HeadersFrame":
                if result["headers"] is None:
                    result["headers"] = dict(f["headers"])
                if f["end"]:
                    result["trailers"] = dict(f["headers"])
            elif f["kind"] == "DataFrame":
                result["data"] += f["data"]
            elif f["kind"] == "RstStreamFrame":
                result["reset"] = f["code"]
                return True
            return f.get("end", False)

        result["frames"] = self.until(over, timeout)
        return result

    def goaway_seen(self, timeout=5):
        """Reads until the connection ends; the name of the last GOAWAY's code, or None."""
        seen = self.until(lambda f: False, timeout)
        codes = [f["code"] for f in seen if f["kind"] == "GoAwayFrame"]
        return codes[-1] if codes else None


def tls_context(roots=None, alpn=("h2",), maximum=None, ciphers=None):
    context = ssl.create_default_context(cafile=roots)
    if roots is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if maximum:
        context.maximum_version = maximum
    if ciphers:
        context.set_ciphers(ciphers)
    return context
