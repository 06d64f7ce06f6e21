# SPDX-License-Identifier: MIT
"""A route's limits: calls a second by key and concurrent calls, kept by all workers together."""
import os
import signal
import time

import pytest

from harness.proc import wait_for
from peers import calls

pytestmark = pytest.mark.l7

SLOW = "10/m"  # none comes back within a test
BURST = 20


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, mode):
    """443: routes by x-route; two workers."""
    def route(name, **limits):
        return {"name": name, "match": {"metadata": [{"key": "x-route", "exact": name}]},
                "limits": limits, "group": "echo"}

    config = lab.config(backends)
    config["listeners"][0]["routes"] = [
        route("all", calls=SLOW, burst=BURST),
        route("user", calls=SLOW, burst=3, key="metadata:x-user"),
        route("source", calls=SLOW, burst=4, key="source"),
        route("pace", calls="20/s", burst=1),
        route("few", concurrent=6),
        {"name": "banned", "match": {"metadata": [{"key": "x-route", "exact": "banned"}]},
         "limits": {"calls": SLOW, "burst": 1}, "status": {"code": 7, "message": "no"}},
    ]
    daemon = daemons(config, mode)
    yield daemon
    daemons.stop()


def limited(sluice, name):
    row = next(r for r in sluice.ctl.json("routes")["routes"] if r["name"] == name)
    return row["rate_limited"], row["route_full"]


def _many(target, route, how_many, metadata=(), connections=4):
    """Unary calls over several connections, so over both workers: their Outcomes."""
    targets = [calls.Target(target.address, target.roots, target.name, f"limit{i}")
               for i in range(connections)]
    return [calls.unary(targets[i % connections], metadata=[("x-route", route), *metadata])
            for i in range(how_many)]


def codes(outcomes):
    return [o.code for o in outcomes]


def test_the_workers_share_one_rate(lab, client, sluice):
    outcomes = client.run(_many, lab.target(), "all", 60, connections=20)
    assert all(w["connections"] for w in sluice.workers()), "both workers had calls"
    passed = codes(outcomes).count(0)
    assert BURST <= passed <= BURST + 1 and codes(outcomes).count(8) == 60 - passed
    assert limited(sluice, "all") == (60 - passed, 0)
    assert sum(w["rate_limited"] for w in sluice.workers()) >= 60 - passed
    last = outcomes[-1]
    assert 'route "all"' in last.details
    wait_ms = int(dict(last.trailing)["grpc-retry-pushback-ms"])
    assert 1 <= wait_ms <= 6001


def test_each_key_has_its_own_rate(lab, client, sluice):
    for user in ("alice", "bob"):
        outcomes = client.run(_many, lab.target(), "user", 5, [("x-user", user)])
        assert codes(outcomes) == [0, 0, 0, 8, 8]
    assert codes(client.run(_many, lab.target(), "user", 1, [("x-user", "carol")])) == [0]
    # Those without the key are one.
    assert codes(client.run(_many, lab.target(), "user", 4)) == [0, 0, 0, 8]


def test_the_source_is_a_key(lab, client, sluice):
    assert codes(client.run(_many, lab.target(), "source", 6)) == [0, 0, 0, 0, 8, 8]


def test_a_client_that_waits_as_told_passes(lab, client, sluice):
    outcomes = client.run(_many, lab.target(), "pace", 1)
    for _ in range(5):
        (outcome,) = client.run(_many, lab.target(), "pace", 1)
        if outcome.code:
            wait_ms = int(dict(outcome.trailing)["grpc-retry-pushback-ms"])
            assert outcome.code == 8 and wait_ms <= 51
            time.sleep(wait_ms / 1000)
            (outcome,) = client.run(_many, lab.target(), "pace", 1)
        assert outcome.code == 0
        outcomes.append(outcome)


def test_a_fixed_status_is_limited_too(lab, client, sluice):
    assert codes(client.run(_many, lab.target(), "banned", 3)) == [7, 8, 8]


def _hold(target, how_many, connections=4):
    numbers = []
    for i in range(how_many):
        to = calls.Target(target.address, target.roots, target.name, f"limit{i % connections}")
        number = calls.open_bidi(to, [("x-route", "few")], timeout=60)
        calls.exchange(number)
        numbers.append(number)
    return numbers


def _cancel(numbers):
    for number in numbers:
        calls.cancel(number)


def test_concurrent_calls_are_counted_over_the_workers_and_given_back(lab, client, sluice):
    def active():
        rows = sluice.ctl.json("routes")["routes"]
        return next(r for r in rows if r["name"] == "few")["active_rpcs"]

    before = limited(sluice, "few")
    numbers = client.run(_hold, lab.target(), 6)
    assert active() == 6
    (outcome,) = client.run(_many, lab.target(), "few", 1)
    assert outcome.code == 8 and 'route "few"' in outcome.details and "6" in outcome.details
    assert limited(sluice, "few") == (before[0], before[1] + 1)
    assert active() == 6, "a refused call is not counted"
    client.run(_cancel, numbers[:3])
    wait_for(lambda: active() == 3, 5, "cancelled calls are given back")
    assert codes(client.run(_many, lab.target(), "few", 3)) == [0, 0, 0]
    for number in numbers[3:]:
        assert client.run(calls.end, number).code == 0
    wait_for(lambda: active() == 0, 5, "ended calls are given back")


def test_the_count_of_a_killed_worker_is_given_back(lab, client, sluice):
    def active():
        rows = sluice.ctl.json("routes")["routes"]
        return next(r for r in rows if r["name"] == "few")["active_rpcs"]

    numbers = client.run(_hold, lab.target(), 6)
    for worker in sluice.workers():
        os.kill(worker["pid"], signal.SIGKILL)
    wait_for(lambda: active() == 0, 10, "the dead workers' calls are given back")
    sluice.wait_healthy()
    client.run(_forget, numbers)
    assert codes(client.run(_many, lab.target(tag="anew"), "few", 4)) == [0, 0, 0, 0]


def _forget(numbers):
    for number in numbers:
        calls.end_when_over(number)
