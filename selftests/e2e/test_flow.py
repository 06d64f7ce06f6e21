# SPDX-License-Identifier: MIT
"""Backpressure: who does not read stalls its own stream, and neither memory nor neighbours pay."""
import threading
import time

import pytest

from harness.proc import resident_kib, wait_for
from peers import calls

pytestmark = pytest.mark.l7

ALLOWED_KIB = 12 * 1024  # more of a worker's memory than before: buffers of a few streams


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, mode):
    config = lab.config(backends)
    hasty = lab.add_listener(config, 444, "hasty", backends)
    hasty["timeouts"] = {"stall": "1s"}
    yield daemons(config, mode)
    daemons.stop()


@pytest.fixture
def target(lab, sluice):
    return lab.target()


def memory(sluice):
    return sum(resident_kib(w["pid"]) for w in sluice.workers())


def messages(backends):
    return sum(b.count().get("messages", 0) for b in backends)


def still(function, seconds=0.5):
    """Whether function's value stays as it is for that long."""
    value, end = function(), time.monotonic() + seconds
    while time.monotonic() < end:
        if function() != value:
            return False
        time.sleep(0.05)
    return True


def _burst(target, how_many=200):
    began = time.monotonic()
    codes = [calls.unary(target, payload=bytes(1000)).code for _ in range(how_many)]
    stream = calls.server_stream(target, reply_bytes=65536, reply_count=500, keep=False)
    return codes, stream.code, sum(stream.replies), time.monotonic() - began


def assert_neighbours_go_on(client, target):
    codes, code, size, took = client.run(_burst, target)
    assert codes == [0] * 200 and (code, size) == (0, 65536 * 500)
    assert took < 15


def test_client_that_stops_reading_stalls_only_its_stream(lab, client, target, sluice, backends):
    client.run(_burst, target)  # so that what follows starts warm
    before, sent = memory(sluice), messages(backends)
    stalled = [client.run(calls.open_server_stream, target, reply_bytes=1 << 20,
                          reply_count=1024, timeout=120) for _ in range(3)]  # 1 GiB each
    wait_for(lambda: messages(backends) > sent and still(lambda: messages(backends)), 20,
             "the backend is stalled by its window")
    assert messages(backends) - sent < 3 * 32  # MiB, of 3072
    if not lab.sanitized:
        assert memory(sluice) - before < ALLOWED_KIB
    assert_neighbours_go_on(client, target)
    if not lab.sanitized:
        assert memory(sluice) - before < ALLOWED_KIB
    assert [client.run(calls.cancel, n).code for n in stalled] == [1, 1, 1]


def test_reader_that_stalls_too_long_gives_its_backends_stream_back(lab, client, sluice):
    target = lab.target(port=444)
    number = client.run(calls.open_server_stream, target, reply_bytes=1 << 20, reply_count=64)
    assert client.run(calls.receive, number)["received"] == 1
    wait_for(lambda: not sum(b["active_rpcs"] for b in sluice.backends()), 10,
             "no backend serves the call any more")
    outcome = client.run(calls.end, number)
    assert outcome.code == 8 and "has not read" in outcome.details


def test_reader_that_resumes_gets_everything(client, target):
    number = client.run(calls.open_server_stream, target, reply_bytes=1 << 20, reply_count=64)
    assert client.run(calls.receive, number)["received"] == 1
    time.sleep(0.5)  # the pause is the point: everything on the way fills
    outcome = client.run(_drain, number)
    assert outcome == (0, 63, 63 << 20)


def _drain(number):
    outcome = calls.end(number)
    return outcome.code, len(outcome.replies), sum(len(r["payload"]) for r in outcome.replies)


_fed = {}


def _feed(target, size):
    """A client stream whose backend reads one message only; the sender goes on until stalled."""
    import echo_pb2

    def produce():
        yield echo_pb2.Request(stall=True)
        while True:
            _fed["bytes"] = _fed.get("bytes", 0) + size
            yield echo_pb2.Request(payload=bytes(size))

    _fed.clear()
    _fed["call"] = calls.stub(target).ClientStream.future(produce(), timeout=120)


def _fed_bytes():
    return _fed.get("bytes", 0)


def _unfeed():
    _fed["call"].cancel()


def test_backend_that_stops_reading_stalls_only_its_stream(lab, client, target, sluice, backends):
    client.run(_burst, target)
    before = memory(sluice)
    client.run(_feed, target, 65536)
    wait_for(lambda: client.run(_fed_bytes) and still(lambda: client.run(_fed_bytes)), 20,
             "the sender is stalled")
    assert client.run(_fed_bytes) < 32 << 20
    if not lab.sanitized:
        assert memory(sluice) - before < ALLOWED_KIB
    assert_neighbours_go_on(client, target)
    client.run(_unfeed)


def test_many_stalled_streams_end_cleanly_when_the_client_leaves(lab, client, sluice, backends):
    target = lab.target(tag="leaver")
    for _ in range(50):
        client.run(calls.open_server_stream, target, reply_bytes=1 << 20, reply_count=64)
    wait_for(lambda: sum(w["active_rpcs"] for w in sluice.workers()) >= 50, 10, "50 calls run")
    client.run(calls.close, target)
    wait_for(lambda: sum(w["active_rpcs"] for w in sluice.workers()) == 0, 5,
             lambda: f"all calls end: {sluice.workers()}")
    wait_for(lambda: all(begun(b) == ended(b) for b in backends), 5,
             lambda: f"handlers are cancelled: {[b.count() for b in backends]}")


def begun(backend):
    return backend.count().get("calls", 0)


def ended(backend):
    count = backend.count()
    return count.get("answered", 0) + count.get("cancelled", 0)


def test_bulk_both_ways_at_once(client, target):
    results = []

    def both():
        results.append(client.run(_bulk, target, wait=60))

    threads = [threading.Thread(target=both) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(0, 100)] * 2


def _bulk(target):
    outcome = calls.bidi(target, [{"payload": bytes(256 << 10)}] * 100)
    return outcome.code, sum(len(r["payload"]) == 256 << 10 for r in outcome.replies)
