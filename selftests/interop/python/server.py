#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""server.py ADDRESS - grpc-python as a backend: Echo (echo.proto) and grpc.health.v1, the tests' own
peers.backend. Ends with its standard input, so that none outlives a test run."""
import sys

from peers import backend

backend.start("python", [sys.argv[1]])
sys.stdin.read()
