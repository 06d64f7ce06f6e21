#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""sluice against its peers on one machine, in one run: what an RPC, a GiB, a connection costs.

Started by run.sh, which checks for the tools. Method: docs/BENCHMARKS.md. Every proxy runs one
worker, TLS 1.3 and HTTP/2 in, cleartext HTTP/2 out, over loopback to the same two backends.
Rounds are interleaved (each proxy once, then the next round) and the median of the rounds counts.
CPU is the proxy's own, all its processes, never the client's or the backends'.
"""
import argparse
import contextlib
import ctypes
import glob
import json
import os
import platform
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
UNARY = 100          # bytes of a unary message
MESSAGE = 1 << 20    # bytes of a streaming message, its 5-byte prefix included
HELD = 2000          # idle connections
GRPC = ["-H", "content-type: application/grpc", "-H", "te: trailers"]

# name → (what it is, unit, digits)
METRICS = {
    "rpc_20x10": ("unary 100 B, 20 connections × 10", "µs CPU/RPC", 2),
    "rpc_100x1": ("unary 100 B, 100 connections × 1", "µs CPU/RPC", 2),
    "stream_down": ("server to client, 1 MiB messages", "ms CPU/GiB", 0),
    "stream_up": ("client to server, 1 MiB messages", "ms CPU/GiB", 0),
    "idle": ("idle TLS connection, 2,000 held", "KiB PSS", 1),
    "handshake": ("connection + TLS handshake + 1 RPC", "µs CPU", 0),
    "p99": ("p99 at 2,000 RPC/s, 20 connections", "ms", 2),
    "throughput": ("closed loop 20 × 10 (more is better)", "RPC/s", 0),
}
HIGHER_IS_BETTER = {"throughput"}


class Failure(Exception):
    """A figure that cannot be had; the text says why."""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_port(port, process, what):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise Failure(f"{what} does not listen on its port")


def tree(pid):
    """pid and all its descendants."""
    parents = {}
    for stat in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError), open(stat, encoding="utf-8", errors="replace") as f:
            text = f.read()
            parents[int(text.split(" ", 1)[0])] = int(text.rsplit(")", 1)[1].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found


def cpu_seconds(pid):
    """User and system time of a process and its descendants. Exact where the scheduler tells."""
    total = 0.0
    for one in tree(pid):
        try:
            ns = 0
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/schedstat", encoding="ascii") as f:
                    ns += int(f.read().split()[0])
            total += ns / 1e9
        except OSError:
            with contextlib.suppress(OSError), open(f"/proc/{one}/stat", encoding="utf-8",
                                                    errors="replace") as f:
                fields = f.read().rsplit(")", 1)[1].split()
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def pss_kib(pid):
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError), open(f"/proc/{one}/smaps_rollup", encoding="ascii") as f:
            total += int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M).group(1))
    return total


def end_with_parent():
    """In a child before it executes: SIGTERM when the bench dies, however it dies (prctl 1)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Process:
    """A child in a session of its own; end() leaves none of its descendants behind."""

    def __init__(self, name, command, log):
        self.name, self.log = name, log
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=out, start_new_session=True,
                                          preexec_fn=end_with_parent)
        self.pid = self.popen.pid

    def poll(self):
        return self.popen.poll()

    def end(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                pass
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            lines = f.read().strip().splitlines()
        return " | ".join(lines[-3:])


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.values = {}     # metric → proxy → [figure a round]
        self.problems = []
        self.backends = []
        self.running = {}
        self.make_files()

    def path(self, name):
        return os.path.join(self.folder, name)

    def make_files(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=bench.sluice", "-addext", "subjectAltName=DNS:bench.sluice",
                        "-keyout", self.path("key.pem"), "-out", self.path("chain.pem")],
                       check=True, stderr=subprocess.DEVNULL)
        with open(self.path("both.pem"), "w", encoding="ascii") as both:
            for name in ("chain.pem", "key.pem"):
                with open(self.path(name), encoding="ascii") as f:
                    both.write(f.read())
        os.makedirs(self.path("www/echo.Echo"))
        for name, size in (("Unary", UNARY + 5), ("Down", MESSAGE)):
            message = b"\0" + (size - 5).to_bytes(4, "big") + bytes(i % 251 for i in range(size - 5))
            for path in (f"www/echo.Echo/{name}", name):
                with open(self.path(path), "wb") as f:
                    f.write(message)
        # Workers may run as another user.
        subprocess.run(["chmod", "-R", "a+rX", self.folder], check=True)

    def start_backends(self):
        self.backend_ports = [free_port(), free_port()]
        for port in self.backend_ports:
            process = Process("nghttpd", ["nghttpd", "--no-tls", "-n", "1", "-w", "20", "-W", "24",
                                          "-m", "1000", "-d", self.path("www"),
                                          "--trailer=grpc-status: 0", "-a", "127.0.0.1", str(port)],
                              self.path("nghttpd.log"))
            self.backends.append(process)
            wait_port(port, process, "nghttpd")

    def command(self, name, config):
        return {
            "sluice": [f"{self.args.build}/sluiced", "--config", config],
            "nginx": ["nginx", "-c", config, "-p", self.folder],
            "haproxy": ["haproxy", "-db", "-f", config],
            "nghttpx": ["nghttpx", f"--conf={config}"],
            "envoy": [os.environ.get("ENVOY", ""), "--concurrency", "1", "-c", config,
                      "--log-level", "warn", "--use-dynamic-base-id"],
        }[name]

    def start(self, name):
        template = {"sluice": "sluice.yaml", "nginx": "nginx.conf", "haproxy": "haproxy.cfg",
                    "nghttpx": "nghttpx.conf", "envoy": "envoy.yaml"}[name]
        port = free_port()
        with open(os.path.join(HERE, "peers", template), encoding="utf-8") as f:
            text = f.read()
        for key, value in {"PORT": port, "BACKEND1": self.backend_ports[0],
                           "BACKEND2": self.backend_ports[1], "DIR": self.folder,
                           "CHAIN": self.path("chain.pem"), "KEY": self.path("key.pem"),
                           "PEM": self.path("both.pem")}.items():
            text = text.replace(f"@{key}@", str(value))
        config = self.path(f"{name}-{template}")
        with open(config, "w", encoding="utf-8") as f:
            f.write(text)
        process = Process(name, self.command(name, config), self.path(f"{name}.log"))
        self.running[name] = (process, port)
        try:
            wait_port(port, process, name)
            self.load(name, "Unary", count=200, connections=2, streams=1)
        except Failure as failure:
            raise Failure(f"{failure} ({process.tail()})") from failure

    def stop(self, name):
        if name in self.running:
            self.running.pop(name)[0].end()

    def stop_all(self):
        for name in list(self.running):
            self.stop(name)

    def close(self):
        self.stop_all()
        for process in self.backends:
            process.end()

    def load(self, name, method, count, connections, streams, extra=(), body="Unary"):
        """count calls by h2load; every reply must be whole. CPU seconds of the proxy, and RPC/s."""
        process, port = self.running[name]
        command = ["h2load", "-t", "1", "-n", str(count), "-c", str(connections),
                   "-m", str(streams), "-w", "20", "-W", "24", "-T", "60", "-N", "60",
                   "--tls13-ciphers=TLS_AES_128_GCM_SHA256", *GRPC, "-d", self.path(body), *extra,
                   f"https://127.0.0.1:{port}/echo.Echo/{method}"]
        before = cpu_seconds(process.pid)
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, check=False)
        used = cpu_seconds(process.pid) - before
        size = {"Unary": UNARY + 5, "Down": MESSAGE}[method]
        done = re.search(r"(\d+) succeeded, (\d+) failed", result.stdout)
        data = re.search(r"\((\d+)\) data", result.stdout)
        rate = re.search(r"finished in [^,]*, ([\d.]+) req/s", result.stdout)
        if process.poll() is not None:
            raise Failure(f"{name} ended with status {process.poll()}")
        # h2load counts a gRPC error as success; such a reply has no message.
        if not (done and data and rate) or int(done.group(1)) != count \
                or int(data.group(1)) != count * size:
            seen = f"{done.group(1)} of {count} calls, {data.group(1)} bytes" if done and data \
                else result.stdout.strip()[-200:]
            raise Failure(f"{name}: not every call was answered: {seen}")
        return used, float(rate.group(1))

    def record(self, metric, name, value):
        self.values.setdefault(metric, {}).setdefault(name, []).append(value)

    # The parts. Each runs once a round and proxy, with the proxy up.

    def part_rpc(self, name):
        count = self.args.scale * 80000 // 100
        used, rate = self.load(name, "Unary", count, 20, 10)
        self.record("rpc_20x10", name, used / count * 1e6)
        self.record("throughput", name, rate)
        count = self.args.scale * 40000 // 100
        used, _ = self.load(name, "Unary", count, 100, 1)
        self.record("rpc_100x1", name, used / count * 1e6)

    def part_stream(self, name):
        count = self.args.scale * 512 // 100
        used, _ = self.load(name, "Down", count, 4, 2)
        self.record("stream_down", name, used * 1e3 / (count * MESSAGE) * (1 << 30))
        used, _ = self.load(name, "Unary", count, 4, 2, body="Down")
        self.record("stream_up", name, used * 1e3 / (count * MESSAGE) * (1 << 30))

    def part_handshake(self, name):
        count = self.args.scale * 1500 // 100
        used, _ = self.load(name, "Unary", count, count, 1)
        self.record("handshake", name, used / count * 1e6)

    def part_p99(self, name):
        log = self.path("h2load.log")
        seconds, connections = 3, 20
        with contextlib.suppress(FileNotFoundError):
            os.unlink(log)
        self.load(name, "Unary", 2000 * seconds, connections, 10,
                  extra=(f"--rps={2000 // connections}", f"--log-file={log}"))
        with open(log, encoding="ascii") as f:
            times = sorted(int(line.split()[2]) for line in f)
        self.record("p99", name, times[len(times) * 99 // 100] / 1e3)

    def part_idle(self, name):
        # On a fresh process: freed memory of earlier work would be taken for connections' use.
        self.stop(name)
        self.start(name)
        process, port = self.running[name]
        before = pss_kib(process.pid)
        holder = subprocess.Popen([f"{self.args.build}/bench/hold", "127.0.0.1", str(port),
                                   str(HELD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True)
        try:
            if holder.stdout.readline() != f"held {HELD}\n":
                raise Failure(f"{name}: could not hold {HELD} connections ({process.tail()})")
            time.sleep(1)
            after = pss_kib(process.pid)
            out, _ = holder.communicate("\n", timeout=30)
            if out != f"alive {HELD}\n":
                raise Failure(f"{name}: closed idle connections: {out.strip()} of {HELD}")
        finally:
            holder.kill()
            holder.wait()
        self.record("idle", name, (after - before) / HELD)

    def run_part(self, part, proxies):
        live = []
        for name in proxies:
            try:
                self.start(name)
                live.append(name)
            except Failure as failure:
                self.problem(part, failure)
                self.stop(name)
        for number in range(1, self.args.rounds + 1):
            print(f"  {part}: round {number} of {self.args.rounds}", flush=True)
            # Another order each round, so that no proxy always follows the same one.
            shift = number % max(len(live), 1)
            for name in live[shift:] + live[:shift]:
                try:
                    getattr(self, f"part_{part}")(name)
                except Failure as failure:
                    self.problem(part, failure)
                    self.stop(name)
                    with contextlib.suppress(Failure):
                        self.start(name)
        self.stop_all()

    def problem(self, part, failure):
        text = f"{part}: {failure}"
        if text not in self.problems:
            self.problems.append(text)
            print(f"  ! {text}", flush=True)


def xdp_ns(build):
    """Lines "name ns" from xdp_ns, or why there are none."""
    tool = f"{build}/bench/xdp_ns"
    if not os.access(tool, os.X_OK):
        return {}, f"{tool} is not built"
    if os.geteuid():
        return {}, "needs root"
    result = subprocess.run([tool], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            check=False)
    found = {}
    for line in result.stdout.splitlines():
        fields = line.rsplit(None, 1)
        with contextlib.suppress(ValueError, IndexError):
            found[fields[0]] = float(fields[1])
    if result.returncode or not found:
        return found, (result.stderr.strip() or f"exit status {result.returncode}")
    return found, None


def first_line(*command):
    with contextlib.suppress(OSError):
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             check=False).stdout.strip().splitlines()
        return out[0] if out else ""
    return ""


def machine(proxies):
    cpu = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        found = re.search(r"model name\s*: (.*)", f.read())
        if found:
            cpu = found.group(1)
    versions = {"nginx": ("nginx", "-v"), "haproxy": ("haproxy", "-v"),
                "nghttpx": ("nghttpx", "--version"),
                "envoy": (os.environ.get("ENVOY", ""), "--version"),
                "sluice": ("git", "-C", ROOT, "describe", "--always", "--dirty")}
    return {"cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release(),
            "openssl": first_line("openssl", "version"),
            "versions": {name: first_line(*versions[name]) for name in proxies},
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}


def table(values, proxies, xdp, about, problems):
    medians = {metric: {name: statistics.median(rounds) for name, rounds in by_name.items()}
               for metric, by_name in values.items()}
    lines = [f"{about['cpu']}, {about['cpus']} CPUs, Linux {about['kernel']}, {about['openssl']},"
             f" {about['date']}"]
    lines += [f"  {name}: {text}" for name, text in about["versions"].items()]
    heads = [f"{name:>7}" for name in proxies] + ["best peer", "sluice/best", "sluice/nghttpx"]
    lines += ["", f"{'':50}" + "".join(f"{head:>{len(head) + 3}}" for head in heads)]
    ratios = {}
    for metric, (what, unit, digits) in METRICS.items():
        if metric not in medians:
            continue
        row = medians[metric]
        peers = {name: value for name, value in row.items() if name != "sluice"}
        choose = max if metric in HIGHER_IS_BETTER else min
        best = choose(peers, key=peers.get) if peers else None
        cells = [f"{row[name]:.{digits}f}" if name in row else "-" for name in proxies]
        cells.append(best or "-")
        for other in (best, "nghttpx"):
            if "sluice" in row and peers.get(other):
                ratio = row["sluice"] / peers[other]
                ratios.setdefault(metric, {})["best" if other == best else other] = ratio
                if other == best == "nghttpx":
                    ratios[metric]["nghttpx"] = ratio
                cells.append(f"{ratio:.2f} ×")
            else:
                cells.append("-")
        lines.append(f"{f'{what}, {unit}':50}" + "".join(
            f"{cell:>{len(head) + 3}}" for head, cell in zip(heads, cells)))
    if xdp:
        lines += ["", "XDP gate, prog_test_run less an empty program"]
        lines += [f"  {name:50}{ns:9.1f} ns" for name, ns in xdp.items()]
    if problems:
        lines += ["", "not measured, or not in every round:"]
        lines += [f"  {text}" for text in problems]
    return "\n".join(lines) + "\n", medians, ratios


def main():
    parts = [name[5:] for name in vars(Bench) if name.startswith("part_")] + ["xdp"]
    parser = argparse.ArgumentParser(prog="bench/run.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(parts),
                        help=f"parts to run, by commas (all: {','.join(parts)})")
    parser.add_argument("--proxies", default="sluice,nginx,haproxy,nghttpx,envoy",
                        help="who runs, by commas (envoy where ENVOY=path gives a binary)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=int, default=100, help="work a round, in percent")
    parser.add_argument("--build", default=f"{ROOT}/build", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="keep configs and logs")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    chosen = args.only.split(",")
    for part in chosen:
        if part not in parts:
            parser.error(f"no part {part}; there are {', '.join(parts)}")
    proxies = args.proxies.split(",")
    if "envoy" in proxies and not os.environ.get("ENVOY"):
        proxies.remove("envoy")

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        hard = max(hard, 65536)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    folder = tempfile.mkdtemp(prefix="sluice-bench-")
    bench = Bench(args, folder)
    xdp, problems = {}, []
    try:
        if set(chosen) - {"xdp"}:
            bench.start_backends()
        for part in chosen:
            if part == "xdp":
                xdp, why = xdp_ns(args.build)
                if why:
                    problems.append(f"xdp: {why}")
            else:
                bench.run_part(part, proxies)
    finally:
        bench.close()
        if args.keep:
            print(f"configs and logs: {folder}")
        else:
            shutil.rmtree(folder)
    about = machine(proxies)
    problems = bench.problems + problems
    text, medians, ratios = table(bench.values, proxies, xdp, about, problems)
    os.makedirs(f"{args.build}/bench", exist_ok=True)
    with open(f"{args.build}/bench/results.txt", "w", encoding="utf-8") as f:
        f.write(text)
    with open(f"{args.build}/bench/results.json", "w", encoding="utf-8") as f:
        json.dump({"machine": about, "rounds": bench.values, "medians": medians, "ratios": ratios,
                   "xdp_ns": xdp, "problems": problems}, f, indent=1, ensure_ascii=False)
    print(f"\n{text}\n{time.monotonic() - begun:.0f} s; written to {args.build}/bench/results.txt"
          " and results.json")
    # A peer that fails is news; sluice failing is an error.
    sys.exit(1 if any("sluice" in text for text in bench.problems) else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
