"""TLS to MySQL: whether it is used, and what OpenSSL's errors mean. `config.certificates` reads the files."""

from __future__ import annotations

import ssl
from typing import Any

from pymysql.connections import Connection

from shardload.config.certificates import mysql_context
from shardload.config.handshakes import Words, explain
from shardload.config.urls import SourceTls, SourceUrl
from shardload.errors import SourceDenied, SpecError

NO_TLS = "let MySQL offer TLS (ssl_cert, ssl_key), or choose another --mysql-ssl-mode"
_WORDS = Words(
    server="MySQL",
    other_name="name the host as its certificate does, or check who signed it alone: --mysql-ssl-mode VERIFY_CA",
    trust="name the certificate of the authority that signed it: --mysql-ssl-ca FILE",
    present="give this client's certificate: --mysql-ssl-cert FILE --mysql-ssl-key FILE",
    present_another="check --mysql-ssl-cert and --mysql-ssl-key",
    versions="let MySQL offer TLS 1.2 or 1.3 (tls_version)",
    unknown_name="check the host in --mysql",
    no_tls=NO_TLS,
)
_DEEPEST = 8  # exceptions that hold each other; PyMySQL's hold OpenSSL's as their context, or by a name of their own


def context_for(url: SourceUrl) -> ssl.SSLContext | None:
    """What OpenSSL needs, if TLS may be used at all; else None. SourceDenied if a file, which was there when the job
    began, is of no use.

    Over a unix socket TLS is used only if it is required, as by the mysql client.
    """
    if url.tls.mode == "DISABLED" or (url.socket and not url.tls.is_required):
        return None
    try:
        return mysql_context(url.tls)
    except SpecError as error:
        raise SourceDenied(f"cannot connect to {url}: {error.message}", error.hint) from error


def why_tls_failed(error: BaseException) -> tuple[str, str] | None:
    """Cause and hint, if a certificate or a setting of TLS is why the login failed; else None."""
    found = _openssls(error)
    return None if found is None else explain(found, _WORDS)


def also_at_denied(tls: SourceTls, *, is_secure: bool) -> str:
    """What else may be the reason that MySQL denies a login with the right password; MySQL itself never says so."""
    if is_secure and tls.cert is None:
        return ", and whether this user has to show a certificate: --mysql-ssl-cert"
    if tls.mode == "DISABLED":
        return ", and whether this user needs TLS: --mysql-ssl-mode"
    return ""


def tls_in_words(connection: Connection[Any], tls: SourceTls) -> str:
    """The version of TLS, and what was checked of the certificate, as they follow a server's version; empty without
    TLS."""
    opened = connection._sock  # type: ignore[attr-defined]  # not in the stubs
    if not isinstance(opened, ssl.SSLSocket):
        return ""
    checked = "is not checked"
    if tls.checks_authority:
        checked = "is checked" + (", but not its host" if not tls.checks_host else "")
    return f", {opened.version()}, its certificate {checked}"


def _openssls(error: BaseException | None) -> ssl.SSLError | None:
    """OpenSSL's error, which PyMySQL's holds."""
    for _ in range(_DEEPEST):
        if error is None or isinstance(error, ssl.SSLError):
            return error
        error = getattr(error, "original_exception", None) or error.__cause__ or error.__context__
    return None
