"""What README and docs/ promise: every flag is there, every link leads somewhere, every number was measured."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import click
import pytest

import shardload as package
from shardload.cli import EXIT_CODES, shardload
from shardload.config import environment
from shardload.config.spec import accepted_keys
from shardload.reporting.facts import DIFFERENT, RESUMABLE, RUNNING, JobFacts, SlotFacts

ROOT = Path(__file__).parents[2]
PACKAGE = Path(package.__file__).parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
USAGE = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

CONTEXT = click.Context(shardload)
COMMANDS = {
    name: command for name in shardload.list_commands(CONTEXT) if (command := shardload.get_command(CONTEXT, name))
}
NEW_JOB = {"run", "plan"}
IMPORTING = NEW_JOB | {"resume"}


def section(page: str, heading: str) -> str:
    """The text under a heading of the second level, up to the next one."""
    _, found, rest = page.partition(f"\n## {heading}\n")
    assert found, f"no section {heading}"
    return rest.partition("\n## ")[0]


def table(text: str) -> list[list[str]]:
    """The rows of every table in it, without their heads; a cell's `\\|` is a bar."""
    rows = []
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            rows.append([cell.strip().replace("\\|", "|") for cell in cells])
    return rows


def code(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def flags_in(cell: str) -> set[str]:
    """The flags that a cell names, without their values."""
    return {word.split()[0] for word in code(cell) if word.startswith("-")}


def options(name: str) -> dict[str, set[str]]:
    """A command's flags: the long form, and all forms of it."""
    return {
        next(form for form in parameter.opts if form.startswith("--")): set(parameter.opts)
        for parameter in COMMANDS[name].params
        if isinstance(parameter, click.Option)
    }


def documented() -> dict[str, set[str]]:
    """The flags that docs/usage.md gives to each command."""
    found: dict[str, set[str]] = {name: set() for name in COMMANDS}
    for cells in table(section(USAGE, "Flags of `run`, `plan` and `resume`"))[1:]:
        takers = IMPORTING if "**r**" in cells[1] else NEW_JOB
        for name in takers - ({"plan"} if "not `plan`" in cells[3] else set()):
            found[name] |= flags_in(cells[0])
    found["verify"] |= found["run"] - {"--verify"}
    named: list[str] = []
    for cells in table(section(USAGE, "Flags of the other commands"))[1:]:
        named = code(cells[0]) or named
        for name in named:
            found[name] |= flags_in(cells[1])
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_is_documented(name: str) -> None:
    """Each flag of each command stands in a table of docs/usage.md, and no flag that the command does not take."""
    forms = options(name)
    told = documented()[name]
    assert set(forms) - told == set()
    assert told - {form for several in forms.values() for form in several} == set()


def test_every_command_is_documented() -> None:
    """The first table has each command, and no other."""
    cells = [row[0] for row in table(section(USAGE, "Commands").partition("\n### ")[0])[1:]]
    assert {words.split()[0] for cell in cells for words in code(cell)} == set(COMMANDS)


def test_every_state_is_documented() -> None:
    """The second table has each state that a command can show, and no other."""
    cells = [row[0] for row in table(section(USAGE, "Commands").partition("\n### States of a job\n")[2])[1:]]
    told = {state for cell in cells for state in code(cell)}
    assert told == {*RUNNING, *RESUMABLE, "complete", DIFFERENT, "damaged", "foreign"}


def test_every_variable_of_the_environment_is_documented() -> None:
    """Those that the one reader of the environment names."""
    source = Path(environment.__file__).read_text(encoding="utf-8")
    names = set(re.findall(r'"([A-Z][A-Z_]{3,})"', source))
    assert {"SHARDLOAD_MYSQL_URL", "XDG_STATE_HOME"} <= names
    told = {word for cells in table(section(USAGE, "Environment")) for word in code(cells[0])}
    assert names - told == set()


def test_every_key_of_a_file_is_documented() -> None:
    """A TOML file's keys are flags, except none."""
    assert {f"--{key}" for key in accepted_keys()} - documented()["run"] == set()


def test_every_exit_code_is_documented() -> None:
    """Those of the help; beside them only that of a reader who left."""
    in_help = set(re.findall(r"\b\d+\b", EXIT_CODES.partition("Exit codes:")[2]))
    told = {number for cells in table(section(USAGE, "Exit codes"))[1:] for number in re.findall(r"\d+", cells[0])}
    assert told == in_help | {"141"}


def test_every_field_of_the_json_is_documented() -> None:
    """Of the summary, of a status, and of each slot in it."""
    rows = table(section(USAGE, "JSON"))
    told = {word for cells in rows for word in code(cells[0])}
    assert set(JobFacts("job", "running").as_json()) - told == set()
    of_slots = next(cells[1] for cells in rows if cells[0] == "`slots`")
    assert set(code(of_slots)) == {field.name for field in dataclasses.fields(SlotFacts)}


# ---- links, pictures, length


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> list[tuple[Path, str]]:
    """Every relative link and picture of every page."""
    found = []
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        found += [(page, target) for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    return found


@pytest.mark.parametrize(("page", "target"), links(), ids=[f"{page.name}:{target}" for page, target in links()])
def test_links_lead_somewhere(page: Path, target: str) -> None:
    """To a file that is there, and to a heading of it."""
    file, _, anchor = target.partition("#")
    found = (page.parent / file).resolve() if file else page
    assert found.exists()
    if anchor:
        assert anchor in anchors(found)


def test_every_page_is_linked_from_the_readme() -> None:
    """Nobody has to look for one."""
    linked = {
        (page.parent / target.partition("#")[0]).resolve() for page, target in links() if page.name == "README.md"
    }
    assert set((ROOT / "docs").glob("*.md")) <= linked


def test_the_readme_is_short() -> None:
    """For a person in a hurry."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


# ---- numbers


@pytest.fixture(scope="module")
def report() -> ModuleType:
    """The benchmark's module that draws its results; scripts/ is no package."""
    spec = importlib.util.spec_from_file_location("report", ROOT / "scripts" / "bench" / "report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_numbers_are_those_that_were_measured(report: ModuleType) -> None:
    """Chart, tables and README's line, drawn again from the results, are what is there."""
    runs = report.load()
    assert report.CHART.read_text(encoding="utf-8") == report.chart(runs[0])
    page, readme = report.PERFORMANCE.read_text(encoding="utf-8"), report.README.read_text(encoding="utf-8")
    assert page == report.with_tables(page, runs)
    assert readme == report.with_headline(readme, runs[0])


# ---- what is said about the code


def test_every_module_has_a_place_in_the_architecture() -> None:
    """The table of rooms names each module in the row of its folder, and none that is not there."""
    rows = [(code(cells[0]), code(cells[1])) for cells in table(section(ARCHITECTURE, "Rooms"))]
    told = {
        first[0]: {word for word in words if re.fullmatch(r"[a-z_]+", word)}
        for first, words in rows
        if first and re.fullmatch(r"[a-z]+/", first[0])
    }
    there: dict[str, set[str]] = {
        f"{path.name}/": set() for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()
    }
    for path in PACKAGE.glob("*/*.py"):
        if path.stem != "__init__":
            there[f"{path.parent.name}/"].add(path.stem)
    assert told == there


def said() -> list[str]:
    """Every string of the source as one line, however many it stands on; an ellipsis for each value in it."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
                )
    return [text.replace("\n", " ") for text in found]


def test_what_to_do_when_quotes_real_messages() -> None:
    """Each quoted message is a string of the source; an ellipsis stands for names or numbers in it."""
    strings = said()
    rows = table(section(OPERATIONS, "What to do when"))[1:]
    assert len(rows) > 10
    for cells in rows:
        for message in code(cells[0]):
            wanted = ".*".join(map(re.escape, message.split("...")))
            assert any(re.search(wanted, text) for text in strings), message
