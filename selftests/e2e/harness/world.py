# SPDX-License-Identifier: MIT
"""The lab: a client, a balancer and backends, each a network namespace of this test run, or all
of them on loopback where namespaces are refused.

    client  c0 198.18.0.2, .3  fd00:198:18::2, ::3 ── front0 198.18.0.1  fd00:198:18::1  lb
            c1 198.18.2.2      fd00:198:18:2::2    ── front1 198.18.2.1  fd00:198:18:2::1
                                       lb  back (bridge) 198.18.1.1 ── eth0 198.18.1.11… be1…

Names carry the run's pid, so that runs can stand beside each other and the next one can clear
away what a killed one left. Entered by nsenter: `ip netns exec` would hide bpffs.
"""
import os
import re
import shutil
import signal
import socket

from .proc import alive, run

PREFIX = "slt"
BPFFS = "/sys/fs/bpf"


class Host:
    """One machine of the lab. netns None: loopback."""

    def __init__(self, name, netns, address, address6=None):
        self.name, self.netns = name, netns
        self.address, self.address6 = address, address6

    def enter(self):
        return ["nsenter", f"--net=/run/netns/{self.netns}"] if self.netns else []

    def run(self, *argv, **options):
        return run(*self.enter(), *argv, **options)


class World:
    """Common to both kinds: client, lb, backends (list of Host)."""

    isolated = False  # namespaces of our own
    why_not = ""      # the reason where not

    def port(self, wanted):
        return wanted

    def close(self):
        pass


class LoopbackWorld(World):
    def __init__(self, why_not, backends=3):
        self.why_not = why_not
        self.client = Host("client", None, "127.0.0.1", "::1")
        self.lb = Host("lb", None, "127.0.0.1", "::1")
        self.backends = [Host(f"be{i + 1}", None, f"127.0.0.{11 + i}") for i in range(backends)]
        self.client_addresses = ["127.0.0.1", "127.0.0.2"]
        self._ports = {}

    def port(self, wanted):
        """A free port that stands for the wanted one, the same every time."""
        if wanted not in self._ports:
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self._ports[wanted] = s.getsockname()[1]
        return self._ports[wanted]


class NamespaceWorld(World):
    isolated = True

    def __init__(self, pass_object=None, backends=3):
        self.prefix = f"{PREFIX}-{os.getpid()}"
        self.client = Host("client", f"{self.prefix}-client", "198.18.0.2", "fd00:198:18::2")
        self.client_addresses = ["198.18.0.2", "198.18.0.3"]
        self.client_addresses6 = ["fd00:198:18::2", "fd00:198:18::3"]
        self.lb = Host("lb", f"{self.prefix}-lb", "198.18.0.1", "fd00:198:18::1")
        self.lb.second_address = "198.18.2.1"
        self.interfaces = ["front0", "front1"]
        self.backends = [Host(f"be{i + 1}", f"{self.prefix}-be{i + 1}", f"198.18.1.{11 + i}",
                              f"fd00:198:18:1::{11 + i}") for i in range(backends)]
        try:
            self._build(pass_object)
        except BaseException:
            self.close()
            raise

    def _build(self, pass_object):
        for host in [self.client, self.lb, *self.backends]:
            run("ip", "netns", "add", host.netns)
            host.run("ip", "link", "set", "lo", "up")
        self._pair(self.client, "c0", self.lb, "front0")
        self._pair(self.client, "c1", self.lb, "front1")
        for address in [*(f"{a}/24" for a in self.client_addresses),
                        *(f"{a}/64" for a in self.client_addresses6)]:
            self._address(self.client, "c0", address)
        self._address(self.lb, "front0", "198.18.0.1/24", "fd00:198:18::1/64")
        self._address(self.client, "c1", "198.18.2.2/24", "fd00:198:18:2::2/64")
        self._address(self.lb, "front1", "198.18.2.1/24", "fd00:198:18:2::1/64")
        self.lb.run("ip", "link", "add", "back", "type", "bridge")
        self.lb.run("ip", "link", "set", "back", "up")
        self._address(self.lb, "back", "198.18.1.1/24", "fd00:198:18:1::1/64")
        for i, host in enumerate(self.backends):
            self._pair(host, "eth0", self.lb, f"b{i + 1}")
            self.lb.run("ip", "link", "set", f"b{i + 1}", "master", "back")
            self._address(host, "eth0", f"{host.address}/24", f"{host.address6}/64")
        if pass_object:
            for dev in ("c0", "c1"):
                self.client.run("ip", "link", "set", "dev", dev, "xdpdrv", "obj", pass_object,
                                "sec", "xdp")

    @staticmethod
    def _pair(left, left_dev, right, right_dev):
        left.run("ip", "link", "add", left_dev, "type", "veth", "peer", "name", right_dev,
                 "netns", right.netns)
        for host, dev in ((left, left_dev), (right, right_dev)):
            # XDP on the other end must see whole checksums.
            host.run("ethtool", "-K", dev, "tx", "off")
            host.run("ip", "link", "set", dev, "up")

    @staticmethod
    def _address(host, dev, *addresses):
        for address in addresses:
            host.run("ip", "addr", "add", address, "dev", dev,
                     *(["nodad"] if ":" in address else []))

    def close(self):
        for host in [self.client, self.lb, *self.backends]:
            _delete_namespace(host.netns)


def _delete_namespace(name):
    pids = run("ip", "netns", "pids", name, check=False).stdout.split()
    for pid in pids:
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    run("ip", "netns", "del", name, check=False)


def _owner_gone(name, pattern):
    match = re.match(pattern, name)
    return match and not alive(int(match.group(1)))


def clear_leftovers():
    """Removes what test runs left whose process is dead: namespaces (with what runs in them) and
    pins. Others' things are never touched."""
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        if _owner_gone(name, rf"{PREFIX}-(\d+)-"):
            _delete_namespace(name)
    for name in os.listdir(BPFFS) if os.path.isdir(BPFFS) else []:
        if _owner_gone(name, r"sluice-test-(\d+)"):
            shutil.rmtree(os.path.join(BPFFS, name), ignore_errors=True)


def namespaces_refused():
    """Why this process cannot make the lab of namespaces; empty where it can."""
    if os.geteuid() != 0:
        return "not root: no network namespaces"
    for tool in ("ip", "ethtool", "nsenter"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    probe = f"{PREFIX}-{os.getpid()}-probe"
    done = run("ip", "netns", "add", probe, check=False)
    if done.returncode:
        return f"no network namespaces: {done.stderr.strip()}"
    done = run("nsenter", f"--net=/run/netns/{probe}", "ip", "link", "add", "p0", "type", "veth",
               "peer", "name", "p1", check=False)
    run("ip", "netns", "del", probe, check=False)
    return f"no veth: {done.stderr.strip()}" if done.returncode else ""


def mount_bpffs():
    """Mounts bpffs where it is not; why it could not, or empty."""
    with open("/proc/mounts", encoding="utf-8") as f:
        if any(line.split()[1:3] == [BPFFS, "bpf"] for line in f):
            return ""
    done = run("mount", "-t", "bpf", "bpf", BPFFS, check=False)
    return done.stderr.strip() if done.returncode else ""
