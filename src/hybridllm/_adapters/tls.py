"""TLS as every wire of ours speaks it, and its failures in our words.

The context is not `ssl.create_default_context()`: that one writes the keys of every connection to the file
that the variable SSLKEYLOGFILE names, where whoever reads it reads prompts and keys. Whom to trust is asked
of OpenSSL, so SSL_CERT_FILE and SSL_CERT_DIR hold.
"""

from __future__ import annotations

import ssl
import sys
from functools import cache
from types import MappingProxyType

# What OpenSSL's verification ends with: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_CERTIFICATE = MappingProxyType(
    {
        9: "the certificate is not yet valid",
        10: "the certificate has expired",
        18: "the certificate is self-signed",
        19: "the certificate's authority is not trusted (self-signed)",
        20: "the certificate's authority is not known",
        21: "the certificate's authority is not known",
        62: "the certificate is for another host",
        64: "the certificate is for another address",
    }
)
_OLD_PROTOCOL = ("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE")
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")


@cache
def client_context() -> ssl.SSLContext:
    """Return the context of our own connections: TLS 1.2 or later, every certificate verified.

    Made once in a process, and not before it is needed: it reads every authority that is trusted.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if sys.version_info >= (3, 13):  # as the default context there
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    context.load_default_certs()
    return context


def tls_words(error: BaseException | None) -> str:
    """Say why TLS failed; of the error only its code is used, never its text."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = _CERTIFICATE.get(error.verify_code, "the certificate is not valid")
        return f"TLS failed: {said}"
    reason = (error.reason if isinstance(error, ssl.SSLError) else None) or ""
    if reason.endswith(_OLD_PROTOCOL):
        return "TLS failed: the server speaks no TLS 1.2 or later"
    if reason in _NO_TLS:
        return "TLS failed: the server does not speak TLS"
    return f"TLS failed ({type(error).__name__})"
