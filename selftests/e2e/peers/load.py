# SPDX-License-Identifier: MIT
"""A steady load of calls in the background of a test, and what became of each."""
import collections
import threading
import time
from dataclasses import dataclass, field

import grpc

import echo_pb2
import echo_pb2_grpc

from . import calls


@dataclass
class Report:
    done: int = 0
    by_backend: dict = field(default_factory=dict)
    failures: list = field(default_factory=list)  # (began, ended, code, details), CLOCK_MONOTONIC
    last_begin: float = 0.0


class _Load:
    def __init__(self, target, threads, connections, pause, fields, timeout):
        self.stop = threading.Event()
        self.timeout = timeout
        self.report = Report(by_backend=collections.Counter())
        self._lock = threading.Lock()
        self._channels = [calls.new_channel(target) for _ in range(connections)]
        self._threads = [
            threading.Thread(target=self._work, daemon=True,
                             args=(self._channels[i % connections], pause, fields))
            for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def _work(self, channel, pause, fields):
        method = echo_pb2_grpc.EchoStub(channel).Unary
        request = echo_pb2.Request(**fields)
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                reply = method(request, timeout=self.timeout)
                with self._lock:
                    self.report.done += 1
                    self.report.by_backend[reply.backend] += 1
                    self.report.last_begin = max(self.report.last_begin, began)
            except grpc.RpcError as error:
                with self._lock:
                    self.report.failures.append(
                        (began, time.monotonic(), error.code().value[0], error.details()))
            if pause:
                time.sleep(pause)

    def finish(self):
        self.stop.set()
        for thread in self._threads:
            thread.join(30)
        for channel in self._channels:
            channel.close()
        return self.report


_loads = {}


def start(name, target, threads=6, connections=3, pause=0.005, timeout=20, **fields):
    """Unary calls from `threads` threads over `connections` connections until finish(name)."""
    _loads[name] = _Load(target, threads, connections, pause, fields, timeout)


def done(name):
    """Calls answered so far."""
    return _loads[name].report.done


def failed(name):
    return list(_loads[name].report.failures)


def finish(name):
    """Stops beginning calls, waits for those under way; the Report."""
    report = _loads.pop(name).finish()
    report.by_backend = dict(report.by_backend)
    return report
