#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""load.py TARGET CA SECONDS - a steady load of unary calls and short bidirectional streams; at the
end one line of JSON: {"ok": N, "failed": N, "errors": {"CODE: text": N}}."""
import collections
import json
import queue
import sys
import threading
import time

import grpc

import echo_pb2
import echo_pb2_grpc
from channel import channel

CONNECTIONS, UNARY, STREAMS, MESSAGES, PAUSE, TIMEOUT = 2, 4, 1, 10, 0.005, 20
REQUEST = echo_pb2.Request(payload=b"load")


class Report:
    def __init__(self):
        self.ok, self.failed, self.errors = 0, 0, collections.Counter()
        self._lock = threading.Lock()

    def count(self, error=None):
        with self._lock:
            if error is None:
                self.ok += 1
            else:
                self.failed += 1
                self.errors[error] += 1


def unary(stub):
    stub.Unary(REQUEST, timeout=TIMEOUT)


def stream(stub):
    """Ping-pong; an error where not all replies came."""
    requests = queue.Queue()
    requests.put(REQUEST)
    received = 0
    for _ in stub.Bidi(iter(requests.get, None), timeout=TIMEOUT):
        received += 1
        time.sleep(PAUSE)
        requests.put(REQUEST if received < MESSAGES else None)
    if received != MESSAGES:
        raise ValueError(f"{received} of {MESSAGES} replies")


def work(report, stub, call, end):
    while time.monotonic() < end:
        try:
            call(stub)
            report.count()
        except grpc.RpcError as error:
            report.count(f"{error.code().value[0]}: {error.details()}")
        except ValueError as error:
            report.count(f"-1: {error}")
        time.sleep(PAUSE)


def main():
    target, ca, seconds = sys.argv[1:]
    end = time.monotonic() + float(seconds)
    report, channels, threads = Report(), [], []
    for _ in range(CONNECTIONS):
        channels.append(channel(target, ca))
        stub = echo_pb2_grpc.EchoStub(channels[-1])
        for call in [unary] * UNARY + [stream] * STREAMS:
            threads.append(threading.Thread(target=work, args=(report, stub, call, end)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in channels:
        each.close()
    print(json.dumps({"ok": report.ok, "failed": report.failed, "errors": report.errors}))


main()
