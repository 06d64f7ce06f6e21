# SPDX-License-Identifier: MIT
"""What runs inside the test's hosts, by the agent: gRPC clients and servers, raw HTTP/2 peers."""
