"""A TLS certificate for the loopback and hosts below ``s3.localhost``, and its authority."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOSTS = ("localhost", "s3.localhost", "*.s3.localhost")


def make_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """The paths of a new authority's certificate, of a certificate that it signed, and its key."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    name = "s3kit test authority"
    authority = _builder(name, authority_key, authority_key, name, authority=True)
    key = ec.generate_private_key(ec.SECP256R1())
    made = _builder("s3.localhost", key, authority_key, name, authority=False)
    made = made.add_extension(_names(), critical=False).add_extension(
        x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
    )
    authority_file, chain = folder / "authority.pem", folder / "chain.pem"
    authority_file.write_bytes(_pem(authority.sign(authority_key, hashes.SHA256())))
    chain.write_bytes(_pem(made.sign(authority_key, hashes.SHA256())))
    _write_key(folder / "chain.key", key)
    return authority_file, chain, folder / "chain.key"


def _builder(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    issuer: str,
    *,
    authority: bool,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    subject_identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuer_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        # Strict clients (Python 3.13) want all of these from an authority.
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(subject_identifier, critical=False)
    )
    if key is issuer_key:
        return builder
    return builder.add_extension(issuer_identifier, critical=False)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _names() -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            *(x509.DNSName(host) for host in HOSTS),
        ]
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
