# SPDX-License-Identifier: MIT
"""The harness itself: client and backend talk through the lab without sluice between them, so that
a failure elsewhere is sluice's."""
import pytest

from harness.proc import wait_for
from peers import calls

pytestmark = pytest.mark.l7


@pytest.fixture(scope="module")
def direct(lab, backends):
    backend = backends[0]
    if lab.world.isolated:  # the client has no route to the backends but through sluice
        agent = lab.agent(lab.world.lb, "direct")
    else:
        agent = lab.agent(lab.world.client, "direct")
    return agent, calls.Target(backend.address)


def test_the_four_kinds_of_call_work_without_sluice(direct):
    agent, target = direct
    assert agent.run(calls.unary, target, payload=b"x").reply["payload"] == b"x"
    outcome = agent.run(calls.client_stream, target, [{"payload": b"ab"}] * 3)
    assert (outcome.reply["received"], outcome.reply["received_bytes"]) == (3, 6)
    outcome = agent.run(calls.server_stream, target, payload=b"y", reply_count=5)
    assert len(outcome.replies) == 5
    outcome = agent.run(calls.bidi, target, [{"payload": bytes([i])} for i in range(5)])
    assert [r["payload"] for r in outcome.replies] == [bytes([i]) for i in range(5)]


def test_statuses_and_metadata_come_back(direct):
    agent, target = direct
    outcome = agent.run(calls.unary, target, status=5, message="gone: ü", metadata=[
        ("echo-a", "1"), ("echo-a", "2"), ("trail-x-bin", b"\x00\xff")])
    assert (outcome.code, outcome.details) == (5, "gone: ü")
    assert [v for k, v in outcome.initial if k == "echo-a"] == ["1", "2"]
    assert [v for k, v in outcome.trailing if k == "trail-x-bin"] == [b"\x00\xff"]


def test_a_cancelled_call_is_counted_by_the_backend(direct, backends):
    agent, target = direct
    before, seen = backends[0].count().get("cancelled", 0), backends[0].count().get("calls", 0)
    number = agent.run(calls.open_unary, target, sleep_ms=30000)
    wait_for(lambda: backends[0].count()["calls"] > seen, 5, "the call arrives")
    assert agent.run(calls.cancel, number).code == 1
    wait_for(lambda: backends[0].count().get("cancelled", 0) == before + 1, 5, "cancel arrives")


def test_a_cancelled_stream_is_counted_by_the_backend(direct, backends):
    agent, target = direct
    before = backends[0].count().get("cancelled", 0)
    number = agent.run(calls.open_bidi, target)
    agent.run(calls.exchange, number, payload=b"x")
    assert agent.run(calls.cancel, number).code == 1
    number = agent.run(calls.open_server_stream, target, reply_bytes=1 << 20, reply_count=64)
    agent.run(calls.receive, number)
    assert agent.run(calls.cancel, number).code == 1
    wait_for(lambda: backends[0].count().get("cancelled", 0) == before + 2, 5,
             lambda: f"cancels arrive: {backends[0].count()}")
