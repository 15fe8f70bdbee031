"""Small models of every kind of parameters, far from trivial, for the tests of estimators and states."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

import symmetries
from qml.ansatz import GCNN, MLP, RBM, Jastrow, log_cosh
from qml.lattice import Chain


@functools.cache
def mixed(n_sites: int):
    """A pair with real and complex parameters: x.z + sum log cosh(x A + c) with real A, complex z and c."""
    keys = jax.random.split(jax.random.key(5), 5)
    params = {
        "a": 0.3 * jax.random.normal(keys[0], (n_sites, 3)),
        "c": 0.3 * jax.random.normal(keys[1], (3,), complex),
        "z": 0.3 * jax.random.normal(keys[2], (n_sites,), complex),
    }
    return params, mixed_log_psi


def mixed_log_psi(params, x):
    return x @ params["z"] + jnp.sum(log_cosh(x @ params["a"] + params["c"][None, :]), axis=-1)


@functools.cache
def model(name: str, n_sites: int):
    """The model of that name, with a fixed seed and parameters of order 0.2."""
    rngs = nnx.Rngs(7)
    if name == "rbm":
        return RBM(n_sites, alpha=1, std=0.2, rngs=rngs)
    if name == "complex rbm":
        return RBM(n_sites, alpha=1, dtype=complex, std=0.2, rngs=rngs)
    if name == "jastrow":
        return Jastrow(n_sites, std=0.2, rngs=rngs)
    if name == "mlp":
        return MLP(n_sites, layers=1, features=4, rngs=rngs)
    if name == "gcnn":
        sector = symmetries.Sector(symmetries.space_group(Chain(n_sites)), momentum=(0,))
        return GCNN(sector, layers=2, features=2, rngs=rngs)
    return mixed(n_sites)


NAMES = ("rbm", "complex rbm", "mixed", "jastrow", "mlp", "gcnn")
