# SPDX-License-Identifier: MIT
"""The balancer's connections to backends: as many as needed and no more, within the peer's limits,
closed when idle, given up when dead."""
import os
import signal

import pytest

from harness.lab import Backend
from harness.proc import wait_for
from peers import backend as backend_peer, calls, load, rawserver

pytestmark = pytest.mark.l7

STREAMS = 3


@pytest.fixture(scope="module")
def raw(lab):
    """A scripted backend that allows few streams a connection."""
    host = lab.world.backends[2]
    agent = lab.agent(host, "raw-upstream")
    agent.address = f"{host.address}:{lab.world.port(50054)}"
    agent.run(rawserver.start, agent.address, "ok", streams=STREAMS)
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, raw, mode):
    """443: two gRPC backends; 444: the scripted one, at most 2 connections; 445: the same, quick to
    give up."""
    config = lab.config(backends)
    entry = [{"address": raw.address}]
    lab.add_listener(config, 444, "few", entry, connections={"max": 2, "idle": "1s"})
    lab.add_listener(config, 445, "quick", entry, connections={
        "keepalive_interval": "300ms", "keepalive_timeout": "300ms", "connect_timeout": "500ms"})
    config["workers"] = 1
    yield daemons(config, mode)
    daemons.stop()


@pytest.fixture
def scripted(sluice, raw):
    raw.run(rawserver.script, "ok")
    return raw


def peak_streams(events):
    """The most streams open at once on any connection, and the most connections in use."""
    open_streams, peak, connections = {}, 0, set()
    for connection, frame in events:
        streams = open_streams.setdefault(connection, set())
        if frame["kind"] == "HeadersFrame":
            streams.add(frame["stream"])
            connections.add(connection)
        if frame.get("end") or frame["kind"] == "RstStreamFrame":
            streams.discard(frame["stream"])  # the script answers at once
        peak = max(peak, len(streams))
    return peak, len(connections)


def _codes(target, how_many):
    return sorted({o.code for o in calls.many(target, how_many, timeout=10)})


def test_peers_limit_of_streams_is_kept_and_calls_wait_their_turn(lab, client, scripted):
    assert client.run(_codes, lab.target(port=444), 200) == [0]
    peak, connections = peak_streams(scripted.run(rawserver.events))
    assert peak <= STREAMS and connections <= 2
    assert len(scripted.run(rawserver.requests)) == 200


def test_streams_that_hang_hold_back_only_what_has_no_room(lab, client, scripted):
    scripted.run(rawserver.script, "hang")
    target = lab.target(port=444)
    numbers = [client.run(calls.open_unary, target, timeout=3) for _ in range(2 * STREAMS + 4)]
    wait_for(lambda: len(scripted.run(rawserver.requests)) == 2 * STREAMS, 3,
             lambda: f"{len(scripted.run(rawserver.requests))} requests arrive")
    outcomes = [client.run(calls.result, n) for n in numbers]
    assert {o.code for o in outcomes} == {4}
    assert peak_streams(scripted.run(rawserver.events))[0] <= STREAMS
    scripted.run(rawserver.script, "ok")
    assert client.run(_codes, target, 20) == [0]


def test_idle_connections_are_closed(lab, client, scripted, sluice):
    assert client.run(_codes, lab.target(port=444), 10) == [0]
    assert scripted.run(rawserver.open_connections) > 0
    wait_for(lambda: sluice.backends("few")[0]["connections"] == 0, 5,
             "idle connections are closed")
    assert client.run(_codes, lab.target(port=444), 10) == [0]


def test_silent_backend_is_found_dead_by_keepalive(lab, client, scripted):
    target = lab.target(port=445)
    assert client.run(_codes, target, 3) == [0]
    os.kill(scripted.pid, signal.SIGSTOP)
    try:
        outcome = client.run(calls.unary, target, timeout=10)
    finally:
        os.kill(scripted.pid, signal.SIGCONT)
    assert outcome.code == 14 and outcome.seconds < 4, outcome
    wait_for(lambda: client.run(_codes, target, 1) == [0], 10, "calls work again")


def test_orderly_stop_of_a_backend_under_load(lab, client, sluice, backends):
    client.run(load.start, "orderly", lab.target())
    wait_for(lambda: client.run(load.done, "orderly") > 100, 10, "load runs")
    for server in backends:
        server.agent.run(backend_peer.stop, 5)
        server.kill()
        sluice.wait_health(server.address, "down")
        done = client.run(load.done, "orderly")
        wait_for(lambda: client.run(load.done, "orderly") > done + 50, 10, "load goes on")
        server.start()
        sluice.wait_health(server.address, "up")
    report = client.run(load.finish, "orderly")
    # grpcio's own server answers a call that comes at the moment of its stop with CANCELLED, also
    # without a balancer; nothing else may fail.
    assert [f for f in report.failures if f[2:] != (1, "CANCELLED")] == []
    assert len(report.failures) < 12
    assert set(report.by_backend) == {"be1", "be2"}


def test_grpc_backend_that_allows_two_streams(lab, client, daemon, mode):
    """A real server with MAX_CONCURRENT_STREAMS 2."""
    backend = Backend(lab, lab.world.backends[2], port=50055, max_streams=2)
    config = lab.config([], listeners=[], groups=[])
    lab.add_listener(config, 446, "two", [backend])
    sluice = daemon(config, "off", healthy=False)
    outcomes = client.run(calls.many, lab.target(port=446), 60, sleep_ms=20)
    assert [o.code for o in outcomes] == [0] * 60
    assert 1 <= max(r["connections"] for r in sluice.backends()) <= 16
    backend.kill()
