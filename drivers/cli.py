"""The command line: `python -m drivers demo | run | resume | plot | info | cite`."""

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence

from drivers.io.result import Result, Status

EXIT = {Status.INTERRUPTED: 75, Status.DIVERGED: 1, Status.STALLED: 1, Status.DOUBTFUL: 3, Status.INFEASIBLE: 3}

CITATIONS = {
    "VMC": "S. Sorella, Phys. Rev. B 71, 241103 (2005): stochastic reconfiguration",
    "TDVP": "G. Carleo and M. Troyer, Science 355, 602 (2017): time-dependent variational Monte Carlo",
    "RBM": "G. Carleo and M. Troyer, Science 355, 602 (2017): restricted Boltzmann machines",
    "GCNN": "C. Roth and A. MacDonald, arXiv:2104.05085 (2021): group-equivariant networks",
    "J1J2": "K. Choo, T. Neupert and G. Carleo, Phys. Rev. B 100, 125124 (2019): networks for the J1-J2 model",
    "program": "W. Fang, M. Ying and X. Wu, arXiv:2211.04507 (2022): derivatives of programs with unbounded loops",
    "QPMD": "F. Sbahi et al., arXiv:2206.04663 (2022): quantum-probabilistic mirror descent",
    "software": "J. Bradbury et al., JAX (2018); P. Kidger and C. Garcia, Equinox, arXiv:2111.00254 (2021)",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, or 1: failed run, 2: bad input, 3: doubtful result, 75: interrupted run.

    Args:
        arguments: words after the program's name; `None` takes those of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m drivers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="the three jobs beside exact answers, in a few minutes")
    demo.add_argument("--out", default="runs/demo", help="a new folder")
    demo.add_argument("--small", action="store_true", help="the same in less time, at smaller size")
    run = commands.add_parser("run", help="run what a TOML file describes")
    run.add_argument("config", help="a TOML file, e.g. the config.toml of another run")
    run.add_argument("--out", help="a new folder; default runs/NAME-NUMBER")
    run.add_argument("--steps", type=int, help="instead of the file's number")
    resume = commands.add_parser("resume", help="go on with the run in a folder")
    resume.add_argument("folder")
    resume.add_argument("--steps", type=int, help="steps to do; default: what is left of the planned number")
    resume.add_argument("--checkpoint", type=int, help="step to start from; default: the last one saved")
    resume.add_argument("--rate", type=float, help="factor of the learning rate from here on")
    for name, text in (("plot", "draw what a run recorded"), ("cite", "what to cite for a run")):
        commands.add_parser(name, help=text).add_argument("folder")
    commands.add_parser("info", help="versions and devices")
    options = parser.parse_args(arguments)
    _settings()
    from qml._core.errors import GradketError
    from symmetries import GradketError as SymmetryGradketError

    try:
        return COMMANDS[options.command](options)
    except (GradketError, SymmetryGradketError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _settings() -> None:
    """64-bit numbers, and compiled programs kept between runs."""
    import jax

    jax.config.update("jax_enable_x64", True)
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        jax.config.update("jax_compilation_cache_dir", os.path.join(base, "gradket", "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _done(result: Result) -> int:
    print(result)
    return EXIT.get(result.status, 0)


def _demo(options: argparse.Namespace) -> int:
    from drivers.demo import demo

    return demo(pathlib.Path(options.out), small=options.small)


def _run(options: argparse.Namespace) -> int:
    from drivers import config

    job = config.load(options.config)
    name = pathlib.Path(options.config).stem
    changes = {} if options.steps is None else {"steps": options.steps, "time": None}
    return _done(job.run(out=options.out or _free(pathlib.Path("runs"), name), **changes))


def _free(folder: pathlib.Path, name: str) -> pathlib.Path:
    """The first of NAME-1, NAME-2, ... that is not there."""
    number = 1
    while (folder / f"{name}-{number}").exists():
        number += 1
    return folder / f"{name}-{number}"


def _resume(options: argparse.Namespace) -> int:
    from drivers.base import resume

    return _done(resume(options.folder, options.steps, checkpoint=options.checkpoint, rate=options.rate))


def _plot(options: argparse.Namespace) -> int:
    from drivers import plot

    for path in plot.run_directory(options.folder):
        print(path)
    return 0


def _info(options: argparse.Namespace) -> int:
    from drivers.io.run_dir import environment

    facts = environment(None)
    for name in ("python", "platform", "cores", "devices", "x64", "git"):
        print(f"{name:<18}{facts[name]}")
    for name, version in facts["versions"].items():
        print(f"{name:<18}{version}")
    return 0


def _cite(options: argparse.Namespace) -> int:
    from drivers.io.run_dir import RunDir

    settings = RunDir.open(options.folder).settings()
    words = {settings.get("kind"), *_words(settings)}
    by_kind = {"ground_state": "VMC", "dynamics": "TDVP", "thermal": "QPMD", "learn": "QPMD"}
    words |= {by_kind.get(str(w)) for w in words} | {"software"}
    for key, text in CITATIONS.items():
        if key in words:
            print(text)
    return 0


def _words(table: dict) -> set[str]:
    """All names of classes and choices in a table of settings."""
    found = {v for k, v in table.items() if k in ("name", "class") and isinstance(v, str)}
    for value in table.values():
        if isinstance(value, dict):
            found |= _words(value)
    return found | ({"program"} if "ProgramFit" in found else set())


COMMANDS = {"demo": _demo, "run": _run, "resume": _resume, "plot": _plot, "info": _info, "cite": _cite}
