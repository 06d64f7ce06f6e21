#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One backend of the demo: a plain gRPC server with demo.Echo and the standard health service.

Started by demo.sh (world.sh: backend_start), one process a backend; ends when it is killed.
"""
import argparse
import concurrent.futures
import sys
import time

import grpc

sys.dont_write_bytecode = True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--address", required=True, help="address:port to listen on")
    parser.add_argument("--stubs", required=True, help="folder with echo_pb2.py")
    args = parser.parse_args()
    sys.path.insert(0, args.stubs)
    import echo_pb2
    import echo_pb2_grpc

    class Echo(echo_pb2_grpc.EchoServicer):
        def reply(self, text):
            return echo_pb2.Reply(text=text, backend=args.name)

        def Say(self, request, context):
            if request.delay_ms:
                time.sleep(request.delay_ms / 1000)
            attempts = dict(context.invocation_metadata()).get("grpc-previous-rpc-attempts", "0")
            context.set_trailing_metadata((("x-earlier-attempts", attempts),))
            return self.reply(request.text)

        def Count(self, request, context):
            for i in range(request.count):
                yield self.reply(f"{request.text} {i + 1}")

        def Join(self, request_iterator, context):
            return self.reply(" ".join(message.text for message in request_iterator))

        def Chat(self, request_iterator, context):
            for message in request_iterator:
                yield self.reply(message.text.upper())

    # grpc.health.v1.Health/Check without its generated code: an empty request, and the reply
    # {status: SERVING} is the two bytes 08 01.
    health = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {
        "Check": grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01"),
    })
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=16),
                         options=[("grpc.so_reuseport", 0)])
    echo_pb2_grpc.add_EchoServicer_to_server(Echo(), server)
    server.add_generic_rpc_handlers((health,))
    if server.add_insecure_port(args.address) == 0:
        sys.exit(f"echo_server: cannot listen on {args.address}")
    server.start()
    print(f"{args.name} serves on {args.address}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
