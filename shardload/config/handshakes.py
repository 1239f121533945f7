"""What OpenSSL's errors mean: the cause in words, and the flag to use. Pure; Redis and MySQL share it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """A server's name, and what to do about each cause."""

    server: str
    other_name: str
    """if its certificate is for another host"""
    trust: str
    """if nobody trusts who signed its certificate"""
    present: str
    """if it asks for a client certificate"""
    present_another: str
    """if it refuses the client certificate"""
    versions: str
    """if there is no version of TLS that both know"""
    unknown_name: str
    """if it does not know the name that it was asked for"""
    no_tls: str
    """if it does not speak TLS"""


# X509_V_ERR_..., see openssl's x509_vfy.h.
_NOT_TRUSTED = (2, 18, 19, 20, 21, 24, 27, 33)
_NOT_IN_TIME = (9, 10)
_OTHER_HOST = (62, 64)

# Alerts by which a server refuses a client, as OpenSSL calls them.
_REFUSED = (
    "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_UNKNOWN", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "TLSV1_ALERT_ACCESS_DENIED", "TLSV1_ALERT_DECRYPT_ERROR",
)  # fmt: skip


def explain(error: ssl.SSLError, words: Words) -> tuple[str, str] | None:
    """Cause and hint, if a certificate or a setting is at fault; else None: trying again may help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _why_unverified(error, words.server), _what_to_do(error.verify_code, words)
    return _alerts(words).get(error.reason or "")


def _alerts(words: Words) -> dict[str, tuple[str, str]]:
    server = words.server
    no_version = (f"{server} and this client have no version of TLS in common", words.versions)
    refused = (f"{server} refused the client certificate", words.present_another)
    return {
        "TLSV13_ALERT_CERTIFICATE_REQUIRED": (f"{server} asks for a client certificate", words.present),
        "SSLV3_ALERT_HANDSHAKE_FAILURE": (
            f"{server} refused the TLS handshake: it may ask for a client certificate, or for another version of TLS",
            words.present,
        ),
        "TLSV1_ALERT_UNKNOWN_CA": (f"{server} does not know who signed the client certificate", words.present_another),
        "SSLV3_ALERT_CERTIFICATE_EXPIRED": ("the client certificate has expired", words.present_another),
        "SSLV3_ALERT_CERTIFICATE_REVOKED": ("the client certificate was revoked", words.present_another),
        "TLSV1_ALERT_PROTOCOL_VERSION": no_version,
        "UNSUPPORTED_PROTOCOL": no_version,
        "TLSV1_UNRECOGNIZED_NAME": (f"{server} does not know the name that it was asked for", words.unknown_name),
        "WRONG_VERSION_NUMBER": ("it answers without TLS", words.no_tls),
    } | dict.fromkeys(_REFUSED, refused)


def _why_unverified(error: ssl.SSLCertVerificationError, server: str) -> str:
    told = error.verify_message.rstrip(".")
    if error.verify_code in _OTHER_HOST:
        return f"the certificate is not for this host ({told})"
    if error.verify_code in _NOT_IN_TIME:
        return f"the certificate of {server} is out of date ({told})"
    return f"the certificate of {server} is not trusted ({told})"


def _what_to_do(code: int, words: Words) -> str:
    if code in _OTHER_HOST:
        return words.other_name
    if code in _NOT_TRUSTED:
        return words.trust
    more = ", or check this machine's clock" if code in _NOT_IN_TIME else ""
    return f"give {words.server} a valid certificate{more}"
