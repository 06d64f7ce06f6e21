# SPDX-License-Identifier: MIT
"""One sluiced of the tests: its config, certificates, start, control and orderly end."""
import copy
import itertools
import json
import os
import re
import signal

from . import yaml_text
from .proc import Process, alive, run, wait_for
from .world import BPFFS

SANITIZER = re.compile(
    r"(ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:|WARNING: ThreadSanitizer)")
_numbers = itertools.count(1)


class Ctl:
    """Calls sluicectl on one control socket."""

    def __init__(self, build, socket):
        self.path, self.socket = os.path.join(build, "sluicectl"), socket

    def raw(self, *args):
        return run(self.path, "--socket", self.socket, *args, check=False)

    def json(self, *args):
        done = self.raw("--json", *args)
        if done.returncode:
            raise AssertionError(f"sluicectl {' '.join(args)}: exit {done.returncode}: "
                                 f"{done.stderr}")
        return json.loads(done.stdout)


class Sluice:
    """config: the YAML's data, without control and kernel.pin_path, which each daemon has its
    own of. mode: native or off."""

    def __init__(self, lab, config, mode, name="sluice"):
        self.lab, self.mode = lab, mode
        self.build = lab.build
        number = next(_numbers)
        self.folder = lab.folder / f"{name}-{number}"
        self.folder.mkdir()
        self.pin_path = f"{BPFFS}/sluice-test-{os.getpid()}-{number}"
        self.socket = str(self.folder / "control.sock")
        self.config_path = self.folder / "sluice.yaml"
        self.ctl = Ctl(self.build, self.socket)
        self.config = copy.deepcopy(config)
        self.config["control"] = {"socket": self.socket}
        kernel = self.config.setdefault("kernel", {})
        kernel["mode"] = "off" if mode == "off" else "required"
        if mode != "off":
            kernel["pin_path"] = self.pin_path
            kernel.setdefault("interfaces", [{"name": i, "xdp": "native"}
                                             for i in lab.world.interfaces])
        else:
            kernel.pop("interfaces", None)
        self.process = None
        self.log_path = self.folder / "sluiced.log"
        self.write()

    # -- config

    def write(self, text=None):
        """Writes self.config (or a text of the test's) as the config file."""
        self.config_path.write_text(text if text is not None
                                    else yaml_text.dump(self.config) + "\n", encoding="utf-8")

    def group(self, name=None):
        groups = self.config["groups"]
        return groups[0] if name is None else next(g for g in groups if g["name"] == name)

    def reload(self):
        """Writes the config and reloads it; AssertionError where it is refused."""
        self.write()
        done = self.ctl.raw("reload")
        assert done.returncode == 0, f"reload refused: {done.stdout}{done.stderr}"

    # -- life

    def argv(self, *args):
        return [*self.lab.world.lb.enter(), os.path.join(self.build, "sluiced"), *args]

    def start(self, healthy=True, timeout=20, options=()):
        env = dict(os.environ,
                   ASAN_OPTIONS="abort_on_error=0:exitcode=99:detect_leaks=1",
                   UBSAN_OPTIONS="print_stacktrace=1:exitcode=99")
        # Ends with the test run, should that be killed.
        self.process = Process(["setpriv", "--pdeathsig", "TERM",
                                *self.argv("--config", self.config_path, *options)],
                               self.log_path, env)

        def answers():
            if not self.process.running():
                raise AssertionError(f"sluiced ended with {self.process.popen.returncode}:\n"
                                     f"{self.log()[-4000:]}")
            return os.path.exists(self.socket) and self.ctl.raw("status").returncode == 0

        try:
            wait_for(answers, timeout, lambda: f"sluiced answers; log:\n{self.log()[-4000:]}",
                     interval=0.05)
            if healthy:
                self.wait_healthy(timeout)
        except BaseException:
            self.process.kill()
            raise
        return self

    def log(self):
        return self.process.log() if self.process else ""

    def stop(self, timeout=20):
        """SIGTERM, and asserts what must always hold at an orderly end."""
        if self.process is None or not self.process.running():
            return
        children = self.children()
        self.process.signal(signal.SIGTERM)
        status = self.process.wait(timeout)
        log = self.log()
        assert not SANITIZER.search(log), f"sanitizer report:\n{log[-20000:]}"
        assert status == 0, f"sluiced ended with {status}:\n{log[-4000:]}"
        wait_for(lambda: not any(alive(p) for p in children), 5, f"children {children} end")
        assert not os.path.exists(self.socket), "control socket left behind"
        if self.mode != "off" and not self.config["kernel"].get("keep"):
            left = os.listdir(self.pin_path) if os.path.isdir(self.pin_path) else []
            assert not left, f"pins left behind: {left}"

    def kill(self):
        """For tests that ended it themselves, and for clearing up after a failure."""
        if self.process:
            self.process.kill()

    def signal(self, number):
        self.process.signal(number)

    def children(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children",
                  encoding="ascii") as f:
            return [int(p) for p in f.read().split()]

    # -- what it says

    def backends(self, group=None):
        """sluicectl's rows of backends, of one group or of all."""
        rows = self.ctl.json("backends")["backends"]
        return [r for r in rows if group is None or r["group"] == group]

    def workers(self):
        return [w for w in self.ctl.json("workers")["workers"] if w["state"] == "live"]

    def health(self):
        """Health by address:port."""
        return {r["address"]: r["health"] for r in self.backends()}

    def verdicts(self):
        """Packets by verdict."""
        return {v["verdict"]: v["packets"] for v in self.ctl.json("verdicts")["verdicts"]}

    def wait_healthy(self, timeout=10):
        """Until every probed backend is up and every worker live."""
        checked = {g["name"] for g in self.config["groups"] if "health_check" in g}

        def rows_up():
            rows = [r for r in self.backends() if r["weight"] > 0]
            return all(r["health"] == "up" for r in rows if r["group"] in checked)

        wait_for(rows_up, timeout, interval=0.05,
                 what=lambda: f"backends are up: {self.backends()}\n{self.log()[-2000:]}")
        wait_for(lambda: len(self.workers()) == self.config["workers"], timeout,
                 lambda: f"workers live: {self.ctl.json('workers')}", interval=0.05)

    def wait_health(self, address, health, timeout=10):
        wait_for(lambda: self.health().get(address) == health, timeout,
                 lambda: f"{address} is {health}: {self.backends()}")
