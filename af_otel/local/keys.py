"""What lets the owner of a facility into its servers, and nobody else: made anew at each start."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from af_otel.backends.certificates import Certificates
from af_otel.local.ports import HOST
from af_otel.page.gate import Gate, login_file, token_file

if TYPE_CHECKING:
    from pathlib import Path

# Whoever has the files is let in, for as long as the facility runs, whatever the clock says.
VALID = dt.timedelta(days=3650)
NAMES = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST)))


@dataclass(frozen=True)
class Keys:
    """What the stores and the Collector want of their clients, and the owner's own login."""

    certificates: Certificates
    gate: Gate

    @classmethod
    def make(cls, directory: Path, user: str) -> Keys:
        """Write new keys into a directory; those of an earlier facility are of no use any more."""
        return cls(make_certificates(directory), _make_gate(directory, user))


def _make_gate(directory: Path, user: str) -> Gate:
    gate = Gate.make(user)
    _write(login_file(directory), f"{gate.user}:{gate.password}".encode())
    _write(token_file(directory), gate.token.encode())
    return gate


def make_certificates(directory: Path) -> Certificates:
    """Write an authority's certificate, and a certificate signed by it with its key.

    The authority's own key is forgotten: it signs nothing else.
    """
    made = Certificates(directory)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("af-otel authority")
    authority = (
        _builder(issuer, issuer, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _builder(_name("af-otel"), issuer, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    options = {"cacert": made.authority, "cert": made.certificate, "key": made.key}
    lines = [f"{name} = {_quoted(file)}\n" for name, file in options.items()]
    for path, content in (
        (made.curl, "".join(lines).encode()),
        (made.authority, authority.public_bytes(serialization.Encoding.PEM)),
        (made.certificate, certificate.public_bytes(serialization.Encoding.PEM)),
        (made.key, secret),
    ):
        _write(path, content)
    return made


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _write(path: Path, content: bytes) -> None:
    """Write a new file that only its owner reads; one that others could read is replaced."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
