"""Certificates with SPIFFE identities, from an authority that lives as long as this takes."""

import datetime
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME: Final = datetime.timedelta(days=30)
# Certificates that end sooner than this are made anew.
RENEWAL: Final = datetime.timedelta(days=7)
# Clocks of containers and host are the same; those of a laptop that slept may jump.
SKEW: Final = datetime.timedelta(minutes=5)
FILES: Final = ("certificate.pem", "key.pem", "authority.pem")

Key = ec.EllipticCurvePrivateKey


def issue(folder: Path, identities: dict[str, str], owner: int | None) -> bool:
    """A folder with certificate, key and authority for each account; whether they were made now.

    `identities` are SPIFFE URIs by account. The authority's key is never written: one certificate
    more means all of them anew. `owner` is the user and group that may read the keys.
    """
    if all(_lasts(folder / account) for account in identities):
        return False
    authority, key = _authority()
    for account, uri in identities.items():
        own = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(uri, own, authority, key)
        _write(folder / account, certificate, own, authority, owner)
    return True


def _lasts(folder: Path) -> bool:
    if not all((folder / name).exists() for name in FILES):
        return False
    certificate = x509.load_pem_x509_certificate((folder / FILES[0]).read_bytes())
    return certificate.not_valid_after_utc > datetime.datetime.now(datetime.UTC) + RENEWAL


def _authority() -> tuple[x509.Certificate, Key]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "triptych mesh")])
    made = _builder(name, name, key, [x509.BasicConstraints(ca=True, path_length=0)])
    return made.sign(key, hashes.SHA256()), key


def _sign(uri: str, own: Key, authority: x509.Certificate, key: Key) -> x509.Certificate:
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    extensions = [
        x509.BasicConstraints(ca=False, path_length=None),
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]),
        x509.ExtendedKeyUsage(usages),
    ]
    # An identity is its URI and nothing else, so that the subject is empty (SPIFFE X.509-SVID).
    made = _builder(x509.Name([]), authority.subject, own, extensions)
    return made.sign(key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, extensions: Iterable[x509.ExtensionType]
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + LIFETIME)
    )
    for extension in extensions:
        critical = not isinstance(extension, x509.ExtendedKeyUsage)
        builder = builder.add_extension(extension, critical=critical)
    return builder


def _write(
    folder: Path, certificate: x509.Certificate, own: Key, authority: x509.Certificate,
    owner: int | None,
) -> None:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    key = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    contents = (
        certificate.public_bytes(Encoding.PEM),
        key,
        authority.public_bytes(Encoding.PEM),
    )
    for name, content in zip(FILES, contents, strict=True):
        file = folder / name
        file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        if owner is not None:
            os.chown(file, owner, owner)
