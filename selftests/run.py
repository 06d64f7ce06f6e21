#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs test suites and sums them up: the Makefile's check, unit, bpftest, interop, lint, fuzz.

    selftests/run.py [--build DIR] SUITE...     SUITE: all, or of the table below

Shows progress, keeps every suite's full output in DIR/check/SUITE.log, then lists each skip with
its reason and each failure, and ends with one line: N passed, N failed, N skipped. Exits 1 where
something failed. It builds what a suite needs; it installs nothing.
"""
import argparse
import os
import sys
import time

from runner import suites
from runner.tally import Tally

EVERY = {
    "build": suites.build,
    "lint": suites.lint,
    "unit": suites.unit,
    "bpf": suites.bpf,
    "e2e": suites.e2e,
    "interop": suites.interop,
    "build-san": suites.build_sanitized,
    "unit-san": suites.unit_sanitized,
    "e2e-san": suites.e2e_sanitized,
    "fuzz": suites.fuzz,
}
# Not in "all": parts of what is, and what takes long.
OTHERS = {
    "e2e-kernel": suites.e2e_kernel,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", default="build", help="the build tree (build)")
    parser.add_argument("--logs", help="where the full output goes (BUILD/check)")
    parser.add_argument("--seconds", type=int, default=60, help="for each fuzzer (60)")
    parser.add_argument("suite", nargs="+", choices=["all", *EVERY, *OTHERS])
    options = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    options.build = os.path.abspath(options.build)
    names = EVERY if "all" in options.suite else options.suite
    steps = {**EVERY, **OTHERS}

    try:
        tally = Tally(options.logs or os.path.join(options.build, "check"))
    except PermissionError:
        sys.exit(f"{options.build} is another user's (built as root?): remove it, or use sudo")
    begun = time.monotonic()
    for name in names:
        tally.begin(name)
        try:
            steps[name](tally, options)
        except suites.CannotGoOn:
            break
        finally:
            tally.end()
    print(f"\n{time.monotonic() - begun:.0f} s; full output in {tally.folder}")
    return tally.summary()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
