# SPDX-License-Identifier: MIT
"""A backend that answers by script: refuses, resets, goes away, hangs, and writes down every
frame that came. For an agent in a backend's host; health checks are always answered well."""
import itertools
import socket
import ssl
import threading
import time

from . import h2raw
from .h2raw import message

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]
HEALTHY = b"\x08\x01"  # HealthCheckResponse{status: SERVING}

_server = None


class _Server:
    def __init__(self, address, script, settings, tls=None):
        self.script, self.settings = script, settings
        self.tls, self.resumed = tls, []
        self.events = []  # (connection, frame)
        self.connections = {}
        self.numbers = itertools.count(1)
        self.address = address
        self.listen()

    def listen(self):
        host, _, port = self.address.rpartition(":")
        self.listener = socket.create_server((host, int(port)), backlog=128)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:  # stop_listening
                listener.close()
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        number = next(self.numbers)
        if self.tls:
            sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            try:
                sock.do_handshake()
            except OSError:
                _read_on(sock)
                return
            self.resumed.append(sock.session_reused)
        connection = h2raw.Connection(sock)
        connection.requests, connection.last = 0, 2**31
        try:
            preface = b""
            while len(preface) < len(h2raw.PREFACE):
                got = sock.recv(len(h2raw.PREFACE) - len(preface))
                if not got:
                    return
                preface += got
            self.connections[number] = connection
            connection.settings(**self.settings)
            if "window" in self.settings:
                connection.credit(0, 1 << 24)
            health = set()
            while True:
                frame = connection.next(3600)
                if frame is None:
                    return
                if frame["kind"] == "HeadersFrame" and ":path" in dict(frame["headers"]):
                    if dict(frame["headers"])[":path"].startswith("/grpc.health.v1.Health/"):
                        health.add(frame["stream"])
                if frame["stream"] in health:
                    if frame.get("end"):
                        answer(connection, frame["stream"], HEALTHY)
                    continue
                self.events.append((number, frame))
                if frame["kind"] == "HeadersFrame":
                    connection.requests += 1
                _SCRIPTS[self.script[0]](connection, frame, *self.script[1:])
        except (OSError, ValueError):
            pass
        finally:
            self.events.append((number, {"kind": "closed", "stream": 0, "time": time.monotonic()}))
            self.connections.pop(number, None)
            sock.close()


def _read_on(sock):
    """Until the peer closes: a close with bytes unread would be a reset, and destroy the alert."""
    try:
        sock.settimeout(2)
        plain = socket.socket(fileno=sock.detach())
        while plain.recv(65536):
            pass
        plain.close()
    except OSError:
        pass


def answer(connection, stream, payload=b"", trailers=()):
    connection.headers(stream, HEADERS)
    connection.data(stream, message(payload))
    connection.headers(stream, [*OK, *trailers], end=True)


def _is_request(frame):
    return frame["kind"] == "HeadersFrame"


def _script_ok(connection, frame):
    if frame.get("end"):
        answer(connection, frame["stream"])


def _script_ok_at_once(connection, frame):
    """Answers without waiting for the request's end."""
    if _is_request(frame):
        answer(connection, frame["stream"])


def _script_hang(connection, frame):
    pass


def _script_headers_then_hang(connection, frame):
    if _is_request(frame):
        connection.headers(frame["stream"], HEADERS)


def _script_reset(connection, frame, code):
    if _is_request(frame):
        connection.reset(frame["stream"], code)


def _script_reset_later(connection, frame, code, seconds):
    if _is_request(frame):
        time.sleep(seconds)
        connection.reset(frame["stream"], code)


def _script_reset_after_headers(connection, frame, code):
    if frame.get("end"):
        connection.headers(frame["stream"], HEADERS)
        connection.data(frame["stream"], message(b"part"))
        connection.reset(frame["stream"], code)


def _script_goaway(connection, frame, after):
    """Serves `after` requests of a connection; the next is above GOAWAY's last id."""
    if _is_request(frame) and connection.requests == after + 1:
        connection.last = frame["stream"] - 2 if frame["stream"] > 1 else 0
        connection.goaway(connection.last)
    elif frame.get("end") and frame["stream"] <= connection.last:
        answer(connection, frame["stream"])


def _script_goaway_then_finish(connection, frame):
    """GOAWAY that covers the request, which is answered after it."""
    if frame.get("end"):
        connection.goaway(frame["stream"])
        time.sleep(0.2)
        answer(connection, frame["stream"])


def _script_die(connection, frame):
    if _is_request(frame):
        connection.sock.shutdown(socket.SHUT_RDWR)


def _script_http(connection, frame, status, content_type="text/html"):
    if frame.get("end"):
        connection.headers(frame["stream"], [(":status", str(status)),
                                             ("content-type", content_type)])
        connection.data(frame["stream"], b"<html>no</html>", end=True)


def _script_no_status(connection, frame):
    if frame.get("end"):
        connection.headers(frame["stream"], HEADERS)
        connection.data(frame["stream"], message(b""), end=True)


def _script_trailers_only(connection, frame, status, text):
    if frame.get("end"):
        connection.headers(frame["stream"], [*HEADERS, ("grpc-status", str(status)),
                                             ("grpc-message", text)], end=True)


def _script_early_end(connection, frame, status, size=0):
    """size bytes, status and trailers at the first message, then RST_STREAM NO_ERROR, as RFC 9113 8.1
    has it."""
    if frame["kind"] == "DataFrame" and not frame["end"]:
        stream = frame["stream"]
        connection.headers(stream, HEADERS)
        if size:
            connection.data(stream, message(bytes(size)))
        connection.headers(stream, [("grpc-status", str(status)), ("grpc-message", "enough"),
                                    ("trail-end", "whole")], end=True)
        connection.reset(stream, "NO_ERROR")


def _script_respond(connection, frame, headers, data=None, trailers=None):
    """At the request's end: headers, data and trailers as given; the last of them ends it."""
    if frame.get("end"):
        stream = frame["stream"]
        connection.headers(stream, headers, end=data is None and trailers is None)
        if data is not None:
            connection.data(stream, data, end=trailers is None)
        if trailers is not None:
            connection.headers(stream, trailers, end=True)


def _script_hints(connection, frame):
    """103 before the response."""
    if frame.get("end"):
        connection.headers(frame["stream"], [(":status", "103"), ("link", "</style>")])
        connection.headers(frame["stream"], [(":status", "200")])
        connection.data(frame["stream"], b"page", end=True)


def _script_in_turn(connection, frame, *scripts):
    """The first script for the first request seen, and so on; the last one for all others."""
    if _is_request(frame):
        turn = sum(_is_request(f) for _, f in _server.events) - 1
        connection.turns = getattr(connection, "turns", {})
        connection.turns[frame["stream"]] = scripts[min(turn, len(scripts) - 1)]
    name, *rest = connection.turns[frame["stream"]]
    _SCRIPTS[name](connection, frame, *rest)


def _script_first(connection, frame, first, again):
    """One script for first attempts, another for those that say they are not."""
    connection.retried = getattr(connection, "retried", set())
    if _is_request(frame) and "grpc-previous-rpc-attempts" in dict(frame["headers"]):
        connection.retried.add(frame["stream"])
    name, *rest = again if frame["stream"] in connection.retried else first
    _SCRIPTS[name](connection, frame, *rest)


def _script_fail_at(connection, frame, moment, how, *rest):
    """Fails at a moment of the call: "headers" or "message" of the request came, it "ended", response
    "answering" (headers went out) or "halfway" (a message too). how: reset CODE, close, abort (RST of
    TCP), goaway LAST (as seen from this stream's id) and close."""
    stream = frame["stream"]
    if {"headers": _is_request(frame), "message": frame["kind"] == "DataFrame"}.get(
            moment, bool(frame.get("end"))):
        if moment in ("answering", "halfway"):
            connection.headers(stream, HEADERS)
        if moment == "halfway":
            connection.data(stream, message(b"part"))
        if how == "reset":
            connection.reset(stream, *rest)
        elif how == "goaway":
            connection.goaway(max(stream + rest[0], 0))
        if how in ("close", "goaway"):
            connection.sock.shutdown(socket.SHUT_RDWR)
        elif how == "abort":
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sock.close()


def _script_reset_after_bytes(connection, frame, code, size):
    """Takes so much of the request first."""
    if frame["kind"] == "DataFrame":
        connection.taken = getattr(connection, "taken", 0) + len(frame["data"])
        if connection.taken >= size:
            connection.taken = 0
            connection.reset(frame["stream"], code)


def _script_flood(connection, frame, size):
    """A response of so many bytes, as far as sluice's windows let it go."""
    if frame.get("end"):
        connection.headers(frame["stream"], HEADERS)
        connection.data(frame["stream"], message(bytes(size)))


def _script_bytes(connection, frame, raw):
    """Whatever bytes, at the first request."""
    if _is_request(frame):
        connection.send(raw)


_SCRIPTS = {name[len("_script_"):]: function for name, function in list(globals().items())
            if name.startswith("_script_")}


def start(address, *script, tls=None, **settings):
    """Serves script ("reset", "INTERNAL_ERROR", ...) on address with these SETTINGS. tls: paths of
    chain and key, the protocols to offer, and the CA where clients must show a certificate."""
    global _server
    _server = _Server(address, script, settings, tls and _tls_context(*tls))


def _tls_context(chain, key, alpn, client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def resumed():
    """Of each TLS connection so far, whether it resumed an earlier one's session."""
    return list(_server.resumed)


def script(*script):
    """Changes the script and forgets what was seen."""
    _server.script = script
    _server.events.clear()
    for connection in list(_server.connections.values()):
        connection.requests = 0


def requests():
    """The headers of every request seen, as lists of pairs."""
    return [f["headers"] for _, f in list(_server.events) if _is_request(f)]


def events(kind=None):
    """(connection, frame) of every frame seen, or of one kind (by name)."""
    return [(n, f) for n, f in list(_server.events) if kind is None or f["kind"] == kind]


def open_connections():
    return len(_server.connections)


def stop_listening():
    """New connections are refused; those that are open stay."""
    _server.listener.shutdown(socket.SHUT_RDWR)


def listen_again():
    _server.listen()


def drop_connections():
    """Closes every connection, as a crash of the server would."""
    for connection in list(_server.connections.values()):
        connection.sock.shutdown(socket.SHUT_RDWR)
