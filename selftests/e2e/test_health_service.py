# SPDX-License-Identifier: MIT
"""`health_service: true`: sluice itself answers grpc.health.v1 for the node and for every group."""
import signal

import pytest

from harness import languages
from harness.lab import HERE, wait_for
from peers import calls, h2raw, health_client

pytestmark = pytest.mark.l7
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends):
    config = lab.config([backends[0]])
    config["listeners"][0]["health_service"] = True
    lab.add_listener(config, 444, "plain", [backends[1]])
    yield daemons(config, "off")
    daemons.stop()


@pytest.fixture
def target(lab, request):
    return lab.target(tag=request.node.nodeid)


def test_check_answers_for_the_node_and_each_group(client, sluice, target, backends):
    assert client.run(health_client.check, target) == SERVING
    assert client.run(health_client.check, target, "echo") == SERVING
    assert client.run(health_client.check, target, "plain") == SERVING
    assert client.run(health_client.check, target, "nobody") == -5
    checks = backends[0].count()["checks"]  # the monitor's own
    assert [client.run(health_client.check, target, "echo") for _ in range(20)] == [SERVING] * 20
    assert backends[0].count()["checks"] - checks < 15
    backends[0].set_health(services={"": 2})
    wait_for(lambda: client.run(health_client.check, target, "echo") == NOT_SERVING, 5, "it is down")
    assert client.run(health_client.check, target) == SERVING
    backends[0].set_health()
    wait_for(lambda: client.run(health_client.check, target, "echo") == SERVING, 5, "it is up")


def test_list_names_all(client, sluice, target):
    assert client.run(health_client.services, target) == {
        "": SERVING, "echo": SERVING, "plain": SERVING}


def test_watch_sends_at_once_and_then_each_change(client, sluice, target, backends):
    node, group, nobody = [client.run(health_client.watch, target, s)
                           for s in ("", "echo", "nobody")]
    assert client.run(health_client.told, node) == SERVING
    assert client.run(health_client.told, group) == SERVING
    assert client.run(health_client.told, nobody) == SERVICE_UNKNOWN
    sluice.ctl.raw("health", "echo", backends[0].address, "down")
    assert client.run(health_client.told, group) == NOT_SERVING
    sluice.ctl.raw("health", "echo", backends[0].address, "auto")
    assert client.run(health_client.told, group) == SERVING
    sluice.ctl.raw("drain", "echo", backends[0].address)
    assert client.run(health_client.told, group) == NOT_SERVING
    sluice.ctl.raw("undrain", "echo", backends[0].address)
    assert client.run(health_client.told, group) == SERVING
    assert client.run(health_client.told, node, 0.3) is None  # no news
    for number in (node, group, nobody):
        client.run(health_client.end, number)
    wait_for(lambda: sluice.ctl.json("status")["active_rpcs"] == 0, 5, "they are gone")


def test_watch_follows_a_reload(client, sluice, target):
    number = client.run(health_client.watch, target, "later")
    assert client.run(health_client.told, number) == SERVICE_UNKNOWN
    sluice.config["groups"].append({**sluice.group("plain"), "name": "later"})
    sluice.reload()
    assert client.run(health_client.told, number) == SERVING
    sluice.config["groups"].pop()
    sluice.reload()
    assert client.run(health_client.told, number) == SERVICE_UNKNOWN
    client.run(health_client.end, number)


def test_a_drained_listener_is_not_serving(client, sluice, target):
    node, group = [client.run(health_client.watch, target, s) for s in ("", "echo")]
    assert [client.run(health_client.told, n) for n in (node, group)] == [SERVING, SERVING]
    assert sluice.ctl.raw("drain", "listener", "echo").returncode == 0
    assert [client.run(health_client.told, n) for n in (node, group)] == [NOT_SERVING] * 2
    assert [client.run(health_client.told, n) for n in (node, group)] == [-14] * 2
    assert sluice.ctl.raw("undrain", "listener", "echo").returncode == 0
    wait_for(lambda: client.run(health_client.check, target) == SERVING, 5, "it serves again")


@pytest.mark.parametrize("method,request_bytes,status", [
    ("Check", b"\x0a\x05ab", 13),              # a length beyond the end
    ("Check", b"\x0b", 13),                    # a group
    ("Check", b"\x0a\x03a\x00b", 3),           # a NUL
    ("Check", b"\x0a" + b"\x80" * 11, 13),     # a varint without end
    ("Check", b"\x0a\x04echo" + b"\x12\x03abc" + b"\x18\x07", 0),  # unknown fields
    ("Check", b"\x0a\x04nope\x0a\x04echo", 0),  # the last one counts
    ("Check", b"x" * 2000, 8),
    ("Watch", b"x" * 100000, 8),
    ("Watch", b"\x0a\x05ab", 13),
    ("Nothing", b"", 12),
    ("", b"", 12)])
def test_requests_that_make_no_sense_get_a_status(client, sluice, target, method, request_bytes,
                                                  status):
    assert client.run(health_client.raw, target, method, request_bytes)[0] == status


def _check_with(address, chunks):
    """The grpc-status of a Check whose body is these bytes, chunk by chunk."""
    connection = h2raw.Client(address, h2raw.tls_context()).hello()
    connection.request(replace={":path": "/grpc.health.v1.Health/Check"}.items(),
                       end=not chunks)
    for i, chunk in enumerate(chunks):
        connection.data(1, chunk, end=i == len(chunks) - 1)
    trailers = connection.answer(1)["trailers"]
    connection.close()
    return int(trailers["grpc-status"])


@pytest.mark.parametrize("chunks,status", [
    ([], 13), ([b""], 13), ([b"\0\0\0"], 13), ([b"\0\0\0\0\x05"], 13), ([b"\0\0\0\0\0\0"], 13),
    ([b"\x01\0\0\0\0"], 12), ([b"\0\xff\xff\xff\xff"], 13),
    ([b"\0\0", b"\0\0", b"\x06\x0a", b"\x04ec", b"ho"], 0)])
def test_bodies_that_are_not_one_message_get_a_status(lab, client, sluice, chunks, status):
    address = (lab.world.lb.address, lab.world.port(443))
    assert client.run(_check_with, address, chunks) == status


def test_calls_of_other_services_go_to_the_backends(client, sluice, target, backends, lab):
    assert client.run(calls.unary, target).reply["backend"] == backends[0].name
    plain = lab.target(tag="plain", port=444)
    before = backends[1].count().get("checks", 0)
    assert client.run(health_client.check, plain) == SERVING  # the backend's own answer
    assert backends[1].count()["checks"] > before


def test_many_watches_cost_one_timer_and_all_hear(client, sluice, target, backends):
    numbers = client.run(health_client.watch_many, target, 100, "echo")
    assert {client.run(health_client.told, n) for n in numbers} == {SERVING}
    sluice.ctl.raw("health", "echo", backends[0].address, "down")
    assert {client.run(health_client.told, n) for n in numbers} == {NOT_SERVING}
    sluice.ctl.raw("health", "echo", backends[0].address, "auto")
    assert {client.run(health_client.told, n) for n in numbers} == {SERVING}
    for number in numbers:
        client.run(health_client.end, number)


def test_a_deadline_holds_for_a_watch(client, sluice, target):
    number = client.run(health_client.watch, target, "", timeout=0.5)
    assert client.run(health_client.told, number) == SERVING
    assert client.run(health_client.told, number) == -4


def test_answers_are_counted_as_sluices_own_and_not_as_failures(client, sluice, target):
    before = sluice.ctl.json("status")
    for _ in range(5):
        client.run(health_client.check, target)
        client.run(health_client.check, target, "nobody")
    after = sluice.ctl.json("status")
    assert after["events"]["answered_here"] - before["events"]["answered_here"] == 10
    assert after["calls_failed"] == before["calls_failed"]


def test_grpcurl_as_a_readiness_probe(lab, sluice, target):
    try:
        folder = languages.language("go", lab.build).folder
    except languages.Unavailable as why:
        pytest.skip(str(why))
    done = lab.world.client.run(
        folder / "grpcurl", "-insecure", "-import-path", HERE / "proto", "-proto", "health.proto",
        "-d", '{"service": "echo"}', target.address, "grpc.health.v1.Health/Check")
    assert '"status": "SERVING"' in done.stdout


def test_draining_is_not_serving_and_ends_watches(lab, client, daemon, backends):
    config = lab.config([backends[0]], drain={"grace": "20s", "jitter": "0ms"})
    config["listeners"][0].update(health_service=True,
                                  address=f"{lab.world.lb.address}:{lab.world.port(9444)}")
    sluice = daemon(config, "off")
    target = lab.target(port=9444, tag="draining")
    number = client.run(health_client.watch, target)
    assert client.run(health_client.told, number) == SERVING
    held = client.run(calls.open_bidi, target, timeout=60)
    client.run(calls.exchange, held, payload=b"x")
    sluice.signal(signal.SIGTERM)
    assert client.run(health_client.told, number) == NOT_SERVING
    assert client.run(health_client.told, number) == -14
    assert client.run(calls.exchange, held, payload=b"y")["received"] == 2
    assert client.run(calls.end, held).code == 0
    assert sluice.process.wait(10) == 0
