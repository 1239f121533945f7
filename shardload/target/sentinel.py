"""Finds the master that Sentinels watch: one after the other is asked until one knows it."""

from __future__ import annotations

from typing import Any

from shardload.config.addresses import Address
from shardload.config.redisurl import TargetUrl
from shardload.errors import TargetDenied, TargetError, TargetLost
from shardload.target.connection import TargetConnection
from shardload.target.refusals import NO_REDIS, excerpt

_ANSWER_WITHIN_S = 3.0  # of one of several; a Sentinel answers from memory


def find_master(url: TargetUrl, timeout_s: float) -> TargetUrl:
    """The URL of the master under `url.service`, as the first Sentinel knows it that answers.

    TargetLost if a Sentinel does not answer and no other one knows it, TargetDenied if none knows a master of this
    name.
    """
    troubles: list[TargetError] = []
    for address in url.addresses:
        try:
            return url.at(_ask(url, address, min(timeout_s, _ANSWER_WITHIN_S)))
        except TargetError as error:
            troubles.append(error)
    raise next((error for error in troubles if isinstance(error, TargetLost)), troubles[0])


def _ask(url: TargetUrl, address: Address, timeout_s: float) -> Address:
    connection = TargetConnection(url.sentinel_at(address), timeout_s)
    try:
        told = connection.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.service)
        if told is None:
            raise _not_known(url, address, connection)
        host, port = told
        return Address(host.decode(), int(port))
    except (TypeError, ValueError, KeyError, AttributeError):
        raise TargetLost(f"Sentinel {address} gave an answer that cannot be understood", NO_REDIS) from None
    except (TargetLost, TargetDenied):
        raise
    except TargetError as error:
        raise TargetDenied(f"{address} is no Sentinel, or refuses to answer: {error.message}", error.hint) from error
    finally:
        connection.close()


def _not_known(url: TargetUrl, address: Address, connection: TargetConnection) -> TargetDenied:
    (told,) = connection.call_many([("SENTINEL", "MASTERS")], errors=True)
    hint = "check the name in --redis"
    if isinstance(told, list):
        hint = f"it knows: {', '.join(sorted(map(_name, told))) or 'none'}"
    return TargetDenied(f"Sentinel {address} knows no master '{url.service}'", hint)


def _name(master: Any) -> str:
    return excerpt(dict(zip(master[::2], master[1::2], strict=True))[b"name"])
