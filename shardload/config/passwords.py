"""Replace passwords in typed text by `***`. Pure. Imports almost nothing, because it runs before all other imports."""

from __future__ import annotations

import re

# The forms of `str(ServerUrl)`: they hold no password, and the text after them may contain an '@'.
_HOST = r"(?:\[[^\s\[\]@]*\]|[^\s:/@\[\]]*):\d{1,5}"
_SOCKET = (
    r"(?<=unix://)(?:[^\s:/@]*@)?/[^\s:@?]*\?db=\d+"
    r"|(?<=mysql://)(?:[^\s:/@]*@)?localhost/[^\s:/@?]*\?socket=/[^\s:@?]*"
)
_OURS = (
    rf"(?:(?:{_SOCKET})|(?:[^\s:/@]*@)?{_HOST}(?:,{_HOST})*/[^\s:/@]*(?:/\d+)?(?:\?sentinel_user=[^\s:/@]*)?)(?!\S*@)"
)
# Help texts contain the word PASSWORD. A password may contain any character, so all up to the last '@' counts as one.
_URL = re.compile(rf"(://|:/(?!/))(?!{_OURS})([^:]*?):(?!//\s|(?://[A-Z]*:)?PASSWORD@).*@", re.DOTALL)
_NO_HOST = re.compile(r"(:/{1,2}[^\s:/@\[]*):(?!PASSWORD@|\d|\*\*\*@)\S+")  # the host is missing
_QUERY = re.compile(r"([?&;](?:(?:sentinel_)?password|passwd|pwd|auth)=)[^\s&;]*", re.IGNORECASE)
_TYPED = re.compile(r"(:/{1,2}).*@", re.DOTALL)
_TYPED_UNCLEAR = re.compile(
    r"(:/{1,2})[^?]*\?.*@.*", re.DOTALL
)  # the '@' may be the query's, or the '?' the password's
_TYPED_QUERY = re.compile(r"(:/.*?\?).*", re.DOTALL)


def without_passwords(text: str) -> str:
    """The text with each URL's password replaced by `***`, also in a mistyped URL with one slash.

    If it is unclear where a password ends, the text up to the last possible end is hidden.
    """
    return _QUERY.sub(r"\1***", _NO_HOST.sub(r"\1:***", _URL.sub(r"\1\2:***@", text)))


def word_without_password(word: str) -> str:
    """One word of a command line without user, password and what follows a `?`: the user may be a misplaced password
    (redis://secret@)."""
    for typed, shown in ((_TYPED_UNCLEAR, r"\1***"), (_TYPED, r"\1***@"), (_TYPED_QUERY, r"\1***")):
        word = typed.sub(shown, word)
    return without_passwords(word)
