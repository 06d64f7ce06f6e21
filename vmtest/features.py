#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""features.py BUILD - runs inside the machine: starts a sluiced that serves nothing and prints what
`sluicectl status --kernel` says of this kernel, as lines NAME=yes or no."""
import json
import os
import subprocess
import sys
import tempfile
import time

START_SECONDS = 120

CONFIG = """
control: {{socket: {folder}/control.sock}}
kernel: {{mode: auto, pin_path: /sys/fs/bpf/vmtest}}
listeners:
- {{name: none, address: "127.0.0.1:18443", certificate: {{chain: {folder}/chain.pem, key: {folder}/key.pem}},
   group: none}}
groups:
- {{name: none, backends: [{{address: "127.0.0.1:1"}}]}}
"""


def report(build, folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=vmtest",
                    "-keyout", f"{folder}/key.pem", "-out", f"{folder}/chain.pem"],
                   check=True, stderr=subprocess.DEVNULL)
    path = os.path.join(folder, "sluice.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(CONFIG.format(folder=folder))
    with subprocess.Popen([os.path.join(build, "sluiced"), "-c", path],
                          stderr=subprocess.DEVNULL) as daemon:
        try:
            end = time.monotonic() + START_SECONDS
            while time.monotonic() < end and daemon.poll() is None:
                done = subprocess.run(
                    [os.path.join(build, "sluicectl"), "--socket", f"{folder}/control.sock", "--json",
                     "status", "--kernel"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    text=True, check=False)
                if done.returncode == 0:
                    return json.loads(done.stdout)
                time.sleep(0.5)
        finally:
            daemon.terminate()
    sys.exit("features: sluiced did not answer")


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        answer = report(sys.argv[1], folder)
    for row in answer["features"]:
        has = row["has"]
        print(f"{row['feature']}={'?' if has is None else 'yes' if has else 'no'}")


if __name__ == "__main__":
    main()
