"""Replace passwords in typed text by `***`. Pure. Imports almost nothing, because it runs before all other imports."""

from __future__ import annotations

import re

# The form of `str(ServerUrl)`: it holds no password, and the text after it may contain an '@'.
_OURS = r"(?:[^\s:/@]*@)?(?:\[[^\s\[\]@]*\]|[^\s:/@\[\]]*):\d{1,5}/[^\s:/@]*(?!\S*@)"
# Help texts contain the word PASSWORD. A password may contain any character, so all up to the last '@' counts as one.
_URL = re.compile(rf"(://|:/(?!/))(?!{_OURS})([^:]*?):(?!//\s|(?://[A-Z]*:)?PASSWORD@).*@", re.DOTALL)
_NO_HOST = re.compile(r"(:/{1,2}[^\s:/@\[]*):(?!PASSWORD@|\d|\*\*\*@)\S+")  # the host is missing
_QUERY = re.compile(r"([?&;](?:password|passwd|pwd|auth)=)[^\s&;]*", re.IGNORECASE)
_TYPED = re.compile(r"(:/{1,2}).*@", re.DOTALL)


def without_passwords(text: str) -> str:
    """The text with each URL's password replaced by `***`, also in a mistyped URL with one slash.

    If it is unclear where a password ends, the text up to the last possible end is hidden.
    """
    return _QUERY.sub(r"\1***", _NO_HOST.sub(r"\1:***", _URL.sub(r"\1\2:***@", text)))


def word_without_password(word: str) -> str:
    """One word of a command line without user and password: the user may be a misplaced password (redis://secret@)."""
    return without_passwords(_TYPED.sub(r"\1***@", word))
