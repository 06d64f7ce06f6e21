# SPDX-License-Identifier: MIT
"""gRPC clients (grpcio), for the agent: one function a kind of call, each returns an Outcome."""
import itertools
import threading
import time
from dataclasses import dataclass, field

import grpc

import echo_pb2
import echo_pb2_grpc

DEADLINE = 30  # of calls that name none, seconds


@dataclass(frozen=True)
class Target:
    """Where and how to connect. roots: path of the CA's PEM; None: cleartext."""
    address: str
    roots: str = None
    name: str = "sluice.test"
    tag: str = ""  # targets that differ in it have connections of their own
    options: tuple = ()


@dataclass
class Outcome:
    code: int = 0
    details: str = ""
    initial: list = field(default_factory=list)
    trailing: list = field(default_factory=list)
    replies: list = field(default_factory=list)  # dicts
    seconds: float = 0.0
    began: float = 0.0  # CLOCK_MONOTONIC

    @property
    def reply(self):
        assert self.code == 0, f"grpc-status {self.code}: {self.details}"
        return self.replies[0]


_channels = {}
_lock = threading.Lock()


def new_channel(target):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
               ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0),
               ("grpc.initial_reconnect_backoff_ms", 100),
               ("grpc.min_reconnect_backoff_ms", 5000),  # also how long a connect may take
               ("grpc.max_reconnect_backoff_ms", 200), *target.options]
    if target.roots is None:
        return grpc.insecure_channel(target.address, options)
    with open(target.roots, "rb") as f:
        credentials = grpc.ssl_channel_credentials(f.read())
    options.append(("grpc.ssl_target_name_override", target.name))
    return grpc.secure_channel(target.address, credentials, options)


def channel(target):
    with _lock:
        if target not in _channels:
            _channels[target] = new_channel(target)
        return _channels[target]


def close(target):
    """Disconnects the target's channel."""
    with _lock:
        if target in _channels:
            _channels.pop(target).close()


def close_all():
    """Disconnects every channel, so that a daemon that ends now need not wait for them."""
    with _lock:
        while _channels:
            _channels.popitem()[1].close()


def stub(target):
    return echo_pb2_grpc.EchoStub(channel(target))


def as_dict(reply):
    return {"payload": reply.payload, "backend": reply.backend, "received": reply.received,
            "received_bytes": reply.received_bytes, "peer": reply.peer,
            "time_remaining": reply.time_remaining,
            "metadata": [(p.key, p.value) for p in reply.metadata]}


def _pairs(metadata):
    return [(k, v) for k, v in metadata or ()]


def finish(call, began, replies):
    """The Outcome of a call that has ended."""
    return Outcome(code=call.code().value[0], details=call.details() or "",
                   initial=_pairs(call.initial_metadata()),
                   trailing=_pairs(call.trailing_metadata()), replies=replies,
                   seconds=time.monotonic() - began, began=began)


def _collect(call, began, keep):
    replies = []
    try:
        for reply in call:
            replies.append(as_dict(reply) if keep else len(reply.payload))
    except grpc.RpcError:
        pass
    return finish(call, began, replies)


def unary(target, metadata=(), timeout=DEADLINE, wait_for_ready=False, **fields):
    began = time.monotonic()
    future = stub(target).Unary.future(echo_pb2.Request(**fields), timeout=timeout,
                                       metadata=tuple(metadata), wait_for_ready=wait_for_ready)
    replies = []
    try:
        replies.append(as_dict(future.result()))
    except (grpc.RpcError, grpc.FutureCancelledError):
        pass
    return finish(future, began, replies)


def client_stream(target, requests, metadata=(), timeout=DEADLINE):
    """requests: list of dicts of Request's fields."""
    began = time.monotonic()
    future = stub(target).ClientStream.future(iter([echo_pb2.Request(**r) for r in requests]),
                                              timeout=timeout, metadata=tuple(metadata))
    replies = []
    try:
        replies.append(as_dict(future.result()))
    except (grpc.RpcError, grpc.FutureCancelledError):
        pass
    return finish(future, began, replies)


def server_stream(target, metadata=(), timeout=DEADLINE, keep=True, **fields):
    """keep False: replies holds the payloads' sizes only."""
    began = time.monotonic()
    call = stub(target).ServerStream(echo_pb2.Request(**fields), timeout=timeout,
                                     metadata=tuple(metadata))
    return _collect(call, began, keep)


def bidi(target, requests, metadata=(), timeout=DEADLINE):
    """Ping-pong: each request is sent when the reply to the one before it is here."""
    began = time.monotonic()
    turn = threading.Semaphore(1)
    stop = threading.Event()

    def produce():
        for fields in requests:
            turn.acquire()
            if stop.is_set():
                return
            yield echo_pb2.Request(**fields)

    call = stub(target).Bidi(produce(), timeout=timeout, metadata=tuple(metadata))
    replies = []
    try:
        for reply in call:
            replies.append(as_dict(reply))
            turn.release()
    except grpc.RpcError:
        pass
    stop.set()
    turn.release()
    return finish(call, began, replies)


def many(target, how_many, timeout=DEADLINE, **fields):
    """how_many unary calls at once on one connection; their Outcomes."""
    began = time.monotonic()
    request = echo_pb2.Request(**fields)
    method = stub(target).Unary
    futures = [method.future(request, timeout=timeout) for _ in range(how_many)]
    outcomes = []
    for future in futures:
        replies = []
        try:
            replies.append(as_dict(future.result()))
        except grpc.RpcError:
            pass
        outcomes.append(finish(future, began, replies))
    return outcomes


# Streams that a test drives step by step, by number.
_open = {}
_numbers = itertools.count(1)


class _Feed:
    """An iterator of requests that blocks until the test gives one."""

    def __init__(self):
        self._condition = threading.Condition()
        self._items = []
        self._ended = False

    def give(self, item=None, end=False):
        with self._condition:
            if item is not None:
                self._items.append(item)
            self._ended = self._ended or end
            self._condition.notify()

    def __iter__(self):
        return self

    def __next__(self):
        with self._condition:
            while not self._items and not self._ended:
                self._condition.wait()
            if self._items:
                return self._items.pop(0)
            raise StopIteration


def open_bidi(target, metadata=(), timeout=DEADLINE):
    """Begins a bidirectional call that stays open; a number for the functions below."""
    feed = _Feed()
    call = stub(target).Bidi(feed, timeout=timeout, metadata=tuple(metadata))
    number = next(_numbers)
    _open[number] = (call, feed, time.monotonic())
    return number


def open_server_stream(target, metadata=(), timeout=DEADLINE, **fields):
    call = stub(target).ServerStream(echo_pb2.Request(**fields), timeout=timeout,
                                     metadata=tuple(metadata))
    number = next(_numbers)
    _open[number] = (call, None, time.monotonic())
    return number


def open_unary(target, metadata=(), timeout=DEADLINE, **fields):
    call = stub(target).Unary.future(echo_pb2.Request(**fields), timeout=timeout,
                                     metadata=tuple(metadata))
    number = next(_numbers)
    _open[number] = (call, None, time.monotonic())
    return number


def exchange(number, **fields):
    """Sends one request on an open stream and returns the next reply."""
    send(number, **fields)
    return receive(number)


def send(number, **fields):
    _open[number][1].give(echo_pb2.Request(**fields))


def receive(number):
    return as_dict(next(_open[number][0]))


def initial_metadata(number):
    """Waits for the call's initial metadata."""
    return _pairs(_open[number][0].initial_metadata())


def cancel(number):
    call, _, began = _open.pop(number)
    call.cancel()
    return finish(call, began, [])


def end(number):
    """Half-closes an open stream, reads the rest and returns its Outcome."""
    call, feed, began = _open.pop(number)
    if feed:
        feed.give(end=True)
    return _collect(call, began, True)


def end_when_over(number):
    """Waits for the end that the other side gives an open stream; its Outcome."""
    call, _, began = _open.pop(number)
    return _collect(call, began, True)


def result(number):
    """Waits for an open_unary call."""
    call, _, began = _open.pop(number)
    return _result(call, began)


def _result(call, began):
    replies = []
    try:
        replies.append(as_dict(call.result()))
    except (grpc.RpcError, grpc.FutureCancelledError):
        pass
    return finish(call, began, replies)
