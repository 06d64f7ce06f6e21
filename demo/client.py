#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The demo's client: each command makes real gRPC calls through sluice, prints what it saw, and
exits 0 only where it saw what it should have. demo.sh runs it in the client's namespace.

  call      one call, or --count of them; for people at a `make demo-shell`
  kinds     unary, server, client and bidirectional streaming, a deadline that expires
  spread    many calls; the share of each backend against its weight
  fresh     calls that each open a connection of their own
  polite    a new connection and a call, again and again, while someone else floods
  flood     connections from one source as fast as they can be opened
  load      calls from several threads for some seconds, while backends come and go
  refused   expects connections to be refused at once
"""
import argparse
import errno
import json
import os
import socket
import sys
import threading
import time

import grpc

sys.dont_write_bytecode = True

# What a careful gRPC application sets for calls that may run twice: sluice never sends a call
# again that may have reached a backend, so this is the client's to decide.
RETRY = json.dumps({"methodConfig": [{
    "name": [{"service": "demo.Echo"}],
    "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.02s", "maxBackoff": "0.1s",
                    "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]})


class World:
    """Where to call, with which certificate; makes channels that share nothing."""

    def __init__(self, args):
        sys.path.insert(0, args.stubs)
        import echo_pb2
        import echo_pb2_grpc
        self.pb, self.pb_grpc, self.args = echo_pb2, echo_pb2_grpc, args
        with open(args.ca, "rb") as f:
            self.credentials = grpc.ssl_channel_credentials(f.read())

    def channel(self, retry=False):
        options = [("grpc.ssl_target_name_override", "sluice.demo"),
                   ("grpc.default_authority", "sluice.demo"),
                   ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.enable_http_proxy", 0),
                   ("grpc.enable_retries", int(retry))]
        if retry:
            options.append(("grpc.service_config", RETRY))
        return grpc.secure_channel(self.args.target, self.credentials, options)

    def echo(self, channel):
        return self.pb_grpc.EchoStub(channel)

    def text(self, text, **fields):
        return self.pb.Text(text=text, **fields)


def say(*words):
    print("   ", *words, flush=True)


def bar(share):
    return "█" * round(share * 40)


def command_call(world):
    with world.channel() as channel:
        echo = world.echo(channel)
        for _ in range(world.args.count):
            reply = echo.Say(world.text(world.args.text), timeout=5)
            say(f"{reply.backend}: {reply.text}")
    return True


def command_kinds(world):
    with world.channel() as channel:
        echo = world.echo(channel)
        reply = echo.Say(world.text("hello"), timeout=5)
        say(f"unary              {reply.text!r} from {reply.backend}")
        counted = [r.text for r in echo.Count(world.text("tick", count=3), timeout=5)]
        say(f"server streaming   {counted}")
        joined = echo.Join(iter([world.text(w) for w in ("many", "in,", "one", "out")]), timeout=5)
        say(f"client streaming   {joined.text!r} from {joined.backend}")
        chat = [r.text for r in echo.Chat(iter([world.text(w) for w in ("there", "and", "back")]),
                                          timeout=5)]
        say(f"both ways          {chat}")
        begun = time.monotonic()
        try:
            echo.Say(world.text("too slow", delay_ms=3000), timeout=0.2)
            code = grpc.StatusCode.OK
        except grpc.RpcError as error:
            code = error.code()
        took_ms = (time.monotonic() - begun) * 1000
        say(f"deadline of 200 ms {code.name} after {took_ms:.0f} ms")
    return (reply.text == "hello" and counted == ["tick 1", "tick 2", "tick 3"]
            and joined.text == "many in, one out" and chat == ["THERE", "AND", "BACK"]
            and code == grpc.StatusCode.DEADLINE_EXCEEDED and took_ms < 1000)


def command_spread(world):
    weights = dict(pair.split("=") for pair in world.args.weights.split(","))
    weights = {name: int(weight) for name, weight in weights.items()}
    total, calls = sum(weights.values()), world.args.count
    seen = dict.fromkeys(weights, 0)
    channels = [world.channel() for _ in range(4)]
    stubs = [world.echo(channel) for channel in channels]
    for start in range(0, calls, 40):
        futures = [stubs[i % 4].Say.future(world.text("spread"), timeout=10)
                   for i in range(start, min(start + 40, calls))]
        for future in futures:
            backend = future.result().backend
            seen[backend] = seen.get(backend, 0) + 1
    for channel in channels:
        channel.close()
    good = True
    for name in sorted(seen):
        share, want = seen[name] / calls, weights.get(name, 0) / total
        say(f"{name}  {seen[name]:5d} calls  {share:6.1%}  want {want:4.0%}  {bar(share)}")
        good = good and abs(share - want) <= 0.02
    return good


def command_fresh(world):
    answered = 0
    begun = time.monotonic()
    for _ in range(world.args.count):
        with world.channel() as channel:
            reply = world.echo(channel).Say(world.text("fresh"), timeout=3)
            answered += reply.text == "fresh"
    say(f"fresh connections  {answered} of {world.args.count} calls answered,"
        f" {(time.monotonic() - begun) * 1000 / world.args.count:.1f} ms each")
    return answered == world.args.count


def command_polite(world):
    done = failed = 0
    slowest = 0.0
    until = time.monotonic() + world.args.seconds
    while time.monotonic() < until:
        begun = time.monotonic()
        try:
            with world.channel() as channel:
                world.echo(channel).Say(world.text("polite"), timeout=3)
            done += 1
        except grpc.RpcError as error:
            failed += 1
            say(f"polite client: {error.code().name}: {error.details()}")
        took = time.monotonic() - begun
        slowest = max(slowest, took)
        time.sleep(max(0.0, 0.2 - took))
    say(f"polite client      {done} new connections, {done} calls answered, {failed} failed,"
        f" slowest {slowest * 1000:.0f} ms")
    return done > 0 and failed == 0


def command_flood(world):
    host, port = world.args.target.rsplit(":", 1)
    address = (host.strip("[]"), int(port))
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    pending, tried, opened = [], 0, 0
    until = time.monotonic() + world.args.seconds
    while time.monotonic() < until and tried < 3000:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if world.args.source:
            sock.bind((world.args.source, 0))
        if sock.connect_ex(address) not in (0, errno.EINPROGRESS):
            sock.close()
            continue
        pending.append(sock)
        tried += 1
        time.sleep(0.0005)
    time.sleep(0.2)
    for sock in pending:
        try:
            sock.getpeername()
            opened += 1
        except OSError:
            pass
        sock.close()
    say(f"flooding source    {tried} connections tried, {opened} let in ({opened / tried:.1%})")
    return opened <= world.args.at_most


def command_load(world):
    lock, seen, problems = threading.Lock(), {}, []
    counts = {"ok": 0, "retried": 0}
    until = time.monotonic() + world.args.seconds

    def run():
        channel = world.channel(retry=True)
        echo = world.echo(channel)
        while time.monotonic() < until:
            try:
                reply, call = echo.Say.with_call(world.text("load"), timeout=5)
                attempts = int(dict(call.trailing_metadata()).get("x-earlier-attempts", 0))
                with lock:
                    counts["ok"] += 1
                    counts["retried"] += attempts > 0
                    seen[reply.backend] = seen.get(reply.backend, 0) + 1
            except grpc.RpcError as error:
                with lock:
                    problems.append(f"{error.code().name}: {error.details()}")
            time.sleep(0.01)
        channel.close()

    threads = [threading.Thread(target=run) for _ in range(world.args.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shares = ", ".join(f"{name} {n}" for name, n in sorted(seen.items()))
    say(f"load               {counts['ok']} calls answered ({shares}), {len(problems)} failed;"
        f" {counts['retried']} caught in flight and retried by the client's own gRPC policy")
    for problem in problems[:5]:
        say("failed:", problem)
    # Only calls that were on the killed backend at that very moment may need a second attempt.
    return counts["ok"] > 0 and not problems and counts["retried"] <= world.args.threads


def command_refused(world):
    host, port = world.args.target.rsplit(":", 1)
    begun = time.monotonic()
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
        outcome = "accepted"
    except ConnectionRefusedError:
        outcome = "refused"
    except OSError as error:
        outcome = str(error)
    took_ms = (time.monotonic() - begun) * 1000
    say(f"new connection     {outcome} after {took_ms:.1f} ms")
    return outcome == "refused" and took_ms < 500


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=[name[8:] for name in globals()
                                            if name.startswith("command_")])
    parser.add_argument("text", nargs="?", default="hello")
    parser.add_argument("--target", default=os.environ.get("SLUICE_DEMO_TARGET"))
    parser.add_argument("--ca", default=os.environ.get("SLUICE_DEMO_CA"))
    parser.add_argument("--stubs", default=os.environ.get("SLUICE_DEMO_STUBS"))
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--weights", help="spread: name=weight,…")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--source", help="flood: the address to come from")
    parser.add_argument("--at-most", type=int, default=0, help="flood: connections that may get in")
    args = parser.parse_args()
    if not (args.target and args.ca and args.stubs):
        parser.error("no demo around: --target, --ca and --stubs are needed")
    try:
        good = globals()["command_" + args.command](World(args))
    except grpc.RpcError as error:
        say(f"{args.command}: {error.code().name}: {error.details()}")
        good = False
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
