# SPDX-License-Identifier: MIT
"""Runs a command under another kernel by virtme-ng, on the machine's own root file system, read-only
below overlays. With KVM where it works, else in emulation."""
import functools
import os
import shutil
import sys

import packages

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(ROOT, "selftests"))
from runner import process  # pylint: disable=wrong-import-position

MEMORY = "4G"
PROBE_SECONDS = 60


@functools.lru_cache(None)
def _program():
    """(command, environment): the installed vng, else the one of a package in the cache."""
    if shutil.which("vng"):
        return ["vng"], dict(os.environ)
    cached = os.path.join(packages.cache_folder(), "virtme-ng")
    if not os.path.exists(os.path.join(cached, ".whole")):
        name, options = packages.find(lambda name: name == "virtme-ng", "virtme-ng")
        if not name:
            raise packages.CannotFetch("virtme-ng is neither installed nor among the packages")
        cached = packages.fetch(name, options)
    env = dict(os.environ, PYTHONPATH=f"{cached}/usr/lib/python3/dist-packages",
               PATH=f"{cached}/usr/bin:{os.environ['PATH']}")
    return ["/usr/bin/python3", f"{cached}/usr/bin/vng"], env


def check():
    """Raises CannotFetch where no machine can be made here."""
    if os.uname().machine != "x86_64":
        raise packages.CannotFetch(f"not tried on {os.uname().machine}")
    if not shutil.which("qemu-system-x86_64"):
        raise packages.CannotFetch("there is no qemu-system-x86_64 here")
    _program()


def _run(image, arguments, command, seconds, on_line):
    program, env = _program()
    return process.run([*program, "-r", image, *arguments, "--cpus", str(min(os.cpu_count(), 4)),
                        "--memory", MEMORY, f"--overlay-rwdir={ROOT}", "--exec", command], seconds, on_line, env)


@functools.lru_cache(None)
def arguments_for(image):
    """How machines are to be made here; a try tells whether KVM works (a nested one may not)."""
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        # pylint: disable=unused-variable
        code, output = _run(image, ["--force-9p"], "echo kvm-works", PROBE_SECONDS, None)
        if "kvm-works" in output:
            return ("--force-9p",), "KVM"
    return ("--force-9p", "--disable-kvm", "--disable-microvm"), "emulation"


def run(image, command, seconds, on_line):
    """(exit code or None where the time ran out, output)"""
    return _run(image, list(arguments_for(image)[0]), command, seconds, on_line)
