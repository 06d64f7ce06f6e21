# SPDX-License-Identifier: MIT
"""What users of other balancers complain of, where no other test here would catch it. The whole list,
and which test holds what, is in docs/TESTING.md."""
import re
import time

import pytest

from harness.lab import REPO
from harness.proc import resident_kib, wait_for
from peers import calls, h2raw, negative, rawserver

pytestmark = pytest.mark.l7

WINDOW_MIN, CONNECTION_WINDOW_MIN = 256 << 10, 1 << 20
CONNECTIONS, MESSAGE = 48, 1 << 20
GROWTH_KIB = 24 * 1024  # of all workers together: half a MiB a connection


@pytest.fixture(scope="module")
def server(lab):
    host = lab.world.backends[2]
    agent = lab.agent(host, "early")
    agent.address = f"{host.address}:{lab.world.port(50061)}"
    agent.run(negative.start, agent.address)
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def raw(lab):
    host = lab.world.backends[2]
    agent = lab.agent(host, "raw-complaints")
    agent.address = f"{host.address}:{lab.world.port(50062)}"
    agent.run(rawserver.start, agent.address, "ok")
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, server, raw):
    """443: two gRPC servers; 444: one that ends early; 445: a scripted one."""
    config = lab.config(backends)
    lab.add_listener(config, 444, "early", [{"address": server.address}])
    lab.add_listener(config, 445, "raw", [{"address": raw.address}])
    yield daemons(config, "off")
    daemons.stop()


def _goaway_without_traffic(address):
    """A call whose answer does not come; returns the seconds until GOAWAY."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.request(1)
    connection.data(1, h2raw.message(b""))
    connection.ping()
    connection.until(lambda f: f["kind"] == "PingFrame" and f["flags"] & 1)
    _waiting.append(connection)


def _seconds_until_goaway():
    connection, began = _waiting.pop(), time.monotonic()
    connection.until(lambda f: f["kind"] == "GoAwayFrame", 10)
    connection.reset(1)
    connection.close()
    return time.monotonic() - began


_waiting = []


def test_goaway_does_not_wait_for_a_response(lab, client, daemon, raw):
    """Envoy #14350: only after the next response was a connection told to go."""
    config = lab.config([], listeners=[], groups=[], drain={"grace": "10s", "jitter": "0s"})
    lab.add_listener(config, 448, "raw", [{"address": raw.address}])
    sluice = daemon(config, "off")
    raw.run(rawserver.script, "hang")
    client.run(_goaway_without_traffic, (lab.world.lb.address, lab.world.port(448)))
    sluice.signal(15)
    assert client.run(_seconds_until_goaway) < 2
    raw.run(rawserver.script, "ok")


def _early_end(address):
    """Sends a message and leaves the request open; the whole answer."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello(window=1 << 20)
    connection.request(1)
    connection.data(1, h2raw.message(b"first"))
    answer = {"data": 0, "trailers": None, "reset": None}
    while answer["trailers"] is None and answer["reset"] is None:
        frame = connection.next(10)
        if frame["kind"] == "DataFrame":
            answer["data"] += len(frame["data"])
            connection.credit(0, len(frame["data"]) or 1)
            connection.credit(1, len(frame["data"]) or 1)
        elif frame["kind"] == "HeadersFrame" and frame["end"]:
            answer["trailers"] = dict(frame["headers"])
        elif frame["kind"] == "RstStreamFrame":
            answer["reset"] = frame["code"]
    connection.close()
    return answer


def test_a_large_answer_that_ends_early_arrives_whole(lab, client, sluice, server):
    """Envoy #30149, HAProxy #2388: data and trailers were lost when the server ended before the
    client and reset the stream."""
    server.run(negative.case, "early_end")
    for _ in range(5):
        answer = client.run(_early_end, (lab.world.lb.address, lab.world.port(444)))
        assert answer["data"] > negative.EARLY_BYTES and answer["reset"] is None
        assert answer["trailers"]["grpc-status"] == "0"


def _windows(frames):
    """The window of a stream, and of the connection, that the first frames of a peer give."""
    stream, connection = 65535, 65535
    for frame in frames:
        stream = frame.get("values", {}).get(4, stream)
        if frame["kind"] == "WindowUpdateFrame" and frame["stream"] == 0:
            connection += frame["size"]
    return stream, connection


def _windows_for_clients(address):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.ping()
    frames = connection.until(lambda f: f["kind"] == "PingFrame" and f["flags"] & 1)
    connection.close()
    return _windows(frames)


def test_windows_are_no_64_kib(lab, client, sluice, raw):
    """linkerd #1013, linkerd2 #638: big messages stalled, the connection's window was the default."""
    stream, connection = client.run(_windows_for_clients, (lab.world.lb.address, lab.world.port(443)))
    assert stream >= WINDOW_MIN and connection >= CONNECTION_WINDOW_MIN
    raw.run(rawserver.script, "ok")
    assert client.run(calls.unary, lab.target(port=445)).code == 0
    frames = [f for _, f in raw.run(rawserver.events)]
    upstream = _windows(frames)
    assert upstream[0] >= WINDOW_MIN and upstream[1] >= CONNECTION_WINDOW_MIN, frames


def _long_connections(target, how_many):
    """Each has carried a large message both ways, and keeps a stream open."""
    numbers = []
    for i in range(how_many):
        own = calls.Target(target.address, target.roots, target.name, f"long-{i}")
        assert calls.unary(own, payload=bytes(MESSAGE)).code == 0
        numbers.append(calls.open_bidi(own, timeout=300))
        calls.exchange(numbers[-1], payload=bytes(1000))
    return numbers


def _end_all(numbers):
    codes = [calls.end(number).code for number in numbers]
    calls.close_all()
    return codes


def test_memory_of_long_connections(lab, client, sluice):
    """Envoy #9891, #15904: gigabytes at a few dozen long connections."""
    def memory():
        return sum(resident_kib(w["pid"]) for w in sluice.workers())

    warm = client.run(_long_connections, lab.target(), 4)
    before = memory()
    numbers = client.run(_long_connections, lab.target(tag="x"), CONNECTIONS, wait=120)
    if not lab.sanitized:
        wait_for(lambda: memory() - before < GROWTH_KIB, 10,
                 lambda: f"{memory() - before} KiB for {CONNECTIONS} connections")
    assert set(client.run(_end_all, numbers + warm)) == {0}


def test_every_complaint_names_tests_that_exist():
    text = (REPO / "docs" / "TESTING.md").read_text(encoding="utf-8")
    section = text.partition("\n## What users complain of elsewhere\n")[2].partition("\n## ")[0]
    named = re.findall(r"`(\w+)::(\w+)`", section)
    assert len(named) > 20
    sources = {}
    for path in (REPO / "selftests").rglob("test_*.*"):
        if path.suffix in (".py", ".c"):
            # Of one name there may be several: a program of each kind.
            sources[path.stem] = sources.get(path.stem, "") + path.read_text(encoding="utf-8")
    missing = [f"{file}::{test}" for file, test in named
               if not re.search(rf"\b{test}\b", sources.get(file, ""))]
    assert missing == []
