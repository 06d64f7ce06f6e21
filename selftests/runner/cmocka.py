# SPDX-License-Identifier: MIT
"""Runs one cmocka program and reads its default output. A test that cannot run prints a line
`SKIP: reason` before skip(); a whole program does so and exits 77."""
import re
import time

from . import process

LINE = re.compile(r"^\[\s*(RUN|OK|FAILED|ERROR|SKIPPED|=+)\s*\]\s*(\S*)")
SKIP = re.compile(r"\bSKIP:?\s+(.*)")
WHERE = re.compile(r"^(?:\[\s*LINE\s*\] --- )?(\S+:\d+): error: (.*)")


class Parser:
    """Feeds on lines; the outcomes of tests that ended, and the one that is running."""

    def __init__(self):
        self.passed, self.failed, self.skipped = [], [], []
        self.running = None
        self.reason = self.why = ""
        self.over = False  # behind the tests comes cmocka's own summary

    def feed(self, line):
        match = LINE.match(line)
        if not match:
            self._feed_text(line)
            return
        kind, test = match.groups()
        if self.over:
            return
        if kind == "RUN":
            self.running, self.reason, self.why = test, "", ""
        elif kind == "OK":
            self.passed.append(test)
            self.running = None
        elif kind == "SKIPPED":
            self.skipped.append((test, self.reason))
            self.running = None
        elif kind in ("FAILED", "ERROR"):
            # ERROR precedes a group's FAILED, or names what a fixture did.
            if kind == "FAILED" or not self.running:
                self.failed.append((test, self.why or "failed"))
                self.running = None
        elif "run." in line:
            self.over = True

    def _feed_text(self, line):
        skip, where = SKIP.search(line), WHERE.match(line)
        if skip:
            self.reason = skip.group(1).strip()
        elif where and not self.why:
            self.why = f"{where.group(1)}: {where.group(2)}"
        elif "ERROR: " in line or "runtime error: " in line:
            self.why = line.strip()
        elif not self.why and line.startswith("[  ERROR   ] --- "):
            self.why = line[17:].strip()


def run_program(tally, path, name, seconds, env):
    parser = Parser()
    begun = time.monotonic()
    code, output = process.run([path], seconds, parser.feed, env)
    tally.log(f"---- {name}\n{output}")
    tally.add_pass(len(parser.passed))
    for test, why in parser.skipped:
        tally.add_skip(f"{name} {test}", why)
    for test, why in parser.failed:
        tally.add_failure(f"{name} {test}", why)
    failed = len(parser.failed)
    if code == 77 and not parser.passed and not failed:
        tally.add_skip(name, parser.reason)
        tally.say(f"skip {name}: {parser.reason}")
        return
    if code != 0 and not failed:
        failed = 1
        where = f" in {parser.running}" if parser.running else ""
        tally.add_failure(name, process.how_it_ended(code) + where +
                          (f": {parser.why}" if parser.why else ""))
    skipped = f", {len(parser.skipped)} skipped" if parser.skipped else ""
    tally.say(f"{'FAIL' if failed else 'ok  '} {name}: {len(parser.passed)} passed"
              f"{skipped} ({time.monotonic() - begun:.1f} s)")
    if failed:
        print(output, flush=True)
