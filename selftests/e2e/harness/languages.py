# SPDX-License-Identifier: MIT
"""Other people's gRPC stacks: builds the programs of selftests/interop into the build tree, where
their tools and libraries can be had, and says how each is run. README.md there describes them."""
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent.parent
PROTO = HERE / "proto"
SOURCES = HERE.parent / "interop"
GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
STEP_SECONDS = 300


class Unavailable(Exception):
    """Why the programs are not to be had."""


def _run(*argv, cwd=None, fetches=False, **environment):
    """Runs a step of a build. One that fetches may fail: no network is no defect of ours."""
    env = dict(os.environ, **environment)
    env.setdefault("HOME", "/root")
    try:
        done = subprocess.run([str(a) for a in argv], cwd=cwd, env=env, text=True, check=False,
                              timeout=STEP_SECONDS, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{argv[0]} {argv[1]} took more than {STEP_SECONDS} s") from None
    if done.returncode == 0:
        return
    if not fetches:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}:\n{done.stdout}")
    lines = [line for line in done.stdout.splitlines()
             if line.strip() and not line.startswith("go: downloading")]
    why = next((line for line in lines if "error" in line.lower()), (lines or ["failed"])[-1])
    raise Unavailable(f"{argv[0]} could not fetch what it needs: {why[:160]}")


def _need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise Unavailable(f"{tool} is not installed")


class Language:
    """One stack. server(ADDRESS), client(TARGET, CA) and load(TARGET, CA, SECONDS) are argument
    lists. build raises Unavailable with the reason."""

    name = ""

    def __init__(self, build):
        self.build_tree = pathlib.Path(re.sub(r"/san-[^/]*$", "", str(build)))
        self.folder = self.build_tree / "interop" / self.name
        self.source = SOURCES / self.name

    def build(self):
        """Makes the programs, where they are missing or older than their sources."""
        stamp = self.folder / "built"
        newest = max(p.stat().st_mtime for p in [*self.source.rglob("*"), *PROTO.iterdir()])
        if not stamp.exists() or stamp.stat().st_mtime < newest:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.make()
            stamp.touch()
        return self

    def make(self):
        """What build does where something is to be done."""

    def program(self, name, *arguments):
        return [self.folder / name, *arguments]

    def server(self, address):
        return self.program("server", address)

    def client(self, target, ca):
        return self.program("client", target, ca)

    def load(self, target, ca, seconds):
        return self.program("load", target, ca, seconds)


class Go(Language):
    name = "go"

    def make(self):
        _need("go", "protoc")
        tree = self.folder / "src"
        shutil.copytree(self.source, tree, dirs_exist_ok=True)
        go = functools.partial(_run, "go", cwd=tree, CGO_ENABLED="0", GOTOOLCHAIN="local")
        generator = "google.golang.org/protobuf/cmd/protoc-gen-go"
        clients = "google.golang.org/grpc/interop/client"
        specs = ("github.com/summerwind/h2spec/cmd/h2spec", "github.com/summerwind/h2spec/cmd/h2specd")
        go("list", "-deps", generator, clients, *specs, "google.golang.org/grpc/health",
           "google.golang.org/grpc/reflection", "google.golang.org/grpc/interop", fetches=True)
        go("build", "-o", f"{self.folder}/", generator)
        (tree / "echo").mkdir(exist_ok=True)
        _run("protoc", f"-I{PROTO}", f"--plugin={self.folder}/protoc-gen-go", f"--go_out={tree}",
             "--go_opt=Mecho.proto=sluice/interop/echo,module=sluice/interop", "echo.proto")
        go("build", "-o", f"{self.folder}/", "./server", "./echoclient", "./load", *specs)
        go("build", "-o", self.folder / "interop-client", clients)
        if not (self.folder / "grpcurl").exists():
            go("install", GRPCURL, GOBIN=str(self.folder), fetches=True)

    def client(self, target, ca):
        return self.program("echoclient", target, ca)


class Python(Language):
    name = "python"

    def program(self, name, *arguments):
        path = f"{HERE}:{self.build_tree / 'e2e'}"
        generated = next((p for p in sys.path if os.path.exists(f"{p}/echo_pb2.py")), path)
        return ["env", f"PYTHONPATH={path}:{generated}", "PYTHONDONTWRITEBYTECODE=1",
                sys.executable, self.source / f"{name}.py", *arguments]


class Js(Language):
    name = "js"

    def make(self):
        _need("node", "npm")
        for name in ("package.json", "package-lock.json"):
            shutil.copy(self.source / name, self.folder)
        _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1",
             "--fetch-timeout=20000", cwd=self.folder, fetches=True)

    def program(self, name, *arguments):
        return ["env", f"NODE_PATH={self.folder}/node_modules", "node",
                self.source / f"{name}.js", *arguments]


class Java(Language):
    name = "java"
    COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

    def make(self):
        _need("java", "javac", "mvn", "protoc")
        _run("mvn", "-B", "-q", "-f", self.source / "pom.xml", self.COPY,
             f"-DoutputDirectory={self.folder}/lib", "-DincludeScope=runtime", fetches=True)
        generated = self.folder / "src"
        generated.mkdir(exist_ok=True)
        _run("protoc", f"-I{PROTO}", f"--java_out={generated}", "echo.proto")
        _run("javac", "-nowarn", "-cp", f"{self.folder}/lib/*", "-d", self.folder / "classes",
             *generated.rglob("*.java"), *self.source.glob("*.java"))

    def program(self, name, *arguments):
        return ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
                f"{self.folder}/classes:{self.folder}/lib/*", name.capitalize(), *arguments]


class Cpp(Language):
    name = "cpp"

    def make(self):
        _need("g++", "protoc", "grpc_cpp_plugin", "pkg-config")
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "grpc++", "protobuf"],
                               capture_output=True, text=True, check=False)
        if flags.returncode:
            raise Unavailable("libgrpc++-dev is not installed")
        _run("protoc", f"-I{PROTO}", f"--cpp_out={self.folder}", f"--grpc_out={self.folder}",
             f"--plugin=protoc-gen-grpc={shutil.which('grpc_cpp_plugin')}", "echo.proto")
        _run("g++", "-std=c++17", "-O1", "-Wall", f"-I{self.folder}", *self.source.glob("*.cc"),
             *self.folder.glob("*.cc"), *flags.stdout.split(), "-lgrpc++_reflection", "-pthread",
             "-o", self.folder / "echo")

    def program(self, name, *arguments):
        return [self.folder / "echo", name, *arguments]


ALL = {each.name: each for each in (Go, Python, Js, Java, Cpp)}
_built = {}


def language(name, build):
    """The built Language; Unavailable with the reason, the same one again where it was asked for
    before: what cannot be fetched is tried once a run."""
    key = (name, str(build))
    if key not in _built:
        try:
            _built[key] = ALL[name](build).build()
        except Unavailable as why:
            _built[key] = why
    if isinstance(_built[key], Unavailable):
        raise _built[key]
    return _built[key]


def main():
    """languages.py BUILD: makes all that can be made, and says what cannot: `make interop`'s
    first step, and a way for a person to get the programs."""
    for name in ALL:
        try:
            print(f"{name}: {language(name, sys.argv[1]).folder}")
        except Unavailable as why:
            print(f"{name}: SKIP: {why}")


if __name__ == "__main__":
    main()
