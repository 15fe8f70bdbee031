"""Tables of learned couplings in a run directory, from the model or from its arrays alone."""

import pathlib
from collections.abc import Mapping
from typing import Any


def write(folder: pathlib.Path, facts: Mapping[str, Any], state: Any) -> None:
    """Write `couplings.csv` and `couplings.npz`, with errors, where the facts of a run name the strings of a model.

    Args:
        folder: where to.
        facts: of the run; `couplings` are the strings of its model, letters in site order.
        state: the fitted model, or its arrays by name (`SavedState`).
    """
    words = facts.get("couplings", ())
    if not words:
        return
    from qml.gibbs import PauliGibbs, TiedGibbs, VectorGibbs  # runs of other drivers do without

    if isinstance(state, PauliGibbs | TiedGibbs | VectorGibbs):
        model = state
    elif "tie" in state.names:
        groups = [{w: a for w, a in zip(words, column, strict=True) if a} for column in state["tie"].T.tolist()]
        model = TiedGibbs(groups, state["couplings"], covariance=state["covariance"])
    elif "starts" in state.names:
        model = VectorGibbs(words, state["theta"], starts=state["starts"], covariance=state["covariance"])
    else:
        model = PauliGibbs(words, state["theta"], covariance=state["covariance"])
    for form in ("csv", "npz"):
        model.hamiltonian().save(folder / f"couplings.{form}")
