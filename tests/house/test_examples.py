"""The code in docstrings, in README and in docs runs as printed."""

import doctest
import importlib
import pathlib
import pkgutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ("symmetries", "qml", "diffquantum", "drivers")
MODULES = [
    m.name for p in PACKAGES for m in pkgutil.walk_packages([str(ROOT / p)], f"{p}.") if not m.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    """Every `>>>` example gives what it says."""
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


PAGES = [p for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if "```python run" in p.read_text()]
RUNNER = """
import pathlib, re, sys
import jax
for number, block in enumerate(re.findall(r"```python run\\n(.*?)```", pathlib.Path(sys.argv[1]).read_text(), re.S)):
    jax.config.update("jax_enable_x64", False)
    print("block", number, flush=True)
    exec(compile(block, f"block {number}", "exec"), {"__name__": "__main__"})
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages(page, tmp_path):
    """Every block marked `python run` of a page runs on its own: with nothing defined, and without 64-bit mode."""
    result = subprocess.run(
        [sys.executable, "-c", RUNNER, str(page)], cwd=tmp_path, capture_output=True, text=True, env=_env()
    )
    assert result.returncode == 0, result.stdout[-500:] + result.stderr[-3000:]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_examples(path, tmp_path):
    """Every example runs to its end with the small sizes it offers."""
    result = subprocess.run(
        [sys.executable, str(path), "--small"], cwd=tmp_path, capture_output=True, text=True, env=_env()
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]


def _env():
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "QDK_PYTHON_TELEMETRY": "none"}
