#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A SYN flood with forged sources, and what becomes of everybody else: calls on new connections and on
connections that were open before, with cookies made in XDP, without cookies, and with the kernel's own.

Started by flood.sh (`make bench-flood`). Two network namespaces with one veth pair between them: what is
legitimate and what is forged come the same way, as on a machine's only interface. docs/BENCHMARKS.md has
the method.
"""
import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time

LB, CLIENT, LB6, CLIENT6 = "198.18.0.1", "198.18.0.2", "fd00:198:18::1", "fd00:198:18::2"
PORT, BACKEND = 8443, 8080
# name → net.ipv4.tcp_syncookies, listeners[].syn_cookies, kernel.mode
VARIANTS = {
    "cookies in XDP": (1, "auto", "required"),
    "cookies in XDP, tcp_syncookies=2": (2, "auto", "required"),
    "no cookies": (0, "off", "required"),
    "the kernel's cookies, without XDP": (1, "off", "off"),
}
BPFFS = "/sys/fs/bpf"


def sh(*argv, check=True, **options):
    done = subprocess.run([str(a) for a in argv], check=False, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **options)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(map(str, argv))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class World:
    """The two namespaces."""

    def __init__(self, build):
        self.build = build
        self.names = {end: f"slb-{os.getpid()}-{end}" for end in ("lb", "client")}
        self.mac = ""

    def enter(self, end):
        return ["nsenter", f"--net=/run/netns/{self.names[end]}"]

    def run(self, end, *argv, **options):
        return sh(*self.enter(end), *argv, **options)

    def start(self, end, *argv, **options):
        return subprocess.Popen([*self.enter(end), *map(str, argv)], text=True, **options)

    def open(self):
        for name in self.names.values():
            sh("ip", "netns", "add", name)
        self.run("client", "ip", "link", "add", "c0", "type", "veth", "peer", "name", "front0",
                 "netns", self.names["lb"])
        for end, device, addresses in (("client", "c0", (CLIENT + "/24", CLIENT6 + "/64")),
                                       ("lb", "front0", (LB + "/24", LB6 + "/64"))):
            self.run(end, "ip", "link", "set", "lo", "up")
            self.run(end, "ethtool", "-K", device, "tx", "off")
            self.run(end, "ip", "link", "set", device, "up")
            for address in addresses:
                self.run(end, "ip", "addr", "add", address, "dev", device,
                         *(["nodad"] if ":" in address else []))
        self.run("lb", "ip", "route", "add", "198.19.0.0/16", "via", CLIENT)
        self.run("lb", "ip", "route", "add", "fd00:198:19::/64", "via", CLIENT6)
        # Without cookies Linux keeps a quarter of its queue for clients that it has served before. These
        # here are to be strangers, as most clients of a public service are.
        self.run("lb", "sysctl", "-q", "-w", "net.ipv4.tcp_no_metrics_save=1")
        self.xdp("client", "c0", "drop_answers")
        self.mac = json.loads(self.run("lb", "ip", "-j", "link", "show", "front0"))[0]["address"]

    def xdp(self, end, device, program):
        """Attaches a program of flood.bpf.c by its name, or none."""
        if not program:
            self.run(end, "ip", "link", "set", "dev", device, "xdp", "off")
            return
        self.run(end, "ip", "link", "set", "dev", device, "xdpdrv", "obj",
                 f"{self.build}/bench/flood.bpf.o", "program", program)

    def close(self):
        for name in self.names.values():
            sh("ip", "netns", "del", name, check=False)


class Sluice:
    """nghttpd as the backend, and sluiced in front of it, in the balancer's namespace."""

    def __init__(self, world, folder, variant):
        self.world, self.folder = world, folder
        syncookies, cookies, mode = VARIANTS[variant]
        world.run("lb", "sysctl", "-q", "-w", f"net.ipv4.tcp_syncookies={syncookies}")
        kernel = f"{{mode: {mode}}}"
        if mode != "off":
            kernel = (f"{{mode: required, pin_path: {BPFFS}/sluice-bench-{os.getpid()}, "
                      "interfaces: [{name: front0, xdp: native}]}")
        else:
            world.xdp("lb", "front0", "pass_all")
        self.plain = mode == "off"
        with open(f"{folder}/sluice.yaml", "w", encoding="ascii") as f:
            f.write(f"""\
workers: 1
control: {{socket: {folder}/control.sock}}
log: {{level: warn}}
kernel: {kernel}
listeners:
- name: bench
  address: "[::]:{PORT}"
  protocol: https
  certificate: {{chain: {folder}/cert.pem, key: {folder}/key.pem}}
  syn_cookies: {cookies}
  group: bench
groups:
- name: bench
  protocol: grpc
  balance: weighted_round_robin
  backends: [{{address: "127.0.0.1:{BACKEND}", weight: 1}}]
""")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.backend = world.start("lb", "nghttpd", "--no-tls", "-d", folder,
                                   "--trailer=grpc-status: 0", BACKEND, **quiet)
        with open(f"{folder}/sluiced.log", "ab") as log:
            self.daemon = world.start("lb", f"{world.build}/sluiced", "--config",
                                      f"{folder}/sluice.yaml", stdout=log, stderr=log)
        for _ in range(200):
            if self.ctl("status"):
                break
            if self.daemon.poll() is not None:
                with open(f"{folder}/sluiced.log", encoding="utf-8") as log:
                    raise SystemExit(f"sluiced ended:\n{log.read()}")
            time.sleep(0.05)

    def ctl(self, what):
        text = sh(f"{self.world.build}/sluicectl", "--socket", f"{self.folder}/control.sock", "--json",
                  what, check=False)
        return json.loads(text) if text else None

    def cookies(self):
        row = self.ctl("listeners")["listeners"][0]
        return row.get("cookies", 0), row.get("cookies_back", 0)

    def close(self):
        for process in (self.daemon, self.backend):
            process.terminate()
            process.wait(20)
        if self.plain:
            self.world.xdp("lb", "front0", None)


def dialers(world, address, rate, seconds):
    """Starts one of each kind; they wait."""
    started = {}
    for kind in ("old", "new"):
        started[kind] = world.start("client", f"{world.build}/bench/dial", kind, address, PORT, rate,
                                    seconds, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if started[kind].stdout.readline().strip() != "ready":
            raise SystemExit(f"dial {kind} did not start")
    return started


def results(started):
    """Lets them begin, and reads what they report."""
    for process in started.values():
        process.stdin.write("\n")
        process.stdin.flush()
    found = {}
    for kind, process in started.items():
        words = process.communicate(timeout=120)[0].split()
        found[kind] = {words[i]: float(words[i + 1]) for i in range(0, len(words) - 1, 2)}
    return found


def start_flood(world, address, seconds):
    """On the last CPU, which takes the frames in as well."""
    return world.start("client", "taskset", "-c", os.cpu_count() - 1, f"{world.build}/bench/flood",
                       f"{world.build}/bench/flood.bpf.o", "c0", world.mac, address, PORT, seconds,
                       stdout=subprocess.PIPE)


def flood_rate(flood):
    sent = re.match(r"sent (\d+) seconds ([\d.]+)", flood.communicate(timeout=90)[0])
    return int(sent[1]) / float(sent[2])


def empty_rate(world):
    """Forged SYNs a second where an XDP program drops each: what making and moving them costs."""
    world.xdp("lb", "front0", "drop_all")
    rate = flood_rate(start_flood(world, LB, 3))
    world.xdp("lb", "front0", None)
    return rate


def measure(world, folder, variant, address, args):
    sluice = Sluice(world, folder, variant)
    try:
        calm = results(dialers(world, address, args.rate, 3))
        before = sluice.cookies()
        waiting = dialers(world, address, args.rate, args.seconds)
        flood = start_flood(world, address, args.seconds + 2)
        time.sleep(1)  # it is at its height, and the queues are full
        found = results(waiting)
        rate = flood_rate(flood)
        after = sluice.cookies()
    finally:
        sluice.close()
    shares = {kind: 100 * found[kind]["good"] / found[kind]["begun"] for kind in found}
    return {"variant": variant, "address": address, "forged_per_second": rate,
            "cookies": after[0] - before[0], "cookies_back": after[1] - before[1], "calm": calm,
            "flood": found, "share": shares}


def show(rows, empty):
    lines = ["| | forged SYNs/s | µs each | new connections: good | p50 ms | p99 ms "
             "| old ones: good | p99 ms | calm: new p50 ms | old p99 ms |", "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        new, old = row["flood"]["new"], row["flood"]["old"]
        family = ", IPv6" if ":" in row["address"] else ""
        lines.append(f"| {row['variant']}{family} | {row['forged_per_second']:,.0f} "
                     f"| {1e6 / row['forged_per_second'] - 1e6 / empty:.2f} "
                     f"| {row['share']['new']:.1f} % | {new['p50']:.1f} | {new['p99']:.1f} "
                     f"| {row['share']['old']:.1f} % | {old['p99']:.1f} "
                     f"| {row['calm']['new']['p50']:.1f} | {row['calm']['old']['p99']:.1f} |")
    return "\n".join(lines)


def machine():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    busy = os.getloadavg()[1]
    return (f"{time.strftime('%Y-%m-%d')}, {model[1] if model else platform.machine()}, {os.cpu_count()} "
            f"CPUs (load {busy:.0f}), Linux {platform.release()}.")


def write(text):
    """Into docs/BENCHMARKS.md, between its marks."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../docs/BENCHMARKS.md")
    with open(path, encoding="utf-8") as f:
        before, rest = f.read().split("<!-- bench-flood: begin -->\n")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{before}<!-- bench-flood: begin -->\n{text}"
                f"<!-- bench-flood: end -->{rest.split('<!-- bench-flood: end -->')[1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="the build tree")
    parser.add_argument("--seconds", type=int, default=8, help="of measuring, each variant (at most 50)")
    parser.add_argument("--rate", type=int, default=100, help="legitimate calls a second, of each kind")
    parser.add_argument("--variants", default=",".join(map(str, range(len(VARIANTS)))),
                        help="by number: " + ", ".join(f"{i} {n}" for i, n in enumerate(VARIANTS)))
    args = parser.parse_args()
    if os.geteuid():
        raise SystemExit("needs root: network namespaces and BPF")
    if os.cpu_count() > 1:  # inherited by all that is started
        os.sched_setaffinity(0, range(os.cpu_count() - 1))
    names = list(VARIANTS)
    chosen = [names[int(i)] for i in args.variants.split(",")]
    rows = []
    world = World(os.path.abspath(args.build))
    try:
        with tempfile.TemporaryDirectory(prefix="sluice-flood-") as folder:
            os.chmod(folder, 0o755)
            os.mkdir(f"{folder}/echo.Echo")
            with open(f"{folder}/echo.Echo/Unary", "wb") as f:
                f.write(b"\0\0\0\0\4\n\2hi")
            sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-subj", "/CN=bench", "-days", "2", "-keyout", f"{folder}/key.pem", "-out",
               f"{folder}/cert.pem")
            world.open()
            empty = empty_rate(world)
            for variant in chosen:
                rows.append(measure(world, folder, variant, LB, args))
                print(show(rows[-1:], empty).splitlines()[-1], flush=True)
            if names[0] in chosen:
                rows.append(measure(world, folder, names[0], LB6, args))
    finally:
        world.close()
    with open(f"{args.build}/bench/flood.json", "w", encoding="ascii") as f:
        json.dump({"dropped_per_second": empty, "rows": rows}, f, indent=1)
    text = f"{machine()}\n\n{show(rows, empty)}\n"
    print(f"\n{empty:,.0f} forged SYNs/s where each is dropped at once\n\n{text}")
    if os.environ.get("WRITE"):
        write(text)


if __name__ == "__main__":
    sys.exit(main())
