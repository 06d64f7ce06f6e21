# SPDX-License-Identifier: MIT
"""Deadlines are enforced and forwarded; cancellation crosses at once, both ways."""
import pytest

from harness.proc import wait_for
from peers import calls, h2raw, rawserver

pytestmark = pytest.mark.l7

UNITS = {"H": 3600, "M": 60, "S": 1, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def seconds(text):
    return int(text[:-1]) * UNITS[text[-1]]


@pytest.fixture(scope="module")
def raw(lab):
    """A scripted backend: its agent and address."""
    host = lab.world.backends[2]
    agent = lab.agent(host, "raw-deadline")
    address = f"{host.address}:{lab.world.port(50052)}"
    agent.run(rawserver.start, address, "hang")
    agent.address = address
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, raw, mode):
    """Port 443 leads to the gRPC backends, 444 to the scripted one, 445 to both kinds."""
    config = lab.config(backends)
    lab.add_listener(config, 444, "raw", [{"address": raw.address}])
    lab.add_listener(config, 445, "both", [{"address": raw.address}, backends[0].entry()])
    yield daemons(config, mode)
    daemons.stop()


@pytest.fixture
def target(lab, sluice):
    return lab.target()


@pytest.fixture
def scripted(lab, sluice, raw):
    """Address of the listener in front of the scripted backend."""
    raw.run(rawserver.script, "hang")
    return lab.world.lb.address, lab.world.port(444)


def resets(raw):
    return [f["code"] for _, f in raw.run(rawserver.events, "RstStreamFrame")]


def _deadline_enforced(address, timeout):
    """A client that never cancels by itself: sluice must answer."""
    import time
    with_tls = h2raw.Client(address, h2raw.tls_context()).hello()
    began = time.monotonic()
    with_tls.request(add=[("grpc-timeout", timeout)])
    with_tls.data(1, h2raw.message(b""), end=True)
    answer = with_tls.answer(1, 5)
    return answer["headers"], answer["trailers"], time.monotonic() - began


def test_expired_deadline_is_answered_with_status_4(client, scripted, raw):
    headers, trailers, took = client.run(_deadline_enforced, scripted, "300m")
    assert headers[":status"] == "200"
    assert headers["content-type"].startswith("application/grpc")
    assert trailers["grpc-status"] == "4"
    assert 0.25 < took < 2
    # Else the next test would see it.
    wait_for(lambda: resets(raw) == ["CANCEL"], 5, lambda: f"resets seen: {resets(raw)}")


def test_expired_deadline_cancels_at_the_backend(client, scripted, raw):
    client.run(_deadline_enforced, scripted, "300m")
    wait_for(lambda: resets(raw) == ["CANCEL"], 2, lambda: f"resets seen: {resets(raw)}")


def test_deadline_expires_in_the_middle_of_a_response(client, scripted, raw):
    raw.run(rawserver.script, "headers_then_hang")
    headers, trailers, took = client.run(_deadline_enforced, scripted, "300m")
    assert headers[":status"] == "200" and "grpc-status" not in headers
    assert trailers["grpc-status"] == "4"
    wait_for(lambda: resets(raw) == ["CANCEL"], 2, lambda: f"resets seen: {resets(raw)}")


@pytest.mark.parametrize("sent", ["5S", "5000m", "1M", "2H"])
def test_deadline_is_forwarded_never_longer(client, scripted, raw, sent):
    raw.run(rawserver.script, "ok")
    client.run(_deadline_enforced, scripted, sent)
    (request,) = raw.run(rawserver.requests)
    forwarded = seconds(dict(request)["grpc-timeout"])
    assert seconds(sent) - 1.5 < forwarded <= seconds(sent)


def test_deadline_is_forwarded_reduced_by_the_time_spent(lab, client, sluice, raw):
    """The scripted backend refuses after half a second; the next one is told what is left."""
    raw.run(rawserver.script, "reset_later", "REFUSED_STREAM", 0.5)
    outcomes = [client.run(calls.unary, lab.target(port=445), timeout=10) for _ in range(4)]
    assert [o.code for o in outcomes] == [0] * 4
    left = [o.reply["time_remaining"] for o in outcomes if o.seconds > 0.45]
    assert left and all(8 < t < 9.6 for t in left)


def test_call_without_deadline_gets_none(client, scripted, raw):
    raw.run(rawserver.script, "ok")
    answer = client.run(_plain_call, scripted)
    assert answer["trailers"]["grpc-status"] == "0"
    (request,) = raw.run(rawserver.requests)
    assert "grpc-timeout" not in dict(request)


def _plain_call(address):
    answer = h2raw.Client(address, h2raw.tls_context()).hello().call(payload=b"x")
    answer.pop("frames")
    return answer


def _bad_timeout(address, text):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    answer = connection.call(add=[("grpc-timeout", text)])
    return answer["trailers"] or {}


@pytest.mark.parametrize("text", ["", "5", "S", "123456789S", "5x", "-1S", "1.5S"])
def test_malformed_deadline_is_an_error_of_that_call_only(client, scripted, raw, text):
    raw.run(rawserver.script, "ok")
    assert client.run(_bad_timeout, scripted, text).get("grpc-status") == "13"
    assert client.run(_bad_timeout, scripted, "5S").get("grpc-status") == "0"


def test_grpc_client_sees_its_deadline(client, target, backends):
    before = sum(b.count().get("cancelled", 0) for b in backends)
    outcome = client.run(calls.unary, target, sleep_ms=10000, timeout=0.5)
    assert outcome.code == 4 and outcome.seconds < 2
    wait_for(lambda: sum(b.count().get("cancelled", 0) for b in backends) == before + 1, 3,
             "the backend's handler is cancelled")


def test_backend_sees_the_time_that_is_left(client, target):
    reply = client.run(calls.unary, target, timeout=20).reply
    assert 15 < reply["time_remaining"] < 20.5  # grpcio rounds up


def test_client_cancel_reaches_the_backend_at_once(client, target, backends):
    before = sum(b.count().get("cancelled", 0) for b in backends)
    number = client.run(calls.open_bidi, target)
    client.run(calls.exchange, number, payload=b"begun")
    assert client.run(calls.cancel, number).code == 1
    wait_for(lambda: sum(b.count().get("cancelled", 0) for b in backends) == before + 1, 2,
             "the backend's handler is cancelled")


def _reset(address, code):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.request()
    connection.ping()
    connection.until(lambda f: f["kind"] == "PingFrame" and f["flags"] & h2raw.ACK)
    connection.reset(1, code)
    connection.ping()
    connection.until(lambda f: f["kind"] == "PingFrame" and f["flags"] & h2raw.ACK)


@pytest.mark.parametrize("code", ["CANCEL", "NO_ERROR", "INTERNAL_ERROR"])
def test_client_reset_cancels_at_the_backend(client, scripted, raw, code):
    client.run(_reset, scripted, code)
    wait_for(lambda: resets(raw), 2, "a reset arrives")
    assert len(resets(raw)) == 1
    assert resets(raw) == ["CANCEL"]


def _disconnect(address, streams):
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    for i in range(streams):
        connection.request(1 + 2 * i)
    connection.ping()
    connection.until(lambda f: f["kind"] == "PingFrame" and f["flags"] & h2raw.ACK)
    connection.close()


def test_client_disconnect_cancels_all_its_calls(client, scripted, raw):
    client.run(_disconnect, scripted, 20)
    wait_for(lambda: resets(raw) == ["CANCEL"] * 20, 3, lambda: f"resets: {resets(raw)}")


def test_backend_cancelling_reaches_the_client(client, scripted, raw):
    raw.run(rawserver.script, "reset", "CANCEL")
    assert client.run(_plain_call, scripted)["trailers"]["grpc-status"] == "1"
