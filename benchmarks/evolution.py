"""Comparisons of time evolution: whole steps of a Runge-Kutta method of fourth order. See `peers.py`."""

from collections.abc import Callable


def tdvp(solver: str, sites: int = 20, samples: int = 512, chains: int = 16) -> Callable:
    """A case: one RK4 step of a complex RBM on the TFIM chain; the rival solves with `solver`."""

    def case():
        import equinox as eqx
        import jax
        import jax.numpy as jnp
        import netket as nk
        from flax import nnx
        from peers import Pair

        import drivers
        import qml

        shift, dt = 1e-4, 1e-4
        space, graph = nk.hilbert.Spin(0.5, sites), nk.graph.Chain(sites)
        theirs_h = nk.operator.IsingJax(space, graph, h=1.0, J=-1.0)
        theirs = nk.vqs.MCState(
            nk.sampler.MetropolisLocal(space, n_chains=chains),
            nk.models.RBM(alpha=1, param_dtype=complex, kernel_init=jax.nn.initializers.normal(0.1)),
            n_samples=samples,
            n_discard_per_chain=0,
            seed=1,
            sampler_seed=2,
        )
        hilbert = qml.hilbert.Spin(sites)
        ours_h = qml.operator.Ising(hilbert, qml.lattice.Chain(sites), j=-1.0, h=1.0)
        model = qml.ansatz.RBM(hilbert, alpha=1, dtype=complex, rngs=nnx.Rngs(0))
        ours = qml.MCState(model, hilbert, samples, chains, key=jax.random.key(2), burn=0)
        numbers = jax.tree.map(jnp.copy, theirs.parameters)
        params = {
            "visible_bias": numbers["visible_bias"],
            "hidden_bias": numbers["Dense"]["bias"],
            "kernel": numbers["Dense"]["kernel"],
        }
        ours = ours.with_params(params)
        x = jnp.asarray(theirs.samples).reshape(-1, sites)
        metric = nk.optimizer.qgt.QGTJacobianDense(holomorphic=True, diag_shift=shift)
        solve = getattr(nk.optimizer.solver, solver)
        force = theirs.expect_and_forces(theirs_h)[1]
        slope = theirs.quantum_geometric_tensor(metric).solve(solve, force)[0]
        evolve = nk.experimental.driver.TDVP(
            theirs_h, theirs, nk.experimental.dynamics.RK4(dt=dt), qgt=metric, linear_solver=solve
        )
        rule = qml.estimate.SR(shift=shift)
        job, _ = drivers.TDVP(ours_h, drivers.RK4(dt), precondition=rule).plan(1, None, dt, None)
        carry = [job.init(ours, jax.random.key(5))]
        step = eqx.filter_jit(lambda job, carry: job.step(carry))

        def rival():
            evolve.run(dt, show_progress=False, out=None)
            return theirs.parameters

        def mine():
            carry[0], info = step(job, carry[0])
            return info["tdvp_error"]

        def difference() -> float:
            rows = qml.estimate.Samples(x.astype(jnp.int8), jnp.full(len(x), 1 / len(x)), ours.log_psi(x), chains)
            local = qml.estimate.local_values(ours.ansatz, params, ours_h, rows.x)
            found = rule.direction(ours.ansatz, params, rows, local, real_time=True).update
            pairs = (
                (found["kernel"], slope["Dense"]["kernel"]),
                (found["hidden_bias"], slope["Dense"]["bias"]),
                (found["visible_bias"], slope["visible_bias"]),
            )
            size = max(float(jnp.abs(b).max()) for _, b in pairs)
            return max(float(jnp.abs(a + 1j * b).max()) for a, b in pairs) / size

        how = (
            f"TFIM {sites}, complex RBM alpha=1, {samples} samples, {chains} chains, RK4 step with shift {shift}; "
            f"rival QGTJacobianDense and {solver}, samples at each stage; ours reweights the samples of the step, and "
            "measures the energy from further ones; difference: the slope on the same samples, relative"
        )
        return Pair(rival, mine, difference, how)

    case.__doc__ = f"RK4 step of time evolution, complex RBM on {sites} sites, rival with {solver}."
    return case


CASES = {"tdvp-rbm20": ("NetKet", tdvp("cholesky")), "tdvp-rbm20-svd": ("NetKet", tdvp("svd"))}
