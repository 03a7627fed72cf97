"""Certificates that no client may take: each has one flaw, most are signed by whom it trusts."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from tempfile import TemporaryDirectory
from typing import Final

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FLAWS: Final = {
    "self-signed": "self-signed certificate",
    "unknown authority": "unable to get local issuer certificate",
    "expired": "certificate has expired",
    "not yet valid": "certificate is not yet valid",
    "for clients only": "unsuitable certificate purpose",
    "other host": "IP address mismatch",
    "name in its subject only": "IP address mismatch",
}
"""The flaws, and OpenSSL's words for them."""

DAY: Final = timedelta(days=1)


def flawed_context(authority: trustme.CA, flaw: str) -> SSLContext:
    """Return the context of a server on 127.0.0.1 whose certificate has one of `FLAWS`."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = trustme.CA() if flaw == "unknown authority" else authority
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.now(UTC) + {"expired": -3 * DAY, "not yet valid": DAY}.get(flaw, -DAY)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + 2 * DAY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_usage(flaw)]), critical=False)
    )
    if flaw != "name in its subject only":
        address = "192.0.2.1" if flaw == "other host" else "127.0.0.1"
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    if flaw == "self-signed":
        certificate = builder.issuer_name(name).sign(key, hashes.SHA256())
    else:
        certificate = _signed(builder, issuer)
    return _context(certificate, key)


def _usage(flaw: str) -> x509.ObjectIdentifier:
    if flaw == "for clients only":
        return ExtendedKeyUsageOID.CLIENT_AUTH
    return ExtendedKeyUsageOID.SERVER_AUTH


def _signed(builder: x509.CertificateBuilder, issuer: trustme.CA) -> x509.Certificate:
    key = serialization.load_pem_private_key(issuer.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signer = x509.load_pem_x509_certificate(issuer.cert_pem.bytes())
    return builder.issuer_name(signer.subject).sign(key, hashes.SHA256())


def _context(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> SSLContext:
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    context = SSLContext(PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as directory:
        file = Path(directory) / "certificate.pem"
        file.write_bytes(pem + certificate.public_bytes(encoding))
        context.load_cert_chain(file)
    return context
