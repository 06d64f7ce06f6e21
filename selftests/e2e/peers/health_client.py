# SPDX-License-Identifier: MIT
"""A client of grpc.health.v1 (grpcio), for the agent: Check, List, Watches that a test reads step by
step, and requests whose bytes are the test's own."""
import itertools
import queue
import threading

import grpc

import health_pb2
import health_pb2_grpc

from . import calls

PATH = "/grpc.health.v1.Health/"
_watches = {}
_numbers = itertools.count(1)


def _stub(target):
    return health_pb2_grpc.HealthStub(calls.channel(target))


def check(target, service="", timeout=5):
    """ServingStatus's number, or minus the grpc-status."""
    try:
        return _stub(target).Check(health_pb2.HealthCheckRequest(service=service),
                                   timeout=timeout).status
    except grpc.RpcError as error:
        return -error.code().value[0]


def services(target, timeout=5):
    """ServingStatus by service; or minus the grpc-status."""
    try:
        reply = _stub(target).List(health_pb2.HealthListRequest(), timeout=timeout)
        return {name: status.status for name, status in reply.statuses.items()}
    except grpc.RpcError as error:
        return -error.code().value[0]


def raw(target, method, request, timeout=5):
    """The grpc-status and message of a call of method with these bytes as its message."""
    call = calls.channel(target).unary_unary(PATH + method, request_serializer=bytes,
                                             response_deserializer=bytes)
    try:
        call(request, timeout=timeout)
        return 0, ""
    except grpc.RpcError as error:
        return error.code().value[0], error.details()


class _Watch:
    def __init__(self, call):
        self.call, self.messages = call, queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for reply in self.call:
                self.messages.put(reply.status)
        except grpc.RpcError:
            pass
        self.messages.put(-self.call.code().value[0])


def watch(target, service="", timeout=60):
    """Begins a Watch; its number."""
    number = next(_numbers)
    call = _stub(target).Watch(health_pb2.HealthCheckRequest(service=service), timeout=timeout)
    _watches[number] = _Watch(call)
    return number


def watch_many(target, how_many, service=""):
    return [watch(target, service) for _ in range(how_many)]


def told(number, wait=5):
    """The next status that the Watch tells, or minus the grpc-status at its end; None: nothing came."""
    try:
        return _watches[number].messages.get(timeout=wait)
    except queue.Empty:
        return None


def end(number):
    _watches.pop(number).call.cancel()
