# SPDX-License-Identifier: MIT
"""Fetches packages into the cache folder and unpacks them there: kernels, and virtme-ng where it is
not installed. Nothing is installed, and the machine's own lists of packages stay as they are: what
its release does not have is looked for in another one, by a private apt configuration made from its
own sources with the suite's name changed."""
import functools
import glob
import os
import re
import shutil
import subprocess

SUITES = ("bookworm", "trixie")
FETCH_SECONDS = 600


class CannotFetch(Exception):
    """With the reason, as a skip says it."""


def cache_folder():
    base = os.environ.get("SLUICE_VM_CACHE")
    if not base:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
                            "sluice", "vmtest")
    os.makedirs(base, exist_ok=True)
    return base


def _output(command, **arguments):
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=FETCH_SECONDS,
                              **arguments).stdout
    except FileNotFoundError:
        raise CannotFetch(f"there is no {command[0]} here") from None
    except subprocess.TimeoutExpired:
        raise CannotFetch(f"{command[0]} took more than {FETCH_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.output.splitlines() if line.startswith("E:")]
        raise CannotFetch(f"{command[0]}: {lines[0][2:].strip()}" if lines else
                          f"{command[0]} ended with {error.returncode}") from None


def architecture():
    return _output(["dpkg", "--print-architecture"]).strip()


def _own_sources():
    """The texts of the machine's sources, by file name."""
    texts = {}
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        try:
            with open(path, encoding="utf-8") as file:
                texts[os.path.basename(path)] = file.read()
        except OSError:
            pass
    return texts


@functools.lru_cache(None)
def _suite_options(suite):
    """apt's options for another Debian suite, its lists fetched; CannotFetch where this machine's
    sources are not Debian's."""
    home = os.path.join(cache_folder(), "apt", suite)
    sources = os.path.join(home, "sources")
    shutil.rmtree(sources, ignore_errors=True)
    os.makedirs(sources)
    os.makedirs(os.path.join(home, "lists", "partial"), exist_ok=True)
    found = False
    for name, text in _own_sources().items():
        lines = [line for line in text.splitlines()
                 if any(re.search(rf"\b{known}\b", line) for known in SUITES) or "://" in line
                 or not line.startswith("deb")]
        text = "\n".join(lines) + "\n"
        if "debian" not in text or not any(known in text for known in SUITES):
            continue
        for known in SUITES:
            text = re.sub(rf"\b{known}\b", suite, text)
        with open(os.path.join(sources, name), "w", encoding="utf-8") as file:
            file.write(text)
        found = True
    if not found:
        raise CannotFetch(f"no source of Debian {suite} on this machine")
    options = ["-o", "Dir::Etc::SourceList=/dev/null", "-o", f"Dir::Etc::SourceParts={sources}",
               "-o", f"Dir::State::Lists={home}/lists", "-o", "Dir::Cache::pkgcache=",
               "-o", "Dir::Cache::srcpkgcache="]
    _output(["apt-get", *options, "-q", "update"])
    return options


def _configurations():
    """Own configuration first, then each suite's; those that cannot be had are passed over."""
    yield []
    for suite in SUITES:
        try:
            yield _suite_options(suite)
        except CannotFetch:
            pass


def names(options, prefix):
    return _output(["apt-cache", *options, "pkgnames", prefix]).split()


def fetch(name, options):
    """The folder that the package was unpacked into."""
    folder = os.path.join(cache_folder(), name)
    if os.path.exists(os.path.join(folder, ".whole")):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    _output(["apt-get", *options, "-q", "download", name], cwd=folder)
    packages = glob.glob(os.path.join(folder, "*.deb"))
    if not packages:
        raise CannotFetch(f"apt-get downloaded no {name}")
    _output(["dpkg", "-x", packages[0], folder])
    os.unlink(packages[0])
    with open(os.path.join(folder, ".whole"), "w", encoding="utf-8"):
        pass
    return folder


def find(matches, prefix):
    """(name, options) of the newest package whose name starts so and that matches() takes."""
    for options in _configurations():
        fitting = [name for name in names(options, prefix) if matches(name)]
        if fitting:
            return max(fitting, key=version_key), options
    return None, None


def version_key(name):
    return [int(number) for number in re.findall(r"\d+", name)]
