# SPDX-License-Identifier: MIT
"""The process at the other end of harness.agent: runs inside a host's namespace, calls functions
by module and name as it is told on stdin (length-prefixed pickles), one thread a request, answers
on stdout. Ends when stdin does, so that none outlives the test run."""
import importlib
import os
import pickle
import struct
import sys
import threading
import traceback


def main():
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the functions print goes to the log
    lock = threading.Lock()

    def answer(number, ok, value):
        body = pickle.dumps((number, ok, value))
        with lock:
            out.write(struct.pack("!I", len(body)) + body)
            out.flush()

    def perform(number, module, name, args, kwargs):
        try:
            function = importlib.import_module(module)
            for part in name.split("."):
                function = getattr(function, part)
            answer(number, True, function(*args, **kwargs))
        except BaseException:  # whatever it was, the test must see it
            answer(number, False, traceback.format_exc())

    while True:
        head = sys.stdin.buffer.read(4)
        if len(head) < 4:
            os._exit(0)
        request = pickle.loads(sys.stdin.buffer.read(struct.unpack("!I", head)[0]))
        threading.Thread(target=perform, args=request, daemon=True).start()


if __name__ == "__main__":
    main()
