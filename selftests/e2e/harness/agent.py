# SPDX-License-Identifier: MIT
"""Runs the test's functions inside a host (a network namespace): agent.run(function, ...) calls
a module-level function of a peers or test module in the agent's process and returns its value."""
import itertools
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from concurrent.futures import Future

from .proc import SLOWER

HERE = os.path.dirname(os.path.abspath(__file__))


class AgentError(AssertionError):
    """The function raised; the text is its traceback. Or the agent died."""


class Agent:
    def __init__(self, host, log_path, python_path, wrap=()):
        env = dict(os.environ, PYTHONPATH=":".join(python_path), GRPC_ENABLE_FORK_SUPPORT="0",
                   PYTHONDONTWRITEBYTECODE="1")
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            env.pop(name, None)
        argv = [*host.enter(), *wrap, sys.executable, os.path.join(HERE, "agent_main.py")]
        with open(log_path, "ab") as log:
            self._popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           stderr=log, env=env)
        self.pid = self._popen.pid
        self.log_path = log_path
        self._numbers = itertools.count()
        self._pending = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._receive, daemon=True).start()

    def start(self, function, *args, **kwargs):
        """Begins function(*args, **kwargs) in the agent; a Future of its value."""
        future = Future()
        with self._lock:
            number = next(self._numbers)
            self._pending[number] = future
            body = pickle.dumps((number, function.__module__, function.__qualname__, args, kwargs))
            try:
                self._popen.stdin.write(struct.pack("!I", len(body)) + body)
                self._popen.stdin.flush()
            except OSError as error:
                raise AgentError(f"agent {self.pid} is gone: {error}") from None
        return future

    def run(self, function, *args, wait=60, **kwargs):
        """function's value, at most `wait` seconds later."""
        return self.start(function, *args, **kwargs).result(wait * SLOWER)

    def _receive(self):
        stream = self._popen.stdout
        while True:
            head = stream.read(4)
            if len(head) < 4:
                break
            number, ok, value = pickle.loads(stream.read(struct.unpack("!I", head)[0]))
            future = self._pending.pop(number)
            if ok:
                future.set_result(value)
            else:
                future.set_exception(AgentError(value))
        with self._lock:
            for future in self._pending.values():
                future.set_exception(AgentError(f"agent {self.pid} ended (log {self.log_path})"))
            self._pending.clear()

    def kill(self):
        """As kill -9 does it to a server: no goodbye."""
        if self._popen.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self._popen.wait()

    stop = kill
