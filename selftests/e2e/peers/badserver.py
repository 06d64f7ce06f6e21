# SPDX-License-Identifier: MIT
"""A backend that breaks HTTP/2's rules in one way at a time (case(name)), and tells how the
balancer took it: what it said, and whether it hung up. What h2specd does, and more. For an agent."""
import socket
import struct
import threading
import time

import hpack

from . import h2raw
from .h2raw import END_HEADERS, END_STREAM, message, raw_frame

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
PADDED = 8
U32 = struct.Struct("!I")
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS = [("grpc-status", "0")]
WAIT = 3  # for what the balancer says to a broken rule, seconds

_before, _after = {}, {}
_now = {"case": "good", "told": []}
_open = set()


def _block(headers):
    return hpack.Encoder().encode(headers)


def _settings(*values):
    return b"".join(struct.pack("!HI", k, v) for k, v in values)


def good(c, stream, payload=b"fine"):
    c.frame(HEADERS, END_HEADERS, stream, _block(RESPONSE))
    c.frame(DATA, 0, stream, message(payload))
    c.frame(HEADERS, END_HEADERS | END_STREAM, stream, _block(TRAILERS))


# What is sent in the place of the server's SETTINGS. The request, if one comes, is answered well.

def _opening(name, data):
    _before[name] = lambda c: c.send(data)


for _name, _data in {
        "HTTP/1.1 in the place of the preface": b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "another protocol's banner": b"SSH-2.0-OpenSSH_9.2\r\n",
        "nonsense in the place of the preface": bytes(range(256)),
        "PING before SETTINGS": raw_frame(PING, 0, 0, b"12345678"),
        "SETTINGS of 5 bytes": raw_frame(SETTINGS, 0, 0, b"\0\4\0\0\0"),
        "SETTINGS on a stream": raw_frame(SETTINGS, 0, 1),
        "SETTINGS ACK with a payload": raw_frame(SETTINGS, 0, 0)
        + raw_frame(SETTINGS, 1, 0, _settings((3, 1))),
        "ENABLE_PUSH 1": raw_frame(SETTINGS, 0, 0, _settings((2, 1))),
        "ENABLE_PUSH 2": raw_frame(SETTINGS, 0, 0, _settings((2, 2))),
        "INITIAL_WINDOW_SIZE over 2^31-1": raw_frame(SETTINGS, 0, 0, _settings((4, 1 << 31))),
        "MAX_FRAME_SIZE under 2^14": raw_frame(SETTINGS, 0, 0, _settings((5, 16383))),
        "MAX_FRAME_SIZE over 2^24-1": raw_frame(SETTINGS, 0, 0, _settings((5, 1 << 24))),
        "an unknown setting": raw_frame(SETTINGS, 0, 0, _settings((0xff, 1))),
        "HEADER_TABLE_SIZE 0": raw_frame(SETTINGS, 0, 0, _settings((1, 0))),
        "HEADER_TABLE_SIZE 2^32-1": raw_frame(SETTINGS, 0, 0, _settings((1, 0xffffffff))),
        "MAX_CONCURRENT_STREAMS 0, then 10": raw_frame(SETTINGS, 0, 0, _settings((3, 0)))
        + raw_frame(SETTINGS, 0, 0, _settings((3, 10))),
        "GOAWAY before a request": raw_frame(SETTINGS, 0, 0)
        + raw_frame(GOAWAY, 0, 0, struct.pack("!II", 0, 0))}.items():
    _opening(_name, _data)
_before["the connection closed at once"] = lambda c: c.sock.shutdown(socket.SHUT_RDWR)


# What is sent when a request is here whole.

def _case(name):
    def add(function):
        _after[name] = function
        return function
    return add


def _frames(name, *frames, answered=False):
    """frames: (kind, flags, stream or None for the request's own, body)."""
    def send(c, stream):
        c.send(b"".join(raw_frame(kind, flags, stream if on is None else on, body)
                        for kind, flags, on, body in frames))
        if answered:
            good(c, stream)
    _after[name] = send


OPEN = (HEADERS, END_HEADERS, None, _block(RESPONSE))
FULL = (HEADERS, END_HEADERS | END_STREAM, None, _block(RESPONSE + TRAILERS))
END = (HEADERS, END_HEADERS | END_STREAM, None, _block(TRAILERS))


def _response(name, headers, *rest):
    _frames(name, (HEADERS, END_HEADERS, None, _block(headers)),
            *(rest or ((DATA, 0, None, message(b"x")), END)))


# Frames that must be borne.
_frames("an unknown frame type", (0xfe, 0xff, 0, b"12345678"), (0x16, 0, None, b""), answered=True)
_frames("undefined flags", (PING, 0xfe & ~1, 0, b"12345678"), answered=True)
_frames("PING ACK that nobody asked for", (PING, 1, 0, b"nobody??"), answered=True)
_frames("the reserved bit", (PING, 0, 0x80000000, b"12345678"), answered=True)
_frames("PRIORITY", (PRIORITY, 0, None, b"\0\0\0\0\1"), (PRIORITY, 0, 99, b"\0\0\0\0\1"),
        answered=True)
_frames("a setting in the middle", (SETTINGS, 0, 0, _settings((4, 1), (5, 20000))), answered=True)
_frames("an informational response first", (HEADERS, END_HEADERS, None,
                                            _block([(":status", "103"), ("link", "x")])),
        answered=True)
_frames("DATA of 2^14 bytes", OPEN, (DATA, 0, None, message(b"x" * 16379)), END)
_frames("DATA with padding", OPEN, (DATA, PADDED, None, b"\3" + message(b"x") + b"\0\0\0"), END)
_frames("HEADERS with padding and priority",
        (HEADERS, END_HEADERS | PADDED | 0x20, None, b"\2\0\0\0\0\1" + _block(RESPONSE) + b"\0\0"),
        (DATA, 0, None, message(b"x")), END)
_frames("headers in three CONTINUATIONs", (HEADERS, 0, None, _block(RESPONSE)[:3]),
        (CONTINUATION, 0, None, _block(RESPONSE)[3:5]), (CONTINUATION, 0, None, b""),
        (CONTINUATION, END_HEADERS, None, _block(RESPONSE)[5:]), (DATA, 0, None, message(b"x")), END)
_frames("an empty DATA frame", OPEN, (DATA, 0, None, b""), (DATA, 0, None, message(b"x")), END)

# Sizes and layouts.
_frames("DATA over MAX_FRAME_SIZE", OPEN, (DATA, 0, None, message(b"x" * 17000)), END)
_frames("HEADERS over MAX_FRAME_SIZE",
        (HEADERS, END_HEADERS, None, _block(RESPONSE + [("x", "y" * 40000)])))
_frames("RST_STREAM of 3 bytes", (RST, 0, None, b"\0\0\0"))
_frames("PING of 7 bytes", (PING, 0, 0, b"1234567"))
_frames("PRIORITY of 4 bytes", (PRIORITY, 0, None, b"\0\0\0\1"), answered=True)
_frames("WINDOW_UPDATE of 3 bytes", (WINDOW, 0, 0, b"\0\0\1"))
_frames("GOAWAY of 4 bytes", (GOAWAY, 0, 0, b"\0\0\0\0"))
_frames("SETTINGS of 7 bytes in the middle", (SETTINGS, 0, 0, b"\0\3\0\0\0\1\0"))
_frames("DATA with too much padding", OPEN, (DATA, PADDED, None, b"\xff" + message(b"x")))
_frames("HEADERS with too much padding",
        (HEADERS, END_HEADERS | PADDED, None, b"\xff" + _block(RESPONSE)))

# Stream identifiers and states.
_frames("DATA on stream 0", (DATA, 0, 0, message(b"x")))
_frames("HEADERS on stream 0", (HEADERS, END_HEADERS, 0, _block(RESPONSE)))
_frames("RST_STREAM on stream 0", (RST, 0, 0, U32.pack(8)))
_frames("PRIORITY on stream 0", (PRIORITY, 0, 0, b"\0\0\0\0\1"))
_frames("CONTINUATION on stream 0", (CONTINUATION, END_HEADERS, 0, _block(RESPONSE)))
_frames("PUSH_PROMISE on stream 0", (PUSH, END_HEADERS, 0, U32.pack(2) + _block(h2raw.REQUEST)))
_frames("PING on a stream", (PING, 0, None, b"12345678"))
_frames("GOAWAY on a stream", (GOAWAY, 0, None, struct.pack("!II", 0, 0)))
_frames("SETTINGS on a stream in the middle", (SETTINGS, 0, None, b""))
_frames("DATA on an idle stream", (DATA, 0, 9999, message(b"x")))
_frames("DATA on a stream of the server's", (DATA, 0, 2, message(b"x")))
_frames("HEADERS on an idle stream", (HEADERS, END_HEADERS, 9999, _block(RESPONSE)))
_frames("HEADERS on a stream of the server's", (HEADERS, END_HEADERS, 2, _block(RESPONSE)))
_frames("RST_STREAM on an idle stream", (RST, 0, 9999, U32.pack(8)))
_frames("WINDOW_UPDATE on an idle stream", (WINDOW, 0, 9999, U32.pack(1)))
_frames("PUSH_PROMISE though push is off", (PUSH, END_HEADERS, None,
                                            U32.pack(2) + _block(h2raw.REQUEST)))
_frames("DATA before HEADERS", (DATA, 0, None, message(b"x")), OPEN, END)
_frames("DATA after END_STREAM", FULL, (DATA, END_STREAM, None, message(b"x")))
_frames("HEADERS after END_STREAM", FULL, FULL)
_frames("CONTINUATION after END_STREAM", FULL, (CONTINUATION, END_HEADERS, None, _block(TRAILERS)))
_frames("DATA after RST_STREAM", OPEN, (RST, 0, None, U32.pack(8)), (DATA, 0, None, message(b"x")))
_frames("HEADERS after RST_STREAM", OPEN, (RST, 0, None, U32.pack(8)), END)
_frames("RST_STREAM twice", (RST, 0, None, U32.pack(2)), (RST, 0, None, U32.pack(2)))
_frames("RST_STREAM of an unknown code", (RST, 0, None, U32.pack(0xdead)))

# Header blocks.
_frames("CONTINUATION alone", (CONTINUATION, END_HEADERS, None, _block(RESPONSE)))
_frames("CONTINUATION after END_HEADERS", OPEN, (CONTINUATION, END_HEADERS, None, _block(TRAILERS)))
_frames("CONTINUATION after DATA", OPEN, (DATA, 0, None, message(b"x")),
        (CONTINUATION, END_HEADERS, None, _block(TRAILERS)))
_frames("HEADERS without END_HEADERS, then DATA", (HEADERS, 0, None, _block(RESPONSE)),
        (DATA, 0, None, message(b"x")))
_frames("HEADERS without END_HEADERS, then PRIORITY", (HEADERS, 0, None, _block(RESPONSE)),
        (PRIORITY, 0, None, b"\0\0\0\0\1"))
_frames("HEADERS without END_HEADERS, then another stream's CONTINUATION",
        (HEADERS, 0, None, _block(RESPONSE)), (CONTINUATION, END_HEADERS, 9999, b""))
_frames("a flood of CONTINUATION", (HEADERS, 0, None, _block(RESPONSE)),
        *[(CONTINUATION, 0, None, _block([("x", "y" * 1000)]))] * 200)
_frames("a flood of empty CONTINUATION", (HEADERS, 0, None, _block(RESPONSE)),
        *[(CONTINUATION, 0, None, b"")] * 20000)
_frames("HPACK: index 0", (HEADERS, END_HEADERS, None, b"\x88\x80"))
_frames("HPACK: an index past the table", (HEADERS, END_HEADERS, None, b"\x88\xff\x80\x01"))
_frames("HPACK: a block that is cut", (HEADERS, END_HEADERS, None, b"\x88\x40\x0aabc"))
_frames("HPACK: bad Huffman code", (HEADERS, END_HEADERS, None, b"\x88\x40\x01x\x84\xff\xff\xff\xff"))
_frames("HPACK: a table size over what was allowed",
        (HEADERS, END_HEADERS, None, b"\x3f\xe1\xff\xff\x07\x88"))
_frames("HPACK: a number without end", (HEADERS, END_HEADERS, None, b"\x88\x7f" + b"\xff" * 40))
_frames("headers over the limit", (HEADERS, 0, None, _block(RESPONSE)),
        *[(CONTINUATION, 0, None, _block([("x", "y" * 16000)]))] * 5,
        (CONTINUATION, END_HEADERS, None, b""), (DATA, 0, None, message(b"x")), END)

# Responses that HTTP does not know.
_response("no :status", [("content-type", "application/grpc")])
_response(":status twice", [(":status", "200"), *RESPONSE])
_response(":status that is no number", [(":status", "ok"), RESPONSE[1]])
_response(":status 99", [(":status", "99"), RESPONSE[1]])
_response(":status 1000", [(":status", "1000"), RESPONSE[1]])
_response(":status 101", [(":status", "101"), RESPONSE[1]])
_response("a request's pseudo-header", [*RESPONSE[:1], (":path", "/"), RESPONSE[1]])
_response("an unknown pseudo-header", [*RESPONSE[:1], (":what", "x"), RESPONSE[1]])
_response("a pseudo-header after the others", [RESPONSE[1], RESPONSE[0]])
_response("a name in capitals", [*RESPONSE, ("X-Capital", "x")])
_response("a name with a blank", [*RESPONSE, ("x y", "x")])
_response("a value with a line feed", [*RESPONSE, ("x", "a\nb")])
_response("a connection header", [*RESPONSE, ("connection", "close")])
_response("transfer-encoding", [*RESPONSE, ("transfer-encoding", "chunked")])
_response("an informational response that ends the stream", [(":status", "200")], FULL)
_frames("an informational response with END_STREAM",
        (HEADERS, END_HEADERS | END_STREAM, None, _block([(":status", "103")])))
_frames("a flood of informational responses",
        *[(HEADERS, END_HEADERS, None, _block([(":status", "103")]))] * 3000, answered=True)
_response("content-length that is too small", [*RESPONSE, ("content-length", "2")])
_response("content-length that is too large", [*RESPONSE, ("content-length", "900")])
_response("content-length that is no number", [*RESPONSE, ("content-length", "-1")])
_frames("trailers with a pseudo-header", OPEN, (DATA, 0, None, message(b"x")),
        (HEADERS, END_HEADERS | END_STREAM, None, _block([(":status", "200"), *TRAILERS])))
_frames("trailers without END_STREAM", OPEN, (DATA, 0, None, message(b"x")),
        (HEADERS, END_HEADERS, None, _block(TRAILERS)), (DATA, END_STREAM, None, b""))
_frames("headers after DATA, then more DATA", OPEN, (DATA, 0, None, message(b"x")), OPEN,
        (DATA, END_STREAM, None, message(b"x")))
_response("an HTML page", [(":status", "502"), ("content-type", "text/html")],
          (DATA, END_STREAM, None, b"<html>Bad Gateway</html>"))
_response("an HTML page that is said to be fine", [(":status", "200"), ("content-type", "text/html")],
          (DATA, END_STREAM, None, b"<html>Welcome</html>"))

# What gRPC does not know.
_frames("no grpc-status", OPEN, (DATA, 0, None, message(b"x")),
        (HEADERS, END_HEADERS | END_STREAM, None, _block([("x", "y")])))
_frames("END_STREAM at a message, no trailers", OPEN, (DATA, END_STREAM, None, message(b"x")))
_frames("headers that end the stream without a status",
        (HEADERS, END_HEADERS | END_STREAM, None, _block(RESPONSE)))
for _text in ("", "abc", "-1", "99", "4294967296", "0x0"):
    _frames(f"grpc-status {_text!r}", OPEN, (DATA, 0, None, message(b"x")),
            (HEADERS, END_HEADERS | END_STREAM, None, _block([("grpc-status", _text)])))

# Flow control and resets.
_frames("WINDOW_UPDATE of 0", (WINDOW, 0, 0, U32.pack(0)))
_frames("WINDOW_UPDATE of 0 on the stream", (WINDOW, 0, None, U32.pack(0)))
_frames("WINDOW_UPDATE over 2^31-1", (WINDOW, 0, 0, U32.pack(0x7fffffff)),
        (WINDOW, 0, 0, U32.pack(0x7fffffff)))
_frames("WINDOW_UPDATE over 2^31-1 on the stream", (WINDOW, 0, None, U32.pack(0x7fffffff)),
        (WINDOW, 0, None, U32.pack(0x7fffffff)))
_frames("a setting that takes the windows over 2^31-1", (WINDOW, 0, None, U32.pack(0x7fff0000)),
        (SETTINGS, 0, 0, _settings((4, 0x7fffffff))))
_frames("GOAWAY that covers the call, then its answer", (GOAWAY, 0, 0, struct.pack("!II", 99999, 0)),
        answered=True)
_frames("GOAWAY with an error", (GOAWAY, 0, 0, struct.pack("!II", 99999, 2) + b"broken"),
        answered=True)
_frames("a flood of PINGs", *[(PING, 0, 0, b"12345678")] * 20000)
_frames("a flood of SETTINGS", *[(SETTINGS, 0, 0, b"")] * 20000)
_frames("a flood of empty DATA", OPEN, *[(DATA, 0, None, b"")] * 20000)


@_case("DATA past the stream's window")
def _past_window(c, stream):
    """More than a stream buffer, at once, whatever the windows say."""
    c.frame(HEADERS, END_HEADERS, stream, _block(RESPONSE))
    for _ in range(600):
        c.frame(DATA, 0, stream, b"\0" * 16384)


@_case("the connection closed in a frame")
def _cut(c, stream):
    c.frame(HEADERS, END_HEADERS, stream, _block(RESPONSE))
    c.send(raw_frame(DATA, 0, stream, b"x" * 100)[:50])
    c.sock.shutdown(socket.SHUT_RDWR)


@_case("the connection closed in a header block")
def _cut_block(c, stream):
    c.frame(HEADERS, 0, stream, _block(RESPONSE))
    c.sock.shutdown(socket.SHUT_RDWR)


@_case("the connection closed in a message")
def _cut_message(c, stream):
    c.frame(HEADERS, END_HEADERS, stream, _block(RESPONSE))
    c.frame(DATA, 0, stream, message(b"x" * 100)[:50])
    c.sock.shutdown(socket.SHUT_RDWR)


@_case("the connection reset by TCP")
def _tcp_reset(c, stream):
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.sock.close()


@_case("half a response, then silence until the deadline")
def _silent(c, stream):
    c.frame(HEADERS, END_HEADERS, stream, _block(RESPONSE))


class _Quiet(h2raw.Connection):
    """Sends frames one by one without caring whether anybody still listens."""

    def send(self, data):
        try:
            super().send(data)
        except OSError:
            pass  # what it said before it hung up can still be read


def _serve(sock):
    c = _Quiet(sock)
    case = _now["case"]
    _open.add(c)
    try:
        preface = b""
        while len(preface) < len(h2raw.PREFACE):
            got = sock.recv(len(h2raw.PREFACE) - len(preface))
            if not got:
                return
            preface += got
        if case in _before:
            _before[case](c)
        else:
            c.settings()
        while True:
            frame = c.next(600)
            if frame is None:
                break
            if frame["kind"] in ("GoAwayFrame", "RstStreamFrame"):
                _now["told"].append((frame["kind"], frame["code"]))
            if frame.get("end"):
                _after.get(_now["case"], good)(c, frame["stream"])
    except (OSError, ValueError, hpack.HPACKError):
        pass
    finally:
        _now["told"].append(("closed", ""))
        _open.discard(c)
        sock.close()


def start(address):
    host, _, port = address.rpartition(":")
    listener = socket.create_server((host, int(port)), backlog=128)

    def accept():
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def case(name):
    """How requests are answered from now on. Open connections are closed, and the balancer has
    seen it, so that no call can meet one that is closing."""
    _now["case"] = name
    for connection in list(_open):
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
    end = time.monotonic() + WAIT
    while _open and time.monotonic() < end:
        time.sleep(0.005)
    _now["told"] = []


def told():
    """(kind, code) of every GOAWAY and RST_STREAM, and ("closed", "") of every connection's end."""
    return list(_now["told"])


def names():
    """Every case's."""
    return [*_before, *_after]
