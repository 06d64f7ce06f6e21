# SPDX-License-Identifier: MIT
"""A second gRPC stack through sluice: grpcurl and grpc-go, as clients and as a backend."""
import json
import subprocess

import pytest

from harness import languages
from harness.lab import HERE, FAST_CHECK
from harness.proc import wait_for
from peers import calls

pytestmark = [pytest.mark.l7, pytest.mark.interop]

CASES = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong",
         "empty_stream", "timeout_on_sleeping_server", "cancel_after_begin",
         "cancel_after_first_response", "status_code_and_message", "special_status_message",
         "custom_metadata", "unimplemented_method", "unimplemented_service", "rpc_soak",
         "channel_soak"]


# A hundred calls, or connections, none of which may fail.
SOAK = ["--soak_iterations=100", "--soak_max_failures=0", "--soak_overall_timeout_seconds=60",
        "--soak_per_iteration_max_acceptable_latency_ms=10000"]


@pytest.fixture(scope="session")
def go(lab):
    """The folder of the Go programs."""
    try:
        return languages.language("go", lab.build).folder
    except languages.Unavailable as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def go_backends(lab, go):
    """grpc-go servers in two of the backends' hosts: their addresses."""
    servers, addresses = [], []
    for host in lab.world.backends[1:3]:
        addresses.append(f"{host.address}:{lab.world.port(50060)}")
        servers.append(subprocess.Popen(
            [*host.enter(), go / "server", addresses[-1]], stdin=subprocess.PIPE))
    yield addresses
    for server in servers:
        server.stdin.close()
        server.wait(10)


@pytest.fixture(scope="module")
def sluice(lab, daemons, backends, go_backends, mode):
    """443: grpc-go backends; 444: python ones."""
    config = lab.config([], listeners=[], groups=[])
    lab.add_listener(config, 443, "go", [{"address": a} for a in go_backends],
                     health_check=dict(FAST_CHECK))
    lab.add_listener(config, 444, "python", backends, health_check=dict(FAST_CHECK))
    yield daemons(config, mode)
    daemons.stop()


def grpcurl(lab, go, *arguments, port=443, check=True):
    return lab.world.client.run(go / "grpcurl", "-insecure", *arguments[:-1],
                                f"{lab.world.lb.address}:{lab.world.port(port)}", arguments[-1],
                                check=check)


def test_grpcurl_with_server_reflection(lab, go, sluice):
    """The acceptance check of the cloud's own page, as it stands there."""
    done = grpcurl(lab, go, "-v", "grpc.testing.TestService/EmptyCall")
    assert "Resolved method descriptor" in done.stdout
    assert "Sent 0 requests and received 1 response" in done.stdout
    assert "Response trailers received" in done.stdout


def test_grpcurl_lists_services_by_reflection(lab, go, sluice):
    listed = grpcurl(lab, go, "list").stdout.split()
    assert {"grpc.testing.TestService", "grpc.health.v1.Health"} <= set(listed)


def test_grpcurl_streams_both_ways(lab, go, sluice):
    request = {"responseParameters": [{"size": 3}, {"size": 5}], "payload": {"body": "AAAA"}}
    done = grpcurl(lab, go, "-d", json.dumps(request) * 3,
                   "grpc.testing.TestService/FullDuplexCall")
    assert done.stdout.count('"payload"') == 6


def test_grpcurl_sees_the_status_of_a_failing_call(lab, go, sluice):
    request = {"responseStatus": {"code": 5, "message": "not here"}}
    done = grpcurl(lab, go, "-d", json.dumps(request), "grpc.testing.TestService/UnaryCall",
                   check=False)
    assert done.returncode != 0
    assert "NotFound" in done.stderr and "not here" in done.stderr


def test_grpcurl_calls_a_python_server(lab, go, sluice):
    arguments = ["-import-path", HERE / "proto", "-proto", "echo.proto"]
    done = grpcurl(lab, go, *arguments, "-d", '{"payload": "aGVsbG8="}', "-H", "echo-x: 1",
                   "-v", "sluice.test.Echo/Unary", port=444)
    assert '"payload": "aGVsbG8="' in done.stdout and "echo-x: 1" in done.stdout
    done = grpcurl(lab, go, *arguments, "-d", '{"payload": "AA=="}' * 20, "sluice.test.Echo/Bidi",
                   port=444)
    assert done.stdout.count('"payload"') == 20


@pytest.mark.parametrize("case", CASES)
def test_grpc_go_client_and_server(lab, go, sluice, case):
    """grpc-go's own interoperability cases; the client exits non-zero where one fails."""
    lab.world.client.run(
        go / "interop-client", "--use_tls", "--use_test_ca", f"--ca_file={lab.certificate.chain}",
        f"--server_host={lab.world.lb.address}", f"--server_port={lab.world.port(443)}",
        "--server_host_override=sluice.test", f"--test_case={case}", *SOAK, timeout=90)


def test_python_client_calls_grpc_go(lab, client, sluice, go_backends):
    outcome = client.run(_empty_call, lab.target())
    assert (outcome.code, outcome.details) == (0, "")


def _empty_call(target):
    import time
    began = time.monotonic()
    method = calls.channel(target).unary_unary("/grpc.testing.TestService/EmptyCall")
    future = method.future(b"", timeout=10)
    future.result()
    return calls.finish(future, began, [])


def test_both_grpc_go_backends_are_used(lab, go, sluice, go_backends):
    before = {r["address"]: r["calls"] for r in sluice.backends("go")}
    for _ in range(6):
        grpcurl(lab, go, "grpc.testing.TestService/EmptyCall")
    wait_for(lambda: all(r["calls"] > before[r["address"]] for r in sluice.backends("go")), 3,
             "calls at both")
