# SPDX-License-Identifier: MIT
"""gRPC's negative HTTP/2 interoperability cases, with sluice between client and server: what a client
is promised when a server goes away, resets in the middle, pings, or allows one stream."""
import pytest

from harness.proc import wait_for
from peers import calls, negative

pytestmark = pytest.mark.l7


@pytest.fixture(scope="module")
def server(lab):
    host = lab.world.backends[2]
    agent = lab.agent(host, "negative")
    agent.address = f"{host.address}:{lab.world.port(50059)}"
    agent.run(negative.start, agent.address)
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, server, mode):
    config = lab.config([], workers=1, listeners=[], groups=[])
    lab.add_listener(config, 443, "negative", [{"address": server.address}])
    yield daemons(config, mode)
    daemons.stop()


@pytest.fixture
def target(lab, sluice, server, request):
    """The server of the test's case, on connections of its own."""
    server.run(negative.case, request.param)
    return lab.target(tag=request.param)


def case(name):
    return pytest.mark.parametrize("target", [name], indirect=True)


@case("goaway")
def test_goaway(client, server, target):
    """Every call succeeds; once GOAWAY has arrived they are on another connection."""
    def connection():
        assert client.run(calls.unary, target).code == 0
        return server.run(negative.seen)["calls"][-1][0]

    first = connection()
    wait_for(lambda: connection() != first, 3, "calls go to another connection")


@case("rst_after_header")
def test_rst_after_header(client, server, target):
    """The call fails, once."""
    outcome = client.run(calls.unary, target)
    assert outcome.code == 13 and len(server.run(negative.seen)["calls"]) == 1


@case("rst_during_data")
def test_rst_during_data(client, server, target):
    outcome = client.run(calls.unary, target)
    assert outcome.code == 13 and len(server.run(negative.seen)["calls"]) == 1


@case("rst_after_data")
def test_rst_after_data(client, server, target):
    """The message was whole, the status was not: the call fails, a stream keeps its message."""
    outcome = client.run(calls.unary, target)
    assert outcome.code == 13 and len(server.run(negative.seen)["calls"]) == 1
    outcome = client.run(_stream, target)
    assert outcome.code == 13
    assert outcome.replies == [negative.REPLY_BYTES]


def _stream(target):
    return calls.server_stream(target, keep=False)


@case("ping")
def test_ping(client, server, target):
    """Each PING is acknowledged, and no call suffers."""
    assert [client.run(calls.unary, target).code for _ in range(5)] == [0] * 5
    every = sorted([b"12345678", b"22345678", b"32345678"] * 5)
    wait_for(lambda: sorted(server.run(negative.seen)["pings"]) == every, 3, "every ACK")


@case("max_streams")
def test_max_streams(client, server, target):
    """One call at a time on a connection, and all ten succeed."""
    outcomes = client.run(calls.many, target, 10)
    assert [o.code for o in outcomes] == [0] * 10
    seen = server.run(negative.seen)
    assert seen["peak"] == 1 and len(seen["calls"]) == 10
