"""Why a driver of variational states ends a run or does not take a step, and what to try."""

import enum
from typing import Any


class Reason(enum.IntEnum):
    """Why a run ended or a step was not taken; `SENTENCES` says what to do."""

    NONE = 0
    BELOW_BOUND = 1
    NOT_FINITE = 2
    JUMP = 3
    OVERLAP = 4
    PREDICTION = 5
    FROZEN = 6
    STILL = 7
    UPDATES = 8


SENTENCES = (
    "the driver ended the run",
    "the energy lies more than five error bars below a rigorous lower bound, which only broken sampling can give; the "
    "numbers of this run mean nothing. Try: more sweeps between samples, a rule that reaches all configurations, a "
    "smaller learning rate",
    "{patience} steps in a row had numbers that are not finite. Try: a smaller learning rate, a larger shift, smaller "
    "initial parameters (std=)",
    "{patience} times in a row fresh samples found an energy far above what the step before it promised: its samples "
    "had missed where the wave function is. Try: more samples or chains, a smaller learning rate",
    "{patience} steps in a row would have left the samples behind (effective samples below the limit). Try: a smaller "
    "learning rate, a larger shift, more samples",
    "{patience} steps in a row would have changed the energy far from what the gradient predicts. Try: a smaller "
    "learning rate, a larger shift",
    "chains are frozen: they have not moved for {patience} steps while others did, or none moves. Try: another rule "
    "(exchanges, global flips), parallel tempering, more chains",
    "hardly any move was accepted for {patience} steps. Try: another rule, a smaller learning rate, importance "
    "sampling (power=1)",
    "the local updates of the ansatz disagree with its network by far more than rounding, so local energies are not "
    "those of the wave function. Try: mending local_update of the model, or a state of "
    "dataclasses.replace(ansatz, updates=None)",
)  # fmt: skip
PERSISTS = 5  # steps in a row that sampling may be in trouble


def sentences(trust: Any) -> tuple[str, ...]:
    """Why a run with this judge, or with none, may end: by the number of the reason."""
    patience = PERSISTS if trust is None else trust.patience
    return tuple(text.format(patience=patience) for text in SENTENCES)
