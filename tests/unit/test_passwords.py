"""No text shows a password, whatever characters it has; other text stays readable."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardload.config.passwords import without_passwords, word_without_password
from shardload.config.urls import MYSQL_FORM, REDIS_FORM, REDIS_FORMS

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql://u:hunter2@h/d", "mysql://u:***@h/d"),
        ("(mysql://u:hun ter2 hunter2@h/d)", "(mysql://u:***@h/d)"),
        ("mysql://u:@hunter2@/hunter2'\"@h/d", "mysql://u:***@h/d"),
        ("mysql://u@server:hunter2@h/d", "mysql://u@server:***@h/d"),
        ("mysql://a user:hunter2@h/d", "mysql://a user:***@h/d"),
        ("mysql://a/b:hunter2@h/d", "mysql://a/b:***@h/d"),
        ("mysql://u:3306/hunter2@h/d", "mysql://u:***@h/d"),
        ("mysql:/u:hunter2@h/d", "mysql:/u:***@h/d"),
        ("redis://:hunter2", "redis://:***"),
        ("jdbc:mysql://h/d?user=u&password=hunter2&ssl=1", "jdbc:mysql://h/d?user=u&password=***&ssl=1"),
        ("unix://u:hunter2@/r.sock?db=0", "unix://u:***@/r.sock?db=0"),
        ("mysql://u:hunter2@localhost/d?socket=/r.sock", "mysql://u:***@localhost/d?socket=/r.sock"),
        ("unix:///r.sock?db=0&password=hunter2", "unix:///r.sock?db=0&password=***"),
        (
            "redis+sentinel://u:hunter2@a:1,b/m/0?sentinel_user=s&sentinel_password=hunter2",
            "redis+sentinel://u:***@a:1,b/m/0?sentinel_user=s&sentinel_password=***",
        ),
        ("redis+cluster://:hunter2@a:1,b:2/0", "redis+cluster://:***@a:1,b:2/0"),
        (f"mysql://a:hunter2@b/c; write {MYSQL_FORM}", "mysql://a:***@HOST:3306/DATABASE"),
    ],
)
def test_a_password_is_hidden(text: str, shown: str) -> None:
    """All up to the last @ is hidden, so that no part of a password is shown."""
    assert without_passwords(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        f"write {MYSQL_FORM}, or redis://:PASSWORD@HOST",
        f"write {REDIS_FORM}",
        "mysql://u@h:3306/app: Access denied for user 'u'@'localhost'",
        "redis://[::1]:6379/0 refused: ask me@example.org",
        f"postgres:// where mysql:// is needed; write {MYSQL_FORM}",
        f"write {REDIS_FORMS}",
        "rediss+cluster://u@a:1,[::1]:2/0 to mysql://u@h:3306/app: ask me@example.org",
        "redis+sentinel://u@a:1,b:2/my%40master/0?sentinel_user=s: ask me@example.org",
        "unix://u@/run/a%40b.sock?db=0: ask me@example.org",
        "mysql://u@localhost/d?socket=/run/my.sock: ask me@example.org",
        f"starts with mariadb://, another program's form; write {MYSQL_FORM}",
    ],
)
def test_what_is_no_password_stays(text: str) -> None:
    """Help texts, and URLs without passwords with text after them, do not change."""
    assert without_passwords(text) == text


@given(before=st.text(max_size=8), after=st.text(max_size=8))
@settings(deadline=None)
def test_no_word_of_a_command_line_shows_a_password(before: str, after: str) -> None:
    """The password is hidden with any characters, alone or after its flag; so is the user, who may be a password."""
    for url in (
        f"mysql://u:{before}{SECRET}{after}@h/d",
        f"redis://{before}{SECRET}{after}@h",
        f"unix:///r.sock?password={before}{SECRET}{after}",
        f"redis+sentinel://a,b/m?sentinel_password={before}{SECRET}{after}",
    ):
        assert SECRET not in word_without_password(url)
        assert SECRET not in word_without_password(f"--mysql={url}")
