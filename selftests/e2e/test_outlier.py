# SPDX-License-Identifier: MIT
"""Outlier detection: backends that fail by command are ejected within the count, never more of a
group than its share, tried by one call when their time is past, and out for longer next time."""
import re
import time

import pytest

from harness import maps
from harness.lab import FAST_CHECK, Backend
from harness.proc import wait_for
from peers import calls, load

UNAVAILABLE, NOT_FOUND = 14, 5
EJECTED = 1  # enum sluice_eject_state
IN_A_ROW, SUCCESS_RATE, LATENCY = 1, 2, 3  # enum sluice_eject_reason


@pytest.fixture(scope="module")
def five(lab, backends):
    hosts = lab.world.backends
    more = [Backend(lab, hosts[2]), Backend(lab, hosts[1], 50052, name="be4"),
            Backend(lab, hosts[2], 50052, name="be5")]
    yield [*backends, *more]
    for backend in more:
        backend.kill()


@pytest.fixture(autouse=True)
def all_behave(five):
    yield
    for backend in five:
        backend.set_behaviour()


def make_config(lab, five):
    config = {"workers": 2, "listeners": [], "groups": []}

    def add(port, name, entries, check=True, **outlier):
        ejection = {"base": "1s", "max": "1m", "share": "50%", **outlier.pop("ejection", {})}
        checks = {"health_check": dict(FAST_CHECK)} if check else {}
        lab.add_listener(config, port, name, entries, protocol="grpc", **checks,
                         outlier_detection={**outlier, "ejection": ejection})

    add(443, "row", five[:3], consecutive_failures=5)
    add(444, "share", five[:3], consecutive_failures=3, ejection={"share": "10%", "base": "30s"})
    looks = {"consecutive_failures": 0, "interval": "2s", "min_calls": 10, "min_backends": 5}
    add(445, "rate", five, success_rate="1.9", **looks)
    add(446, "slow", five, latency=3, success_rate=0, **looks)
    # Out while the test looks, however slow the machine.
    add(447, "long", five[:3], consecutive_failures=5, ejection={"base": "1m"})
    add(448, "load", five[:3], consecutive_failures=5, ejection={"base": "400ms"})
    add(449, "unchecked", five[2:], check=False, consecutive_failures=3)
    return config


@pytest.fixture(scope="module")
def sluice(lab, daemons, five):
    yield daemons(make_config(lab, five), "off")
    daemons.stop()


def _codes(target, how_many):
    return [calls.unary(target).code for _ in range(how_many)]


def _backends(target, how_many):
    return [calls.unary(target).reply["backend"] for _ in range(how_many)]


def row_of(sluice, group, backend):
    return next(r for r in sluice.backends(group) if r["address"] == backend.address)


def counts(sluice, group, backend):
    """How often it was ejected: by the backend's row, the group's row, both workers together."""
    (group_row,) = [g for g in sluice.ctl.json("groups")["groups"] if g["name"] == group]
    return row_of(sluice, group, backend)["ejections"], group_row["ejections"]


@pytest.mark.l7
def test_failing_backend_is_ejected_within_the_count_on_all_workers(lab, client, sluice, five):
    target = lab.target(port=447)
    client.run(_codes, target, 6)
    five[1].set_behaviour(status=UNAVAILABLE)
    codes = client.run(_codes, target, 60)
    assert codes.count(UNAVAILABLE) == 5 and codes.count(0) == 55
    row = row_of(sluice, "long", five[1])
    assert row["ejected"] == "ejected" and 50 < row["eject_seconds_left"] <= 60
    assert "5 failures in a row" in row["note"]
    assert "5 failures in a row" in sluice.ctl.raw("backends").stdout
    assert counts(sluice, "long", five[1]) == (1, 1)
    for tag in "abcdef":  # connections of both workers
        assert set(client.run(_codes, lab.target(port=447, tag=tag), 6)) == {0}
    assert sum(w["ejections"] for w in sluice.workers()) >= 1
    assert 'backend is ejected group=long' in sluice.log()


@pytest.mark.l7
def test_answers_that_are_no_failures_eject_nobody(lab, client, sluice, five):
    five[2].set_behaviour(status=NOT_FOUND)
    codes = client.run(_codes, lab.target(), 45)
    assert codes.count(NOT_FOUND) == 15
    assert row_of(sluice, "row", five[2])["ejected"] == ""


@pytest.mark.l7
def test_one_trial_then_longer_then_back(lab, client, sluice, five):
    target, bad = lab.target(), five[1]
    bad.set_behaviour(status=UNAVAILABLE)
    codes = client.run(_codes, target, 40)
    if sluice.log().count("backend is ejected group=row") == 1:  # within its second
        assert codes.count(UNAVAILABLE) == 5
    first, before = counts(sluice, "row", bad)[0], bad.count()["failed"]

    def failed_a_trial():
        client.run(_codes, target, 3)
        return counts(sluice, "row", bad)[0] > first

    wait_for(failed_a_trial, 10, "a trial", interval=0.05)
    assert bad.count()["failed"] - before <= counts(sluice, "row", bad)[0] - first
    lasted = re.findall(r"backend is ejected group=row .*for_ms=(\d+)", sluice.log())
    assert lasted[:2] == ["1000", "2000"]
    bad.set_behaviour()

    def is_back():
        assert set(client.run(_codes, target, 3)) == {0}
        return row_of(sluice, "row", bad)["ejected"] == ""

    wait_for(is_back, 10, lambda: f"it is back: {row_of(sluice, 'row', bad)}", interval=0.05)
    assert "be2" in client.run(_backends, target, 6)
    assert "backend is back after its trial call" in sluice.log()


@pytest.mark.l7
def test_under_load_of_both_workers_each_trial_is_one_call(lab, client, sluice, five):
    bad, threads = five[1], 8
    client.run(load.start, "trials", lab.target(port=448), connections=8, threads=threads)
    wait_for(lambda: client.run(load.done, "trials") > 200, 20, "calls flow")
    before = bad.count().get("failed", 0)
    bad.set_behaviour(status=UNAVAILABLE)
    wait_for(lambda: counts(sluice, "load", bad)[0] >= 3, 20, "two trials")
    bad.set_behaviour()
    wait_for(lambda: row_of(sluice, "load", bad)["ejected"] == "", 20, "it is back")
    report = client.run(load.finish, "trials")
    failed = bad.count()["failed"] - before
    assert len(report.failures) == failed
    # The first time there may be as many calls under way as threads.
    assert failed <= 5 + threads + counts(sluice, "load", bad)[0] - 1
    assert counts(sluice, "load", bad)[0] == counts(sluice, "load", bad)[1]


@pytest.mark.l7
def test_without_health_checks_a_killed_backend_is_ejected_and_comes_back(lab, client, sluice,
                                                                          five):
    target, bad = lab.target(port=449), five[4]
    assert set(client.run(_backends, target, 9)) == {"be3", "be4", "be5"}
    bad.kill()

    def is_out():  # a refused connect is avoided for a moment, and tried again
        assert set(client.run(_codes, target, 3)) == {0}
        return row_of(sluice, "unchecked", bad)["ejected"] == "ejected"

    wait_for(is_out, 20, lambda: f"ejected: {row_of(sluice, 'unchecked', bad)}", interval=0.05)
    bad.start()
    wait_for(lambda: "be5" in client.run(_backends, target, 3), 20, "it is back", interval=0.05)
    assert row_of(sluice, "unchecked", bad)["ejected"] == ""


@pytest.mark.l7
def test_never_more_of_a_group_than_its_share(lab, client, sluice, five):
    for backend in five[:3]:
        backend.set_behaviour(status=UNAVAILABLE)
    client.run(_codes, lab.target(port=444), 60)
    ejected = [r["ejected"] for r in sluice.backends("share")]
    assert sorted(ejected) == ["", "", "ejected"]  # 10 % of three is none, but one may always be


@pytest.mark.l7
def test_killed_backend_is_no_longer_ejected_once_its_check_finds_it_up(lab, client, sluice, five):
    """Down it is out by its check; up again it starts anew, whatever it was ejected for."""
    target, bad = lab.target(port=447, tag="kill"), five[0]
    wait_for(lambda: row_of(sluice, "long", bad)["ejected"] == "", 5, "it is in")
    sluice.group("long")["outlier_detection"]["ejection"]["share"] = "100%"
    sluice.reload()
    bad.set_behaviour(status=UNAVAILABLE)
    client.run(_codes, target, 30)
    assert row_of(sluice, "long", bad)["ejected"] == "ejected"
    bad.kill()
    # Each group has checks of its own.
    wait_for(lambda: row_of(sluice, "long", bad)["health"] == "down", 10, "it is down")
    bad.start()
    wait_for(lambda: row_of(sluice, "long", bad)["health"] == "up", 10, "it is up")
    assert row_of(sluice, "long", bad)["ejected"] == ""
    assert "be1" in client.run(_backends, target, 12)


def look(sluice, client, target, group, backend):
    """Calls until the monitor's look has ejected it; its row."""
    def ejected():
        client.run(calls.many, target, 150)
        return row_of(sluice, group, backend)["ejections"]

    wait_for(ejected, 30, lambda: f"ejected: {sluice.backends(group)}\n{sluice.log()[-1500:]}",
             interval=0.05)
    return row_of(sluice, group, backend)


@pytest.mark.l7
def test_success_rate_below_the_groups(lab, client, sluice, five):
    five[3].set_behaviour(status=UNAVAILABLE, every=2)
    look(sluice, client, lab.target(port=445), "rate", five[3])
    assert "success rate" in sluice.log()
    assert [r["ejections"] > 0 for r in sluice.backends("rate")].count(True) == 1


@pytest.mark.l7
def test_latency_above_the_groups(lab, client, sluice, five):
    five[4].set_behaviour(delay=0.8)
    look(sluice, client, lab.target(port=446), "slow", five[4])
    assert "mean latency" in sluice.log()


@pytest.mark.l7
def test_without_outlier_detection_it_is_in_again(lab, client, sluice, five):
    five[2].set_behaviour(status=UNAVAILABLE)
    client.run(_codes, lab.target(port=447, tag="off"), 40)
    assert row_of(sluice, "long", five[2])["ejected"] == "ejected"
    detection = sluice.group("long").pop("outlier_detection")
    sluice.reload()
    assert row_of(sluice, "long", five[2])["ejected"] == ""
    assert client.run(_codes, lab.target(port=447, tag="off"), 30).count(UNAVAILABLE) == 10
    sluice.group("long")["outlier_detection"] = detection
    sluice.reload()


@pytest.mark.kernel
def test_an_ejected_backend_shows_in_the_map(lab, client, daemon, five, kernel_allowed):
    sluice = daemon(make_config(lab, five), "native")
    five[1].set_behaviour(status=UNAVAILABLE)
    client.run(_codes, lab.target(port=447, tag="map"), 40)
    row = row_of(sluice, "long", five[1])
    (seen,) = [e["value"] for e in maps.dump(f"{sluice.pin_path}/backends")
               if e["key"] == row["id"]]
    assert (seen["eject_state"], seen["eject_reason"], seen["eject_detail"]) == \
        (EJECTED, IN_A_ROW, 5)
    assert seen["ejected_until_ns"] > time.monotonic_ns()
    assert seen["eject_count"] == 1 and seen["outcome_failures"] >= 5
    (group,) = [e["value"] for e in maps.dump(f"{sluice.pin_path}/groups")
                if e["key"] == seen["group"]]
    assert group["ejections"] == 1 and group["epoch"] > 0
