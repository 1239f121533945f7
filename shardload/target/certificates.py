"""Turn OpenSSL's errors into ours: one line each, with the cause and the flag to use. Pure."""

from __future__ import annotations

import ssl

from shardload.config.handshakes import Words, explain
from shardload.errors import TargetDenied, TargetError, TargetLost

NO_TLS = "write redis:// in --redis, or name its TLS port"

_WORDS = Words(
    server="Redis",
    other_name="name the host as its certificate does, or give the certificate's name: --redis-sni NAME",
    trust="name the certificate of the authority that signed it: --redis-cacert FILE",
    present="give this client's certificate: --redis-cert FILE --redis-key FILE",
    present_another="check --redis-cert and --redis-key",
    versions="let Redis offer TLS 1.2 or 1.3 (tls-protocols, tls-ciphers)",
    unknown_name="check --redis-sni",
    no_tls=NO_TLS,
)


def error_from_tls(operation: str, error: ssl.SSLError, hint: str) -> TargetError:
    """Our error for one of OpenSSL's: TargetDenied if a certificate or a setting is the cause; else TargetLost, with
    `hint`."""
    if explained := explain(error, _WORDS):
        return TargetDenied(f"{operation}: {explained[0]}", explained[1])
    return TargetLost(f"{operation}: TLS failed: {error.reason or error}", hint)
