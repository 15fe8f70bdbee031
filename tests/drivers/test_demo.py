"""The demonstration's jobs at small size: every number within its error of the exact one."""

import pathlib

import pytest

from drivers import demo
from drivers.io import RunDir


def check(rows, out: pathlib.Path, exact: float) -> None:
    assert rows
    for row in rows:
        limit = 4.5 * row.error if row.error > 0 else exact
        assert abs(row.found - row.exact) <= limit, row
        assert len(row.cells()) == 4
    assert RunDir.open(out).result()["status"] in ("finished", "converged")
    assert [p for p in (out / "plots").iterdir() if p.stat().st_size > 1000]


@pytest.mark.parametrize(
    "job, exact",
    [
        pytest.param(demo.quench, 1e-3, marks=pytest.mark.slow),
        pytest.param(demo.thermal, 1e-6, marks=pytest.mark.slow),
        pytest.param(demo.learning, 0.0, marks=pytest.mark.slow),
    ],
)
def test_job(tmp_path, job, exact):
    check(job(tmp_path / "run", True), tmp_path / "run", exact)


@pytest.mark.slow
def test_program(tmp_path):
    rows = demo.program(tmp_path / "run", True)
    check(rows, tmp_path / "run", 1e-10)
    assert len(rows) == 8 and sum(row.error > 0 for row in rows) == 5


def test_rows():
    assert demo.Row("a", 1.5, 1.0, 0.25).cells() == ("a", "1.50(25)", "1.00000000", "+5.0e-01  (+2.0 sigma)")
    assert demo.Row("a", 1.0, 1.0).cells()[3] == "+0.0e+00"


@pytest.mark.slow
def test_whole(tmp_path, capsys):
    assert demo.demo(tmp_path / "demo", small=True) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("ground state", "quench", "unbounded loop", "mirror descent", "learned"))
    assert len(list((tmp_path / "demo").iterdir())) == 5
