# SPDX-License-Identifier: MIT
"""What a test session has: the build, the world, agents in its hosts, backends, certificates."""
import os
import pathlib
import sys
import tempfile

from . import certs, world as worlds
from .agent import Agent
from .proc import run, wait_for

HERE = pathlib.Path(__file__).resolve().parent.parent
REPO = HERE.parent.parent
BACKEND_PORT = 50051
FAST_CHECK = {"protocol": "grpc", "path": "/grpc.health.v1.Health/Check", "codes": [0],
              "interval": "200ms", "timeout": "1s", "healthy_threshold": 1,
              "unhealthy_threshold": 2}


def build_folder():
    return os.path.abspath(os.environ.get("SLUICE_BUILD", REPO / "build"))


def compile_protos():
    """Generates the protos' Python modules in the build tree and makes them importable."""
    folder = pathlib.Path(build_folder()) / "e2e"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "writable").touch()
    except PermissionError:  # built by root, tested by another
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-e2e-"))
    protos = sorted((HERE / "proto").glob("*.proto"))
    run("protoc", f"-I{HERE / 'proto'}", f"--python_out={folder}", f"--grpc_python_out={folder}",
        "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin", *protos)
    return import_protos(folder)


def import_protos(folder):
    sys.path.insert(0, str(folder))
    return pathlib.Path(folder)


class Backend:
    """A gRPC server in a backend host. Its agent can be killed and started again."""

    def __init__(self, lab, host, port=BACKEND_PORT, name=None, **options):
        self.lab, self.host, self.options = lab, host, options
        self.name = name or host.name
        self.address = f"{host.address}:{lab.world.port(port)}"
        self.agent = None
        self.start()

    def start(self):
        from peers import backend
        self.agent = self.lab.agent(self.host, f"backend-{self.name}")
        addresses = [self.address]
        if self.host.address6 and self.host.netns:
            addresses.append(f"[{self.host.address6}]:{self.address.rpartition(':')[2]}")
        self.agent.run(backend.start, self.name, addresses, **self.options)

    def kill(self):
        self.agent.kill()

    def count(self):
        from peers import backend
        return self.agent.run(backend.count)

    def set_health(self, **options):
        from peers import backend
        self.agent.run(backend.set_health, **options)

    def set_behaviour(self, **options):
        from peers import backend
        self.agent.run(backend.set_behaviour, **options)

    def entry(self, weight=100, **more):
        """Its line in a group's backends."""
        return {"address": self.address, "weight": weight, **more}


class Lab:
    def __init__(self, folder, generated):
        self.folder = folder
        self.build = build_folder()
        self.sanitized = "san-" in os.path.basename(self.build)
        self.generated = generated
        self._agents = []
        self.client = None  # the agent of conftest's client fixture
        self.kernel_refused = ""
        worlds.clear_leftovers()
        why_not = worlds.namespaces_refused()
        if os.environ.get("SLUICE_E2E_LOOPBACK"):
            why_not = "SLUICE_E2E_LOOPBACK is set"
        if why_not:
            self.kernel_refused = why_not
            self.world = worlds.LoopbackWorld(why_not)
        else:
            self.kernel_refused = worlds.mount_bpffs() or self._bpf_refused()
            self.world = worlds.NamespaceWorld(
                None if self.kernel_refused else pathlib.Path(build_folder()) / "bpf" / "xdp_pass.bpf.o")
        self.certificate = certs.make(folder, "ecdsa")
        self.rsa_certificate = certs.make(folder, "rsa")

    @staticmethod
    def _bpf_refused():
        """Why programs cannot be loaded; empty where they can."""
        tool = next((t for t in ("/usr/sbin/bpftool", "/sbin/bpftool") if os.path.exists(t)), None)
        if not tool:
            return "bpftool is not installed"
        probe = f"{worlds.BPFFS}/sluice-test-{os.getpid()}-probe"
        done = run(tool, "map", "create", probe, "type", "lpm_trie", "key", "8", "value", "4",
                   "entries", "1", "name", "probe", "flags", "1", check=False)
        if done.returncode:
            return f"BPF is refused: {(done.stderr or done.stdout).strip()}"
        os.unlink(probe)
        return ""

    def agent(self, host, name, wrap=()):
        agent = Agent(host, self.folder / f"agent-{name}.log", [str(HERE), str(self.generated)],
                      wrap)
        self._agents.append(agent)
        return agent

    def target(self, address=None, port=443, **options):
        """A calls.Target of the balancer."""
        from peers.calls import Target
        address = address or self.world.lb.address
        if ":" in address:
            address = f"[{address}]"
        return Target(f"{address}:{self.world.port(port)}", roots=self.certificate.chain, **options)

    def config(self, backends, **changes):
        """A config of one listener and one group (weights 100), two workers, fast checks."""
        config = {"workers": 2, "listeners": [], "groups": []}
        self.add_listener(config, 443, "echo", backends, protocol="grpc",
                          balance="weighted_round_robin", health_check=dict(FAST_CHECK))
        config.update(changes)
        return config

    def add_listener(self, config, port, name, backends, **group):
        """Adds a listener on port and its group of the same name; returns the listener."""
        host = "[::]" if self.world.isolated else self.world.lb.address
        listener = {"name": name, "address": f"{host}:{self.world.port(port)}",
                    "protocol": "https", "certificate": self.certificate._asdict(), "group": name}
        config["listeners"].append(listener)
        entries = [b if isinstance(b, dict) else b.entry() for b in backends]
        config["groups"].append({"name": name, **group, "backends": entries})
        return listener

    def close(self):
        for agent in self._agents:
            agent.stop()
        self.world.close()


__all__ = ["Backend", "Lab", "FAST_CHECK", "REPO", "build_folder", "wait_for"]
