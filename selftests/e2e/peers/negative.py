# SPDX-License-Identifier: MIT
"""gRPC's negative HTTP/2 servers (its document negative-http2-test-descriptions) on python3-h2: they
answer Echo.Unary, and break off as their names say. And early_end: a whole answer, and the reset
that RFC 9113 8.1 allows, while the client still sends. For an agent."""
import socket
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

import echo_pb2

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS = [("grpc-status", "0")]
REPLY_BYTES = 100000
EARLY_BYTES = 1 << 20

_server = {}


def _message(size):
    body = echo_pb2.Reply(payload=bytes(size), backend="negative").SerializeToString()
    return b"\0" + len(body).to_bytes(4, "big") + body


class _Connection:
    def __init__(self, sock, number):
        self.sock, self.number = sock, number
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.waiting = {}  # what the windows did not let out: stream: [bytes, what comes then]
        streams = 1 if _server["case"] == "max_streams" else 100
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: streams})
        self.h2.initiate_connection()
        self.requests = self.running = 0
        self.begun = set()
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def write(self, stream, data, then):
        """Sends data as the windows allow, then calls then()."""
        self.waiting[stream] = [data, then]
        self.pump()

    def pump(self):
        for stream, entry in list(self.waiting.items()):
            while entry[0]:
                room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
                if room <= 0:
                    break
                self.h2.send_data(stream, entry[0][:room])
                entry[0] = entry[0][room:]
            if not entry[0] and stream in self.waiting:
                del self.waiting[stream]
                entry[1]()
        self.flush()

    def reset(self, stream):
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.PROTOCOL_ERROR)

    def finish(self, stream):
        self.h2.send_headers(stream, TRAILERS, end_stream=True)
        self.running -= 1

    def answer(self, stream):
        case = _server["case"]
        if case == "ping":
            self.h2.ping(b"12345678")
        self.h2.send_headers(stream, HEADERS)
        if case == "rst_after_header":
            self.reset(stream)
        elif case == "rst_during_data":
            whole = _message(REPLY_BYTES)
            self.write(stream, whole[:len(whole) // 2], lambda: self.reset(stream))
        elif case == "rst_after_data":
            self.write(stream, _message(REPLY_BYTES), lambda: self.reset(stream))
        elif case == "ping":
            self.h2.ping(b"22345678")
            self.write(stream, _message(10), lambda: (self.h2.ping(b"32345678"), self.finish(stream)))
        else:
            self.write(stream, _message(10), lambda: self.finish(stream))
        if case == "goaway" and self.requests == 1:
            self.goaway(stream)
        self.flush()

    def goaway(self, last):
        """By hand: python3-h2 would refuse to go on after its own GOAWAY."""
        self.flush()
        self.sock.sendall(b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + b"\0\0\0\0")

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.requests += 1
            self.running += 1
            _server["peak"] = max(_server["peak"], self.running)
            _server["calls"].append((self.number, event.stream_id))
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if _server["case"] == "early_end" and event.stream_id not in self.begun:
                self.begun.add(event.stream_id)
                self.end_early(event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            if _server["case"] == "max_streams":  # slowly, so that others have to wait
                threading.Timer(0.05, self.answer_later, (event.stream_id,)).start()
            else:
                self.answer(event.stream_id)
        elif isinstance(event, h2.events.PingAckReceived):
            _server["pings"].append(event.ping_data)
        elif isinstance(event, h2.events.StreamReset):
            self.waiting.pop(event.stream_id, None)

    def end_early(self, stream):
        def end():
            self.finish(stream)
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)

        self.h2.send_headers(stream, HEADERS)
        self.write(stream, _message(EARLY_BYTES), end)

    def answer_later(self, stream):
        with _server["lock"]:
            try:
                self.answer(stream)
            except OSError:
                pass

    def serve(self):
        try:
            while True:
                data = self.sock.recv(65536)
                if not data:
                    return
                with _server["lock"]:
                    for event in self.h2.receive_data(data):
                        self.take(event)
                    self.pump()
        except OSError:
            pass
        finally:
            _server["open"].discard(self.sock)
            self.sock.close()


def start(address):
    host, _, port = address.rpartition(":")
    listener = socket.create_server((host, int(port)), backlog=64)
    _server.update(lock=threading.Lock(), number=0, open=set())
    case("good")

    def accept():
        while True:
            sock, _ = listener.accept()
            _server["number"] += 1
            _server["open"].add(sock)
            connection = _Connection(sock, _server["number"])
            threading.Thread(target=connection.serve, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def case(name):
    """Which server it is; forgets what it saw, and has closed its connections: they end when the
    balancer has ended them too, so that no call can meet one that is closing."""
    _server.update(case=name, calls=[], pings=[], peak=0)
    end = time.monotonic() + 3
    while _server["open"] and time.monotonic() < end:
        for sock in list(_server["open"]):  # a new one may come for one that went away
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        time.sleep(0.01)


def seen():
    """calls: (connection, stream) of each; pings: what was acknowledged; peak: calls at once."""
    return {key: _server[key] for key in ("calls", "pings", "peak")}
