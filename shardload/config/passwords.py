"""Passwords in what a person typed, made unreadable. Pure, and light: it is needed before anything else is imported."""

from __future__ import annotations

import re

# What `str()` of a ServerUrl is: it holds no password, and the text behind it may have an '@' of its own.
_OURS = r"(?:[^\s:/@]*@)?(?:\[[^\s\[\]@]*\]|[^\s:/@\[\]]*):\d{1,5}/[^\s:/@]*(?!\S*@)"
# The word PASSWORD itself stands in help texts. A password may hold anything, so all up to the last '@' counts as one.
_URL = re.compile(rf"(://|:/(?!/))(?!{_OURS})([^:]*?):(?!//\s|(?://[A-Z]*:)?PASSWORD@).*@", re.DOTALL)
_NO_HOST = re.compile(r"(:/{1,2}[^\s:/@\[]*):(?!PASSWORD@|\d|\*\*\*@)\S+")  # the host behind it was forgotten
_QUERY = re.compile(r"([?&;](?:password|passwd|pwd|auth)=)[^\s&;]*", re.IGNORECASE)
_TYPED = re.compile(r"(:/{1,2}).*@", re.DOTALL)


def without_passwords(text: str) -> str:
    """The text, with every password of a URL in it made unreadable; of a path that was meant as a URL, too.

    Where it cannot be told what is password and what is text, too little is shown rather than too much.
    """
    return _QUERY.sub(r"\1***", _NO_HOST.sub(r"\1:***", _URL.sub(r"\1\2:***@", text)))


def word_without_password(word: str) -> str:
    """One word of a command line, for others' eyes: of a URL not even the user, who may be a password (redis://secret@)."""
    return without_passwords(_TYPED.sub(r"\1***@", word))
