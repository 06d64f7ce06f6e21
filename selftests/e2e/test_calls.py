# SPDX-License-Identifier: MIT
"""Calls cross sluice whole: the four kinds, sizes, concurrency, metadata, statuses."""
import pytest

from peers import calls

pytestmark = pytest.mark.l7


@pytest.fixture(scope="module")
def target(lab, daemons, backends, mode):
    config = lab.config(backends)
    config["listeners"][0]["limits"] = {"streams": 1000}
    daemons(config, mode)
    yield lab.target()
    daemons.stop()


def test_unary(client, target):
    outcome = client.run(calls.unary, target, payload=b"hello")
    assert outcome.reply["payload"] == b"hello"


def test_client_streaming(client, target):
    outcome = client.run(calls.client_stream, target, [{"payload": b"x" * i} for i in range(100)])
    assert outcome.reply["received"] == 100
    assert outcome.reply["received_bytes"] == sum(range(100))


def test_server_streaming(client, target):
    outcome = client.run(calls.server_stream, target, payload=b"y", reply_count=200)
    assert outcome.code == 0
    assert [r["received"] for r in outcome.replies] == list(range(1, 201))


def test_bidirectional_streaming_interleaved(client, target):
    requests = [{"payload": b"%d" % i, "reply_count": 1} for i in range(100)]
    outcome = client.run(calls.bidi, target, requests)
    assert outcome.code == 0
    assert [r["payload"] for r in outcome.replies] == [b"%d" % i for i in range(100)]


def test_two_streams_of_one_connection_go_on_independently(client, target):
    first, second = (client.run(calls.open_bidi, target) for _ in range(2))
    for i in range(10):
        for stream in (first, second):
            assert client.run(calls.exchange, stream, payload=b"%d" % i)["received"] == i + 1
    assert [client.run(calls.end, s).code for s in (second, first)] == [0, 0]


def _big(target, size):
    """64 MiB there and back without carrying them to the test."""
    payload = bytes(range(256)) * (size // 256)
    outcome = calls.unary(target, payload=payload, timeout=60)
    return outcome.code, outcome.details, bool(outcome.replies) and \
        outcome.replies[0]["payload"] == payload


def test_messages_of_64_mib_cross_both_ways(client, target):
    assert client.run(_big, target, 64 << 20, wait=90) == (0, "", True)


def test_an_empty_message_crosses(client, target):
    assert client.run(calls.unary, target).reply["payload"] == b""


def _thousand(target):
    outcomes = calls.many(target, 1000, sleep_ms=1500, timeout=40)
    return [o.code for o in outcomes], max(o.seconds for o in outcomes)


def test_1000_concurrent_streams_on_one_connection(client, target):
    codes, seconds = client.run(_thousand, target, wait=90)
    assert codes == [0] * 1000
    assert seconds < 20  # at once: one after another they would take 1500 s


def test_metadata_keeps_order_repeated_keys_and_binary_values(client, target):
    sent = [("echo-b", "1"), ("echo-a", "first"), ("echo-a", "second"), ("echo-c-bin", b"\0\xff\n"),
            ("trail-z", "last"), ("trail-bin", bytes(range(256)))]
    outcome = client.run(calls.unary, target, metadata=sent)
    mine = [(k, v) for k, v in outcome.reply["metadata"] if k.startswith(("echo-", "trail-"))]
    assert mine == [(k, v if isinstance(v, bytes) else v.encode()) for k, v in sent]
    assert [p for p in outcome.initial if p[0].startswith("echo-")] == sent[:4]
    assert [p for p in outcome.trailing if p[0].startswith("trail-")] == sent[4:]


def test_metadata_of_many_kib_crosses(client, target):
    sent = [(f"echo-{i}", "v" * 600) for i in range(10)]
    outcome = client.run(calls.unary, target, metadata=sent)
    assert [p for p in outcome.initial if p[0].startswith("echo-")] == sent


def test_initial_metadata_arrives_before_the_first_message(client, target):
    stream = client.run(calls.open_bidi, target,
                        metadata=[("flush-initial", "1"), ("echo-now", "yes")])
    assert ("echo-now", "yes") in client.run(calls.initial_metadata, stream, wait=5)
    assert client.run(calls.end, stream).code == 0


@pytest.mark.parametrize("status", range(1, 17))
def test_every_status_crosses_with_its_message(client, target, status):
    text = f"message {status}: 50% ü 日本\n"
    outcome = client.run(calls.unary, target, status=status, message=text)
    assert (outcome.code, outcome.details) == (status, text)


def test_trailers_only_answer_crosses(client, target):
    outcome = client.run(calls.unary, target, status=9, fail_first=True, message="no",
                         metadata=[("trail-why", "because")])
    assert (outcome.code, outcome.details) == (9, "no")
    assert ("trail-why", "because") in outcome.trailing


def test_server_stream_that_fails_keeps_its_messages_and_status(client, target):
    outcome = client.run(calls.server_stream, target, reply_count=3, status=10, message="stop",
                         metadata=[("trail-x", "1")])
    assert (len(outcome.replies), outcome.code, outcome.details) == (3, 10, "stop")
    assert ("trail-x", "1") in outcome.trailing


def test_unknown_method_is_answered_by_the_backend(client, target):
    outcome = client.run(_unknown_method, target)
    assert outcome.code == 12


def _unknown_method(target):
    import grpc
    import time
    began = time.monotonic()
    method = calls.channel(target).unary_unary("/sluice.test.Echo/Nothing")
    future = method.future(b"", timeout=10)
    try:
        future.result()
    except grpc.RpcError:
        pass
    return calls.finish(future, began, [])


def test_early_end_reaches_a_client_that_is_still_sending(client, target):
    outcome = client.run(_early_end, target)
    assert (outcome.code, outcome.details) == (8, "enough")
    assert ("trail-end", "whole") in outcome.trailing


def _early_end(target):
    """The backend ends at the first message; the client goes on sending for ever."""
    number = calls.open_bidi(target, metadata=[("trail-end", "whole")])
    calls.send(number, status=8, message="enough")
    for _ in range(64):
        calls.send(number, payload=bytes(16384))
    return calls.end(number)


def test_ipv6_client_is_served(lab, client, target):
    if not lab.world.isolated:
        pytest.skip(lab.world.why_not)
    assert client.run(calls.unary, lab.target(lab.world.lb.address6), payload=b"6").code == 0
