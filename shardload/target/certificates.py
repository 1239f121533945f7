"""Turn OpenSSL's errors into one line each: the cause, and the flag to use. Pure."""

from __future__ import annotations

import ssl

from shardload.errors import TargetDenied, TargetError, TargetLost

_OTHER_NAME = "name the host as its certificate does, or give the certificate's name: --redis-sni NAME"
_PRESENT = "give this client's certificate: --redis-cert FILE --redis-key FILE"
_PRESENT_ANOTHER = "check --redis-cert and --redis-key"
_TRUST = "name the certificate of the authority that signed it: --redis-cacert FILE"
_TRY_VERSIONS = "let Redis offer TLS 1.2 or 1.3 (tls-protocols, tls-ciphers)"
NO_TLS = "write redis:// in --redis, or name its TLS port"

# X509_V_ERR_..., see openssl's x509_vfy.h.
_NOT_TRUSTED = (2, 18, 19, 20, 21, 24, 27, 33)
_NOT_IN_TIME = (9, 10)
_OTHER_HOST = (62, 64)

# Alerts by which a server refuses a client: what OpenSSL calls them, and what they say.
_ALERTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": ("Redis asks for a client certificate", _PRESENT),
    "SSLV3_ALERT_HANDSHAKE_FAILURE": (
        "Redis refused the TLS handshake: it may ask for a client certificate, or for another version of TLS",
        _PRESENT,
    ),
    "TLSV1_ALERT_UNKNOWN_CA": ("Redis does not know who signed the client certificate", _PRESENT_ANOTHER),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": ("the client certificate has expired", _PRESENT_ANOTHER),
    "SSLV3_ALERT_CERTIFICATE_REVOKED": ("the client certificate was revoked", _PRESENT_ANOTHER),
    "SSLV3_ALERT_BAD_CERTIFICATE": ("Redis refused the client certificate", _PRESENT_ANOTHER),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": ("Redis refused the client certificate", _PRESENT_ANOTHER),
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": ("Redis refused the client certificate", _PRESENT_ANOTHER),
    "TLSV1_ALERT_ACCESS_DENIED": ("Redis refused the client certificate", _PRESENT_ANOTHER),
    "TLSV1_ALERT_DECRYPT_ERROR": ("Redis refused the client certificate", _PRESENT_ANOTHER),
    "TLSV1_ALERT_PROTOCOL_VERSION": ("Redis and this client have no version of TLS in common", _TRY_VERSIONS),
    "TLSV1_UNRECOGNIZED_NAME": ("Redis does not know the name that it was asked for", "check --redis-sni"),
    "UNSUPPORTED_PROTOCOL": ("Redis and this client have no version of TLS in common", _TRY_VERSIONS),
    "WRONG_VERSION_NUMBER": ("it answers without TLS", NO_TLS),
}


def error_from_tls(operation: str, error: ssl.SSLError, hint: str) -> TargetError:
    """Our error for one of OpenSSL's: TargetDenied if a certificate or a setting is the cause; else TargetLost, with
    `hint`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TargetDenied(f"{operation}: {_why_unverified(error)}", _hint_of(error.verify_code))
    told, what_to_do = _ALERTS.get(error.reason or "", ("", ""))
    if told:
        return TargetDenied(f"{operation}: {told}", what_to_do)
    return TargetLost(f"{operation}: TLS failed: {error.reason or error}", hint)


def _why_unverified(error: ssl.SSLCertVerificationError) -> str:
    told = error.verify_message.rstrip(".")
    if error.verify_code in _OTHER_HOST:
        return f"the certificate is not for this host ({told})"
    if error.verify_code in _NOT_IN_TIME:
        return f"the certificate of Redis is out of date ({told})"
    return f"the certificate of Redis is not trusted ({told})"


def _hint_of(code: int) -> str:
    if code in _OTHER_HOST:
        return _OTHER_NAME
    if code in _NOT_TRUSTED:
        return _TRUST
    return "give Redis a valid certificate" + (", or check this machine's clock" if code in _NOT_IN_TIME else "")
