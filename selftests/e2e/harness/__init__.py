# SPDX-License-Identifier: MIT
"""The harness of the end-to-end tests: namespaces, processes, certificates, the daemon.

Nothing in here asserts what sluice does; that is what the test_*.py files are for.
"""
