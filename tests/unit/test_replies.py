"""Replies to written keys: exactly the expected bytes count, however they are cut; other bytes lose the connection."""

from __future__ import annotations

import pytest

from shardload.encoding import Form, Payload, Shape
from shardload.errors import TargetBusy, TargetError, TargetLost, TargetMoved
from shardload.target.replies import Replies

FENCE = b"$16\r\n0123456789abcdef\r\n"
RESTORE, PLAIN, WHOLE, WHOLE_TTL = Form(Payload.PLAIN), Form(), Form(whole=True), Form(ttl_ms=1, whole=True)
KEEPS = Form(Payload.LISTPACK, keeps=True)
KEEPS_JSON = Form(shape=Shape.JSON, keeps=True)
DOCUMENT = Form(shape=Shape.REDISJSON, whole=True, dated=True)
BUSY_KEY = b"-BUSYKEY Target key name already exists.\r\n"
NIL = b"$-1\r\n"
ANSWERS = {
    KEEPS: [b"+OK\r\n", BUSY_KEY],
    KEEPS_JSON: [NIL, b"+OK\r\n"],
    Form(shape=Shape.JSON, dated=True): [b"+OK\r\n"],
    Form(shape=Shape.REDISJSON, keeps=True): [b"+OK\r\n", NIL],
    Form(shape=Shape.REDISJSON, ttl_ms=1): [b":1\r\n+OK\r\n:1\r\n"],
    DOCUMENT: [
        b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:0\r\n+OK\r\n:1\r\n",
        b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n+OK\r\n:0\r\n",
    ],
    Form(whole=True, dated=True): [b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:0\r\n:8\r\n:0\r\n"],
    RESTORE: [b"+OK\r\n"],
    PLAIN: [b":0\r\n:8\r\n", b":1\r\n:12\r\n"],
    Form(ttl_ms=1): [b":0\r\n:8\r\n:1\r\n", b":1\r\n:0\r\n:0\r\n"],
    WHOLE: [b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:0\r\n:8\r\n", b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1017\r\n"],
    WHOLE_TTL: [b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:0\r\n:8\r\n:1\r\n"],
}


def replies(form: Form, *keys: int, fence: bytes = FENCE) -> Replies:
    """Replies that expect batches of so many keys."""
    found = Replies(form)
    for count in keys:
        found.expect(count * form.replies_per_key, fence)
    return found


@pytest.mark.parametrize("fence", [FENCE, b""])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("form", ANSWERS)
def test_expected_replies_count_however_they_are_cut(form: Form, size: int, fence: bytes) -> None:
    """Equal and different replies count in pieces of any size; `least_bytes` is never more than will come."""
    several = [ANSWERS[form][n // 3 % len(ANSWERS[form])] for n in range(30)]
    stream = b"".join(several[:20]) + fence + b"".join(several[20:]) + fence
    found = replies(form, 20, 10, fence=fence)
    for at in range(0, len(stream), size):
        assert 0 < found.least_bytes(0, 1 << 20) <= len(stream) - at
        found.take(stream[at : at + size])
    assert found.outstanding == 0


@pytest.mark.parametrize("fence", [FENCE, b""])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("form", ANSWERS)
def test_lookups_are_answered_behind_the_rows(form: Form, size: int, fence: bytes) -> None:
    """A batch has rows' own keys first; what was kept of either is counted for the batch that it belongs to."""
    answers = ANSWERS[form]
    batches = [([n % len(answers) for n in range(5)], [0, 1, 0]), ([], [1]), ([0] * 3, []), ([0], [0] * 4)]
    found = Replies(form)
    stream, kept = b"", []
    for rows, lookups in batches:
        found.expect(len(rows) * form.replies_per_key, fence, len(lookups))
        own = [answers[n] for n in rows]
        more = [NIL if form.keeps and lookup else b"+OK\r\n" for lookup in lookups]
        stream += b"".join(own + more) + fence
        if form.keeps:
            kept.append((sum(one in (BUSY_KEY, NIL) for one in own), more.count(NIL)))
    for at in range(0, len(stream), size):
        assert 0 < found.least_bytes(0, 1 << 20) <= len(stream) - at
        found.take(stream[at : at + size])
    assert (found.outstanding, found.batches_done, list(found.kept)) == (0, len(batches), kept)


def test_only_a_job_that_keeps_takes_kept_for_an_answer() -> None:
    """For all others such a reply is an error, or no answer at all."""
    with pytest.raises(TargetError, match="BUSYKEY"):
        replies(RESTORE, 1).take(BUSY_KEY + FENCE)
    with pytest.raises(TargetLost):
        replies(Form(shape=Shape.JSON), 1).take(NIL + FENCE)
    with pytest.raises(TargetLost):  # a kept hash is no nil
        replies(KEEPS, 1).take(NIL + FENCE)


def test_an_error_among_the_lookups_counts_what_came_before() -> None:
    """The rows' own keys, and the lookups before it; not the batch."""
    found = Replies(KEEPS)
    found.expect(2, FENCE)
    found.expect(3, FENCE, 3)
    with pytest.raises(TargetError, match="OOM"):
        found.take(b"+OK\r\n" + BUSY_KEY + FENCE + b"+OK\r\n" * 3 + NIL + b"-OOM no\r\n")
    assert (found.outstanding, list(found.kept)) == (1, [(1, 0)])


@pytest.mark.parametrize(
    ("form", "stream"),
    [
        (RESTORE, b"+OK\r\n+OK\r\n+OK\r\n" + FENCE),  # one too many
        (RESTORE, b"+OK\r\n" + FENCE),  # one too few
        (RESTORE, b"+OK\r\n+OK\r\n" + FENCE + b"+OK\r\n"),
        (RESTORE, b"+OK\r\n+OK\r\n" + FENCE + b"\0"),
        (RESTORE, b"+OK\r\n+OK\r\n" + FENCE.replace(b"f", b"e")),  # another's
        (RESTORE, b"$4\r\n\r\n\r\n\r\n"),
        (RESTORE, b"+OK\r\n+KO\r\n"),
        (RESTORE, b"+OK\n+OK\n"),
        (RESTORE, b"+OK\r\n:1\r\n"),
        (RESTORE, b">2\r\n+OK\r\n"),
        (RESTORE, b"+OK\r\n" + b"x" * 10_000),
        (RESTORE, b"-ERR " + b"x" * 10_000),
        (PLAIN, b":0\r\n+OK\r\n"),
        (PLAIN, b":0\r\n:-1\r\n"),
        (WHOLE, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:0\r\n:0\r\n"),  # HSET made nothing
        (WHOLE, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n"),
        (WHOLE, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:0\r\n:8\r\n:1\r\n"),
        (WHOLE_TTL, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:0\r\n:8\r\n:0\r\n"),  # PEXPIRE found no key
    ],
)
def test_anything_else_is_a_lost_connection(form: Form, stream: bytes) -> None:
    """Wrong bytes raise TargetLost however they are cut; bytes before them count only up to the last fence."""
    found = replies(form, 2)
    with pytest.raises(TargetLost) as caught:
        found.take(stream)
    assert not isinstance(caught.value, TargetBusy)
    assert len(str(caught.value)) < 600
    assert found.outstanding == 2 * form.replies_per_key
    in_pieces = replies(form, 2)

    def take() -> None:
        for at in range(len(stream)):
            in_pieces.take(stream[at : at + 1])

    with pytest.raises(TargetLost):
        take()


@pytest.mark.parametrize("position", [0, 1, 5, 9])
@pytest.mark.parametrize("form", ANSWERS)
def test_an_error_reply_is_raised_and_counted(form: Form, position: int) -> None:
    """After an error the keys before it count as confirmed, and so do batches whose fence has come."""
    one = ANSWERS[form][0]
    found = replies(form, 3, 10)
    with pytest.raises(TargetError, match="WRONGTYPE") as caught:
        found.take(one * 3 + FENCE + one * position + b"-WRONGTYPE Operation\r\n" + one * 2)
    assert not isinstance(caught.value, TargetLost)
    assert 13 * form.replies_per_key - found.outstanding - 1 == (3 + position) * form.replies_per_key


def test_a_refused_last_row_is_not_hidden_by_a_reply_too_many() -> None:
    """The batch is not confirmed, although as many good replies have come as it has keys."""
    found = replies(RESTORE, 3)
    found.take(b"+OK\r\n" * 3)
    assert found.outstanding == 3
    with pytest.raises(TargetError, match="OOM"):
        found.take(b"-OOM command not allowed\r\n")
    assert 3 - found.outstanding - 1 < 3


def test_a_reply_too_many_without_a_fence() -> None:
    """If PING is forbidden there are no fences: the bytes with the surplus reply do not count."""
    found = replies(RESTORE, 3, 3, fence=b"")
    with pytest.raises(TargetLost, match="more replies"):
        found.take(b"+OK\r\n" * 6 + b"-OOM\r\n")
    assert found.outstanding == 6


# ---- refusals of a cluster's node

MOVED = b"-MOVED 7 10.0.0.1:7001\r\n"
ASK = b"-ASK 7 10.0.0.1:7001\r\n"
TRYAGAIN = b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"
ABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
REFUSED = [
    (RESTORE, MOVED, "MOVED"),
    (RESTORE, ASK, "ASK"),
    (RESTORE, b"-CLUSTERDOWN Hash slot not served\r\n", "CLUSTERDOWN"),
    (RESTORE, b"-LOADING Redis is loading the dataset in memory\r\n", "LOADING"),
    (PLAIN, MOVED * 2, "MOVED"),
    (PLAIN, b":1\r\n" + ASK, "ASK"),
    (WHOLE, b"+OK\r\n" + MOVED * 2 + ABORT, "MOVED"),
    (WHOLE, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n" + ASK, "ASK"),
    (WHOLE_TTL, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:0\r\n" + TRYAGAIN + b":0\r\n", "TRYAGAIN"),
    (KEEPS, MOVED, "MOVED"),
    (KEEPS_JSON, ASK, "ASK"),
    (DOCUMENT, b"+OK\r\n" + MOVED * 3 + ABORT, "MOVED"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize(("form", "refusal", "word"), REFUSED)
def test_refused_keys_are_noted(form: Form, refusal: bytes, word: str, size: int) -> None:
    """Each with its batch and its place in it; all other keys count, and so does the batch."""
    good = ANSWERS[form][0]
    stream = good * 2 + refusal + good + FENCE + refusal + good + refusal + FENCE + good + FENCE
    found = Replies(form, follows=True)
    for keys in (4, 3, 1):
        found.expect(keys * form.replies_per_key, FENCE)
    for at in range(0, len(stream), size):
        assert 0 < found.least_bytes(0, 1 << 20) <= len(stream) - at
        found.take(stream[at : at + size])
    assert (found.outstanding, found.batches_done) == (0, 3)
    assert [(one.batch, one.key, one.error.word) for one in found.refused] == [(0, 2, word), (1, 0, word), (1, 2, word)]


@pytest.mark.parametrize(("form", "refusal", "word"), REFUSED[:6])
def test_refused_keys_end_a_connection_that_does_not_follow(form: Form, refusal: bytes, word: str) -> None:
    """To a single server."""
    found = replies(form, 1)
    with pytest.raises(TargetError, match=word):
        found.take(refusal + FENCE)


def test_another_error_is_not_followed() -> None:
    """What no other node would do either is raised, and what came before it counts."""
    found = Replies(RESTORE, follows=True)
    found.expect(3, FENCE)
    with pytest.raises(TargetError, match="Bad data format"):
        found.take(b"+OK\r\n" + MOVED + b"-ERR Bad data format\r\n" + FENCE)
    assert (found.outstanding, len(found.refused)) == (0, 1)


def test_where_a_refusal_leads_to() -> None:
    """Slot and address; no host means that of the node that was asked."""
    found = Replies(RESTORE, follows=True)
    found.expect(4, FENCE)
    found.take(b"-MOVED 1 ::1:7001\r\n-MOVED 2 :7002\r\n-ASK 3 ?:7003\r\n-ASK 16383 host.example:65535\r\n" + FENCE)
    errors = [one.error for one in found.refused]
    assert all(isinstance(error, TargetMoved) for error in errors)
    assert [(e.slot, e.host, e.port, e.asks) for e in errors if isinstance(e, TargetMoved)] == [
        (1, "::1", 7001, False),
        (2, "", 7002, False),
        (3, "", 7003, True),
        (16383, "host.example", 65535, True),
    ]


def test_refused_lookups_have_their_places_behind_the_rows() -> None:
    """The third key of this batch is its first lookup."""
    found = Replies(KEEPS, follows=True)
    found.expect(2, FENCE, 2)
    found.take(BUSY_KEY + b"+OK\r\n" + MOVED + NIL + FENCE)
    assert [(one.batch, one.key) for one in found.refused] == [(0, 2)]
    assert list(found.kept) == [(1, 1)]
