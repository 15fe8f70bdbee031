"""Mutated texts for the front ends: each gives a clear error or the right answer.

Run as a program it prints one line for each case, with its CPU seconds, so that whoever started it can stop it where a
case takes too long:
`python -m tests.diffquantum.fuzz qsharp 0 100`.
"""

import contextlib
import functools
import random
import re
import sys
import time
from collections.abc import Iterator

import numpy as np

import diffquantum
from diffquantum import compiler, source
from diffquantum.check import check
from diffquantum.ir import Program
from diffquantum.qir import read
from diffquantum.simulate import crosscheck as witness
from diffquantum.simulate.density import Exact
from qml._core.errors import GradketError
from tests.diffquantum.cases import LOOPS
from tests.diffquantum.probes import SOURCE

TOKEN = re.compile(r"\s+|[A-Za-z_]\w*|\d+\.\d+|\d+|[-+*/<>=!&|^.]+|.", re.DOTALL)
SHOTS, MOST_TURNS, MOST_QUBITS = 300, 30.0, 12  # the simulator of QIR holds all amplitudes


@functools.cache
def texts(kind: str) -> tuple[tuple[str, str], ...]:
    """Pairs of a name and a text to mutate: operations with what they call, or their QIR."""
    whole = LOOPS.read_text() + SOURCE.read_text()
    parts = re.split(r"^(?=operation |//)", whole, flags=re.MULTILINE)
    named = {m.group(1): p for p in parts if (m := re.match(r"operation (\w+)", p))}
    helpers = ("Inc", "RecZ", "Mix", "Turned", "Powers", "Tries", "T01_GeoCount", "T02_RusZ")
    out = []
    for name, part in named.items():
        if name in helpers[:6] or name in ("T07_WalkTime", "T16_Heavy"):
            continue
        used = [h for h in helpers if h != name and re.search(rf"\b{h}\b", part)]
        out.append((name, "\n".join([*(named[h].strip() for h in used), part.strip()])))
    if kind == "qsharp":
        return tuple(out)
    kept = [(n, t) for n, t in out[:14] if "Double[]" not in t]
    return tuple((n, qir_of(n, t)) for n, t in kept)


def qir_of(name: str, text: str) -> str:
    count = next(len(o.arguments) for o in source.operations(text) if o.name == name)
    call = f"{name}({', '.join(f'{compiler.PARAMETER}({i})' for i in range(count))})"
    return compiler.compile_qir(compiler.Source(text), [(None, call)])[0]


def mutated(text: str, rng: random.Random) -> str:
    """The text after one to three changes of its words, numbers, signs or lines."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        tokens = TOKEN.findall(text)
        places = [i for i, t in enumerate(tokens) if not t.isspace()]
        i, j = rng.choice(places), rng.choice(places)
        match rng.randrange(7):
            case 0:
                tokens[i] = ""
            case 1:
                tokens[i] *= 2
            case 2:
                tokens[i], tokens[j] = tokens[j], tokens[i]
            case 3:
                same = [t for t in tokens if t[0].isdigit() == tokens[i][0].isdigit() and not t.isspace()]
                tokens[i] = rng.choice(same)
            case 4:
                numbers = [k for k in places if tokens[k][0].isdigit()]
                if numbers:
                    tokens[rng.choice(numbers)] = rng.choice(("0", "1", "2", "7", "64", "0.0", "1.5", "1e300", "-1"))
            case 5:
                lines = text.split("\n")
                if len(lines) > 1:
                    del lines[rng.randrange(len(lines))]
                tokens = ["\n".join(lines)]
            case 6:
                cut = rng.randrange(len(text))
                tokens = [text[:cut], rng.choice('{}();,=%@#"\\é\x00'), text[cut + rng.randrange(2) :]]
        text = "".join(tokens) or " "
    return text


@contextlib.contextmanager
def shared_compilers() -> Iterator[None]:
    """Compilers that serve many texts: a new definition hides an old one."""
    made: dict = {}
    uses = [0]
    fresh = compiler.context

    @contextlib.contextmanager
    def shared(target: bool = True, project: str | None = None, profile: str = "Adaptive") -> Iterator:
        key = (target, profile)
        uses[0] += 1
        if uses[0] % 200 == 0:
            drop()
        if key not in made:
            manager = fresh(target, project, profile)
            made[key] = (manager.__enter__(), manager)
        try:
            yield made[key][0]
        except BaseException as error:
            if "Panic" in type(error).__name__:
                made.pop(key)[1].__exit__(None, None, None)
            raise

    def drop() -> None:
        for _, manager in made.values():
            manager.__exit__(None, None, None)
        made.clear()

    compiler.context = witness.context = shared
    try:
        yield
    finally:
        drop()
        compiler.context = witness.context = fresh


def mean_turns(program: Program, theta: np.ndarray) -> float:
    return max(Exact(program).termination(theta).mean_iterations, default=0.0)


def qsharp_case(number: int) -> tuple[str, str, dict]:
    """Name, text and settings of a mutated operation."""
    rng = random.Random(number)
    name, text = rng.choice(texts("qsharp"))
    return name, mutated(text, rng) + "\n", {"parameters": 3} if "Double[]" in text else {}


def qsharp(number: int) -> str:
    """One mutated Q# text: loaded, and compared with the interpreter where it runs for a short while."""
    name, new, settings = qsharp_case(number)
    try:
        program = diffquantum.load(new, entry=name, **settings)
    except GradketError as error:
        assert error.what and error.try_, error
        return f"refused {type(error).__name__}"
    theta = np.random.default_rng(1).uniform(0.3, 0.95, len(program.parameters))
    try:
        if mean_turns(program, theta) > MOST_TURNS:
            return "long"
        diffquantum.load(new, entry=name, check_shots=SHOTS, **settings)
    except GradketError as error:
        assert "do not agree" not in error.what, f"{error}\n{new}"
        return f"refused {type(error).__name__}"
    except compiler_errors() as error:
        return f"interpreter {str(error)[:60]!r}"
    return "agrees"


def compiler_errors() -> tuple[type[BaseException], ...]:
    """What the interpreter raises where a program fails while it runs."""
    from qdk._native import QSharpError

    return (QSharpError,)


def qir(number: int, simulate: bool = True) -> str:
    """One mutated QIR text: read, and compared with the QIR simulator where that runs it."""
    rng = random.Random(number)
    name, text = rng.choice(texts("qir"))
    new = mutated(text, rng)
    count = len(set(re.findall(rf"@{compiler.PARAMETER}\(i64 (\d+)\)", text)))
    try:
        program = check(read(new, name, tuple(f"t{i}" for i in range(count))))
    except GradketError as error:
        assert error.what and error.try_, error
        return f"refused {type(error).__name__}"
    if not simulate:
        return "read"
    theta = np.random.default_rng(1).uniform(0.3, 0.95, count)
    try:
        exact = Exact(program)
        if max(exact.termination(theta).mean_iterations, default=0.0) > MOST_TURNS:
            return "long"
        means = exact.means(theta)
    except GradketError as error:
        return f"refused {type(error).__name__}"
    samples = simulated(new, theta) if program.qubits <= MOST_QUBITS else None
    if samples is None:
        return "not simulated"
    spread = samples.std(axis=0, ddof=1) / np.sqrt(len(samples)) + np.sqrt(np.abs(means) + 1) / len(samples)
    z = (samples.mean(axis=0) - means) / spread
    assert np.max(np.abs(z), initial=0.0) < 6, f"{means} {samples.mean(axis=0)}\n{new}"
    return "agrees"


def simulated(text: str, theta: np.ndarray) -> np.ndarray | None:
    """Shots of the QIR simulator, or nothing where it refuses the text."""
    from qdk.simulation import run_qir

    def number(found: re.Match) -> str:
        return f"{found.group(1)} = fadd double 0.0, {float(theta[int(found.group(2))])!r}"

    pattern = rf"(%\w+) = call double @{compiler.PARAMETER}\(i64 (\d+)\)"
    try:
        shots = run_qir(re.sub(pattern, number, text), shots=SHOTS, seed=1, type="cpu")
        return np.array([list(witness.flat(s)) for s in shots], float)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # the simulator panics too
        return None


def main(kind: str, start: int, end: int) -> None:
    with shared_compilers():
        for number in range(start, end):
            start_time = time.process_time()
            answer = {"qsharp": qsharp, "qir": qir}[kind](number)
            print(number, answer, f"{time.process_time() - start_time:.2f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
