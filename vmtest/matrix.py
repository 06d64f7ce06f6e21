# SPDX-License-Identifier: MIT
"""Reads what a machine prints, sums up, and writes docs/KERNELS.md."""
import re

MARK = "@vmtest "
SUITE = re.compile(r"^== ([\w-]+): (\d+) passed, (\d+) failed, (\d+) skipped")


class Reader:
    def __init__(self):
        self.features, self.suites = {}, {}
        self.failures, self.skips = [], []
        self.ended = False

    def feed(self, line):
        line = re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip()
        suite = SUITE.match(line)
        if suite:
            self.suites[suite.group(1)] = [int(number) for number in suite.groups()[1:]]
        elif line.startswith(MARK + "feature "):
            name, _, value = line[len(MARK + "feature "):].partition("=")
            self.features[name] = value
        elif line.startswith(MARK + "ended "):
            self.ended = True
        elif line.startswith("FAIL ") and ":" in line:
            self.failures.append(line[len("FAIL "):])
        elif line.startswith("SKIP "):
            self.skips.append(line[len("SKIP "):])

    def result(self):
        return {"suites": self.suites, "features": self.features,
                "failures": self.failures, "skips": self.skips}


def failed(result):
    return bool(result.get("failures")) or any(numbers[1] for numbers in
                                               result.get("suites", {}).values())


def summary(results):
    for result in results:
        if "skipped" in result:
            print(f"SKIP {result['kernel']}: {result['skipped']}")
            continue
        suites = ", ".join(f"{name} {passed} passed, {bad} failed, {skipped} skipped"
                           for name, (passed, bad, skipped) in result["suites"].items())
        print(f"{'FAIL' if failed(result) else 'ok  '} Linux {result['release']} "
              f"({result['how']}, {result['seconds']} s): {suites or 'nothing ran'}")
        for line in result["failures"]:
            print(f"     {line}")
    return 1 if any(failed(result) for result in results) else 0


HEAD = """# Kernels

Which kernels sluice was run on, and what each can do. `make vmtest` boots them by virtme-ng, runs the
BPF tests and the end-to-end tests of the kernel's part inside, and writes this page. Machines are
made with KVM where it works, else in emulation: no times are compared there.

"""

FOOT = """
A kernel from 5.18 on is needed for the programs (XDP fragments); without one, and without rights,
`kernel.mode: auto` leaves the kernel's part away and SO_REUSEPORT spreads the connections.
`sluicectl status --kernel` says the same of the machine it runs on, with the fix for each.
"""


def _cell(value):
    return value.replace("|", "\\|") if value else "–"


def write(path, results):
    """docs/KERNELS.md: a column a kernel that was run."""
    ran = [result for result in results if "skipped" not in result]
    features = []
    for result in ran:
        features += [name for name in result["features"] if name not in features]
    lines = [HEAD, "| |" + "".join(f" Linux {result['release']} |" for result in ran) + "\n",
             "|---|" + "---|" * len(ran) + "\n"]
    for suite in ("bpf", "e2e-kernel"):
        cells = []
        for result in ran:
            passed, bad, skipped = result["suites"].get(suite, [0, 0, 0])
            cells.append(f"{passed} passed" + (f", {bad} failed" if bad else "") +
                         (f", {skipped} skipped" if skipped else ""))
        title = {"bpf": "BPF tests", "e2e-kernel": "end-to-end tests of the kernel's part"}[suite]
        lines.append(f"| {title} | " + " | ".join(cells) + " |\n")
    for name in features:
        lines.append(f"| {name} | " + " | ".join(_cell(result["features"].get(name))
                                                for result in ran) + " |\n")
    skips = sorted({skip for result in ran for skip in result["skips"]})
    if skips:
        lines.append("\nSkipped, with the reason:\n\n")
        lines += [f"- {skip}\n" for skip in skips]
    lines.append(FOOT)
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(lines))
