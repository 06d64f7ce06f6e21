# SPDX-License-Identifier: MIT
"""How calls spread over backends: by weight, call by call, and by load."""
import shutil

import pytest

from harness.proc import wait_for
from peers import calls, load

pytestmark = pytest.mark.l7

CALLS = 10000


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, mode):
    """443: weights 100 and 50; 444: weights 100 and 0; 445: least_request."""
    config = lab.config([backends[0].entry(100), backends[1].entry(50)])
    lab.add_listener(config, 444, "zero", [backends[0].entry(100), backends[1].entry(0)])
    lab.add_listener(config, 445, "least", backends, balance="least_request")
    for listener in config["listeners"]:
        listener["limits"] = {"streams": 1000}
    yield daemons(config, mode)
    daemons.stop()


def spread(backends, before):
    return [b.count()["calls"] - n for b, n in zip(backends, before)]


def begun(backends):
    return [b.count().get("calls", 0) for b in backends]


def fast_calls(lab, how_many, port=443, clients=8, host=None):
    """Empty unary calls by h2load: quick, and it counts what came back."""
    body = lab.folder / "empty-message"
    body.write_bytes(bytes(5))
    address = f"https://{lab.world.lb.address}:{lab.world.port(port)}"
    done = lab.world.client.run(
        "h2load", "-n", how_many, "-c", clients, "-m", 10, "-t", 1, "-d", body,
        "-H", "content-type: application/grpc", "-H", "te: trailers",
        *(["-H", f":authority: {host}"] if host else []),
        f"{address}/sluice.test.Echo/Unary", timeout=120)
    assert f"{how_many} succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
    return done.stdout


@pytest.mark.skipif(not shutil.which("h2load"), reason="h2load is not installed")
def test_weights_hold_within_2_percent_over_10000_calls(lab, sluice, backends):
    before = begun(backends)
    fast_calls(lab, CALLS)
    got = spread(backends, before)
    assert sum(got) == CALLS
    assert abs(got[0] / CALLS - 2 / 3) < 0.02 and abs(got[1] / CALLS - 1 / 3) < 0.02


def _sequence(target, how_many):
    return [calls.unary(target).reply["backend"] for _ in range(how_many)]


def test_calls_of_one_connection_are_spread_smoothly(lab, client, sluice):
    names = client.run(_sequence, lab.target(), 30)
    assert names.count("be1") == 20 and names.count("be2") == 10
    for i in range(0, 30, 3):  # smooth: two and one in every three
        assert sorted(names[i:i + 3]) == ["be1", "be1", "be2"]


def test_weight_zero_gets_no_call(lab, client, sluice):
    assert set(client.run(_sequence, lab.target(port=444), 30)) == {"be1"}


def _hold(target, how_many):
    """Calls that stay open; each is under way at its backend when the next begins."""
    numbers = []
    for _ in range(how_many):
        numbers.append(calls.open_bidi(target, timeout=60))
        calls.exchange(numbers[-1], payload=b"x")
    return numbers


def _release(numbers):
    return [calls.end(n).code for n in numbers]


def test_least_request_evens_out_calls_under_way(lab, client, sluice, backends):
    numbers = client.run(_hold, lab.target(port=445), 60)
    rows = {r["address"]: r["active_rpcs"] for r in sluice.backends("least")}
    assert sum(rows.values()) == 60
    assert max(rows.values()) - min(rows.values()) <= 2
    assert client.run(_release, numbers) == [0] * 60
    wait_for(lambda: sum(r["active_rpcs"] for r in sluice.backends("least")) == 0, 3,
             "the counts go back to none")


def test_least_request_avoids_the_backend_that_is_slow(lab, client, sluice, backends):
    """be1 holds 30 calls on its listener's group; new ones go to be2 while it has fewer."""
    numbers = client.run(_hold_on, lab.target(port=445), "be1", 20)
    names = client.run(_sequence, lab.target(port=445), 40)
    assert names.count("be2") >= 36
    assert client.run(_release, numbers) == [0] * 20


def _hold_on(target, backend, how_many):
    """Keeps calls open that landed on backend and ends the others until there are how_many."""
    kept = []
    for _ in range(2000):
        number = calls.open_bidi(target, timeout=60)
        if calls.exchange(number, payload=b"x")["backend"] == backend:
            kept.append(number)
        else:
            kept.insert(0, number)
        if len(kept) >= 2 * how_many:
            break
    other = [n for n in kept[:how_many]]
    for number in other:
        calls.end(number)
    return kept[how_many:]


def test_one_busy_connection_uses_every_backend(lab, client, sluice, backends):
    """Long-lived connections are no reason for uneven load: each call is balanced by itself."""
    client.run(load.start, "one", lab.target(tag="one"), connections=1, threads=4)
    wait_for(lambda: client.run(load.done, "one") > 300, 20, "300 calls")
    report = client.run(load.finish, "one")
    assert not report.failures
    assert set(report.by_backend) == {"be1", "be2"}
    assert abs(report.by_backend["be1"] / report.done - 2 / 3) < 0.05
