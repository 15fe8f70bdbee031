"""Imports go down only; importing one room loads no other; start-up is light."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_floors():
    """The contracts of pyproject.toml hold."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_rooms_are_lazy():
    """`import diffquantum` loads no Flax, `import symmetries` no JAX, `import qml` neither."""
    assert "jax" not in loaded_by("import symmetries; symmetries.Sector")
    assert "flax" not in loaded_by("import diffquantum; diffquantum.expectation")
    assert not {"flax", "jax"} & loaded_by("import qml")
    assert not {"orbax.checkpoint", "qdk", "matplotlib"} & loaded_by("import qml, symmetries, diffquantum, drivers")
