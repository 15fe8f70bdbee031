"""The code in docstrings, in README and in docs runs as printed."""

import doctest
import importlib
import json
import os
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
WORKER = """
import contextlib, io, json, os, re, runpy, sys, traceback
import gc
import jax

gc.disable()
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    path, cwd = json.loads(line)
    os.chdir(cwd)
    jax.config.update("jax_enable_x64", False)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            if path.endswith(".py"):
                sys.argv = [path, "--small"]
                runpy.run_path(path, run_name="__main__")
            else:
                with open(path) as page:
                    blocks = re.findall(r"```python run\\n(.*?)```", page.read(), re.S)
                for number, block in enumerate(blocks):
                    jax.config.update("jax_enable_x64", False)
                    print("block", number)
                    exec(compile(block, f"block {number}", "exec"), {"__name__": "__main__"})
            error = ""
        except BaseException:
            error = output.getvalue()[-1000:] + traceback.format_exc()[-3000:]
    gc.collect()
    gc.freeze()
    print(json.dumps(error), file=answers, flush=True)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function that runs a page or an example: all in one process without the test settings, so it is started once.

    Nothing that one of them defined is left for the next one, and 64-bit mode is off at its beginning.
    """
    log = tmp_path_factory.mktemp("worker") / "stderr"
    cache = {"JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2"}
    env = {**os.environ, **cache, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "QDK_PYTHON_TELEMETRY": "none"}
    command = [sys.executable, "-c", WORKER]
    with open(log, "w") as errors:
        worker = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=env
        )

    def send(path, cwd):
        worker.stdin.write(json.dumps([str(path), str(cwd)]) + "\n")
        worker.stdin.flush()
        answer = worker.stdout.readline()
        return json.loads(answer) if answer else f"the process ended\n{log.read_text()[-3000:]}"

    with worker:
        yield send
        worker.stdin.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages(page, run, tmp_path):
    """Every block marked `python run` of a page runs on its own: with nothing defined, and without 64-bit mode."""
    error = run(page, tmp_path)
    assert not error, error


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_examples(path, run, tmp_path):
    """Every example runs to its end with the small sizes it offers."""
    error = run(path, tmp_path)
    assert not error, error
