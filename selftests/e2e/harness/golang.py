# SPDX-License-Identifier: MIT
"""Builds the Go programs of selftests/interop into the build tree, where that can be done."""
import os
import pathlib
import re
import shutil
import subprocess

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
SOURCES = pathlib.Path(__file__).resolve().parent.parent.parent / "interop"


class Unavailable(Exception):
    """Why the programs are not to be had."""


def _go(*arguments, **environment):
    env = dict(os.environ, GOFLAGS="-mod=mod", CGO_ENABLED="0", GOTOOLCHAIN="local", **environment)
    env.setdefault("HOME", "/root")
    try:
        done = subprocess.run(["go", *arguments], cwd=SOURCES, env=env, text=True, timeout=400,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        raise Unavailable("the Go modules could not be fetched and built in 400 s") from None
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if not line.startswith("go: downl")]
        raise Unavailable(f"go {arguments[0]}: {lines[-1] if lines else 'failed'}")


def programs(build):
    """The folder with server, client and grpcurl; built where they are not there yet. Unavailable
    with the reason otherwise."""
    folder = pathlib.Path(re.sub(r"/san-[^/]*$", "", build)) / "interop"
    wanted = [folder / name for name in ("server", "client", "grpcurl")]
    newest = max(p.stat().st_mtime for p in SOURCES.rglob("*") if p.is_file())
    if all(p.exists() for p in wanted) and min(p.stat().st_mtime for p in wanted[:2]) > newest:
        return folder
    if not shutil.which("go"):
        raise Unavailable("no Go toolchain")
    folder.mkdir(parents=True, exist_ok=True)
    _go("build", "-o", f"{folder}/", "./server", "google.golang.org/grpc/interop/client")
    if not wanted[2].exists():
        _go("install", GRPCURL, GOBIN=str(folder))
    return folder
