"""The flags that say how servers are reached: logins and TLS."""

from __future__ import annotations

import click

LOGIN = [
    click.option(
        "--mysql-defaults-file", metavar="FILE",
        help="A file such as ~/.my.cnf: what --mysql does not say of user, password, host and TLS.",
    ),
    click.option(
        "--mysql-ssl-mode", metavar="MODE",
        help="DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY.  "
        "[default: PREFERRED; VERIFY_CA with an authority]",
    ),
    click.option(
        "--mysql-ssl-ca", metavar="FILE", help="The certificates that sign MySQL's own.  [default: the system's]"
    ),
    click.option("--mysql-ssl-capath", metavar="DIR", help="A directory of such certificates (openssl rehash)."),
    click.option("--mysql-ssl-cert", metavar="FILE", help="The client certificate for MySQL; needs --mysql-ssl-key."),
    click.option("--mysql-ssl-key", metavar="FILE", help="The private key of --mysql-ssl-cert."),
    click.option(
        "--mysql-server-public-key-path", metavar="FILE",
        help="MySQL's public key (its public_key.pem), for passwords without TLS.",
    ),
    click.option(
        "--mysql-get-server-public-key", is_flag=True, default=None,
        help="Without TLS, encrypt the password with whatever public key the server sends.",
    ),
    click.option(
        "--mysql-enable-cleartext-plugin", is_flag=True, default=None,
        help="Without TLS, send the password in clear text if the server asks for it.",
    ),
]  # fmt: skip
REACH = [
    click.option(
        "--redis-cacert", metavar="FILE",
        help="The certificates that sign Redis's own, for rediss://.  [default: the system's]",
    ),
    click.option("--redis-cacertdir", metavar="DIR", help="A directory of such certificates (openssl rehash)."),
    click.option("--redis-cert", metavar="FILE", help="The client certificate for Redis; needs --redis-key."),
    click.option("--redis-key", metavar="FILE", help="The private key of --redis-cert."),
    click.option(
        "--redis-sni", metavar="NAME", help="The name in Redis's certificate.  [default: the host in --redis]"
    ),
    click.option(
        "--redis-insecure", is_flag=True, default=None, help="Trust any certificate: anybody may answer as Redis."
    ),
    click.option(
        "--redis-map", metavar="HOST:PORT=HOST:PORT,...",
        help="Where to reach the addresses that a cluster or a Sentinel names (behind Docker or NAT).",
    ),
]  # fmt: skip
