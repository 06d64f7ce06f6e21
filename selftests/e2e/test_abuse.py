# SPDX-License-Identifier: MIT
"""Clients that misbehave: GOAWAY with the right code, counted, and nobody else is harmed."""
import socket
import struct
import time

import pytest

from harness.proc import wait_for
from peers import calls, h2raw
from peers.h2raw import END_HEADERS, raw_frame

pytestmark = pytest.mark.l7


@pytest.fixture(scope="module")
def shared(lab, daemons, backends, mode):
    config = lab.config(backends)
    config["listeners"][0]["limits"] = {"streams": 20, "header_list": "16KiB"}
    config["listeners"][0]["timeouts"] = {"header": "500ms", "idle": "30s"}
    yield daemons(config, mode)
    daemons.stop()


@pytest.fixture
def sluice(lab, client, shared):
    """With a bystander: a stream on another connection that must go on through every test."""
    pids = {w["pid"] for w in shared.workers()}
    streams = [client.run(calls.open_bidi, lab.target(tag=f"bystander-{i}")) for i in range(3)]
    for stream in streams:
        client.run(calls.exchange, stream, payload=b"before")
    yield shared
    for stream in streams:
        assert client.run(calls.exchange, stream, payload=b"after")["received"] == 2
        assert client.run(calls.end, stream).code == 0
    assert {w["pid"] for w in shared.workers()} == pids, "a worker died"
    assert client.run(calls.unary, lab.target(tag="newcomer")).code == 0


@pytest.fixture
def address(lab, sluice):
    return lab.world.lb.address, lab.world.port(443)


def total(sluice, counter):
    return sum(w[counter] for w in sluice.workers())


def _flood(address, produce, rounds):
    """Sends what produce(i) gives, `rounds` times, until the server hangs up; GOAWAY's code."""
    connection = h2raw.Client(address, h2raw.tls_context(), auto=False).hello()
    connection.next()
    sent = 0
    try:
        for i in range(rounds):
            connection.send(produce(connection, i))
            sent += 1
    except OSError:
        pass
    try:
        return connection.goaway_seen(10), sent
    except TimeoutError:
        return "still open", sent


def _ping(connection, i):
    return b"".join(raw_frame(6, 0, 0, struct.pack("!Q", i * 100 + j)) for j in range(100))


def _settings(connection, i):
    return raw_frame(4, 0, 0, struct.pack("!HI", 4, 65535 + i % 2)) * 100


def _rapid_reset(connection, i):
    stream = 1 + 2 * i
    block = connection.encoder.encode(h2raw.REQUEST)
    return raw_frame(1, END_HEADERS, stream, block) + \
        raw_frame(3, 0, stream, struct.pack("!I", h2raw.code("CANCEL")))


def _empty_data(connection, i):
    head = b""
    if i == 0:
        head = raw_frame(1, END_HEADERS, 1, connection.encoder.encode(h2raw.REQUEST))
    return head + raw_frame(0, 0, 1) * 100


def _ping_flood(address):
    return _flood(address, _ping, 5000)


def _settings_flood(address):
    return _flood(address, _settings, 5000)


def _rapid_reset_flood(address):
    return _flood(address, _rapid_reset, 20000)


def _empty_data_flood(address):
    return _flood(address, _empty_data, 5000)


@pytest.mark.parametrize("flood", [_ping_flood, _settings_flood, _rapid_reset_flood,
                                   _empty_data_flood])
def test_flood_ends_with_enhance_your_calm(client, sluice, address, flood):
    before = total(sluice, "protocol_errors")
    code, sent = client.run(flood, address)
    assert code == "ENHANCE_YOUR_CALM", (code, sent)
    wait_for(lambda: total(sluice, "protocol_errors") == before + 1, 3, "it is counted")


def _goaway_of(address, frames, wait=5):
    """The code of GOAWAY after these bytes on a connection that is up; and whether it is closed."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.next()
    connection.send(frames)
    try:
        return connection.goaway_seen(wait)
    except TimeoutError:
        return "still open"


def _provoked_resets(connection, i):
    """CVE-2025-8671: frames that make the server reset the stream, again and again."""
    stream = 1 + 2 * i
    block = connection.encoder.encode(h2raw.REQUEST)
    return raw_frame(1, END_HEADERS, stream, block) + raw_frame(8, 0, stream, bytes(4))


def _provoked_reset_flood(address):
    return _flood(address, _provoked_resets, 20000)


def test_provoked_resets_end_the_connection(client, sluice, address):
    code, sent = client.run(_provoked_reset_flood, address)
    assert code in ("ENHANCE_YOUR_CALM", "PROTOCOL_ERROR"), (code, sent)


def _continuations(address):
    """A header block that never ends."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.next()
    block = connection.encoder.encode(h2raw.REQUEST)
    sent = 0
    try:
        connection.send(raw_frame(1, 0, 1, block))
        for _ in range(10000):
            connection.send(raw_frame(9, 0, 1, b"\0\1a\1b" * 200))
            sent += 1
    except OSError:
        pass
    return connection.goaway_seen(10), sent


def test_continuation_flood_ends_the_connection(client, sluice, address):
    code, sent = client.run(_continuations, address)
    assert code in ("ENHANCE_YOUR_CALM", "PROTOCOL_ERROR", "INTERNAL_ERROR"), (code, sent)


@pytest.mark.parametrize("name,frames,code", [
    ("data on stream 0", raw_frame(0, 0, 0, b"x"), "PROTOCOL_ERROR"),
    ("headers on an even stream", raw_frame(1, 5, 2, b"\x82"), "PROTOCOL_ERROR"),
    ("settings with a payload of 5", raw_frame(4, 0, 0, b"12345"), "FRAME_SIZE_ERROR"),
    ("ping of 7 bytes", raw_frame(6, 0, 0, b"1234567"), "FRAME_SIZE_ERROR"),
    ("window of 2^31", raw_frame(8, 0, 0, b"\x7f\xff\xff\xff"), "FLOW_CONTROL_ERROR"),
    ("credit of 0", raw_frame(8, 0, 0, bytes(4)), "PROTOCOL_ERROR"),
    ("broken HPACK", raw_frame(1, 5, 1, b"\xff" * 50), "COMPRESSION_ERROR"),
    ("continuation alone", raw_frame(9, 4, 1, b"\x82"), "PROTOCOL_ERROR"),
    ("frame over the limit", raw_frame(0, 0, 1, bytes(20000)), "FRAME_SIZE_ERROR"),
    ("push promise", raw_frame(5, 4, 1, struct.pack("!I", 2) + b"\x82"), "PROTOCOL_ERROR"),
])
def test_protocol_error_ends_with_its_code(client, sluice, address, name, frames, code):
    before = total(sluice, "protocol_errors")
    assert client.run(_goaway_of, address, frames) == code
    wait_for(lambda: total(sluice, "protocol_errors") == before + 1, 3, "it is counted")


def _no_preface(address):
    connection = h2raw.Client(address, h2raw.tls_context())
    connection.send(b"GET / HTTP/1.1\r\nHost: sluice.test\r\n\r\n")
    return connection.goaway_seen(5)


def test_http_1_after_the_handshake_is_ended(client, sluice, address):
    assert client.run(_no_preface, address) in ("PROTOCOL_ERROR", None)


def _too_many_streams(address):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.until(lambda f: f["kind"] == "SettingsFrame" and f["flags"] & h2raw.ACK)
    for i in range(25):
        connection.request(1 + 2 * i)
    connection.ping()
    seen = connection.until(lambda f: f["kind"] == "PingFrame" and f["flags"] & h2raw.ACK)
    refused = [(f["stream"], f["code"]) for f in seen if f["kind"] == "RstStreamFrame"]
    goaway = [f["code"] for f in seen if f["kind"] == "GoAwayFrame"]
    connection.close()
    return refused, goaway


def test_streams_over_the_limit_are_refused_one_by_one(client, sluice, address):
    refused, goaway = client.run(_too_many_streams, address)
    assert goaway == []
    assert refused == [(1 + 2 * i, "REFUSED_STREAM") for i in range(20, 25)]


def _refused_streams(connection, i):
    return raw_frame(1, END_HEADERS, 1 + 2 * i, connection.encoder.encode(h2raw.REQUEST))


def _refused_stream_flood(address):
    return _flood(address, _refused_streams, 20000)


def test_flood_of_streams_over_the_limit_ends_the_connection(client, sluice, address):
    code, sent = client.run(_refused_stream_flood, address)
    assert code == "ENHANCE_YOUR_CALM", (code, sent)


def _big_headers(address, size, pieces=1):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    add = [(f"x-{i}", "v" * (size // pieces)) for i in range(pieces)]
    block = connection.encoder.encode(h2raw.REQUEST + add)
    first, rest = block[:16384], block[16384:]
    data = raw_frame(1, END_HEADERS if not rest else 0, 1, first)
    while rest:
        piece, rest = rest[:16384], rest[16384:]
        data += raw_frame(9, END_HEADERS if not rest else 0, 1, piece)
    try:
        connection.send(data)
        connection.data(1, h2raw.message(b""), end=True)
        answer = connection.answer(1)
    except OSError:
        return {"closed": True}
    answer["goaway"] = [f["code"] for f in answer.pop("frames") if f["kind"] == "GoAwayFrame"]
    return answer


def test_headers_within_the_limit_pass(client, sluice, address):
    assert client.run(_big_headers, address, 6000, 4)["trailers"]["grpc-status"] == "0"


@pytest.mark.parametrize("size,pieces", [(17000, 1), (40000, 8), (300000, 20)])
def test_headers_over_the_limit_are_refused(client, sluice, address, size, pieces):
    answer = client.run(_big_headers, address, size, pieces)
    assert not answer.get("trailers") or answer["trailers"].get("grpc-status") == "8" or \
        answer["headers"][":status"] == "431", answer


def _hpack_bomb(address):
    """One big header in the table, then thousands of one-byte references to it."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    block = connection.encoder.encode(h2raw.REQUEST)
    block += b"\x40" + b"\x01a" + b"\x7f\xa1\x1e" + b"v" * 4000  # literal, indexed
    block += b"\xbe" * 12000
    try:
        connection.send(raw_frame(1, END_HEADERS, 1, block[:16384]))
        answer = connection.answer(1, 5)
    except OSError:
        return "closed"
    return (answer["trailers"] or {}).get("grpc-status") or answer["reset"] or "closed"


def test_hpack_bomb_is_refused(client, sluice, address):
    assert client.run(_hpack_bomb, address) != "0"


def _slow_headers(address):
    """A header block of which the end never comes."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.next()
    connection.send(raw_frame(1, 0, 1, connection.encoder.encode(h2raw.REQUEST)))
    began = time.monotonic()
    code = connection.goaway_seen(5)
    return code, time.monotonic() - began


def test_header_block_that_does_not_end_times_out(client, sluice, address):
    code, took = client.run(_slow_headers, address)
    assert 0.4 < took < 3


def _zero_window(address):
    """Asks for a lot with a window of 0 and never opens it."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello(window=0)
    import echo_pb2
    request = echo_pb2.Request(reply_bytes=1 << 20).SerializeToString()
    for i in range(10):
        connection.request(1 + 2 * i)
        connection.data(1 + 2 * i, h2raw.message(request), end=True)
    seen = connection.until(lambda f: f["kind"] == "HeadersFrame" and f["stream"] == 19)
    connection.close()
    return sum(len(f["data"]) for f in seen if f["kind"] == "DataFrame")


def test_reader_without_a_window_gets_headers_and_no_data(client, sluice, address):
    assert client.run(_zero_window, address) == 0


def _half_open(address, how_many):
    return [socket.create_connection(address, 5) for _ in range(how_many)] and None


def test_hundreds_of_connections_that_leave_at_once(client, sluice, address):
    client.run(_half_open, address, 300)
    wait_for(lambda: total(sluice, "connections") <= 4, 5, "they are gone")
