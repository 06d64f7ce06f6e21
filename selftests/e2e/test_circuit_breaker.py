# SPDX-License-Identifier: MIT
"""Circuit breakers: how many calls and connections a group and a backend may have, how many calls
may wait and how long; counted over all workers, given back whatever ends a call."""
import os
import signal

import pytest

from harness.proc import wait_for
from peers import calls, rawserver

pytestmark = pytest.mark.l7

GROUP, BACKEND, EXHAUSTED, PENDING, EXPIRY, CONNECTIONS, GROUP_CONNECTIONS = range(443, 450)
RAW_STREAMS = 1


@pytest.fixture(scope="module")
def raw(lab):
    """A scripted backend that takes one call a connection."""
    host = lab.world.backends[2]
    agent = lab.agent(host, "raw-breaker")
    agent.address = f"{host.address}:{lab.world.port(50071)}"
    agent.run(rawserver.start, agent.address, "hang", streams=RAW_STREAMS)
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, raw, mode):
    config = {"workers": 2, "listeners": [], "groups": []}

    def group(port, name, entries, breaker, **settings):
        lab.add_listener(config, port, name, entries, circuit_breaker=breaker, **settings)

    scripted = [{"address": raw.address}]
    one = {"connections": {"max": 1}}
    group(GROUP, "group", backends, {"calls": 3})
    group(BACKEND, "backend", backends, {"backend_calls": 2})
    group(EXHAUSTED, "exhausted", backends, {"calls": 1, "status": "RESOURCE_EXHAUSTED"})
    group(PENDING, "pending", scripted, {"pending": 2}, **one)
    group(EXPIRY, "expiry", scripted, {"pending": 100, "pending_timeout": "300ms"}, **one)
    group(CONNECTIONS, "connections", scripted, {"backend_connections": 2,
                                                 "pending": 100, "pending_timeout": "500ms"})
    group(GROUP_CONNECTIONS, "all-connections", scripted, {"connections": 1})
    yield daemons(config, mode)
    daemons.stop()


@pytest.fixture(autouse=True)
def quiet(sluice, raw):
    """Nothing is under way at a test's begin, and nothing counted at its end."""
    raw.run(rawserver.script, "hang")
    wait_for(lambda: calls_under_way(sluice) == 0, 10, "the calls of the test before are over")
    yield
    raw.run(rawserver.script, "ok")
    wait_for(lambda: calls_under_way(sluice) == 0, 10, "no call is left counted")


def calls_under_way(sluice):
    return sum(r["active_rpcs"] for r in sluice.backends())


def total(sluice, counter):
    return sum(w[counter] for w in sluice.workers())


def overflows(sluice, name):
    return next(g for g in sluice.ctl.json("groups")["groups"] if g["name"] == name)["overflows"]


def open_calls(client, target, how_many):
    """Bidirectional calls that are under way at their backends; from as many connections, so that
    workers share them."""
    numbers = []
    for i in range(how_many):
        number = client.run(calls.open_bidi, spread(target, i))
        client.run(calls.exchange, number, payload=b"x")
        numbers.append(number)
    return numbers


def spread(target, number):
    return calls.Target(target.address, target.roots, target.name, f"breaker-{number}")


def close(client, numbers):
    for number in numbers:
        client.run(calls.cancel, number)


@pytest.mark.parametrize("port,name,limit,code,text", [
    (GROUP, "group", 3, 14, 'sluice: group "group": has its 3 concurrent calls'),
    (BACKEND, "backend", 4, 14, 'sluice: group "backend": every backend has its 2 concurrent'),
    (EXHAUSTED, "exhausted", 1, 8, 'sluice: group "exhausted": has its 1 concurrent calls'),
])
def test_concurrent_calls(lab, client, sluice, port, name, limit, code, text):
    target, before = lab.target(port=port), total(sluice, "breaker_calls")
    over = overflows(sluice, name)
    numbers = open_calls(client, target, limit)
    for i in range(4):
        outcome = client.run(calls.unary, spread(target, i))
        assert outcome.code == code and outcome.details.startswith(text), outcome
    assert total(sluice, "breaker_calls") == before + 4
    assert overflows(sluice, name) == over + 4
    close(client, numbers[:1])
    wait_for(lambda: client.run(calls.unary, target).code == 0, 5, "there is room again")
    close(client, numbers[1:])


def test_every_end_of_a_call_gives_its_place_back(lab, client, sluice):
    """In order, with a status, by deadline, cancelled, and after being refused itself."""
    target = lab.target(port=EXHAUSTED)
    for _ in range(5):
        assert client.run(calls.unary, target).code == 0
        assert client.run(calls.unary, target, status=5, message="no").code == 5
        assert client.run(calls.unary, target, sleep_ms=3000, timeout=0.1).code == 4
        number = client.run(calls.open_bidi, target)
        client.run(calls.exchange, number, payload=b"x")
        assert client.run(calls.unary, spread(target, 1)).code == 8
        client.run(calls.cancel, number)
        wait_for(lambda: client.run(calls.unary, target).code == 0, 5, "there is room again")


def test_killed_worker_gives_back_what_it_had_counted(lab, client, sluice):
    target = lab.target(port=GROUP)
    numbers = open_calls(client, target, 3)
    assert client.run(calls.unary, spread(target, 9)).code == 14
    for worker in sluice.workers():
        os.kill(worker["pid"], signal.SIGKILL)
    for number in numbers:
        assert client.run(calls.end, number).code == 14
    wait_for(lambda: len(sluice.workers()) == 2, 15, "workers are there again")
    wait_for(lambda: client.run(calls.unary, spread(target, 9), wait_for_ready=True).code == 0, 10,
             "calls are let in")
    numbers = open_calls(client, target, 3)
    assert client.run(calls.unary, spread(target, 9)).code == 14
    close(client, numbers)


def test_waiting_calls_are_limited_and_served_in_order(lab, client, sluice, raw):
    target, before = lab.target(port=PENDING), total(sluice, "breaker_pending")
    hanging = client.run(calls.open_unary, target, timeout=20)
    wait_for(lambda: len(raw.run(rawserver.requests)) == 1, 5, "the first call runs")
    waiting = []
    for number in range(2):
        waiting.append(client.run(calls.open_unary, target, timeout=20,
                                  metadata=(("number", str(number)),)))
        wait_for(lambda: calls_under_way(sluice) == 2 + number, 5, "it waits")
    refused = client.run(calls.unary, target)
    assert refused.code == 14
    assert "2 calls wait for a connection already (circuit_breaker.pending)" in refused.details
    assert total(sluice, "breaker_pending") == before + 1
    raw.run(rawserver.script, "ok")
    client.run(calls.cancel, hanging)
    assert [client.run(calls.result, n).code for n in waiting] == [0, 0]
    order = [dict(r)["number"] for r in raw.run(rawserver.requests) if "number" in dict(r)]
    assert order == ["0", "1"]


def test_who_waits_too_long_is_told_so(lab, client, sluice, raw):
    target, before = lab.target(port=EXPIRY), total(sluice, "pending_expired")
    hanging = client.run(calls.open_unary, target, timeout=20)
    wait_for(lambda: len(raw.run(rawserver.requests)) == 1, 5, "the first call runs")
    outcome = client.run(calls.unary, target, timeout=10)
    assert outcome.code == 14 and "waited 300 ms for a connection to" in outcome.details, outcome
    assert 0.25 < outcome.seconds < 3
    assert total(sluice, "pending_expired") == before + 1
    client.run(calls.cancel, hanging)


def test_connections_of_a_backend_are_limited_over_all_workers(lab, client, sluice, raw):
    """Each call needs a connection of its own here: two run, the rest wait, and time out."""
    target = lab.target(port=CONNECTIONS)
    numbers = [client.run(calls.open_unary, spread(target, i), timeout=10) for i in range(6)]
    codes = []
    wait_for(lambda: len(raw.run(rawserver.requests)) == 2, 5, "two calls run")
    assert sluice.backends("connections")[0]["connections"] == 2
    wait_for(lambda: calls_under_way(sluice) == 2, 5, "the others have given up")
    raw.run(rawserver.drop_connections)
    codes = [client.run(calls.result, n) for n in numbers]
    assert [o.code for o in codes] == [14] * 6
    assert sum("waited 500 ms" in o.details for o in codes) == 4, codes


def test_waiting_call_goes_on_when_another_worker_makes_room(lab, client, sluice, raw):
    """One connection for the group: who has none of it waits until the other's has gone."""
    target = lab.target(port=GROUP_CONNECTIONS)
    first = client.run(calls.open_unary, spread(target, 0), timeout=20)
    wait_for(lambda: len(raw.run(rawserver.requests)) == 1, 5, "the first call runs")
    numbers = [client.run(calls.open_unary, spread(target, i), timeout=20) for i in range(1, 5)]
    wait_for(lambda: calls_under_way(sluice) == 5, 5, "the others wait")
    assert sluice.backends("all-connections")[0]["connections"] == 1
    raw.run(rawserver.script, "ok")
    codes = []
    raw.run(rawserver.drop_connections)
    assert client.run(calls.result, first).code == 14
    for _ in range(100):  # a connection serves until its worker has none that waits
        raw.run(rawserver.drop_connections)
        if calls_under_way(sluice) == 0:
            break
    codes = [client.run(calls.result, n).code for n in numbers]
    assert set(codes) <= {0, 14} and 0 in codes, codes
