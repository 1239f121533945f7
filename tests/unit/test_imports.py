"""Who may import what: the rooms of the design, read from the source with `ast`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import shardload

PACKAGE = Path(shardload.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))

PURE = {
    "ranges", "encoding", "model", "errors", "flight", "outcome",
}  # fmt: skip
EDGES = {"source", "target", "ipc", "process", "jobdir", "reporting"}

# A room imports rooms of a lower rank only, and itself.
RANKS = {
    "__main__": 70,
    "cli": 60,
    "sandbox": 50,  # it starts servers and asks the edges whether they are up; only the command line knows it
    "load": 52,
    "doctor": 50,
    "job": 50,
    "run": 45,
    "verify": 45,
    "sweep": 45,
    "status": 43,  # what can be said of a job from outside
    "coordinator": 40,
    "loader": 40,
    "confirmation": 38,
    "showing": 39,
    "steering": 38,
    "watch": 38,
    "parts": 38,
    "crew": 35,
    "reading": 35,
    "link": 35,
    "place": 35,
    "pace": 35,
    "work": 30,
    "janitor": 30,
    "owner": 20,
    "config": 8,
    "files": 3,
    **dict.fromkeys(EDGES, 10),
    **dict.fromkeys(PURE, 0),
}

OWNERS = {
    "pymysql": {"source"},
    "redis": {"target"},
    "hiredis": {"target"},
    "sysv_ipc": {"ipc"},
    "sqlite3": {"jobdir"},
    "tqdm": {"reporting", "cli", "sandbox"},  # seeding shows a bar as well, long before there is a job to display
    "click": {"cli", "sandbox"},  # the demo talks to a person on the command line's terminal
    "setproctitle": {"process", "__main__"},  # the command line is hidden before anything else is imported
    "pydantic": {"config"},
}


def room_of(path: Path) -> str:
    """The package or module directly under `shardload` that a file belongs to; empty for `shardload` itself."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported(path: Path) -> set[str]:
    """Dotted names of everything a file imports, wherever in it; `from shardload import x` counts as `shardload.x`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that they can be read"
            assert node.module is not None
            if node.module == "shardload":
                found |= {f"shardload.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def rooms_imported(path: Path) -> set[str]:
    """The rooms of this package that a file imports from, except its own."""
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("shardload.")}
    return rooms - {"__version__", room_of(path)}


by_path = pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])


def test_every_module_has_a_place() -> None:
    """A new room is given a rank here before anybody may import it."""
    assert {room_of(path) for path in MODULES} - {""} == set(RANKS)


@by_path
def test_imports_go_down(path: Path) -> None:
    """Command line, then coordinator and loader, then edges, then pure rooms; edges do not import each other,
    nor do coordinator and loader."""
    room = room_of(path)
    if not room:
        assert not rooms_imported(path)
        return
    wrong = {other for other in rooms_imported(path) if RANKS[other] >= RANKS[room]}
    pure_among_themselves = PURE if room in PURE else set()
    assert not wrong - pure_among_themselves


@by_path
def test_a_foreign_library_has_one_room(path: Path) -> None:
    """Only source imports pymysql, only target hiredis (and redis), only ipc sysv_ipc, only the journal sqlite3."""
    for name in {name.split(".")[0] for name in imported(path)} & OWNERS.keys():
        assert room_of(path) in OWNERS[name], f"{name} is imported"


@by_path
def test_pure_rooms_ask_nobody(path: Path) -> None:
    """No clock, no random number, no file, no socket, no signal: they are given everything as arguments."""
    if room_of(path) in PURE:
        outside = {"os", "sys", "io", "pathlib", "socket", "time", "datetime", "random", "secrets", "logging"}
        assert not {name.split(".")[0] for name in imported(path)} & (outside | OWNERS.keys())
        assert rooms_imported(path) <= PURE


@by_path
def test_crew_and_coordinator_know_no_loader(path: Path) -> None:
    """The loader is handed to them as a function; and a loader knows neither of them."""
    rooms = rooms_imported(path)
    if room_of(path) in {"coordinator", "crew", "janitor"}:
        assert "loader" not in rooms
    if room_of(path) == "loader":
        assert not rooms & {"coordinator", "crew", "janitor", "reporting", "config"}


def environment_uses(path: Path) -> int:
    """How often a file mentions the process's environment."""
    count = 0
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            count += node.attr in {"environ", "environb", "getenv", "putenv", "expandvars"}
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            count += any(alias.name in {"environ", "environb", "getenv"} for alias in node.names)
    return count


ENVIRONMENT_ALLOWED = {
    "config/environment.py": "the one reader of what a person set",
    "sandbox/servers.py": "PATH, to look for server programs in more places than it names",
    "sandbox/demo.py": "handed on to the real command, with the private servers' URLs in it",
}


@by_path
def test_one_reader_of_the_environment(path: Path) -> None:
    """Only one module reads os.environ; the sandbox may hand it on to its children."""
    name = str(path.relative_to(PACKAGE))
    assert bool(environment_uses(path)) == (name in ENVIRONMENT_ALLOWED)
