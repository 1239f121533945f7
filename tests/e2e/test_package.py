"""The package as somebody else gets it: a source distribution, the wheel that is built of it, and a job with that."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from shardload import __version__
from tests.harness import World, by_id

ROOT = Path(__file__).parents[2]
NOT_OURS = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "*.so", "_native.c")
ROWS = 2000


def must(*words: str | Path, cwd: Path) -> str:
    """What a command said, away from the checkout and from this Python's packages."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SHARDLOAD_"))}
    done = subprocess.run(
        words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, without anything that was built in it."""
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("package") / "checkout", ignore=NOT_OURS))


@pytest.fixture(scope="module")
def built(sources: Path) -> Path:
    """The directory with both, by `python -m build`: it makes the wheel of what is in the source distribution alone.

    Without a Python of its own for the build: the one that runs the tests has what pyproject.toml asks for.
    """
    must(sys.executable, "-m", "build", "--no-isolation", "--outdir", "../built", cwd=sources)
    return sources.parent / "built"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The only wheel."""
    (found,) = built.glob("*.whl")
    return found


def names(package: Sequence[str]) -> set[str]:
    """The files of the package `shardload` itself among these."""
    return {name for name in package if name.startswith("shardload/") and not name.endswith("/")}


def test_the_source_distribution_is_complete(sources: Path, built: Path) -> None:
    """It has every file of the package, the Cython sources and the C header among them, README and licence."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        inside = {name.partition("/")[2] for name in tar.getnames()}
    package = {str(path.relative_to(sources)) for path in (sources / "shardload").rglob("*") if path.is_file()}
    assert {".pyx", ".pxd", ".pxi", ".h", ".pyi"} <= {Path(name).suffix for name in package}
    assert not package - inside
    assert {"README.md", "LICENSE", "pyproject.toml"} <= inside


def test_the_wheel_is_the_package_alone(wheel: Path) -> None:
    """The compiled encoder, the types' marker and the command; no tests, and no C that was made on the way."""
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
        commands = archive.read(f"shardload-{__version__}.dist-info/entry_points.txt").decode()
    assert [name for name in names(inside) if re.search(r"/_native\..*\.so$", name)]
    assert "shardload/py.typed" in inside
    assert not [name for name in inside if name.endswith("_native.c")]
    assert {name.partition("/")[0] for name in inside} == {"shardload", f"shardload-{__version__}.dist-info"}
    assert "shardload = shardload.__main__:main" in commands


def test_the_metadata_is_complete(wheel: Path) -> None:
    """What an index shows: who, what for, where, for which Python, and README's text."""
    with zipfile.ZipFile(wheel) as archive:
        told = email.message_from_string(archive.read(f"shardload-{__version__}.dist-info/METADATA").decode())
    assert told["Name"] == "shardload"
    assert told["Version"] == __version__
    assert told["License-Expression"] == "MIT"
    assert told["Requires-Python"] == ">=3.10"
    assert told["Author"] == "The shardload developers"
    assert {"mysql", "redis"} <= set(told["Keywords"].split(","))
    urls = dict(url.split(", ") for url in told.get_all("Project-URL", []))
    assert urls.keys() == {"Homepage", "Documentation", "Changelog", "Issues"}
    classifiers = told.get_all("Classifier", [])
    for topic in ("Environment :: Console", "Operating System :: POSIX :: Linux", "Topic :: Database"):
        assert topic in classifiers
    assert told.get_payload() == (ROOT / "README.md").read_text()


def test_a_job_with_the_wheel(world: World, wheel: Path, tmp_path: Path) -> None:
    """Installed in an empty environment it imports a table, with the native encoder."""
    world.make_table("packed", "id INT PRIMARY KEY, name VARCHAR(20)")
    world.execute(f"INSERT INTO packed SELECT seq, CONCAT('user ', seq) FROM seq_1_to_{ROWS}")
    must(sys.executable, "-m", "venv", "empty", cwd=tmp_path)
    programs = tmp_path / "empty" / "bin"
    must(programs / "python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    where = must(programs / "python", "-c", "import shardload; print(shardload.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(tmp_path / "empty")
    assert must(programs / "shardload", "--version", cwd=tmp_path).strip().endswith(__version__)
    done = subprocess.run(
        [programs / "shardload", "run", "--table", "packed", "--key", "user:{id}", "--json"],
        cwd=tmp_path, env=world.environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["encoder"].startswith("native"), summary
    assert summary["keys_written"] == world.assert_exact("packed", by_id) == ROWS
