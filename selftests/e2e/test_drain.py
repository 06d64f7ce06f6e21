# SPDX-License-Identifier: MIT
"""Connections that drain: by age, by number of calls, with their listener, with the daemon. The
clients of four languages call all the time, and not one of their calls may fail."""
import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import languages
from harness.lab import FAST_CHECK
from harness.proc import wait_for
from peers import calls, h2raw

pytestmark = pytest.mark.l7

LANGUAGES = ["python", "go", "js", "java"]
AGE, GRACE, DRAINED = 443, 444, 445  # ports
OWN, STAYS = 446, 447  # of daemons of one test


@pytest.fixture(scope="session")
def stacks(lab):
    """The languages whose programs can be had, by name; why not of the others."""
    have, why_not = {}, {}
    for name in LANGUAGES:
        try:
            have[name] = languages.language(name, lab.build)
        except languages.Unavailable as why:
            why_not[name] = str(why)
    return have, why_not


@pytest.fixture(scope="module")
def config(lab, backends):
    config = lab.config([], listeners=[], groups=[], drain={"grace": "3s", "jitter": "10s"})
    for port, name in ((AGE, "age"), (GRACE, "grace"), (DRAINED, "drained")):
        lab.add_listener(config, port, name, backends, health_check=dict(FAST_CHECK))
    listeners = {each["name"]: each for each in config["listeners"]}
    listeners["age"]["timeouts"] = {"max_age": "1s"}
    listeners["grace"]["timeouts"] = {"max_age": "1s", "age_grace": "1s"}
    return config


@pytest.fixture(scope="module")
def sluice(daemons, config, mode):
    yield daemons(config, mode)
    daemons.stop()


def alone(lab, backends, **changes):
    """A config for a daemon beside the one above."""
    config = lab.config([], listeners=[], groups=[], **changes)
    lab.add_listener(config, OWN, "own", backends, health_check=dict(FAST_CHECK))
    return config


def loads(lab, have, port, seconds):
    """A load of each language at once; a function that waits for their reports."""
    target = f"{lab.world.lb.address}:{lab.world.port(port)}"
    pool = ThreadPoolExecutor(len(have))
    runs = {name: pool.submit(lab.world.client.run,
                              *each.load(target, lab.certificate.chain, seconds),
                              timeout=seconds + 60)
            for name, each in have.items()}
    return lambda: {name: json.loads(run.result().stdout) for name, run in runs.items()}


def assert_none_failed(reports, at_least):
    failed = {name: report["errors"] for name, report in reports.items() if report["failed"]}
    assert not failed
    for name, report in reports.items():
        assert report["ok"] >= at_least, f"{name}: {report}"


def skip_missing(why_not):
    if why_not:
        pytest.skip("; ".join(f"{name}: {why}" for name, why in why_not.items()))


def total(sluice, counter):
    return sum(worker[counter] for worker in sluice.workers())


@pytest.mark.parametrize("bound", [{"timeouts": {"max_age": "1s"}}, {"limits": {"calls": 50}}],
                         ids=["max_age", "calls"])
def test_no_client_sees_its_connections_end(lab, daemon, backends, stacks, bound):
    have, why_not = stacks
    config = alone(lab, backends)
    config["listeners"][0].update(bound)
    sluice = daemon(config, "off")
    assert_none_failed(loads(lab, have, OWN, 5)(), 100)
    assert total(sluice, "connections_aged") >= 3 * len(have)
    skip_missing(why_not)


def test_a_stream_outlives_its_connections_age(lab, client, sluice):
    """Without a grace it may take as long as it likes; new calls go to a new connection."""
    target = lab.target(port=AGE, tag="outlives")
    before = total(sluice, "connections_aged")
    stream = client.run(calls.open_bidi, target)
    first = client.run(calls.exchange, stream, payload=b"1")
    wait_for(lambda: total(sluice, "connections_aged") > before, 5, "the connection is over its age")
    assert client.run(calls.unary, target).code == 0
    assert client.run(calls.exchange, stream, payload=b"2")["backend"] == first["backend"]
    assert client.run(calls.end, stream).code == 0
    client.run(calls.close, target)


def test_past_the_grace_of_its_age_a_stream_is_cut(lab, client, sluice):
    target = lab.target(port=GRACE, tag="cut")
    stream = client.run(calls.open_bidi, target)
    client.run(calls.exchange, stream, payload=b"1")
    began = time.monotonic()
    outcome = client.run(calls.end_when_over, stream)
    assert (outcome.code, time.monotonic() - began < 4) == (14, True)
    assert "the connection is over its age" in outcome.details
    client.run(calls.close, target)


def _until_its_end(address):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    seen = connection.until(lambda f: False, 5)
    return [(f["last"], f["code"]) for f in seen if f["kind"] == "GoAwayFrame"]


def test_idle_connections_age_too(lab, client, sluice):
    seen = client.run(_until_its_end, (lab.world.lb.address, lab.world.port(AGE)))
    assert seen == [(0x7fffffff, "NO_ERROR"), (0, "NO_ERROR")]


def states(sluice):
    return [row["state"] for row in sluice.ctl.json("listeners")["listeners"]]


def _connects(address):
    try:
        socket.create_connection(address, 5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_drained_listener_finishes_its_calls_and_refuses_new_connections(lab, client, sluice):
    address = lab.world.lb.address, lab.world.port(DRAINED)
    target = lab.target(port=DRAINED, tag="old")
    stream = client.run(calls.open_bidi, target)
    client.run(calls.exchange, stream, payload=b"1")
    assert sluice.ctl.raw("drain", "listener", "drained").returncode == 0
    wait_for(lambda: not client.run(_connects, address), 5, "new connections are refused")
    assert states(sluice) == ["accepting", "accepting", "drained"]
    # A reload and a new worker keep to it; so does a second command.
    sluice.reload()
    killed = min(worker["pid"] for worker in sluice.workers())
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len({w["pid"] for w in sluice.workers()} - {killed}) == 2, 10,
             "the worker is replaced")
    assert sluice.ctl.raw("drain", "listener", "drained").returncode == 0
    assert not client.run(_connects, address)
    assert sluice.ctl.raw("undrain", "listener", "drained").returncode == 0
    assert client.run(_connects, address)
    assert client.run(calls.unary, lab.target(port=DRAINED, tag="new")).code == 0
    assert states(sluice) == ["accepting"] * 3
    done = sluice.ctl.raw("drain", "listener", "nobody")
    assert done.returncode == 1 and 'there is no listener "nobody"' in done.stderr
    assert sluice.ctl.raw("drain", "listener", "drained", "--for", "1s").returncode == 2
    client.run(calls.close, target)


def test_calls_on_a_drained_listener_finish(lab, client, sluice):
    target = lab.target(port=DRAINED, tag="finishes")
    stream = client.run(calls.open_bidi, target)
    client.run(calls.exchange, stream, payload=b"1")
    assert sluice.ctl.raw("drain", "listener", "drained").returncode == 0
    wait_for(lambda: not client.run(_connects, (lab.world.lb.address, lab.world.port(DRAINED))), 5,
             "new connections are refused")
    assert client.run(calls.exchange, stream, payload=b"2")["payload"] == b"2"
    assert client.run(calls.end, stream).code == 0
    assert sluice.ctl.raw("undrain", "listener", "drained").returncode == 0
    client.run(calls.close, target)


_many = []


def _open_many(address, how_many):
    tls = h2raw.tls_context()
    _many.extend(h2raw.Client(address, tls).hello() for _ in range(how_many))
    for connection in _many:
        connection.ping()
    for connection in _many:
        connection.until(lambda f: f["kind"] == "PingFrame")


def _goaway_times():
    def wait(connection):
        return connection.until(lambda f: f["kind"] == "GoAwayFrame", 10)[-1]["time"]

    with ThreadPoolExecutor(len(_many)) as pool:
        times = list(pool.map(wait, _many))
    for connection in _many:
        connection.close()
    _many.clear()
    return times


@pytest.mark.parametrize("jitter", ["10s", "0s"])
def test_goaways_to_many_connections_are_spread(lab, client, daemon, backends, jitter):
    """A millisecond a connection and worker; all within drain.jitter."""
    config = alone(lab, backends, workers=1, drain={"grace": "5s", "jitter": jitter})
    sluice = daemon(config, "off")
    client.run(_open_many, (lab.world.lb.address, lab.world.port(OWN)), 150)
    times = client.start(_goaway_times)
    sluice.signal(15)
    times = sorted(times.result(30))
    if jitter == "10s":
        assert 0.12 < times[-1] - times[0] < 3


def test_past_the_grace_of_sigterm_calls_get_a_status(lab, client, daemon, backends):
    sluice = daemon(alone(lab, backends, drain={"grace": "1s", "jitter": "0s"}), "off")
    target = lab.target(port=OWN, tag="grace")
    stream = client.run(calls.open_bidi, target)
    client.run(calls.exchange, stream, payload=b"1")
    sluice.signal(15)
    outcome = client.run(calls.end_when_over, stream)
    assert outcome.code == 14 and "time to finish is over" in outcome.details
    client.run(calls.close, target)
    sluice.stop()


def test_clients_move_between_two_daemons(lab, daemon, backends, stacks):
    """Two daemons on one address: each in turn leaves in each way that it can, and comes back."""
    have, why_not = stacks
    config = alone(lab, backends)
    lab.add_listener(config, STAYS, "stays", backends, health_check=dict(FAST_CHECK))
    one, two = daemon(config, "off"), daemon(config, "off")
    reports = loads(lab, have, OWN, 12)

    def serves(sluice):
        before = total(sluice, "calls")
        wait_for(lambda: total(sluice, "calls") > before + 50, 15, "it has calls")

    def serves_alone(sluice, other):
        wait_for(lambda: total(other, "connections") == 0, 10, "the other has no connections")
        serves(sluice)

    serves(one)
    assert one.ctl.raw("drain", "listener", "own").returncode == 0
    serves_alone(two, one)
    assert one.ctl.raw("undrain", "listener", "own").returncode == 0
    assert two.ctl.raw("drain", "listener", "own").returncode == 0
    serves_alone(one, two)
    assert two.ctl.raw("undrain", "listener", "own").returncode == 0
    removed = one.config["listeners"].pop(0)
    one.reload()
    serves_alone(two, one)
    one.config["listeners"].insert(0, removed)
    one.reload()
    two.stop()
    serves(one)
    assert_none_failed(reports(), 100)
    skip_missing(why_not)
