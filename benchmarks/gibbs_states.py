"""Comparisons of dense thermal states: QuTiP 5 and SciPy against parity blocks, on the same chain.

See `peers.py`, which runs these cases. Both give the density matrix, log Z and the derivatives of log Z in all
couplings (minus the expectation of every term); the rivals multiply their matrix with the sparse matrices of the terms,
built beforehand.
"""

from collections.abc import Callable


def dense_state(rival_name: str, sites: int = 10, field: float = 0.0) -> Callable:
    """A case: the transverse Ising chain at beta = 1; a longitudinal field leaves no parity."""

    def case():
        import numpy as np
        import scipy.linalg
        import scipy.sparse
        from peers import Pair

        import qml

        def word(letters):
            return "".join(letters.get(i, "I") for i in range(sites))

        words = [word({i: "Z", i + 1: "Z"}) for i in range(sites - 1)] + [word({i: "X"}) for i in range(sites)]
        couplings = [-1.0] * (2 * sites - 1)
        if field:
            words, couplings = words + [word({i: "Z"}) for i in range(sites)], couplings + [-field] * sites
        model = qml.gibbs.PauliGibbs(words, np.array(couplings))
        terms = [scipy.sparse.csr_matrix(qml.operator.PauliSum({w: 1.0}, model.hilbert).to_sparse()) for w in words]
        matrix = sum(c * t for c, t in zip(couplings, terms))
        dense = np.ascontiguousarray(matrix.toarray().real)

        def finished(weight):
            total = np.trace(weight).real
            rho = weight / total
            return rho, np.log(total), np.array([-t.multiply(rho.T).sum().real for t in terms])

        if rival_name == "QuTiP":
            import qutip

            operator = qutip.Qobj(dense).to("Dense")
            rival = lambda: finished((-operator).expm().full())  # noqa: E731
        else:
            rival = lambda: finished(scipy.linalg.expm(-dense))  # noqa: E731

        def ours():
            found = model.numbers()
            return found.density, found.log_partition, -found.marginals

        def difference() -> float:
            return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(rival(), ours()))

        how = f"Ising chain of {sites} sites, field along Z {field}: state, log Z and all derivatives"
        return Pair(rival, ours, difference, how)

    return case


CASES = {
    "gibbs-dense-10-qutip": ("QuTiP", dense_state("QuTiP")),
    "gibbs-dense-10-scipy": ("SciPy", dense_state("SciPy")),
    "gibbs-dense-10-field-qutip": ("QuTiP", dense_state("QuTiP", field=0.5)),
    "gibbs-dense-10-field-scipy": ("SciPy", dense_state("SciPy", field=0.5)),
}
