"""Reads the files that a connection with TLS needs, and says which flag is wrong if one cannot be used."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from shardload.config.redisurl import TlsRules
from shardload.errors import SpecError

_NO_ORIGINS: dict[str, str] = {}


def tls_context(rules: TlsRules, origins: Mapping[str, str] = _NO_ORIGINS) -> ssl.SSLContext:
    """What OpenSSL needs for a connection by these rules.

    SpecError, whose message begins with the flag or its name in `origins`, if a file is not there or of no use.
    """
    if rules.cacertdir is not None:
        _check_directory(rules.cacertdir, _origin("redis_cacertdir", origins))
    if rules.cacert is not None:
        _check_file(rules.cacert, _origin("redis_cacert", origins))
    try:
        context = ssl.create_default_context(cafile=rules.cacert, capath=rules.cacertdir)
    except (ssl.SSLError, OSError) as error:
        raise _of_no_use(rules.cacert, _origin("redis_cacert", origins), "certificate (PEM)", error) from None
    # Python 3.13 refuses authorities whose certificates lack some extensions. Those that people make themselves do.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if rules.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if rules.cert is not None and rules.key is not None:
        _load_pair(context, rules.cert, rules.key, origins)
    return context


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path, origins: Mapping[str, str]) -> None:
    cert_origin, key_origin = _origin("redis_cert", origins), _origin("redis_key", origins)
    _check_file(cert, cert_origin)
    _check_file(key, key_origin)
    asked = []

    def no_passphrase() -> str:
        asked.append(True)
        return ""

    try:
        context.load_cert_chain(cert, key, no_passphrase)  # without a function, OpenSSL asks the terminal
    except (ssl.SSLError, OSError) as error:
        if asked:
            hint = f"write it without one: openssl pkey -in {key} -out FILE"
            raise SpecError(f"{key_origin}: {key} is encrypted with a passphrase", hint) from None
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            raise SpecError(
                f"{key_origin}: {key} is not the key of the certificate {cert}",
                f"name the key that {cert_origin} needs",
            ) from None
        if _has_certificate(cert):
            raise _of_no_use(key, key_origin, "private key (PEM)", error) from None
        raise _of_no_use(cert, cert_origin, "certificate (PEM)", error) from None


def _has_certificate(file: Path) -> bool:
    try:
        ssl.create_default_context(cafile=file)
    except (ssl.SSLError, OSError):
        return False
    return True


def _origin(key: str, origins: Mapping[str, str]) -> str:
    return origins.get(key, "--" + key.replace("_", "-"))


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


def _of_no_use(file: Path | None, origin: str, what: str, error: OSError) -> SpecError:
    if isinstance(error, ssl.SSLError):
        return SpecError(f"{origin}: {file} is not a {what}", "it begins with -----BEGIN")
    return SpecError(f"{origin}: cannot read {file}: {error.strerror}", "name a file that this user can read")
