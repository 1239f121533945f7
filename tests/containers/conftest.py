"""The engine for a session of container tests: asked for once, and left as it was found.

Without one, or without its images, these tests are skipped with the reason; in CI they fail.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# Testcontainers reads it when it is imported. Its own reaper is an image that may not be reachable; ours goes by label.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"

from tests.containers.engine import IMAGE, clean_up, docker, image, labelled, left, missing_engine, missing_image

_told: list[str] = []


@pytest.fixture(scope="session")
def tell() -> Callable[[str], None]:
    """A line for the end of the output: on which images it ran, and what came of it."""
    return _told.append


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The lines go to whoever prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["told"] = _told


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """They come from a process that ran tests."""
    _told.extend(getattr(node, "workeroutput", {}).get("told", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The lines that were told."""
    if _told:
        terminalreporter.section("containers")
        for line in _told:
            terminalreporter.line(line)


def _give_up(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session", autouse=True)
def engine() -> Iterator[None]:
    """An engine, with nothing of these tests in it, before and after."""
    if why := missing_engine():
        _give_up(why)
    clean_up()
    yield
    clean_up()
    assert not left()


@pytest.fixture(autouse=True)
def _nothing_is_left(engine: None) -> Iterator[None]:
    """After every test no more containers of ours than before, but for Compose's, which live as long as their module.

    This stands in place of the check for SysV objects and processes: those of a container go with it.
    """
    before = labelled("container")
    yield
    assert labelled("container") == before


@pytest.fixture(scope="session")
def image_of(engine: None) -> Callable[[str], str]:
    """The image that a variable names; the test is skipped, or fails, without it."""

    def find(variable: str) -> str:
        if why := missing_image(variable):
            _give_up(why)
        return image(variable)

    return find


@pytest.fixture(scope="session")
def shardload_image(image_of: Callable[[str], str], tell: Callable[[str], None]) -> str:
    """The image of this checkout's Dockerfile."""
    base = image_of("PYTHON_IMAGE")
    docker("build", "--tag", IMAGE, "--build-arg", f"PYTHON_IMAGE={base}", ".", deadline_s=600)
    tell(f"{IMAGE}, built on {base}")
    return IMAGE
