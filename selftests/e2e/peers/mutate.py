# SPDX-License-Identifier: MIT
"""Byte streams of HTTP/2 that are almost right: frames cut, flipped, repeated, reordered. Every
case follows from its number alone, so that a failing one can be run again."""
import random
import socket
import ssl
import struct
import threading

import hpack

from . import h2raw
from .h2raw import END_HEADERS, END_STREAM, message, raw_frame

_U32 = struct.Struct("!I")


def _client_frames(rng):
    """A connection's worth of good frames: several calls, interleaved, all frame types."""
    encoder = hpack.Encoder()
    frames = [raw_frame(4, 0, 0, struct.pack("!HIHI", 4, rng.choice([0, 100, 65535, 1 << 20]),
                                             1, rng.choice([0, 4096])))]
    calls = []
    for i in range(rng.randint(1, 6)):
        stream = 1 + 2 * i
        extra = [(f"x-{rng.randint(0, 9)}", "v" * rng.choice([0, 1, 50, 900]))
                 for _ in range(rng.randint(0, 4))]
        if rng.random() < 0.3:
            extra.append(("grpc-timeout", rng.choice(["1S", "1m", "99999999H", "0n", "x"])))
        path = rng.choice(["Unary", "Bidi", "ServerStream", "ClientStream", "Nothing"])
        block = encoder.encode([(k, f"/sluice.test.Echo/{path}" if k == ":path" else v)
                                for k, v in h2raw.REQUEST] + extra)
        call = []
        if rng.random() < 0.3 and len(block) > 2:
            cut = rng.randint(1, len(block) - 1)
            frames.append(raw_frame(1, 0, stream, block[:cut]) +
                          raw_frame(9, END_HEADERS, stream, block[cut:]))
        else:
            frames.append(raw_frame(1, END_HEADERS, stream, block))
        for _ in range(rng.randint(0, 3)):
            call.append(raw_frame(0, 0, stream, message(bytes(rng.choice([0, 5, 300, 16000])))))
        ending = rng.random()
        if ending < 0.5:
            call.append(raw_frame(0, END_STREAM, stream))
        elif ending < 0.7:
            call.append(raw_frame(3, 0, stream, _U32.pack(rng.randint(0, 14))))
        elif ending < 0.8:
            call.append(raw_frame(1, END_HEADERS | END_STREAM, stream,
                                  encoder.encode([("trail", "er")])))
        calls.append(call)
    extras = [raw_frame(8, 0, 0, _U32.pack(rng.randint(1, 1 << 20))),
              raw_frame(6, 0, 0, b"12345678"), raw_frame(2, 0, 1, bytes(5)),
              raw_frame(8, 0, 1, _U32.pack(1000)), raw_frame(4, 1, 0),
              raw_frame(200, 255, 1, b"unknown"), raw_frame(7, 0, 0, bytes(8))]
    rest = [f for call in calls for f in call] + rng.sample(extras, rng.randint(0, 3))
    if rng.random() < 0.5:
        rng.shuffle(rest)
    return frames + rest


def _server_frames(rng):
    """What a backend might send: SETTINGS, answers to stream 1 and a few that nobody asked for."""
    encoder = hpack.Encoder()
    frames = [raw_frame(4, 0, 0, struct.pack("!HI", 3, rng.choice([1, 100]))), raw_frame(4, 1, 0)]
    for stream in rng.choice([(1,), (1,), (1, 3), (1, 2), (3,)]):
        frames.append(raw_frame(1, END_HEADERS, stream, encoder.encode(
            [(":status", rng.choice(["200", "200", "404", "100", "x"])),
             ("content-type", "application/grpc")])))
        frames.append(raw_frame(0, 0, stream, message(bytes(rng.choice([0, 30, 9000])))))
        frames.append(raw_frame(1, END_HEADERS | END_STREAM, stream, encoder.encode(
            [("grpc-status", rng.choice(["0", "7", "99", "-1", ""])), ("grpc-message", "%zz")])))
    frames.append(rng.choice([raw_frame(3, 0, 1, _U32.pack(8)), raw_frame(7, 0, 0, bytes(8)),
                              raw_frame(6, 0, 0, bytes(8)), raw_frame(8, 0, 0, _U32.pack(5))]))
    return frames


def _mutate(rng, frames):
    """1 to 4 mutations of the list of frames; the bytes."""
    frames = list(frames)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(frames))
        frame = bytearray(frames[at])
        kind = rng.randrange(9)
        if kind == 0 and len(frames) > 1:
            del frames[at]
        elif kind == 1:
            frames.insert(rng.randrange(len(frames) + 1), bytes(frame))
        elif kind == 2:
            other = rng.randrange(len(frames))
            frames[at], frames[other] = frames[other], frames[at]
        elif kind == 3:  # cut
            frames[at] = bytes(frame[:rng.randint(0, len(frame))])
        elif kind == 4:  # flip bits
            for _ in range(rng.randint(1, 6)):
                frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
            frames[at] = bytes(frame)
        elif kind == 5:  # a wrong length
            frame[:3] = rng.choice([0, 1, len(frame), 16385, 1 << 23]).to_bytes(3, "big")
            frames[at] = bytes(frame)
        elif kind == 6:
            frame[3] = rng.randrange(12)
            frames[at] = bytes(frame)
        elif kind == 7:
            frame[4] = rng.randrange(256)
            frames[at] = bytes(frame)
        else:
            frame[5:9] = _U32.pack(rng.choice([0, 1, 2, 3, 5, 99, 0x7fffffff, 0xffffffff]))
            frames[at] = bytes(frame)
    data = b"".join(frames)
    if rng.random() < 0.1:
        data = data[:rng.randint(0, len(data))]
    return data


def client_case(number):
    rng = random.Random(number)
    data = _mutate(rng, _client_frames(rng))
    return (h2raw.PREFACE if rng.random() < 0.97 else h2raw.PREFACE[:rng.randrange(24)]) + data, rng


def _one(address, context, session, number):
    data, rng = client_case(number)
    sock = socket.create_connection(address, 10)
    try:
        tls = context.wrap_socket(sock, server_hostname="sluice.test", session=session[0])
        sock = tls
        if session[0] is None:
            session[0] = tls.session
        tls.settimeout(0.02 if rng.random() < 0.9 else 0.2)
        pieces = rng.randint(1, 3)
        for i in range(pieces):
            tls.sendall(data[len(data) * i // pieces:len(data) * (i + 1) // pieces])
        if rng.random() < 0.7:
            for _ in range(3):
                if not tls.recv(65536):
                    break
    except (OSError, ssl.SSLError):
        pass
    finally:
        sock.close()


def clients(address, first, count, threads=16):
    """Runs client_case(first) … over TLS against address."""
    context = h2raw.tls_context(maximum=ssl.TLSVersion.TLSv1_2)
    numbers = iter(range(first, first + count))
    lock = threading.Lock()

    def work():
        session = [None]
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                _one(address, context, session, number)
            except OSError:
                pass

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


_backend = {"number": 0}


def start_backend(addresses):
    """Backends whose every connection answers with the next mutated stream. Several, so that
    backing off from one that fails leaves others to try."""

    def serve(sock, number):
        rng = random.Random(number)
        frames = _server_frames(rng)
        data = _mutate(rng, frames) if rng.random() < 0.98 else rng.randbytes(500)
        try:
            sock.settimeout(1)
            if rng.random() < 0.8:  # SETTINGS whole, so that a request comes
                sock.sendall(raw_frame(4, 0, 0))
            got = b""
            while b"sluice" not in got and len(got) < 400 and rng.random() < 0.95:
                piece = sock.recv(4096)
                if not piece:
                    break
                got += piece
            sock.sendall(data)
            sock.settimeout(0.05)
            sock.recv(4096)
        except OSError:
            pass
        finally:
            sock.close()

    def accept(listener):
        while True:
            sock, _ = listener.accept()
            _backend["number"] += 1
            threading.Thread(target=serve, args=(sock, _backend["number"]), daemon=True).start()

    for host, port in addresses:
        listener = socket.create_server((host, port), backlog=256)
        threading.Thread(target=accept, args=(listener,), daemon=True).start()


def backend_connections():
    return _backend["number"]
