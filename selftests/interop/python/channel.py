# SPDX-License-Identifier: MIT
"""A client's way to the balancer: TLS by the CA's PEM, the certificate's name being sluice.test;
`-` for the CA is cleartext. gRPC's own defaults but for the size of messages."""
import grpc


def channel(target, ca):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
               ("grpc.use_local_subchannel_pool", 1)]
    if ca == "-":
        return grpc.insecure_channel(target, options)
    with open(ca, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    return grpc.secure_channel(target, credentials,
                               [*options, ("grpc.ssl_target_name_override", "sluice.test")])
