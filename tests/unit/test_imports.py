"""Who may import what: the rooms of the design, read from the source with `ast`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import shardload

PACKAGE = Path(shardload.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))

# A folder imports from folders further down only, and from itself. Folders on one level do not import each other,
# except those on the lowest, which are nouns and rules.
LEVELS = (
    {"cli"},
    {"jobs", "sandbox"},
    {"fleet"},
    {"coordinator", "worker"},
    {"source", "target", "ipc", "process", "jobdir", "reporting"},
    {"ranges", "encoding"},
    {"config"},
    {"files"},
    {"model", "errors"},
)
LEVEL_OF = {room: level for level, rooms in enumerate(reversed(LEVELS)) for room in rooms} | {"__main__": len(LEVELS)}
PURE = {"ranges", "encoding", "model", "errors"}

OWNERS = {
    "pymysql": {"source"},
    "redis": {"target"},
    "hiredis": {"target"},
    "sysv_ipc": {"ipc"},
    "sqlite3": {"jobdir"},
    "tqdm": {"reporting"},
    "distributed": {"fleet"},
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


def test_every_folder_has_a_level() -> None:
    """A new folder gets a level here before anybody may import it; at the top there are no modules but these."""
    assert {room_of(path) for path in MODULES} - {""} == set(LEVEL_OF)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "errors.py"}


@by_path
def test_imports_go_down(path: Path) -> None:
    """Command line, jobs, coordinator and worker, edges, pure rooms, and what all of them may use."""
    room = room_of(path)
    if not room:
        assert not rooms_imported(path)
        return
    level = LEVEL_OF[room]
    wrong = {other for other in rooms_imported(path) if LEVEL_OF[other] >= level}
    assert not wrong - (LEVELS[-1] if room in LEVELS[-1] else set())


@by_path
def test_the_command_line_has_no_logic(path: Path) -> None:
    """It knows operations on jobs, what a person may say, and how to print; no server, no process, no file of a job."""
    if room_of(path) == "cli":
        assert rooms_imported(path) <= {"jobs", "sandbox", "config", "reporting", "model", "errors"}


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
