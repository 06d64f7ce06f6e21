# SPDX-License-Identifier: MIT
"""What is sent to a second backend and what never is: safe replay for all calls, and a route's
retries. Every request carries a number, and both backends count what they saw of it."""
import collections
import concurrent.futures
import itertools
import time

import pytest

from harness.proc import wait_for
from peers import calls, h2raw, rawserver

pytestmark = pytest.mark.l7

_numbers = itertools.count(1)
UNAVAILABLE = [*rawserver.HEADERS, ("grpc-status", "14"), ("grpc-message", "later")]


@pytest.fixture(scope="module")
def pair(lab):
    """Two scripted backends: flaky and good."""
    agents = []
    for i, name in enumerate(("flaky", "good")):
        host = lab.world.backends[i + 1]
        agent = lab.agent(host, f"raw-retry-{name}")
        agent.address = f"{host.address}:{lab.world.port(50061 + i)}"
        agent.run(rawserver.start, agent.address, "ok", window=1 << 20)
        agents.append(agent)
    yield agents
    for agent in agents:
        agent.stop()


RETRY = {"codes": ["UNAVAILABLE"], "attempts": 2, "backoff": {"base": "5ms", "max": "10ms"}}
ROUTES = {443: {},
          444: {"retry": RETRY},
          445: {"retry": {**RETRY, "on_reset": True}},
          446: {"retry": {**RETRY, "per_try_timeout": "300ms"}},
          447: {"retry": {**RETRY, "budget": {"share": "0%", "floor": 1}}}}


@pytest.fixture(scope="module")
def sluice(lab, daemons, pair, backends):
    config = lab.config([], listeners=[], groups=[])
    for port, route in ROUTES.items():
        listener = lab.add_listener(config, port, f"g{port}",
                                    [{"address": a.address} for a in pair])
        del listener["group"]
        listener["routes"] = [{"name": f"r{port}", "group": f"g{port}", **route}]
    listener = lab.add_listener(config, 448, "real", backends)
    del listener["group"]
    listener["routes"] = [{"group": "real", "retry": {**RETRY, "codes": ["UNAVAILABLE", "ABORTED"]}}]
    yield daemons(config, "off", healthy=False)
    daemons.stop()


@pytest.fixture
def scripts(sluice, pair):
    """scripts(flaky, good) sets both."""
    def script(flaky, good=("ok",)):
        pair[0].run(rawserver.script, *flaky)
        pair[1].run(rawserver.script, *good)
    script(("ok",))
    return script


def _calls(address, how_many, first, timeout=5, whole=True):
    """whole False: the requests have no end."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    answers = []
    for i in range(how_many):
        began = time.monotonic()
        stream = 1 + 2 * i
        connection.request(stream, add=[("x-call", str(first + i))])
        connection.data(stream, h2raw.message(b"x" * 100), end=whole)
        answer = connection.answer(stream, timeout)
        answer.pop("frames")
        answers.append({**answer, "seconds": time.monotonic() - began})
    connection.close()
    return answers


def status(answer):
    return answer["trailers"] and answer["trailers"].get("grpc-status")


def make(lab, client, port, how_many=4):
    first = next(_numbers) * 1000
    return client.run(_calls, (lab.world.lb.address, lab.world.port(port)), how_many, first)


def seen(pair):
    """How often each call's number was seen, at the two backends."""
    return [collections.Counter(dict(r).get("x-call") for r in a.run(rawserver.requests))
            for a in pair]


MOMENTS = ["headers", "message", "ended", "answering", "halfway"]
FAILURES = {"reset": ("reset", "INTERNAL_ERROR"), "cancel": ("reset", "CANCEL"),
            "close": ("close",), "abort": ("abort",), "goaway that covers it": ("goaway", 0)}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("port", [443, 444])
def test_what_may_have_been_processed_is_never_sent_twice(lab, client, pair, scripts, port, moment,
                                                          failure):
    scripts(("fail_at", moment, *FAILURES[failure]))
    answers = make(lab, client, port)
    flaky, good = seen(pair)
    assert flaky and not set(flaky) & set(good)
    assert max((flaky + good).values()) == 1
    assert len(flaky) + len(good) == len(answers)
    failed = [a for a in answers if status(a) != "0"]
    assert len(failed) == len(flaky)
    assert all(status(a) in ("1", "13", "14") for a in failed)


@pytest.mark.parametrize("failure", [("reset", "REFUSED_STREAM"), ("goaway", -2)])
@pytest.mark.parametrize("moment", ["headers", "message", "ended"])
def test_what_was_certainly_not_processed_is_sent_again(lab, client, pair, scripts, moment,
                                                        failure):
    scripts(("fail_at", moment, *failure))
    answers = make(lab, client, 443)
    assert [status(a) for a in answers] == ["0"] * len(answers)
    _, good = seen(pair)
    assert len(good) == len(answers) and set(good.values()) == {1}


@pytest.mark.parametrize("moment,whole", [("hang", False), ("hang", True),
                                          ("headers_then_hang", True)],
                         ids=["mid-request", "before headers", "after response headers"])
def test_a_backend_killed_with_calls_on_it(lab, client, sluice, pair, scripts, moment, whole):
    """kill -9 in the middle of ten calls: none of them goes anywhere else."""
    scripts(("ok_at_once",), ("ok_at_once",))
    victim = lab.agent(lab.world.backends[0], "raw-victim")
    victim.address = f"{lab.world.backends[0].address}:{lab.world.port(50063)}"
    victim.run(rawserver.start, victim.address, moment)
    group = sluice.group("g443")
    before = group["backends"]
    group["backends"] = [{"address": victim.address}, *before]
    sluice.reload()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        future = pool.submit(make_at_once, lab, client, 443, 12, whole)
        wait_for(lambda: victim.run(rawserver.requests), 5, "calls are at the victim")
        time.sleep(0.2)
        at_victim = {dict(r)["x-call"] for r in victim.run(rawserver.requests)}
        victim.kill()
        answers = future.result()
    group["backends"] = before
    sluice.reload()
    flaky, good = seen(pair)
    assert not at_victim & set(flaky + good)
    assert sum(status(a) == "14" for a in answers) == len(at_victim) > 0
    assert max((flaky + good).values()) == 1


def test_calls_that_wait_go_to_the_backends_of_a_reload(lab, client, sluice, pair, scripts):
    """All backends change while calls wait for a connection: none of these is lost with the old ones."""
    old = []
    for i in range(2):
        agent = lab.agent(lab.world.backends[i], f"raw-old-{i}")
        agent.address = f"{lab.world.backends[i].address}:{lab.world.port(50067 + i)}"
        agent.run(rawserver.start, agent.address, "hang", streams=1)
        old.append(agent)
    group = sluice.group("g443")
    before = dict(group)
    group.update(backends=[{"address": a.address} for a in old], connections={"max": 1})
    sluice.reload()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        future = pool.submit(make_at_once, lab, client, 443, 12)
        wait_for(lambda: sum(r["active_rpcs"] for r in sluice.backends("g443")) == 12, 5,
                 lambda: f"calls run or wait: {sluice.backends('g443')}")
        group.clear()
        group.update(before)
        sluice.reload()
        wait_for(lambda: sum(seen(pair)[i].total() for i in (0, 1)), 5, "calls come to the new ones")
        for agent in old:
            agent.kill()
        answers = future.result()
    flaky, good = seen(pair)
    served = [a for a in answers if status(a) == "0"]
    assert len(served) == sum((flaky + good).values()) >= 6
    assert all("lost" in a["trailers"]["grpc-message"] for a in answers if a not in served)


def _at_once(address, how_many, first, whole):
    with concurrent.futures.ThreadPoolExecutor(how_many) as pool:
        return list(pool.map(lambda i: _calls(address, 1, first + i, 15, whole)[0],
                             range(how_many)))


def make_at_once(lab, client, port, how_many, whole=True):
    first = next(_numbers) * 1000
    return client.run(_at_once, (lab.world.lb.address, lab.world.port(port)), how_many, first,
                      whole)


def test_a_listed_status_is_retried_elsewhere(lab, client, pair, scripts):
    scripts(("respond", UNAVAILABLE))
    answers = make(lab, client, 444)
    assert [status(a) for a in answers] == ["0"] * len(answers)
    flaky, good = seen(pair)
    assert flaky and len(good) == len(answers) and set(flaky) <= set(good)
    assert max(flaky.values()) == max(good.values()) == 1
    again = [dict(r) for r in pair[1].run(rawserver.requests)
             if dict(r)["x-call"] in flaky]
    assert {r["grpc-previous-rpc-attempts"] for r in again} == {"1"}
    once = [dict(r) for r in pair[1].run(rawserver.requests)
            if dict(r)["x-call"] not in flaky]
    assert all("grpc-previous-rpc-attempts" not in r for r in once)


@pytest.mark.parametrize("code,attempts", [(14, 2), (10, 2), (5, 1)])
def test_errors_of_a_real_grpc_server_are_retried(lab, client, sluice, backends, code, attempts):
    before = sum(b.count().get("calls", 0) for b in backends)
    outcome = client.run(calls.unary, lab.target(port=448), status=code, message="as told",
                         fail_first=True)
    assert (outcome.code, outcome.details) == (code, "as told")
    assert sum(b.count()["calls"] for b in backends) - before == attempts


def test_without_a_policy_the_status_is_the_answer(lab, client, pair, scripts):
    scripts(("respond", UNAVAILABLE))
    answers = make(lab, client, 443)
    refused = [a for a in answers if status(a) == "14"]
    assert refused and {a["trailers"]["grpc-message"] for a in refused} == {"later"}


@pytest.mark.parametrize("respond", [
    [[*rawserver.HEADERS, ("grpc-status", "13")]],
    [rawserver.HEADERS, h2raw.message(b"part"), [("grpc-status", "14")]],
    [rawserver.HEADERS, None, [("grpc-status", "14")]],
    [[*UNAVAILABLE, ("grpc-retry-pushback-ms", "-1")]],
    [[*UNAVAILABLE, ("grpc-retry-pushback-ms", "soon")]],
], ids=["another status", "after a message", "after headers", "pushback negative",
        "pushback malformed"])
def test_what_is_not_retried(lab, client, pair, scripts, respond):
    scripts(("respond", *respond))
    answers = make(lab, client, 444)
    flaky, good = seen(pair)
    assert flaky and not set(flaky) & set(good)
    assert sum(status(a) in ("13", "14") for a in answers) == len(flaky)


def test_pushback_says_when(lab, client, pair, scripts):
    scripts(("respond", [*UNAVAILABLE, ("grpc-retry-pushback-ms", "400")]))
    answers = make(lab, client, 444, 4)
    flaky, _ = seen(pair)
    assert [status(a) for a in answers] == ["0"] * 4
    waited = [a for a in answers if a["seconds"] > 0.39]
    assert len(waited) == len(flaky) > 0
    assert max(a["seconds"] for a in answers) < 5


def test_an_http_error_is_retried_as_the_status_it_maps_to(lab, client, pair, scripts):
    scripts(("http", 503))
    assert [status(a) for a in make(lab, client, 444)] == ["0"] * 4
    scripts(("http", 404))
    assert "12" in [status(a) for a in make(lab, client, 444)]


@pytest.mark.parametrize("failure", [("reset", "INTERNAL_ERROR"), ("close",), ("abort",)])
@pytest.mark.parametrize("moment", ["headers", "ended"])
def test_resets_are_retried_where_the_route_says_so(lab, client, pair, scripts, moment, failure):
    scripts(("fail_at", moment, *failure))
    answers = make(lab, client, 445)
    assert [status(a) for a in answers] == ["0"] * len(answers)
    flaky, good = seen(pair)
    assert flaky and set(flaky) <= set(good)
    assert max(flaky.values()) == max(good.values()) == 1


@pytest.mark.parametrize("moment", ["answering", "halfway"])
def test_a_response_that_began_is_not_retried(lab, client, pair, scripts, moment):
    scripts(("fail_at", moment, "reset", "INTERNAL_ERROR"))
    answers = make(lab, client, 445)
    flaky, good = seen(pair)
    assert flaky and not set(flaky) & set(good)
    assert sum(status(a) == "13" for a in answers) == len(flaky)


def test_a_try_that_hangs_is_cancelled_and_another_made(lab, client, pair, scripts):
    scripts(("hang",))
    answers = make(lab, client, 446, 4)
    assert [status(a) for a in answers] == ["0"] * 4
    flaky, _ = seen(pair)
    resets = [f["code"] for _, f in pair[0].run(rawserver.events, "RstStreamFrame")]
    assert resets == ["CANCEL"] * len(flaky) and flaky
    assert max(a["seconds"] for a in answers) < 4


def test_when_every_try_hangs_the_answer_is_4_and_says_so(lab, client, pair, scripts):
    scripts(("hang",), ("hang",))
    (answer,) = make(lab, client, 446, 1)
    assert status(answer) == "4" and 0.55 < answer["seconds"] < 4
    assert "attempt 2 of 2" in answer["trailers"]["grpc-message"]
    flaky, good = seen(pair)
    assert len(flaky) == len(good) == 1  # never twice the same while another is live


def test_a_retry_goes_to_the_live_backend_again_rather_than_to_a_dead_one(lab, client, sluice, pair,
                                                                          scripts):
    nobody = f"{lab.world.backends[2].address}:{lab.world.port(50064)}"
    group = sluice.group("g444")
    before = dict(group)
    group["backends"] = [group["backends"][1], {"address": nobody}]
    group["health_check"] = {"protocol": "tcp", "interval": "100ms", "unhealthy_threshold": 1}
    sluice.reload()
    sluice.wait_health(nobody, "down")
    scripts(("ok",), ("first", ("respond", UNAVAILABLE), ("ok",)))
    answers = make(lab, client, 444)
    group.clear()
    group.update(before)
    sluice.reload()
    assert [status(a) for a in answers] == ["0"] * len(answers)
    assert set(seen(pair)[1].values()) == {2}


def test_the_number_of_attempts_is_kept(lab, client, pair, scripts):
    scripts(("respond", UNAVAILABLE), ("respond", UNAVAILABLE))
    answers = make(lab, client, 444, 3)
    assert [a["trailers"]["grpc-message"] for a in answers] == ["later"] * 3
    flaky, good = seen(pair)
    assert sum((flaky + good).values()) == 6 and set((flaky + good).values()) == {2}


def test_the_budget_is_one_for_all_workers(lab, client, pair, scripts):
    """Nobody may retry but one at a time: the others get the backend's answer at once."""
    busy = ("respond", [*UNAVAILABLE, ("grpc-retry-pushback-ms", "2500")])
    scripts(busy, busy)
    answers = make_at_once(lab, client, 447, 8)
    assert {status(a) for a in answers} == {"14"}
    assert sorted(a["seconds"] > 2.4 for a in answers) == [False] * 7 + [True]


def test_a_request_over_the_replay_buffer_is_not_retried(lab, client, pair, scripts):
    scripts(("respond", UNAVAILABLE), ("respond", UNAVAILABLE))
    answer = client.run(_large, (lab.world.lb.address, lab.world.port(444)))
    assert answer["trailers"]["grpc-message"] == "later"
    flaky, good = seen(pair)
    assert sum((flaky + good).values()) == 1


def _large(address):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.request()
    for _ in range(10):
        connection.data(1, bytes(16384))
        time.sleep(0.02)
    connection.data(1, b"", end=True)
    answer = connection.answer(1)
    answer.pop("frames")
    return answer
