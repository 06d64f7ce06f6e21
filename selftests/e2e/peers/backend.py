# SPDX-License-Identifier: MIT
"""The gRPC backend of the tests: the Echo service and grpc.health.v1, on grpcio's asyncio server.

Runs in an agent's process (one server a process; kill -9 of the agent is kill -9 of the backend).
"""
import asyncio
import collections
import threading

import grpc

import echo_pb2
import echo_pb2_grpc
import health_pb2
import health_pb2_grpc

counters = collections.Counter()
_server = None
_loop = None
_health = {}
_behaviour = {}


def _metadata(context):
    return [echo_pb2.Pair(key=k, value=v if isinstance(v, bytes) else v.encode())
            for k, v in context.invocation_metadata()]


def _count_cancelled(context):
    """At a call's end: grpcio calls it before the call counts as done only when it was cancelled."""
    if not context.done():
        counters["cancelled"] += 1


class Echo(echo_pb2_grpc.EchoServicer):
    """Metadata keys echo-* come back as initial, trail-* as trailing metadata."""

    def __init__(self, name):
        self.name = name

    def _reply(self, request, context, received=1, size=None):
        remaining = context.time_remaining()
        payload = bytes(request.reply_bytes) if request.reply_bytes else request.payload
        return echo_pb2.Reply(
            payload=payload, backend=self.name, received=received,
            received_bytes=len(request.payload) if size is None else size,
            metadata=_metadata(context), peer=context.peer(),
            time_remaining=remaining if remaining and remaining < 1e8 else 0)

    async def _begin(self, context):
        counters["calls"] += 1
        context.add_done_callback(_count_cancelled)
        items = [(k, v) for k, v in context.invocation_metadata()]
        context.set_trailing_metadata(tuple((k, v) for k, v in items if k.startswith("trail-")))
        initial = tuple((k, v) for k, v in items if k.startswith("echo-"))
        if any(k == "flush-initial" for k, _ in items):
            await context.send_initial_metadata(initial)
            return ()
        return initial

    async def _headers(self, context, initial):
        if initial:
            await context.send_initial_metadata(initial)

    async def _pause(self, request):
        if request.sleep_ms:
            await asyncio.sleep(request.sleep_ms / 1000)

    def _end(self, request, context):
        if request.status:
            context.set_code(list(grpc.StatusCode)[request.status])
            context.set_details(request.message)

    async def _behave(self, context):
        """As set_behaviour told, whatever the request says."""
        await asyncio.sleep(_behaviour.get("delay", 0))
        if "status" in _behaviour and counters["calls"] % _behaviour["every"] == 0:
            counters["failed"] += 1
            await context.abort(list(grpc.StatusCode)[_behaviour["status"]], "as told")

    async def Unary(self, request, context):
        initial = await self._begin(context)
        if _behaviour:
            await self._behave(context)
        await self._pause(request)
        if request.status and request.fail_first:
            code = list(grpc.StatusCode)[request.status]
            await context.abort(code, request.message, context.trailing_metadata() or ())
        await self._headers(context, initial)
        self._end(request, context)
        counters["answered"] += 1
        return self._reply(request, context)

    async def ClientStream(self, request_iterator, context):
        initial = await self._begin(context)
        await self._headers(context, initial)
        received, size, last = 0, 0, echo_pb2.Request()
        async for last in request_iterator:
            received += 1
            size += len(last.payload)
            counters["messages"] += 1
            if last.stall:
                await asyncio.sleep(3600)
            await self._pause(last)
            if last.status:
                break  # ends while the client may still be sending
        self._end(last, context)
        counters["answered"] += 1
        return self._reply(echo_pb2.Request(reply_bytes=last.reply_bytes), context, received, size)

    async def ServerStream(self, request, context):
        initial = await self._begin(context)
        await self._headers(context, initial)
        for i in range(request.reply_count):
            await self._pause(request)
            await context.write(self._reply(request, context, received=i + 1))
            counters["messages"] += 1
        self._end(request, context)
        counters["answered"] += 1

    async def Bidi(self, request_iterator, context):
        initial = await self._begin(context)
        await self._headers(context, initial)
        received, size = 0, 0
        async for request in request_iterator:
            received += 1
            size += len(request.payload)
            counters["messages"] += 1
            await self._pause(request)
            if request.status:
                self._end(request, context)
                break
            for _ in range(request.reply_count or 1):
                await context.write(self._reply(request, context, received, size))
        await asyncio.sleep(0.02)  # a cancelled call shows as an end of the requests at first
        counters["answered"] += 1


class Health(health_pb2_grpc.HealthServicer):
    async def Check(self, request, context):
        counters["checks"] += 1
        if "delay" in _health:
            await asyncio.sleep(_health["delay"])
        if "status" in _health:
            await context.abort(list(grpc.StatusCode)[_health["status"]], "as told")
        if request.service not in _health["services"]:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service}")
        return health_pb2.HealthCheckResponse(status=_health["services"][request.service])

    async def Watch(self, request, context):
        counters["watches"] += 1
        if not _health.get("watch"):
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no Watch here")
        said = None
        while _health.get("watch"):
            status = _health["services"].get(request.service, 3)
            if status != said:
                said = status
                yield health_pb2.HealthCheckResponse(status=status)
            await asyncio.sleep(0.01)


def _credentials(chain, key, client_ca=None):
    def read(path):
        with open(path, "rb") as file:
            return file.read()

    return grpc.ssl_server_credentials([(read(key), read(chain))],
                                       client_ca and read(client_ca), bool(client_ca))


async def _run(name, addresses, health, max_streams, tls, ready):
    global _server, _loop
    _loop = asyncio.get_running_loop()
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
               ("grpc.so_reuseport", 0)]
    if max_streams:
        options.append(("grpc.max_concurrent_streams", max_streams))
    server = grpc.aio.server(options=options)
    echo_pb2_grpc.add_EchoServicer_to_server(Echo(name), server)
    if health:
        health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    for address in addresses:
        port = server.add_secure_port(address, _credentials(*tls)) if tls else \
            server.add_insecure_port(address)
        if not port:
            raise OSError(f"cannot listen on {address}")
    await server.start()
    _server = server
    ready.set()
    await server.wait_for_termination()


def start(name, addresses, health=True, max_streams=None, tls=None):
    """Serves on addresses ("host:port") until the process is killed or stop() is called. tls: paths
    of chain and key, and of the CA where clients must show a certificate."""
    set_health(services={"": 1})
    ready = threading.Event()
    threading.Thread(target=lambda: asyncio.run(_run(name, addresses, health, max_streams, tls,
                                                      ready)),
                     daemon=True).start()
    if not ready.wait(15):
        raise OSError(f"{name} does not serve on {addresses}")


def stop(grace=None):
    """An orderly stop: GOAWAY, running calls have `grace` seconds."""
    asyncio.run_coroutine_threadsafe(_server.stop(grace), _loop).result(30)


def set_health(services=None, status=None, delay=None, watch=False):
    """What Check answers: services' ServingStatus by name, or a grpc-status, after a delay. watch: there
    is a Watch, which tells services' too; without, one that stands ends."""
    _health.clear()
    _health["watch"] = watch
    _health["services"] = services or {"": 1}
    if status is not None:
        _health["status"] = status
    if delay is not None:
        _health["delay"] = delay


def set_behaviour(status=None, every=1, delay=None):
    """Every so manyth unary call ends with a grpc-status; each is answered after a delay."""
    _behaviour.clear()
    if status is not None:
        _behaviour.update(status=status, every=every)
    if delay is not None:
        _behaviour["delay"] = delay


def count():
    """calls, answered, failed, cancelled, messages, checks: a Counter."""
    return dict(counters)
