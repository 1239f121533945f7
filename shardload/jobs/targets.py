"""Asks a job's target which Redis it is, and how keys can be written there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from shardload.config.addresses import Address
from shardload.config.spec import JobSpec
from shardload.encoding import KeyTemplate, Payload, is_native_built
from shardload.errors import SpecError, TargetBusy
from shardload.jobs.mapping import needs_of
from shardload.model.nodes import NodeFacts
from shardload.target import Choice, TargetFacts, choose_for_target, open_target, why_unwatchable

_ANSWER_WITHIN_S = 3.0


def uses_native(spec: JobSpec) -> bool:
    """True if the native encoder is used. SpecError if the spec asks for it and it was not built."""
    if spec.encoder == "native" and not is_native_built():
        raise SpecError(
            "--encoder native: the compiled encoder is not part of this installation",
            "install a C compiler and Python's headers, and install shardload again",
        )
    return spec.encoder != "reference" and is_native_built()


def look_at_target(spec: JobSpec, template: KeyTemplate, known: Sequence[NodeFacts] = ()) -> tuple[TargetFacts, Choice]:
    """Ask which Redis it is, which had the `known` nodes, and how keys can be written, unless nothing will be: a verify
    without repair changes nothing. TargetError as for `probe_target`."""
    if not spec.is_verify or spec.repair:
        return probe_target(spec, template, known)
    target = open_target(spec.redis)
    try:
        return target.describe(known), Choice(None, "nothing is written")
    finally:
        target.close()


def probe_target(spec: JobSpec, template: KeyTemplate, known: Sequence[NodeFacts] = ()) -> tuple[TargetFacts, Choice]:
    """Ask which Redis it is, which had the `known` nodes, and try how a scratch key like the job's own can be written.
    TargetError if it cannot."""
    layouts = [Payload.LISTPACK, Payload.PLAIN] if spec.hash_layout == "compact" else [Payload.PLAIN]
    is_slow = spec.encoding == "auto" and spec.shape == "hash" and not spec.keeps and not uses_native(spec)
    encoding = "commands" if is_slow else spec.encoding
    target = open_target(spec.redis)
    try:
        choice = choose_for_target(target, lambda: _scratch_key(template), encoding, layouts, needs_of(spec))
        if is_slow:
            choice = replace(choice, reason="Python takes longer for RESTORE's payloads than they save")
        if spec.is_verify and why_unwatchable(target, _scratch_key(template)):
            choice = replace(choice, reason=f"{choice.reason}; no WATCH: a repair may undo what others write meanwhile")
        return target.describe(known), choice
    finally:
        target.close()


def _scratch_key(template: KeyTemplate) -> bytes:
    """A new key that no row has, which Redis's access rules cover like a real one."""
    return template.filled(f"shardload-probe-{os.getpid()}-{os.urandom(4).hex()}").encode()


def ask_target(spec: JobSpec, known: Sequence[NodeFacts] = (), addresses: Sequence[Address] = ()) -> TargetFacts:
    """Ask what the target, which had the `known` nodes, is now.

    TargetLost if it does not answer soon, or if a server is a replica that should be a master: the caller asks again.
    """
    target = open_target(spec.redis, _ANSWER_WITHIN_S, known=addresses)
    try:
        facts = target.describe(known)
    finally:
        target.close()
    for node in facts.nodes:
        if node.slots and not node.is_master:
            raise TargetBusy(f"{node.address} is a replica now", "wait for the failover to end, or name the master")
    return facts
