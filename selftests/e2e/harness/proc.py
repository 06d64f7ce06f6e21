# SPDX-License-Identifier: MIT
"""Processes and waiting: bounded polling, commands that must succeed, processes with captured
output. Everything that waits in the tests waits through wait_for."""
import os
import signal
import subprocess
import time

# How much longer everything may take here than on a machine of today: in emulation, much.
SLOWER = float(os.environ.get("SLUICE_SLOWER", "1"))


def wait_for(predicate, timeout, what, interval=0.02):
    """Polls until predicate() is true and returns its value; AssertionError after timeout seconds.

    what: text, or a function that makes the text at the end (for what was seen last).
    """
    timeout *= SLOWER
    end = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(interval)


def holds_for(predicate, seconds, what, interval=0.05):
    """Asserts that predicate() stays true for that long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert predicate(), f"did not last {seconds} s: {what}"
        time.sleep(interval)


def run(*argv, timeout=20, check=True, input=None, cwd=None, env=None):
    """Runs a command; returns CompletedProcess with text output. check: non-zero raises."""
    done = subprocess.run(
        [str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=timeout * SLOWER, input=input, cwd=cwd, env=env)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}: "
                           f"{done.stderr.strip() or done.stdout.strip()}")
    return done


def alive(pid):
    """Whether a process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def resident_kib(pid):
    """Proportional set size in KiB: the process's own share of memory."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        for line in f:
            if line.startswith("Pss:"):
                return int(line.split()[1])
    raise RuntimeError(f"no Pss of {pid}")


class Process:
    """A long-running process whose stderr (and stdout) goes to a file."""

    def __init__(self, argv, log_path, env=None):
        self.argv = [str(a) for a in argv]
        self.log_path = str(log_path)
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, env=env)
        self.pid = self.popen.pid

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def wait(self, timeout):
        """The exit status; killed and AssertionError where it takes longer."""
        timeout *= SLOWER
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.argv[0]} did not end within {timeout} s; its log:\n"
                                 f"{self.log()[-4000:]}") from None

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()
