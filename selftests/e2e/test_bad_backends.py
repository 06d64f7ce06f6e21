# SPDX-License-Identifier: MIT
"""Backends that break HTTP/2's or gRPC's rules, one rule a case: the call ends at once and with the
right status, the backend is told what it did wrong, and the next call, on the same connection of the
client's, is served. The cases are peers/badserver.py's; what each must come to stands here."""
import time

import pytest

from harness.proc import wait_for
from peers import badserver, h2raw

pytestmark = pytest.mark.l7

GOAWAY, RESET = "GoAwayFrame", "RstStreamFrame"
SOON = 1.2  # seconds; the deadline of the calls is longer
DEADLINE = "2S"

# The whole connection is given up: GOAWAY with that code, UNAVAILABLE to the client.
CONNECTION = {
    "PROTOCOL_ERROR": [
        "HTTP/1.1 in the place of the preface", "another protocol's banner",
        "nonsense in the place of the preface", "PING before SETTINGS", "SETTINGS on a stream",
        "ENABLE_PUSH 1", "ENABLE_PUSH 2", "MAX_FRAME_SIZE under 2^14",
        "MAX_FRAME_SIZE over 2^24-1", "DATA with too much padding",
        "HEADERS with too much padding", "DATA on stream 0", "HEADERS on stream 0",
        "RST_STREAM on stream 0", "PRIORITY on stream 0", "CONTINUATION on stream 0",
        "PUSH_PROMISE on stream 0", "PING on a stream", "GOAWAY on a stream",
        "SETTINGS on a stream in the middle", "DATA on an idle stream",
        "DATA on a stream of the server's", "HEADERS on an idle stream",
        "HEADERS on a stream of the server's", "RST_STREAM on an idle stream",
        "WINDOW_UPDATE on an idle stream", "PUSH_PROMISE though push is off", "CONTINUATION alone",
        "CONTINUATION after END_HEADERS", "CONTINUATION after DATA",
        "HEADERS without END_HEADERS, then DATA", "HEADERS without END_HEADERS, then PRIORITY",
        "HEADERS without END_HEADERS, then another stream's CONTINUATION", "WINDOW_UPDATE of 0"],
    "FRAME_SIZE_ERROR": [
        "SETTINGS of 5 bytes", "SETTINGS ACK with a payload", "DATA over MAX_FRAME_SIZE",
        "HEADERS over MAX_FRAME_SIZE", "RST_STREAM of 3 bytes", "PING of 7 bytes",
        "WINDOW_UPDATE of 3 bytes", "GOAWAY of 4 bytes", "SETTINGS of 7 bytes in the middle"],
    "FLOW_CONTROL_ERROR": [
        "INITIAL_WINDOW_SIZE over 2^31-1", "WINDOW_UPDATE over 2^31-1",
        "a setting that takes the windows over 2^31-1"],
    "COMPRESSION_ERROR": [
        "HPACK: index 0", "HPACK: an index past the table", "HPACK: a block that is cut",
        "HPACK: bad Huffman code", "HPACK: a table size over what was allowed",
        "HPACK: a number without end"],
    "ENHANCE_YOUR_CALM": [
        "a flood of CONTINUATION", "a flood of empty CONTINUATION", "a flood of PINGs",
        "a flood of SETTINGS", "a flood of empty DATA"],
}

# Only the call: RST_STREAM with that code, INTERNAL to the client.
STREAM = {
    "PROTOCOL_ERROR": [
        "DATA before HEADERS", "no :status", ":status twice", ":status that is no number",
        ":status 99", ":status 1000", ":status 101", "a request's pseudo-header",
        "an unknown pseudo-header", "a pseudo-header after the others", "a name in capitals",
        "a name with a blank", "a value with a line feed", "a connection header",
        "transfer-encoding", "an informational response that ends the stream",
        "an informational response with END_STREAM", "content-length that is too small",
        "content-length that is no number", "trailers with a pseudo-header",
        "trailers without END_STREAM", "headers after DATA, then more DATA",
        "WINDOW_UPDATE of 0 on the stream"],
    "FRAME_SIZE_ERROR": ["PRIORITY of 4 bytes"],
    "FLOW_CONTROL_ERROR": ["WINDOW_UPDATE over 2^31-1 on the stream",
                           "DATA past the stream's window"],
}

# Nothing wrong, or nothing that concerns the call, which ends with status 0.
BORNE = [
    "good", "an unknown setting", "HEADER_TABLE_SIZE 0", "HEADER_TABLE_SIZE 2^32-1",
    "MAX_CONCURRENT_STREAMS 0, then 10", "an unknown frame type", "undefined flags",
    "PING ACK that nobody asked for", "the reserved bit", "PRIORITY", "a setting in the middle",
    "an informational response first", "DATA of 2^14 bytes", "DATA with padding",
    "HEADERS with padding and priority", "headers in three CONTINUATIONs", "an empty DATA frame",
    "a flood of informational responses", "GOAWAY that covers the call, then its answer",
    "GOAWAY with an error", "DATA after END_STREAM", "HEADERS after END_STREAM",
    "CONTINUATION after END_STREAM"]

# The statuses that are right, as gRPC's documents on HTTP/2 and on statuses have it.
STATUS = {
    "GOAWAY before a request": "14", "the connection closed at once": "14",
    "the connection closed in a frame": "14", "the connection closed in a header block": "14",
    "the connection closed in a message": "14", "the connection reset by TCP": "14",
    "headers over the limit": "8", "DATA after RST_STREAM": "1", "HEADERS after RST_STREAM": "1",
    "RST_STREAM twice": "13", "RST_STREAM of an unknown code": "2",
    "content-length that is too large": "13", "an HTML page": "14",
    "an HTML page that is said to be fine": "2", "no grpc-status": "2 13",
    "END_STREAM at a message, no trailers": "2 13",
    "headers that end the stream without a status": "2 13",
    "grpc-status ''": "2 13", "grpc-status 'abc'": "2 13", "grpc-status '-1'": "2 13",
    "grpc-status '99'": "2 99",  # a client takes it for UNKNOWN
    "grpc-status '4294967296'": "2 13", "grpc-status '0x0'": "2 13",
}

CASES = [(name, "14", (GOAWAY, code)) for code, names in CONNECTION.items() for name in names] + \
    [(name, "13", (RESET, code)) for code, names in STREAM.items() for name in names] + \
    [(name, "0", None) for name in BORNE] + \
    [(name, statuses, None) for name, statuses in STATUS.items()]


@pytest.fixture(scope="module")
def bad(lab):
    host = lab.world.backends[2]
    agent = lab.agent(host, "bad-backend")
    agent.address = f"{host.address}:{lab.world.port(50058)}"
    agent.run(badserver.start, agent.address)
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, client, daemons, bad):
    """One mode will do: what backends send reaches the worker alike."""
    config = lab.config([], workers=1, log={"level": "error"}, listeners=[], groups=[])
    lab.add_listener(config, 443, "bad", [{"address": bad.address}],
                     connections={"connect_timeout": "500ms"})
    yield daemons(config, "off")
    client.run(_hang_up)
    daemons.stop()


_client = {"connection": None, "stream": 1}


def _call(address):
    """A call on the one connection that all cases share: status, message, reset, seconds. None for
    the status where there was no end."""
    if _client["connection"] is None:
        _client["connection"] = h2raw.Client(
            address, h2raw.tls_context()).hello(window=1 << 24)
        _client["stream"] = 1
    connection, stream = _client["connection"], _client["stream"]
    _client["stream"] += 2
    connection.credit(0, 1 << 22)
    began = time.monotonic()
    try:
        answer = connection.call(stream, timeout=10, add=[("grpc-timeout", DEADLINE)])
    except TimeoutError:
        answer = {"trailers": {}, "reset": "nothing came"}
    if connection.eof:
        _client["connection"] = None
    trailers = answer["trailers"] or {}
    return (trailers.get("grpc-status"), trailers.get("grpc-message"), answer["reset"],
            time.monotonic() - began)


def _hang_up():
    if _client["connection"]:
        _client["connection"].close()
        _client["connection"] = None


@pytest.fixture
def call(lab, client, sluice):
    return lambda: client.run(_call, (lab.world.lb.address, lab.world.port(443)))


@pytest.mark.parametrize("name,statuses,told", CASES, ids=[c[0] for c in CASES])
def test_broken_rule(sluice, bad, call, name, statuses, told):
    pids = {w["pid"] for w in sluice.workers()}
    bad.run(badserver.case, name)
    status, text, reset, seconds = call()
    assert status in statuses.split(), f"status {status} ({text}), reset {reset}"
    assert seconds < SOON
    assert status in ("0", "99") or text
    if told:
        wait_for(lambda: told in bad.run(badserver.told), 3,
                 lambda: f"told {told}: {bad.run(badserver.told)}")
    bad.run(badserver.case, "good")
    status, text, *_ = call()
    assert status == "0", f"the next call: {status} {text}"
    assert {w["pid"] for w in sluice.workers()} == pids, sluice.log()[-4000:]


def test_silence_in_a_response_ends_with_the_deadline(bad, call):
    bad.run(badserver.case, "half a response, then silence until the deadline")
    status, _, _, seconds = call()
    assert status == "4" and 1.5 < seconds < 4
    wait_for(lambda: (RESET, "CANCEL") in bad.run(badserver.told), 3, "the backend is told")
    bad.run(badserver.case, "good")
    assert call()[0] == "0"


def test_no_case_is_left_out(bad):
    assert set(bad.run(badserver.names)) - {c[0] for c in CASES} == {
        "half a response, then silence until the deadline"}
