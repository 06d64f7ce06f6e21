# SPDX-License-Identifier: MIT
"""The times that a route gives its calls: default and maximum deadline, idle timeout, age."""
import time

import pytest

from harness.proc import wait_for
from peers import calls, h2raw, rawserver
from test_deadline_cancel import resets, seconds

pytestmark = pytest.mark.l7

TIMES = {443: {"default": "400ms"},
         444: {"max": "400ms"},
         445: {"default": "300ms", "max": "5s"},
         446: {"idle": "400ms"},
         447: {"max_age": "600ms"},
         448: {}}


@pytest.fixture(scope="module")
def raw(lab):
    host = lab.world.backends[2]
    agent = lab.agent(host, "raw-times")
    agent.address = f"{host.address}:{lab.world.port(50064)}"
    agent.run(rawserver.start, agent.address, "hang")
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, raw):
    config = lab.config([], listeners=[], groups=[])
    for port, times in TIMES.items():
        listener = lab.add_listener(config, port, f"g{port}", [{"address": raw.address}])
        del listener["group"]
        listener["routes"] = [{"group": f"g{port}", "timeouts": times}]
    listener = lab.add_listener(config, 449, "echo", backends)
    del listener["group"]
    listener["routes"] = [{"group": "echo", "timeouts": {"idle": "500ms", "max_age": "1500ms"}}]
    yield daemons(config, "off", healthy=False)
    daemons.stop()


@pytest.fixture
def hanging(sluice, raw):
    raw.run(rawserver.script, "hang")
    return raw


def _timed(address, timeout):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    began = time.monotonic()
    connection.request(add=[("grpc-timeout", timeout)] if timeout else [])
    connection.data(1, h2raw.message(b""), end=True)
    answer = connection.answer(1, 5)
    connection.close()
    return answer["trailers"], time.monotonic() - began


def timed(lab, client, port, timeout=None):
    return client.run(_timed, (lab.world.lb.address, lab.world.port(port)), timeout)


@pytest.mark.parametrize("port,sent,kept", [
    (443, None, 0.4), (443, "700m", 0.7), (444, None, 0.4), (444, "10S", 0.4), (444, "200m", 0.2),
    (445, None, 0.3), (445, "600m", 0.6)])
def test_default_and_maximum_deadline(lab, client, hanging, port, sent, kept):
    trailers, took = timed(lab, client, port, sent)
    assert trailers["grpc-status"] == "4" and "deadline" in trailers["grpc-message"]
    assert kept * 0.95 < took < kept + 2
    (request,) = hanging.run(rawserver.requests)
    told = [v for k, v in request if k == "grpc-timeout"]
    assert len(told) == 1 and kept - 0.3 < seconds(told[0]) < kept + 1e-6
    wait_for(lambda: resets(hanging) == ["CANCEL"], 3, lambda: f"resets: {resets(hanging)}")


def test_a_route_without_times_sets_none(lab, client, hanging):
    hanging.run(rawserver.script, "ok")
    trailers, _ = timed(lab, client, 448)
    assert trailers["grpc-status"] == "0"
    (request,) = hanging.run(rawserver.requests)
    assert "grpc-timeout" not in dict(request)


def test_an_idle_stream_ends_with_14_and_cancels(lab, client, hanging):
    trailers, took = timed(lab, client, 446)
    assert trailers["grpc-status"] == "14" and "nothing passed" in trailers["grpc-message"]
    assert 0.38 < took < 3
    wait_for(lambda: resets(hanging) == ["CANCEL"], 3, lambda: f"resets: {resets(hanging)}")


def test_max_age_ends_a_stream_with_14_within_a_tenth(lab, client, hanging):
    ages = []
    for _ in range(4):
        trailers, took = timed(lab, client, 447)
        assert trailers["grpc-status"] == "14" and "max_age" in trailers["grpc-message"]
        ages.append(took)
    assert all(0.53 < a < 3 for a in ages), ages
    wait_for(lambda: resets(hanging) == ["CANCEL"] * 4, 3, lambda: f"resets: {resets(hanging)}")


def _talk(target, pause, rounds):
    """A bidi call with a message each way every pause; its Outcome, or None while it goes on."""
    number = calls.open_bidi(target)
    began = time.monotonic()
    for _ in range(rounds):
        try:
            calls.exchange(number, payload=b"x")
        except Exception:  # pylint: disable=broad-except  (grpc's own class of the moment)
            break
        time.sleep(pause)
    return calls.end(number), time.monotonic() - began


def test_what_passes_keeps_a_stream_alive_until_its_age(lab, client, sluice):
    outcome, took = client.run(_talk, lab.target(port=449), 0.2, 20)
    assert outcome.code == 14 and "max_age" in outcome.details
    assert 1.3 < took < 5


def test_one_direction_is_enough_to_keep_it_alive(lab, client, sluice):
    """Messages of the backend alone, over three idle timeouts' time."""
    outcome = client.run(calls.server_stream, lab.target(port=449), reply_count=6, sleep_ms=200)
    assert outcome.code == 0 and len(outcome.replies) == 6


def test_the_ends_are_counted_apart(lab, client, hanging, sluice):
    before = _counts(sluice)
    timed(lab, client, 443)
    timed(lab, client, 446)
    timed(lab, client, 447)
    after = _counts(sluice)
    assert {k: after[k] - before[k] for k in after} == {"deadlines": 1, "streams_idle": 1,
                                                        "streams_aged": 1}


def _counts(sluice):
    rows = sluice.ctl.json("workers")["workers"]
    return {k: sum(r[k] for r in rows) for k in ("deadlines", "streams_idle", "streams_aged")}
