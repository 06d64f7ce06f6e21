# SPDX-License-Identifier: MIT
"""The suites: what each builds, runs and counts."""
import concurrent.futures
import glob
import os
import re
import sys
import xml.etree.ElementTree

from . import cmocka, process

SANITIZERS = "address,undefined"
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:"
                    "strict_string_checks=1:color=never",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "LSAN_OPTIONS": "report_objects=1",
}
BUILD_SECONDS = 900
PROGRAM_SECONDS = 120
LINT_SECONDS = 600
E2E_SECONDS = 1200
# How much longer everything may take here than on a machine of today: in emulation, much.
SLOWER = float(os.environ.get("SLUICE_SLOWER", "1"))
FUZZ_INPUT_SECONDS = 20  # what takes one input longer hangs
SKIPPED_EXIT = 77
LINE_MAX = 160


class CannotGoOn(Exception):
    """What follows would only repeat this failure."""


def san_build(options):
    return os.path.join(options.build, "san-" + SANITIZERS.replace(",", "-"))


def with_build(build, extra=None):
    env = dict(os.environ, SLUICE_BUILD=build, PYTHONDONTWRITEBYTECODE="1")
    env.update(extra or {})
    # make's own flags must not reach the makes below.
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        env.pop(name, None)
    return env


def _make(tally, options, *arguments):
    command = ["make", f"-j{os.cpu_count()}", "--no-print-directory", f"BUILD={options.build}",
               *arguments]
    tally.say(" ".join(command))
    code, output = process.run(command, BUILD_SECONDS, None, with_build(options.build))
    tally.log(output)
    if code == 0:
        tally.add_pass()
        return
    print(output[-6000:], flush=True)
    tally.add_failure(" ".join(arguments), process.how_it_ended(code))
    raise CannotGoOn


def build(tally, options):
    _make(tally, options, "all", "tests")


def build_sanitized(tally, options):
    _make(tally, options, "all", "tests", f"SANITIZE={SANITIZERS}")


def _cmocka_programs(tally, tree, kind, folder, env):
    """Every test source is a program; one that was not built is a failure, not an omission."""
    sources = sorted(glob.glob(f"selftests/{kind}/**/test_*.c", recursive=True))
    for source in sources:
        name = source[len(f"selftests/{kind}/"):-len(".c")]
        path = os.path.join(tree, folder, name)
        if os.path.exists(path):
            cmocka.run_program(tally, path, name, PROGRAM_SECONDS * SLOWER, env)
        else:
            tally.add_failure(name, "not built")


def unit(tally, options):
    sanitized = "/san-" in options.build
    _cmocka_programs(tally, options.build, "unit", "unit",
                     with_build(options.build, SANITIZER_ENV if sanitized else None))


def unit_sanitized(tally, options):
    _cmocka_programs(tally, san_build(options), "unit", "unit",
                     with_build(san_build(options), SANITIZER_ENV))


def bpf(tally, options):
    _cmocka_programs(tally, options.build, "bpf", "bpftest", with_build(options.build))


def lint(tally, options):
    """Each program in selftests/lint/ is one check: silent and 0 where all is well."""
    for path in sorted(glob.glob("selftests/lint/check_*")):
        name = os.path.basename(path)
        code, output = process.run([path], LINT_SECONDS, None, with_build(options.build))
        tally.log(f"---- {name}\n{output}")
        if code == 0:
            tally.add_pass()
            tally.say(f"ok   {name}")
        elif code == SKIPPED_EXIT:
            tally.add_skip(name, output.strip().rpartition("\n")[2].removeprefix("SKIP "))
        else:
            print(output, flush=True)
            tally.say(f"FAIL {name}")
            tally.add_failure(name, (output.strip() or process.how_it_ended(code)).split("\n")[0])


def _shorten(line):
    """Parameters may be whole frames."""
    return line if len(line) <= LINE_MAX else f"{line[:LINE_MAX // 2]}…{line[-LINE_MAX // 2:]}"


class _PytestProgress:
    """pytest -v's lines, without its head and its own summary of what we list ourselves."""
    TEST = re.compile(r"::.* (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b"
                      r"|\] (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) .*::")

    def __init__(self, tally):
        self.tally = tally
        self.in_failures = False

    def __call__(self, line):
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
        self.tally.log(plain + "\n")
        if re.match(r"=+ (FAILURES|ERRORS) =+", plain):
            self.in_failures = True
        elif re.match(r"=+ short test summary", plain):
            self.in_failures = False
        if self.in_failures or self.TEST.search(plain):
            self.tally.say(_shorten(plain))


def _pytest(tally, env, *arguments):
    """A process for each processor, each with hosts of its own; a file stays with one."""
    report = os.path.join(tally.folder, f"{tally.suite}.xml")
    if os.path.exists(report):
        os.remove(report)
    command = [sys.executable, "-m", "pytest", "selftests/e2e", "-v", "-rs", "--tb=short",
               "-p", "no:cacheprovider", f"--junitxml={report}",
               f"--numprocesses={os.cpu_count()}", "--dist=loadfile", *arguments]
    code, output = process.run(command, E2E_SECONDS, _PytestProgress(tally), env)
    if not os.path.exists(report):
        skip = re.search(r"\bSKIP:?\s+(.*)", output)
        if code == 0 and skip:
            tally.add_skip("all", skip.group(1).strip())
            return
        print(output[-6000:], flush=True)
        tally.add_failure("pytest", process.how_it_ended(code))
        return
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = _shorten(f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}")
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped")
        if bad is not None:
            tally.add_failure(name, (bad.get("message") or "failed").split("\n")[0][:200])
        elif skipped is not None:
            tally.add_skip(name, skipped.get("message"))
        else:
            tally.add_pass()
    if code is None:
        tally.add_failure("pytest", process.how_it_ended(code))


def e2e(tally, options):
    _pytest(tally, with_build(options.build), "-m", "not interop")


def e2e_kernel(tally, options):
    """What depends on the kernel: for machines with another one. In an emulated one, no more than
    takes minutes there and measures no time."""
    _pytest(tally, with_build(options.build), "-m",
            "kernel and emulated" if SLOWER > 2 else "kernel and not interop")


def interop(tally, options):
    """Other people's stacks and suites."""
    _pytest(tally, with_build(options.build), "-m", "interop")


def e2e_sanitized(tally, options):
    """Only what has no kernel part, and that in one mode: the other was run above. Of the suite
    interop what is quick."""
    env = with_build(san_build(options), {**SANITIZER_ENV, "SLUICE_E2E_MODES": "off"})
    _pytest(tally, env, "-m", "l7", "-k", "not native and not test_interop_languages")


def _fuzz_one(options, name):
    """(exit code, output) of one libFuzzer program; crashes and corpora stay below the build tree."""
    corpus = os.path.join(options.build, "fuzz", "corpus", name)
    seeds = f"selftests/fuzz/seeds/{name}"
    os.makedirs(corpus, exist_ok=True)
    command = [os.path.join(options.build, "fuzz", name), f"-max_total_time={options.seconds}",
               f"-timeout={FUZZ_INPUT_SECONDS}", "-print_final_stats=1",
               f"-artifact_prefix={options.build}/fuzz/{name}-", corpus]
    command += [seeds] if os.path.isdir(seeds) else []
    return process.run(command, options.seconds + 60, None, with_build(options.build))


def fuzz(tally, options):
    """All programs, as many at once as there are processors."""
    _make(tally, options, "fuzzers")
    names = [os.path.basename(source)[:-len(".c")]
             for source in sorted(glob.glob("selftests/fuzz/fuzz_*.c"))]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        ended = pool.map(lambda name: _fuzz_one(options, name), names)
        for name, (code, output) in zip(names, ended):
            tally.log(f"---- {name}\n{output}")
            if code == 0:
                runs = re.search(r"number_of_executed_units:\s*(\d+)", output)
                tally.say(f"ok   {name}: {runs.group(1) if runs else '?'} inputs")
                tally.add_pass()
            else:
                print(output[-4000:], flush=True)
                tally.add_failure(name, process.how_it_ended(code))
