"""Reads the files that a connection with TLS needs, and says which flag is wrong if one cannot be used."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shardload.config.redisurl import TlsRules
from shardload.config.urls import SourceTls
from shardload.errors import SpecError

_NO_ORIGINS: dict[str, str] = {}


@dataclass(frozen=True)
class _Named:
    """A file or a directory, if one was given, and what a message calls it: a flag, or a key of a file."""

    path: Path | None
    origin: str


def redis_context(rules: TlsRules, origins: Mapping[str, str] = _NO_ORIGINS) -> ssl.SSLContext:
    """What OpenSSL needs for a connection to Redis by these rules.

    SpecError, whose message begins with the flag or its name in `origins`, if a file is not there or of no use.
    """
    ca, capath = _named(rules.cacert, "redis_cacert", origins), _named(rules.cacertdir, "redis_cacertdir", origins)
    context = _trusting(ca, capath)
    if rules.insecure:
        _trust_any(context)
    _present(context, _named(rules.cert, "redis_cert", origins), _named(rules.key, "redis_key", origins))
    return context


def mysql_context(tls: SourceTls, origins: Mapping[str, str] = _NO_ORIGINS) -> ssl.SSLContext:
    """What OpenSSL needs for a connection to MySQL. SpecError as for `redis_context`."""
    if tls.checks_authority:
        context = _trusting(_named(tls.ca, "mysql_ssl_ca", origins), _named(tls.capath, "mysql_ssl_capath", origins))
        context.check_hostname = tls.checks_host
    else:  # the system's authorities are not loaded: that takes longer than a login
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _trust_any(context)
    _present(context, _named(tls.cert, "mysql_ssl_cert", origins), _named(tls.key, "mysql_ssl_key", origins))
    return context


def _named(path: Path | None, key: str, origins: Mapping[str, str]) -> _Named:
    return _Named(path, origins.get(key, "--" + key.replace("_", "-")))


def _trust_any(context: ssl.SSLContext) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


def _trusting(ca: _Named, capath: _Named) -> ssl.SSLContext:
    """Trusts these authorities; without any, those of the system."""
    if capath.path is not None:
        _check_directory(capath.path, capath.origin)
    if ca.path is not None:
        _check_file(ca.path, ca.origin)
    try:
        context = ssl.create_default_context(cafile=ca.path, capath=capath.path)
    except (ssl.SSLError, OSError) as error:
        raise _of_no_use(ca, "certificate (PEM)", error) from None
    # Python 3.13 refuses authorities whose certificates lack some extensions. Those that people make themselves do.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _present(context: ssl.SSLContext, cert: _Named, key: _Named) -> None:
    """Let the context show this certificate, if there is one with its key."""
    if cert.path is None or key.path is None:
        return
    _check_file(cert.path, cert.origin)
    _check_file(key.path, key.origin)
    asked = []

    def no_passphrase() -> str:
        asked.append(True)
        return ""

    try:
        context.load_cert_chain(cert.path, key.path, no_passphrase)  # without a function, OpenSSL asks the terminal
    except (ssl.SSLError, OSError) as error:
        if asked:
            hint = f"write it without one: openssl pkey -in {key.path} -out FILE"
            raise SpecError(f"{key.origin}: {key.path} is encrypted with a passphrase", hint) from None
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            raise SpecError(
                f"{key.origin}: {key.path} is not the key of the certificate {cert.path}",
                f"name the key that {cert.origin} needs",
            ) from None
        if _has_certificate(cert.path):
            raise _of_no_use(key, "private key (PEM)", error) from None
        raise _of_no_use(cert, "certificate (PEM)", error) from None


def _has_certificate(file: Path) -> bool:
    try:
        ssl.create_default_context(cafile=file)
    except (ssl.SSLError, OSError):
        return False
    return True


def _check_file(file: Path, origin: str) -> None:
    if not file.is_file():
        raise SpecError(f"{origin}: there is no file {file}", "name a PEM file")
    try:
        file.open("rb").close()
    except OSError as error:
        raise SpecError(
            f"{origin}: cannot read {file}: {error.strerror}", "name a file that this user can read"
        ) from None


def _check_directory(directory: Path, origin: str) -> None:
    if not directory.is_dir():
        raise SpecError(f"{origin}: there is no directory {directory}", "name a directory with certificates")
    if not any(directory.glob("????????.[0-9]*")):
        hint = f"run: openssl rehash {directory}"
        raise SpecError(f"{origin}: {directory} has no certificate under the name of its hash", hint)


def _of_no_use(named: _Named, what: str, error: OSError) -> SpecError:
    if isinstance(error, ssl.SSLError):
        return SpecError(f"{named.origin}: {named.path} is not a {what}", "it begins with -----BEGIN")
    return SpecError(
        f"{named.origin}: cannot read {named.path}: {error.strerror}", "name a file that this user can read"
    )
