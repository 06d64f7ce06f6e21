# SPDX-License-Identifier: MIT
"""Runs one program under a pseudo-terminal, so that its lines come in order and at once, with a
limit on time; whatever it leaves behind in its session's process group is ended with it."""
import os
import pty
import select
import signal
import subprocess
import time


def _ends():
    """Where output is read, and where it is written; a pipe where there are no terminals."""
    try:
        return pty.openpty()
    except OSError:
        return os.pipe()


def run(command, seconds, on_line=None, env=None):
    """(exit code or -signal, or None where the time ran out; output)"""
    master, slave = _ends()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
                               env=env, start_new_session=True)
    os.close(slave)
    deadline = time.monotonic() + seconds
    output, rest, timed_out = [], b"", False
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                timed_out = True
                break
            if not select.select([master], [], [], min(left, 1))[0]:
                if process.poll() is not None:
                    break  # a child of its holds the terminal
                continue
            try:
                data = os.read(master, 65536)
            except OSError:  # the last writer is gone
                break
            if not data:
                break
            rest += data
            *lines, rest = rest.split(b"\n")
            for line in lines:
                text = line.decode("utf-8", "replace").rstrip("\r")
                output.append(text + "\n")
                if on_line:
                    on_line(text)
        if rest:
            output.append(rest.decode("utf-8", "replace") + "\n")
    finally:
        try:
            if not timed_out:
                process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            timed_out = True
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        code = process.wait()
        os.close(master)
    return (None if timed_out else code), "".join(output)


def how_it_ended(code):
    if code is None:
        return "took too long and was killed"
    if code < 0:
        return f"died by {signal.Signals(-code).name}"
    return f"exit code {code}"
