"""Certificate authorities of the tests' own, and servers with TLS."""

from __future__ import annotations

import datetime
import ipaddress
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shardload.config.urls import SourceUrl, TargetUrl, TlsRules
from shardload.sandbox import RedisServer
from shardload.sandbox.servers import MysqlServer

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = self._about(self._name, self._key, now - _DAY, now + _DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.cert = directory / f"{name}.crt"
        self.cert.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *hosts: str, days_left: int = 1) -> Pair:
        """A certificate for these hosts, or, without any, for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        about = self._about(subject, key, now - 30 * _DAY, now + days_left * _DAY)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        about = about.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if hosts:
            about = about.add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), False)
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        pair.cert.write_bytes(about.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(private_pem(key))
        return pair

    def _about(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, since: datetime.datetime, until: datetime.datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
        )


def private_pem(key: ec.EllipticCurvePrivateKey, passphrase: str = "") -> bytes:
    """The key as PEM text, encrypted if there is a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption(),
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class TlsRedis(RedisServer):
    """A Redis with a port for TLS beside its plain one, which the tests' own reader uses."""

    def __init__(self, directory: Path, *options: str, hosts: tuple[str, ...] = ("127.0.0.1", "localhost")) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(directory)
        self.stranger = Authority(directory, "stranger")
        self.server_pair = self.authority.issue("server", *hosts)
        self.client_pair = self.authority.issue("client")
        self.tls_port = _free_port()
        super().__init__(
            directory,
            [
                "--tls-port", str(self.tls_port), "--tls-cert-file", str(self.server_pair.cert),
                "--tls-key-file", str(self.server_pair.key), "--tls-ca-cert-file", str(self.authority.cert), *options,
            ],
        )  # fmt: skip

    @property
    def rules(self) -> TlsRules:
        """Those that fit."""
        return TlsRules(cacert=self.authority.cert, cert=self.client_pair.cert, key=self.client_pair.key)

    @property
    def tls_url(self) -> TargetUrl:
        """With the rules that fit."""
        return replace(self.url, port=self.tls_port, tls=self.rules)

    @property
    def flags(self) -> list[str]:
        """The command's, with the rules that fit."""
        rules = self.rules
        return [
            "--redis", str(self.tls_url), "--redis-cacert", str(rules.cacert), "--redis-cert", str(rules.cert),
            "--redis-key", str(rules.key),
        ]  # fmt: skip


class TlsMysql(MysqlServer):
    """A MySQL that offers TLS, also by a unix socket and over IPv6."""

    def __init__(self, directory: Path, *options: str, hosts: tuple[str, ...] = ("127.0.0.1", "localhost")) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(directory)
        self.stranger = Authority(directory, "stranger")
        self.server_pair = self.authority.issue("server", *hosts)
        self.client_pair = self.authority.issue("client")
        super().__init__(
            directory,
            [
                f"--ssl-cert={self.server_pair.cert}", f"--ssl-key={self.server_pair.key}",
                f"--ssl-ca={self.authority.cert}", *options,
            ],
        )  # fmt: skip

    @property
    def socket(self) -> Path:
        """Its unix socket."""
        return self.directory / "data" / "mysql.sock"

    @property
    def by_socket(self) -> SourceUrl:
        """The server by its unix socket."""
        return replace(self.url, host="localhost", port=0, socket=str(self.socket))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
