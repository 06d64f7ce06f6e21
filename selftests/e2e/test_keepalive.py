# SPDX-License-Identifier: MIT
"""Clients that are gone without a word, clients that PING too often, clients that send no more."""
import os
import signal
import socket
import time

import pytest

from harness.lab import FAST_CHECK
from harness.proc import holds_for, wait_for
from peers import calls, h2raw

pytestmark = pytest.mark.l7

QUICK, STRICT, PATIENT, SILENT, EVEN = 443, 444, 445, 446, 447  # ports


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, mode):
    """quick finds dead clients in a second; strict: no PING for a minute; patient: one in 100 ms is
    welcome; silent: none without calls; even: one in a second."""
    config = lab.config([], listeners=[], groups=[])
    for port, name, keepalive in (
            (QUICK, "quick", {"interval": "500ms", "timeout": "500ms"}),
            (STRICT, "strict", {"interval": "0s", "min_ping_interval": "1m"}),
            (PATIENT, "patient", {"interval": "0s", "min_ping_interval": "100ms"}),
            (EVEN, "even", {"interval": "0s", "min_ping_interval": "1s"}),
            (SILENT, "silent", {"interval": "0s", "min_ping_interval": "0s",
                                "pings_without_calls": False})):
        listener = lab.add_listener(config, port, name, backends, health_check=dict(FAST_CHECK))
        listener["keepalive"] = keepalive
    yield daemons(config, mode)
    daemons.stop()


def total(sluice, counter):
    return sum(worker[counter] for worker in sluice.workers())


def under_way(sluice, name):
    return sum(row["active_rpcs"] for row in sluice.backends(name))


@pytest.fixture
def doomed(lab):
    """A client that may be stopped."""
    agent = lab.agent(lab.world.client, "doomed")
    yield agent
    os.kill(agent.pid, signal.SIGCONT)
    agent.kill()


# -- clients that are gone

@pytest.mark.parametrize("kind", ["waits", "is sent data"])
def test_a_frozen_client_is_found(lab, doomed, sluice, kind):
    """Stopped, so that its kernel still answers for it: only a PING tells."""
    before = total(sluice, "clients_lost")
    if kind == "waits":
        stream = doomed.run(calls.open_bidi, lab.target(port=QUICK))
        doomed.run(calls.exchange, stream, payload=b"1")
    else:
        doomed.run(calls.open_server_stream, lab.target(port=QUICK), reply_count=1000, sleep_ms=20)
    wait_for(lambda: under_way(sluice, "quick") == 1, 5, "the call runs")
    os.kill(doomed.pid, signal.SIGSTOP)
    wait_for(lambda: under_way(sluice, "quick") == 0, 5, "its call is cancelled upstream")
    assert total(sluice, "clients_lost") == before + 1


@pytest.mark.parametrize("kind", ["waits", "is sent data"])
def test_a_client_behind_a_dead_link_is_found(lab, doomed, sluice, kind):
    """Nothing of it comes any more, not even TCP's acknowledgements."""
    if not lab.world.isolated:
        pytest.skip(lab.world.why_not)
    address = lab.world.lb.second_address
    target = lab.target(address, port=QUICK)
    before = total(sluice, "clients_lost")
    if kind == "waits":
        stream = doomed.run(calls.open_bidi, target)
        doomed.run(calls.exchange, stream, payload=b"1")
    else:
        doomed.run(calls.open_server_stream, target, reply_count=1000, sleep_ms=20)
    wait_for(lambda: under_way(sluice, "quick") == 1, 5, "the call runs")
    lab.world.client.run("ip", "route", "add", "blackhole", f"{address}/32")
    try:
        wait_for(lambda: under_way(sluice, "quick") == 0, 5, "its call is cancelled upstream")
        assert total(sluice, "clients_lost") == before + 1
    finally:
        lab.world.client.run("ip", "route", "del", "blackhole", f"{address}/32")


def test_a_client_that_lives_is_left_alone(lab, client, sluice):
    """Silent for several intervals, but it answers."""
    target = lab.target(port=QUICK)
    stream = client.run(calls.open_bidi, target)
    client.run(calls.exchange, stream, payload=b"1")
    before = total(sluice, "clients_lost")
    holds_for(lambda: under_way(sluice, "quick") == 1, 2, "the call")
    assert client.run(calls.exchange, stream, payload=b"2")["payload"] == b"2"
    assert client.run(calls.end, stream).code == 0
    assert total(sluice, "clients_lost") == before


# -- clients' PINGs

def pinging(lab, port, every_ms, without_calls=1):
    """A target whose client PINGs so often."""
    return lab.target(port=port, tag=f"pings {every_ms} {without_calls}", options=(
        ("grpc.keepalive_time_ms", every_ms), ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.keepalive_permit_without_calls", without_calls),
        ("grpc.http2.max_pings_without_data", 0)))


def test_grpc_is_told_of_too_many_pings(lab, client, sluice):
    """Its call ends as gRPC's own server would end it, and its library says that it slows down."""
    target = pinging(lab, STRICT, 150)
    before = total(sluice, "too_many_pings")
    stream = client.run(calls.open_bidi, target)
    client.run(calls.exchange, stream, payload=b"1")
    outcome = client.run(calls.end_when_over, stream)
    client.run(calls.close, target)
    assert (outcome.code, "too many pings" in outcome.details.lower()) == (14, True), outcome.details
    assert total(sluice, "too_many_pings") == before + 1
    with open(client.log_path, encoding="utf-8", errors="replace") as log:
        assert 'debug data equal to "too_many_pings"' in log.read()


def test_pings_within_the_rules_do_no_harm(lab, client, sluice):
    target = pinging(lab, PATIENT, 200)
    before = total(sluice, "too_many_pings")
    stream = client.run(calls.open_bidi, target)
    client.run(calls.exchange, stream, payload=b"1")
    holds_for(lambda: under_way(sluice, "patient") == 1, 2, "the call")
    assert client.run(calls.end, stream).code == 0
    client.run(calls.close, target)
    assert total(sluice, "too_many_pings") == before


def test_pings_in_just_the_interval_do_no_harm(lab, client, sluice):
    """gRPC's own servers bear them too, whatever the milliseconds say."""
    targets = [pinging(lab, EVEN, 1000, without_calls) for without_calls in (0, 1)]
    before = total(sluice, "too_many_pings")
    streams = [client.run(calls.open_bidi, target) for target in targets]
    for stream in streams:
        client.run(calls.exchange, stream, payload=b"1")
    holds_for(lambda: under_way(sluice, "even") == 2, 6, "the calls")
    assert [client.run(calls.end, stream).code for stream in streams] == [0, 0]
    for target in targets:
        client.run(calls.close, target)
    assert total(sluice, "too_many_pings") == before


def _ping_often(address, with_call):
    """PINGs until the end, or a hundred: how many were answered, and GOAWAY's code and text."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    if with_call:
        connection.request(1, replace={":path": "/sluice.test.Echo/Bidi"})
    answered = 0
    for _ in range(100):
        connection.ping()
        seen = connection.until(
            lambda f: f["kind"] == "GoAwayFrame" or f["kind"] == "PingFrame" and f["flags"] == 1)
        if not seen or seen[-1]["kind"] == "GoAwayFrame":
            return answered, seen and seen[-1]["code"], seen and seen[-1]["text"]
        answered += 1
    connection.close()
    return answered, None, None


@pytest.mark.parametrize("port, with_call, answered", [
    (STRICT, True, 4), (STRICT, False, 4), (SILENT, False, 4), (SILENT, True, 100)])
def test_two_strikes_are_allowed(lab, client, sluice, port, with_call, answered):
    end = ("ENHANCE_YOUR_CALM", "too_many_pings") if answered == 4 else (None, None)
    address = lab.world.lb.address, lab.world.port(port)
    assert client.run(_ping_often, address, with_call) == (answered, *end)


# -- clients that send no more

def _half_closed_call(address, complete):
    """A call with a second's delay on a connection whose sending side then ends; the answer."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    import echo_pb2
    body = echo_pb2.Request(payload=b"x", sleep_ms=1000).SerializeToString()
    connection.request(1)
    connection.data(1, h2raw.message(body), end=complete)
    connection.ping()
    connection.until(lambda f: f["kind"] == "PingFrame")
    connection.auto = False
    socket.socket.shutdown(connection.sock, socket.SHUT_WR)
    answer = connection.answer(1)
    rest = connection.until(lambda f: False)
    return answer["trailers"], connection.eof, [f["kind"] for f in rest]


def test_a_client_that_ends_its_sending_side_gets_its_answer(lab, client, sluice):
    address = lab.world.lb.address, lab.world.port(STRICT)
    trailers, eof, rest = client.run(_half_closed_call, address, True)
    assert trailers and trailers["grpc-status"] == "0"
    assert eof, "and then the connection ends"


def test_a_client_that_ends_before_its_request_is_over_gets_none(lab, client, sluice):
    address = lab.world.lb.address, lab.world.port(STRICT)
    began = time.monotonic()
    trailers, eof, _ = client.run(_half_closed_call, address, False)
    assert (trailers, eof) == (None, True)
    assert time.monotonic() - began < 1
    wait_for(lambda: under_way(sluice, "strict") == 0, 2, "the backend is told")
