#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""client.py TARGET CA - calls the Echo service in every way (../README.md has the cases), and prints
one line of JSON: {"CASE": "" or what went wrong}."""
import json
import queue
import sys
import time

import grpc

import echo_pb2
import echo_pb2_grpc
from channel import channel

MESSAGE = '50% of "it" failed: é, 日本, \ttab'
BINARY = bytes([0, 1, 2, 127, 128, 255])
MEBI, TIMEOUT = 1 << 20, 20


def request(**fields):
    return echo_pb2.Request(**fields)


def want(good, otherwise):
    if not good:
        raise AssertionError(otherwise)


def unary(stub, metadata=(), timeout=TIMEOUT, **fields):
    """The call, ended, without its error raised."""
    call = stub.Unary.future(request(**fields), timeout=timeout, metadata=metadata)
    call.exception()
    return call


def good(call):
    want(call.code() == grpc.StatusCode.OK, f"{call.code()} {call.details()}")
    return call.result()


def drain(call):
    """Reads a stream to its end: how many replies came."""
    received = 0
    try:
        for _ in call:
            received += 1
    except grpc.RpcError:
        pass
    return received


def expect(call, code, message=None):
    want(call.code() == code and message in (None, call.details()),
         f"{call.code()} {call.details()}")


def case_unary(stub, _):
    reply = good(unary(stub, payload=b"hello"))
    want(reply.payload == b"hello" and reply.received == 1, str(reply))


def case_empty(stub, _):
    want(good(unary(stub)).payload == b"", "a payload")
    call = stub.Bidi(iter(()), timeout=TIMEOUT)
    want(drain(call) == 0, "a reply")
    expect(call, grpc.StatusCode.OK)


def case_large(stub, _):
    payload = b"x" * MEBI
    want(good(unary(stub, payload=payload)).payload == payload, "other bytes came back")


def case_client_stream(stub, _):
    reply = stub.ClientStream(iter([request(payload=b"x" * 1000)] * 20), timeout=TIMEOUT)
    want((reply.received, reply.received_bytes) == (20, 20000), str(reply))


def case_server_stream(stub, _, size=1000, count=20):
    call = stub.ServerStream(request(reply_count=count, reply_bytes=size), timeout=TIMEOUT)
    received = drain(call)
    expect(call, grpc.StatusCode.OK)
    want(received == count, f"{received} replies")


def case_large_stream(stub, _):
    case_server_stream(stub, _, size=65536, count=64)


def case_bidi(stub, _):
    requests = queue.Queue()
    call = stub.Bidi(iter(requests.get, None), timeout=TIMEOUT)
    for i in range(1, 11):
        requests.put(request(payload=f"message {i}".encode()))
        reply = next(call)
        want(reply.payload == f"message {i}".encode() and reply.received == i, str(reply))
    requests.put(None)
    want(drain(call) == 0, "one more reply")
    expect(call, grpc.StatusCode.OK)


def case_metadata(stub, _):
    call = unary(stub, (("echo-a", "one"), ("echo-b-bin", BINARY), ("trail-a", "two"),
                        ("trail-b-bin", BINARY), ("plain", "three")))
    seen = {p.key: p.value for p in good(call).metadata}
    want(seen.get("plain") == b"three" and seen.get("echo-b-bin") == BINARY, f"saw {seen}")
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    want(initial.get("echo-a") == "one" and initial.get("echo-b-bin") == BINARY, f"{initial}")
    want(trailing.get("trail-a") == "two" and trailing.get("trail-b-bin") == BINARY, f"{trailing}")


def case_status(stub, _):
    call = unary(stub, (("trail-b-bin", BINARY),), status=9, message=MESSAGE, fail_first=True)
    expect(call, grpc.StatusCode.FAILED_PRECONDITION, MESSAGE)
    trailing = dict(call.trailing_metadata())
    want(trailing.get("trail-b-bin") == BINARY, f"trailing metadata {trailing}")


def case_status_after_replies(stub, _):
    call = stub.ServerStream(request(reply_count=3, status=10, message=MESSAGE), timeout=TIMEOUT)
    want(drain(call) == 3, "not 3 replies")
    expect(call, grpc.StatusCode.ABORTED, MESSAGE)


def case_deadline(stub, _):
    began = time.monotonic()
    expect(unary(stub, timeout=0.3, sleep_ms=5000), grpc.StatusCode.DEADLINE_EXCEEDED)
    want(time.monotonic() - began < 3, "late")


def case_deadline_seen(stub, _):
    left = good(unary(stub)).time_remaining
    want(1 < left <= 30, f"the server has {left} s")


def case_cancel(stub, _):
    requests = queue.Queue()
    requests.put(request())
    call = stub.Bidi(iter(requests.get, None), timeout=TIMEOUT)
    next(call)
    call.cancel()
    drain(call)
    requests.put(None)
    expect(call, grpc.StatusCode.CANCELLED)


def case_unimplemented(_, way):
    for path in ("/sluice.test.Echo/Missing", "/sluice.test.Missing/Unary"):
        call = way.unary_unary(path).future(b"", timeout=TIMEOUT)
        call.exception()
        expect(call, grpc.StatusCode.UNIMPLEMENTED)


def case_many(stub, _):
    message = request(payload=b"x" * 1000)
    for call in [stub.Unary.future(message, timeout=TIMEOUT) for _ in range(100)]:
        call.exception()
        good(call)


def main():
    way = channel(*sys.argv[1:])
    stub = echo_pb2_grpc.EchoStub(way)
    results = {}
    for name, run in list(globals().items()):
        if not name.startswith("case_"):
            continue
        results[name[len("case_"):]] = ""
        try:
            run(stub, way)
        except Exception as error:  # whatever it was, it belongs into the report
            results[name[len("case_"):]] = f"{type(error).__name__}: {error}"
    way.close()
    print(json.dumps(results))


main()
