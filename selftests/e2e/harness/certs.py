# SPDX-License-Identifier: MIT
"""Certificates: self-signed ones for the listeners, made by the openssl command, and authorities
of the tests' own for backends and clients."""
import datetime
import ipaddress
from collections import namedtuple

from .proc import run

NAME = "sluice.test"

Certificate = namedtuple("Certificate", "chain key")

_KEYS = {
    "ecdsa": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    "rsa": ("-newkey", "rsa:2048"),
}


def make(folder, kind="ecdsa", name=None, common_name=NAME, days=2, names=(NAME,)):
    """A fresh certificate for sluice.test, or for other names."""
    stem = folder / (name or kind)
    certificate = Certificate(f"{stem}.pem", f"{stem}.key")
    run("openssl", "req", "-x509", *_KEYS[kind], "-noenc", "-sha256", "-days", days,
        "-subj", f"/CN={common_name}", "-addext",
        "subjectAltName=" + ",".join(f"DNS:{n}" for n in names),
        "-keyout", certificate.key, "-out", certificate.chain)
    return certificate


class Authority:
    """A CA: .chain is its own certificate's path. Certificates it issues lie in the same folder."""

    def __init__(self, folder, name):
        from cryptography import x509
        self.folder, self.name = folder, name
        self.key, self.subject = _key(), _subject(name)
        certificate = self._sign(self.subject, self.key.public_key(), 2, [
            (x509.BasicConstraints(ca=True, path_length=None), True)])
        self.chain = str(folder / f"{name}.pem")
        _write_pem(self.chain, certificate)

    def issue(self, name, sans=(), days=2):
        """A Certificate; sans: DNS names, IP addresses or URIs. days < 0: it has expired."""
        from cryptography import x509
        key = _key()
        names = [_general_name(san) for san in sans]
        extensions = [(x509.BasicConstraints(ca=False, path_length=None), True)]
        if names:
            extensions.append((x509.SubjectAlternativeName(names), False))
        certificate = self._sign(_subject(name), key.public_key(), days, extensions)
        issued = Certificate(str(self.folder / f"{self.name}-{name}.pem"),
                             str(self.folder / f"{self.name}-{name}.key"))
        _write_pem(issued.chain, certificate)
        _write_key(issued.key, key)
        return issued

    def _sign(self, subject, public_key, days, extensions):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.subject) \
            .public_key(public_key).serial_number(x509.random_serial_number()) \
            .not_valid_before(now - datetime.timedelta(days=5)) \
            .not_valid_after(now + datetime.timedelta(days=days))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())


def _key():
    from cryptography.hazmat.primitives.asymmetric import ec
    return ec.generate_private_key(ec.SECP256R1())


def _subject(name):
    from cryptography import x509
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _general_name(text):
    from cryptography import x509
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.UniformResourceIdentifier(text) if ":" in text else x509.DNSName(text)


def _write_pem(path, certificate):
    from cryptography.hazmat.primitives.serialization import Encoding
    with open(path, "wb") as file:
        file.write(certificate.public_bytes(Encoding.PEM))


def _write_key(path, key):
    from cryptography.hazmat.primitives import serialization
    with open(path, "wb") as file:
        file.write(key.private_bytes(serialization.Encoding.PEM,
                                     serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption()))
