# SPDX-License-Identifier: MIT
"""The life of connections to backends: a minimum that is kept open, an age at which they are replaced,
GOAWAY, a connect that fails once, drained backends. No call may notice."""
import time

import pytest

from harness.proc import wait_for
from peers import calls, load, rawserver

pytestmark = pytest.mark.l7

ECHO, MINIMUM, SCRIPTED, FULL, AGED, SMALL = 443, 444, 445, 446, 447, 448
AGE = 1.0


def scripted_peer(lab, name, port, *script, **settings):
    host = lab.world.backends[2]
    agent = lab.agent(host, name)
    agent.address = f"{host.address}:{lab.world.port(port)}"
    agent.run(rawserver.start, agent.address, *script, **settings)
    return agent


@pytest.fixture(scope="module")
def raw(lab):
    agent = scripted_peer(lab, "raw-connections", 50072, "ok")
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def narrow(lab):
    """Takes one call a connection."""
    agent = scripted_peer(lab, "raw-narrow", 50073, "hang", streams=1)
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, raw, narrow, mode):
    config = lab.config(backends)
    entry = [{"address": raw.address}]
    lab.add_listener(config, MINIMUM, "minimum", entry,
                     connections={"min": 2, "max": 4, "idle": "1s"})
    lab.add_listener(config, SCRIPTED, "scripted", entry)
    lab.add_listener(config, FULL, "full", [{"address": narrow.address}])
    lab.add_listener(config, AGED, "aged", backends, connections={"max_age": "1s", "max": 2})
    lab.add_listener(config, SMALL, "small", backends, connections={"header_list": "1KiB"})
    config["workers"] = 1
    yield daemons(config, mode)
    daemons.stop()


def connections(sluice, group):
    return sum(r["connections"] for r in sluice.backends(group))


def test_minimum_is_open_before_the_first_call_and_stays(sluice, raw):
    wait_for(lambda: connections(sluice, "minimum") == 2 and
             raw.run(rawserver.open_connections) == 2, 5, "the minimum is open")
    first = raw.run(rawserver.open_connections)
    until = time.monotonic() + 1.6  # past idle
    wait_for(lambda: connections(sluice, "minimum") != 2 or time.monotonic() > until, 5, "time")
    assert connections(sluice, "minimum") == 2
    assert raw.run(rawserver.open_connections) == first


def test_minimum_is_opened_again(sluice, raw):
    wait_for(lambda: connections(sluice, "minimum") == 2, 5, "the minimum is open")
    raw.run(rawserver.stop_listening)
    raw.run(rawserver.drop_connections)
    wait_for(lambda: connections(sluice, "minimum") == 0, 5, "connections are lost")
    raw.run(rawserver.listen_again)
    wait_for(lambda: connections(sluice, "minimum") == 2, 15, "the minimum is open again")


def test_no_call_notices_that_connections_grow_old(lab, client, sluice):
    target = lab.target(port=AGED)
    number = client.run(calls.open_bidi, target, timeout=60)
    first = client.run(calls.exchange, number, payload=b"x")
    client.run(load.start, "aged", target, threads=4, connections=2)
    peers, peak = set(), 0

    def many_peers():
        nonlocal peak
        reply = client.run(calls.unary, target).reply
        peers.add((reply["backend"], reply["peer"]))
        peak = max(peak, connections(sluice, "aged"))
        return all(sum(b == name for b, _ in peers) >= 4 for name in ("be1", "be2"))

    wait_for(many_peers, 20, lambda: f"connections are replaced: {peers}")
    report = client.run(load.finish, "aged")
    assert report.failures == [] and report.done > 100
    # The old stream is where it was, on its old connection.
    last = client.run(calls.exchange, number, payload=b"y")
    assert (last["backend"], last["peer"]) == (first["backend"], first["peer"])
    assert client.run(calls.end, number).code == 0
    assert peak <= 2 * (2 + 1) + 1


def test_new_connection_is_there_before_the_old_one_is_done(lab, client, sluice, raw):
    """GOAWAY comes with a call under way: that one finishes, and the next waits for no connect."""
    target = lab.target(port=SCRIPTED)
    raw.run(rawserver.script, "ok")
    assert client.run(calls.unary, target).code == 0
    raw.run(rawserver.script, "goaway_then_finish")
    outcome = client.run(calls.unary, target)
    assert outcome.code == 0, outcome
    answered = outcome.began + outcome.seconds
    settings = [f["time"] for _, f in raw.run(rawserver.events)
                if f["kind"] == "SettingsFrame" and not f["flags"] & 1]
    assert settings and settings[0] < answered - 0.1, "a new connection at GOAWAY, not at the end"
    raw.run(rawserver.script, "ok")
    assert client.run(calls.unary, target).code == 0


def test_streams_above_goaways_id_are_replayed(lab, client, sluice, raw):
    target = lab.target(port=SCRIPTED)
    raw.run(rawserver.script, "goaway", 3)
    outcomes = client.run(calls.many, target, 10, timeout=10)
    assert [o.code for o in outcomes] == [0] * 10, outcomes
    raw.run(rawserver.script, "ok")
    assert client.run(calls.unary, target).code == 0


def test_who_waits_beside_a_full_connection_is_served_after_a_failed_connect(lab, client, sluice,
                                                                            narrow):
    """No other call comes along: the connect is tried again by itself."""
    target = lab.target(port=FULL)
    narrow.run(rawserver.script, "hang")
    hanging = client.run(calls.open_unary, target, timeout=30)
    wait_for(lambda: len(narrow.run(rawserver.requests)) == 1, 5, "the first call runs")
    narrow.run(rawserver.stop_listening)
    failures = sum(w["upstream_connect_failures"] for w in sluice.workers())
    waiting = client.run(calls.open_unary, target, timeout=20)
    wait_for(lambda: sum(w["upstream_connect_failures"] for w in sluice.workers()) > failures, 5,
             "a connect fails")
    narrow.run(rawserver.script, "ok")
    narrow.run(rawserver.listen_again)
    outcome = client.run(calls.result, waiting)
    assert outcome.code == 0 and outcome.seconds < 15, outcome
    client.run(calls.cancel, hanging)


def test_response_headers_are_limited_by_the_groups_own_limit(lab, client, sluice):
    metadata = (("echo-large", "x" * 2000),)
    outcome = client.run(calls.unary, lab.target(port=SMALL), metadata=metadata)
    assert outcome.code == 8 and "over the limit (1024 bytes" in outcome.details, outcome
    assert client.run(calls.unary, lab.target(), metadata=metadata).code == 0


# ---- drained backends; last, for they change the daemon's groups ----


def exchange_on(client, numbers, row):
    """The numbered stream that runs on the backend of this row."""
    return next(n for n in numbers
                if client.run(calls.exchange, n, payload=b"x")["backend"] == row)


def streams_on_both(client, target):
    """An open stream on each backend, by name."""
    streams = {}
    for _ in range(20):
        number = client.run(calls.open_bidi, target, timeout=60)
        name = client.run(calls.exchange, number, payload=b"x")["backend"]
        if name in streams:
            client.run(calls.cancel, number)
        else:
            streams[name] = number
        if len(streams) == 2:
            return streams
    raise AssertionError(f"calls go to {streams} only")


def only_backend(client, target):
    return {client.run(calls.unary, target).reply["backend"] for _ in range(20)}


def test_backend_drained_by_the_file_keeps_its_calls_and_gets_no_new_ones(lab, client, sluice,
                                                                          backends):
    target = lab.target()
    streams = streams_on_both(client, target)
    entry = sluice.group("echo")["backends"][0]
    entry["drain"] = True
    sluice.reload()
    assert only_backend(client, target) == {"be2"}
    assert client.run(calls.exchange, streams["be1"], payload=b"y")["backend"] == "be1"
    del entry["drain"]
    sluice.reload()
    wait_for(lambda: only_backend(client, target) == {"be1", "be2"}, 5, "it has calls again")
    assert client.run(calls.exchange, streams["be1"], payload=b"z")["backend"] == "be1"
    assert [client.run(calls.end, n).code for n in streams.values()] == [0, 0]


def test_drain_for_a_time_cuts_what_still_runs_then(lab, client, sluice, backends):
    target = lab.target()
    streams = streams_on_both(client, target)
    done = sluice.ctl.raw("drain", "echo", backends[0].address, "--for", "1s")
    assert done.returncode == 0, done.stderr
    began = time.monotonic()
    sluice.reload()  # the time runs on
    assert only_backend(client, target) == {"be2"}
    outcome = client.run(calls.end_when_over, streams["be1"])
    assert outcome.code == 14 and "is drained" in outcome.details, outcome
    assert 0.5 < time.monotonic() - began < 5
    wait_for(lambda: connections_of(sluice, backends[0]) == 0, 5, "its connections are closed")
    assert client.run(calls.end, streams["be2"]).code == 0
    assert sluice.ctl.raw("undrain", "echo", backends[0].address).returncode == 0
    wait_for(lambda: only_backend(client, target) == {"be1", "be2"}, 5, "it has calls again")


def connections_of(sluice, server):
    return next(r["connections"] for r in sluice.backends("echo") if r["address"] == server.address)


def test_backend_that_left_the_file_keeps_its_calls(lab, client, sluice, backends):
    target = lab.target()
    streams = streams_on_both(client, target)
    removed = sluice.group("echo")["backends"].pop(0)
    sluice.reload()
    assert only_backend(client, target) == {"be2"}
    assert client.run(calls.exchange, streams["be1"], payload=b"y")["backend"] == "be1"
    assert [client.run(calls.end, n).code for n in streams.values()] == [0, 0]
    sluice.group("echo")["backends"].insert(0, removed)
    sluice.reload()
