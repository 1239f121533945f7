"""The native encoder under AddressSanitizer, fed by a coverage-guided fuzzer for a bounded time."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shardload.encoding import is_native_built

HERE = Path(__file__).parents[2]
SECONDS = int(os.environ.get("SHARDLOAD_FUZZ_SECONDS", "15"))
BUILD = """
from Cython.Build import cythonize
from setuptools import Distribution, Extension
extension = Extension("shardload.encoding.native._native", ["shardload/encoding/native/_native.pyx"],
    include_dirs=["shardload/encoding"], define_macros=[("SHARDLOAD_SMALL", "1")],
    extra_compile_args=["-fsanitize=address", "-O1", "-g", "-w"])
build = Distribution({"ext_modules": cythonize([extension], quiet=True)}).get_command_obj("build_ext")
build.inplace = True
build.ensure_finalized()
build.run()
"""


def missing() -> str:
    """What this machine lacks for the test; empty if nothing."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "fuzzing needs Linux on x86-64"
    if importlib.util.find_spec("atheris") is None:
        return "atheris is not installed"
    return "" if is_native_built() and shutil.which("gcc") else "no compiler, no native encoder"


@pytest.mark.skipif(bool(missing()) and not os.environ.get("CI"), reason=missing())
def test_hostile_bytes_never_leave_the_buffers(tmp_path: Path) -> None:
    """For any bytes, the native encoder does what the reference does, and touches no memory outside its buffers."""
    shutil.copytree(HERE / "shardload", tmp_path / "shardload", ignore=shutil.ignore_patterns("*.so", "_native.c"))
    built = subprocess.run([sys.executable, "-c", BUILD], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    # gcc's own runtime would stand in the way of the fuzzer's coverage; atheris brings one that is both.
    runtime = importlib.util.find_spec("asan_with_fuzzer")
    assert runtime is not None
    assert runtime.origin
    seed = int(os.environ.get("SHARDLOAD_TEST_SEED", "0")) or random.randrange(1, 2**31)
    print("seed", seed)
    environment = os.environ | {
        "LD_PRELOAD": runtime.origin,
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter itself never frees everything
        "PYTHONMALLOC": "malloc",  # so that every buffer has its guards
        "PYTHONPATH": str(tmp_path),
    }
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    fuzzed = subprocess.run(
        [sys.executable, str(HERE / "tests/fuzz/encoder.py"), str(corpus), "-max_len=16384",
         f"-max_total_time={SECONDS}", f"-seed={seed}",
         f"-artifact_prefix={tmp_path}/"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert fuzzed.returncode == 0, fuzzed.stderr[-4000:]
    assert "Done " in fuzzed.stderr
    assert "NEW " in fuzzed.stderr, "the fuzzer sees no coverage"
