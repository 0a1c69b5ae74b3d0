"""A certificate authority of one hub, and the certificates it issues: elliptic-curve keys (P-256), X.509 v3. It keeps no books.

This module needs the extra "link".
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from user_gym.core import real
from user_gym.errors import BadOption, MissingExtra, WrongRun
from user_gym.system.link.identity import private_file

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError as error:
    raise MissingExtra("cryptography", "link") from error

CERTIFICATE_FILE, KEY_FILE = "authority.pem", "authority.key"
MOST_DAYS = 3650.0
_AUTHORITY_DAYS = 3650
_SKEW = datetime.timedelta(hours=1)  # that a robot's clock may be behind


class Issued(NamedTuple):
    """A certificate with its private key, in PEM."""

    certificate: bytes
    key: bytes
    fingerprint: str  # SHA-256 of the certificate, hexadecimal
    expires: float  # s since the epoch


class Authority:
    """Build it with `create` or `load`."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate, self._key = certificate, key

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """A new one; its key is a file for its owner alone. Raises WrongRun where one is, Unwritable."""
        if exists(folder):
            raise WrongRun(f"{folder} holds an authority already; its edges would not be let in by another")
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
        name = _name(f"user-gym hub {os.urandom(4).hex()}")
        expires = now + datetime.timedelta(days=_AUTHORITY_DAYS)
        certificate = (
            _builder(name, name, key.public_key(), now, expires)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        private_file.write(folder / KEY_FILE, _pem(key))
        (folder / CERTIFICATE_FILE).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(certificate, key)

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """That of a hub's folder. Raises WrongRun where there is none, Unwritable where others can read its key."""
        try:
            key = serialization.load_pem_private_key(private_file.read(folder / KEY_FILE), None)
            certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE_FILE).read_bytes())
        except (FileNotFoundError, ValueError) as error:
            raise WrongRun(f"{folder} holds no authority of a hub: {error}; `user-gym hub enroll` makes one") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise WrongRun(f"{folder}: {KEY_FILE} is not the key of {CERTIFICATE_FILE}")
        return cls(certificate, key)

    @property
    def pem(self) -> bytes:
        """Its certificate, for others to pin."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def for_hub(self, hosts: Sequence[str], days: float = 365.0) -> Issued:
        """A certificate that says it is these hosts, names or addresses. Raises BadOption."""
        if not hosts or not all(hosts):
            raise BadOption("hosts of a hub", list(hosts), "the names and addresses under which edges reach it")
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        return self._issue("user-gym hub", days, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def for_edge(self, name: str, days: float) -> Issued:
        """A certificate of an edge. Raises BadOption."""
        return self._issue(name, days, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def _issue(
        self, name: str, days: float, purpose: x509.ObjectIdentifier, hosts: x509.SubjectAlternativeName | None
    ) -> Issued:
        days = real("days", days, -MOST_DAYS, MOST_DAYS, f"a number up to {MOST_DAYS}; below 0 it has expired already")
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
        expires = now + datetime.timedelta(days=days)
        builder = (
            _builder(_name(name), self._certificate.subject, key.public_key(), now, expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if hosts is not None:
            builder = builder.add_extension(hosts, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), _pem(key), digest, expires.timestamp())


def exists(folder: Path) -> bool:
    """Whether a hub's folder has one."""
    return (folder / KEY_FILE).exists() or (folder / CERTIFICATE_FILE).exists()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise BadOption("host of a hub", host, "a name in ASCII, such as xn--mnchen-3ya.example.org", str(error)) from error


def _usage(signs: bool) -> x509.KeyUsage:
    """Sign certificates, or prove who one is; never both."""
    return x509.KeyUsage(
        digital_signature=not signs, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    expires: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, expires) - _SKEW)
        .not_valid_after(expires)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
