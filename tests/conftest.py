"""Test settings: 64-bit, typed keys checked for reuse, rank promotion refused, compiled programs kept between runs.

Tests spend their time in compiling small programs, so XLA's optimiser is off here (half the time). Benchmarks, the
demo and everything a user runs have it on; set XLA_FLAGS to test with it.
"""

import gc
import os

import jax
import jaxlib
import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("QDK_PYTHON_TELEMETRY", "none")
os.environ.setdefault("MPLBACKEND", "agg")
flags = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
flags += " --xla_cpu_parallel_codegen_split_count=1"  # a program in one piece compiles in two thirds of the time
if jaxlib.version.__version_info__ < (0, 11):  # newer ones do not know this flag, and stop at one that they do not know
    flags += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", flags)  # read when the first device is asked for

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_traceback_in_locations_limit", 0)  # no line numbers in compiled programs, a tenth of the time
jax.config.update("jax_compilation_cache_dir", os.path.join(os.path.dirname(__file__), "..", ".jax_cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

hook = install_import_hook(["qml", "symmetries", "diffquantum", "drivers"], "beartype.beartype")

gc.freeze()  # what is loaded by now stays: the collector need not look at it again and again
gc.disable()  # it runs once a module instead


@pytest.fixture(autouse=True, scope="module")
def _collect():
    yield
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """What takes longest comes first, so that two workers end together."""
    items.sort(key=lambda item: item.path.name not in ("test_style.py", "test_examples.py"))
