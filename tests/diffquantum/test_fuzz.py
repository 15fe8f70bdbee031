"""Mutated Q# and QIR: a clear error or the right answer, no crash, no hang. The numbers are the seeds."""

import os
import queue
import subprocess
import sys
import threading

import pytest

import diffquantum
from diffquantum import SourceError
from tests.diffquantum import fuzz

LIMIT = 300.0  # seconds for one text on a busy machine; a second alone


@pytest.fixture(scope="module")
def compilers():
    with fuzz.shared_compilers():
        yield


def test_qir(compilers, capfd):
    """Fifty texts, read in this process; those that still run are compared with the QIR simulator."""
    found = [fuzz.qir(number, simulate=number % 10 == 0) for number in range(50)]
    assert any(f.startswith("refused") for f in found) and any(f in ("agrees", "read") for f in found)
    capfd.readouterr()


def test_qsharp(compilers, capfd):
    """Twenty texts."""
    found = [fuzz.qsharp(number) for number in range(20)]
    assert any(f.startswith("refused") for f in found) and "agrees" in found
    capfd.readouterr()


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", ["qir", "qsharp"])
def test_five_thousand(kind):
    """In processes of their own, which a crash would end; where the compiler never ends, a time limit does."""
    count = 0
    while count < 5000:
        worker = Worker(kind, count)
        try:
            for number in worker.numbers():
                assert number == count
                count += 1
            assert count == 5000, f"{kind} {count} ends the process"
        except queue.Empty:
            assert kind == "qsharp", f"{kind} {count} takes more than {LIMIT} s"
            name, text, settings = fuzz.qsharp_case(count)
            with pytest.raises(SourceError, match="takes more than"):
                diffquantum.load(text, entry=name, time_limit=20.0, **settings)
            count += 1
        finally:
            worker.close()


class Worker:
    """A process that works from one number on, and says each that is done."""

    def __init__(self, kind: str, start: int):
        call = [sys.executable, "-m", "tests.diffquantum.fuzz", kind, str(start), "5000"]
        environment = os.environ | {"JAX_ENABLE_X64": "1", "RUST_BACKTRACE": "0"}
        self.process = subprocess.Popen(
            call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self.lines: queue.Queue = queue.Queue()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def numbers(self):
        while (line := self.lines.get(timeout=LIMIT)) is not None:
            yield int(line.split()[0])
