# SPDX-License-Identifier: MIT
"""Counts outcomes over all suites and prints them: as they come, and once more at the end."""
import os
import time


class Tally:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(folder)
        self.passed = 0
        self.failed = []  # (suite, test, why)
        self.skipped = []
        self.suite = ""
        self._log = None
        self._begun = None

    def begin(self, suite):
        self.suite = suite
        self._log = open(os.path.join(self.folder, f"{suite}.log"), "w", encoding="utf-8")
        self._begun = (time.monotonic(), self.passed, len(self.failed), len(self.skipped))
        print(f"== {suite}", flush=True)

    def end(self):
        begun, passed, failed, skipped = self._begun
        print(f"== {self.suite}: {self.passed - passed} passed, {len(self.failed) - failed} failed, "
              f"{len(self.skipped) - skipped} skipped in {time.monotonic() - begun:.1f} s", flush=True)
        self._log.close()

    def log(self, text):
        self._log.write(text)
        self._log.flush()

    def say(self, text):
        print(f"   {text}", flush=True)

    def add_pass(self, count=1):
        self.passed += count

    def add_failure(self, test, why):
        self.failed.append((self.suite, test, why))

    def add_skip(self, test, why):
        self.skipped.append((self.suite, test, why or "no reason given"))

    def summary(self):
        """Prints what was skipped and what failed, then the one line. The exit code."""
        for suite, test, why in self.skipped:
            print(f"SKIP {suite} {test}: {why}")
        for suite, test, why in self.failed:
            print(f"FAIL {suite} {test}: {why}")
        print(f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped",
              flush=True)
        return 1 if self.failed else 0
