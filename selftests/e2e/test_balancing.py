# SPDX-License-Identifier: MIT
"""Algorithms and what bends them: random, consistent hash, two tiers, panic, slow start, drain."""
import collections
import time

import pytest

from harness.lab import FAST_CHECK, Backend
from harness.proc import wait_for
from peers import calls

pytestmark = pytest.mark.l7

KEYS = 200
# A backend tells each group's check apart by its service, so one can be down for one group only.
GROUPS = ("random", "hash", "source", "tiers", "panic", "slow", "drained")


def serve(backend, down=()):
    backend.set_health(services={"": 1, **{g: 2 if g in down else 1 for g in GROUPS}})


@pytest.fixture(scope="module")
def four(lab, backends):
    more = [Backend(lab, lab.world.backends[2]),
            Backend(lab, lab.world.backends[2], 50052, name="be4")]
    for backend in (*backends, *more):
        serve(backend)
    yield [*backends, *more]
    for backend in more:
        backend.kill()


@pytest.fixture(scope="module")
def sluice(lab, daemons, four):
    be1, be2, be3, be4 = four
    config = {"workers": 2, "listeners": [], "groups": []}

    def add(port, name, entries, **group):
        lab.add_listener(config, port, name, entries, protocol="grpc",
                         health_check={**FAST_CHECK, "service": name}, **group)

    add(443, "random", [be1.entry(100), be2.entry(50)], balance="random")
    add(444, "hash", [be1, be2, be3], balance="consistent_hash", hash="metadata:x-user")
    add(445, "source", [be1, be2, be3], balance="consistent_hash")
    add(446, "tiers", [be1.entry(), be2.entry(), be3.entry(backup=True)], backup_below="60%")
    add(447, "panic", [be1, be2, be3], panic_below="50%", balance="least_request")
    add(448, "slow", [be1, be2], slow_start="4s")
    add(449, "drained", [be1.entry(), be2.entry(drain=True), be3.entry()])
    yield daemons(config, "off")
    daemons.stop()


def _names(target, how_many):
    return [calls.unary(target).reply["backend"] for _ in range(how_many)]


def _by_key(target, keys):
    return {key: calls.unary(target, [("x-user", f"user-{key}")]).reply["backend"]
            for key in range(keys)}


def count(client, target, how_many):
    return collections.Counter(client.run(_names, target, how_many))


def group(sluice, name):
    return next(g for g in sluice.ctl.json("groups")["groups"] if g["name"] == name)


def wait_group(sluice, name, **want):
    wait_for(lambda: all(group(sluice, name)[k] == v for k, v in want.items()), 5,
             lambda: f"{name} has {want}: {group(sluice, name)}", interval=0.05)


def test_random_follows_the_weights(lab, client, sluice):
    got = count(client, lab.target(), 900)
    assert set(got) == {"be1", "be2"}
    assert 520 <= got["be1"] <= 680  # 600, five deviations


def test_a_key_keeps_its_backend_on_every_worker_over_reload_and_failure(lab, client, sluice,
                                                                         four):
    before = client.run(_by_key, lab.target(port=444), KEYS)
    share = collections.Counter(before.values())
    assert len(share) == 3 and min(share.values()) > KEYS / 3 / 2
    for tag in "abcd":  # other connections, so the other worker too
        assert client.run(_by_key, lab.target(port=444, tag=tag), 40) == \
            {k: before[k] for k in range(40)}

    serve(four[1], down=["hash"])
    wait_group(sluice, "hash", live=2)
    without = client.run(_by_key, lab.target(port=444), KEYS)
    assert all(without[k] == before[k] for k in before if before[k] != "be2")
    assert {without[k] for k in before if before[k] == "be2"} == {"be1", "be3"}
    serve(four[1])
    wait_group(sluice, "hash", live=3)
    assert client.run(_by_key, lab.target(port=444), KEYS) == before

    sluice.group("hash")["backends"].reverse()  # the file's order says nothing
    sluice.reload()
    assert client.run(_by_key, lab.target(port=444), KEYS) == before
    sluice.group("hash")["backends"].append(four[3].entry())
    sluice.reload()
    after = client.run(_by_key, lab.target(port=444), KEYS)
    moved = {k for k in before if after[k] != before[k]}
    elsewhere = [k for k in moved if after[k] != "be4"]
    assert KEYS / 4 * 0.5 < len(moved) < KEYS / 4 * 1.6
    assert len(elsewhere) <= KEYS // 50
    sluice.group("hash")["backends"].pop()
    sluice.reload()
    assert client.run(_by_key, lab.target(port=444), KEYS) == before


def test_calls_without_the_key_are_spread(lab, client, sluice):
    got = count(client, lab.target(port=444), 90)
    assert len(got) == 3 and min(got.values()) > 10


def test_without_a_hash_the_source_is_the_key(lab, client, sluice):
    assert len(count(client, lab.target(port=445), 20)) == 1
    assert count(client, lab.target(port=445), 1) == \
        count(client, lab.target(port=445, tag="other"), 1)


def test_backups_serve_while_the_first_tier_is_below_its_share(lab, client, sluice, four):
    target = lab.target(port=446)
    assert set(count(client, target, 40)) == {"be1", "be2"}
    assert group(sluice, "tiers")["serves"] == "first"
    serve(four[0], down=["tiers"])
    wait_group(sluice, "tiers", live=2)
    got = count(client, target, 40)
    assert got == {"be2": 20, "be3": 20}
    assert group(sluice, "tiers")["serves"] == "backups too"
    serve(four[1], down=["tiers"])
    wait_group(sluice, "tiers", live=1)
    assert set(count(client, target, 20)) == {"be3"}
    serve(four[0])
    serve(four[1])
    wait_group(sluice, "tiers", live=3)
    assert set(count(client, target, 40)) == {"be1", "be2"}


def test_in_a_panic_all_are_balanced_over_and_status_says_so(lab, client, sluice, four):
    target = lab.target(port=447)
    for backend in four[:2]:
        serve(backend, down=["panic"])
    wait_group(sluice, "panic", live=1)
    got = count(client, target, 90)
    assert len(got) == 3 and min(got.values()) > 10
    assert group(sluice, "panic")["panic"] is True
    assert "panic" in sluice.ctl.raw("status").stdout
    assert "panic" in sluice.ctl.raw("groups").stdout
    serve(four[0])
    wait_group(sluice, "panic", live=2)
    assert set(count(client, target, 60)) == {"be1", "be3"}
    assert group(sluice, "panic")["panic"] is False
    serve(four[1])


def test_a_backend_that_came_up_gets_its_share_little_by_little(lab, client, sluice, four):
    target = lab.target(port=448)
    serve(four[1], down=["slow"])
    wait_group(sluice, "slow", live=1)
    serve(four[1])
    wait_group(sluice, "slow", live=2)
    began = time.monotonic()
    early = count(client, target, 100)["be2"]
    if time.monotonic() - began < 1:  # else the machine is too busy to tell
        assert 0 < early < 35
    wait_for(lambda: time.monotonic() - began > 4, 5, "the window is over", interval=0.2)
    assert count(client, target, 100) == {"be1": 50, "be2": 50}


def test_a_backend_drained_in_the_file_gets_no_calls(lab, client, sluice):
    assert count(client, lab.target(port=449), 20) == {"be1": 10, "be3": 10}
    row = next(r for r in sluice.backends("drained") if r["drained"])
    assert row["calls"] == 0
