# SPDX-License-Identifier: MIT
"""Self-signed certificates for the listeners, made by the openssl command."""
from collections import namedtuple

from .proc import run

NAME = "sluice.test"

Certificate = namedtuple("Certificate", "chain key")

_KEYS = {
    "ecdsa": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    "rsa": ("-newkey", "rsa:2048"),
}


def make(folder, kind="ecdsa", name=None, common_name=NAME, days=2):
    """A fresh certificate for sluice.test and every address of the lab."""
    stem = folder / (name or kind)
    certificate = Certificate(f"{stem}.pem", f"{stem}.key")
    run("openssl", "req", "-x509", *_KEYS[kind], "-noenc", "-sha256", "-days", days,
        "-subj", f"/CN={common_name}", "-addext", f"subjectAltName=DNS:{NAME}",
        "-keyout", certificate.key, "-out", certificate.chain)
    return certificate
