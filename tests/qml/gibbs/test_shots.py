"""Shots: bookkeeping, files, moments, and bad data in every form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qml._core.errors import DataError
from qml.gibbs import PauliGibbs, ShotData, brick_bases
from tests.qml.gibbs.systems import local_model, random_model

BASES = ["XZ", "ZZ"]
BITS = [[0, 1], [0, 0], [1, 1]]


def example() -> ShotData:
    return ShotData(BASES, BITS, counts=[10, 4, 6], setting=[0, 1, 1])


def test_one_row_a_shot_and_counted_rows_are_the_same_data():
    long = ShotData(["ZZ", "XZ", "ZZ", "ZZ"], [[0, 0], [0, 1], [1, 1], [0, 0]])
    short = ShotData.from_counts({"XZ": {"01": 1}, "ZZ": {"00": 2, "11": 1, "10": 0}})
    for a, b in zip(jax.tree.leaves(long), jax.tree.leaves(short), strict=True):
        np.testing.assert_array_equal(a, b)
    assert long.letters == ("XZ", "ZZ") and long.shots == 4 and long.n_sites == 2
    np.testing.assert_array_equal(long.table(), [[0, 1, 0, 0], [2, 0, 0, 1]])
    assert str(long) == "ShotData(2 sites, 2 settings, 4 shots)"
    letters = np.array([list("XZ"), list("ZZ"), list("ZZ")])
    np.testing.assert_array_equal(ShotData(letters, BITS, [10, 4, 6]).table(), example().table())


def test_files(tmp_path):
    path = tmp_path / "shots.npz"
    example().save(path)
    loaded = ShotData.load(path)
    for a, b in zip(jax.tree.leaves(example()), jax.tree.leaves(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    assert [p.name for p in tmp_path.iterdir()] == ["shots.npz"]
    # the least a file must hold, as another program would write it
    np.savez(tmp_path / "plain.npz", bases=np.array(["XZ", "ZZ", "ZZ"]), outcomes=BITS, counts=[10, 4, 6])
    np.testing.assert_array_equal(ShotData.load(tmp_path / "plain.npz").table(), example().table())


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.9, -1])
def test_truncated_files(tmp_path, kept):
    path = tmp_path / "shots.npz"
    example().save(path)
    content = path.read_bytes()
    size = kept if isinstance(kept, int) else int(kept * len(content))
    path.write_bytes(content[:size])
    with pytest.raises(DataError, match="cannot be read"):
        ShotData.load(path)


def test_corrupt_files(tmp_path):
    path = tmp_path / "shots.npz"
    example().save(path)
    content = bytearray(path.read_bytes())
    middle = content.index(b"counts.npy") + 70
    content[middle : middle + 8] = bytes(b ^ 255 for b in content[middle : middle + 8])
    path.write_bytes(content)
    with pytest.raises(DataError):
        ShotData.load(path)
    with pytest.raises(DataError, match="cannot be read"):
        ShotData.load(tmp_path / "absent.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(DataError, match="cannot be read"):
        ShotData.load(tmp_path / "array.npy")
    np.savez(tmp_path / "objects.npz", bases=np.array([object()]), outcomes=BITS, counts=[1, 1, 1])
    with pytest.raises(DataError, match="cannot be read"):
        ShotData.load(tmp_path / "objects.npz")
    np.savez(tmp_path / "columns.npz", bases=np.array(BASES), outcomes=BITS)
    with pytest.raises(DataError, match="known format"):
        ShotData.load(tmp_path / "columns.npz")
    np.savez(tmp_path / "new.npz", version=2, bases=np.array(["XZ"] * 3), outcomes=BITS, counts=[1, 1, 1])
    with pytest.raises(DataError, match="known format"):
        ShotData.load(tmp_path / "new.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bases": ["XI", "ZZ"]}, "one letter"),
        ({"bases": ["XZ", "Z"]}, "one letter"),
        ({"bases": []}, "one letter"),
        ({"bases": [[0, 2], [2, 2]]}, "one letter"),
        ({"outcomes": [[0, 1], [0, 0], [1, 2]]}, "bits"),
        ({"outcomes": [[0, 1], [0, 0], [1, -1]]}, "bits"),
        ({"outcomes": [[0, 1], [0, 0], [1, np.nan]]}, "bits"),
        ({"outcomes": [[0], [0], [1]]}, "bits"),
        ({"outcomes": [[0, 1], [0, 0], [1]]}, "bits"),
        ({"outcomes": [["0", "1"]] * 3}, "bits"),
        ({"counts": [10, 4, -1]}, "one count"),
        ({"counts": [10, 4, np.nan]}, "one count"),
        ({"counts": [10, 4, np.inf]}, "one count"),
        ({"counts": [10, 4, 0.5]}, "one count"),
        ({"counts": [10, 4]}, "one count"),
        ({"counts": [10, 4, [1]]}, "one count"),
        ({"counts": [0, 0, 0]}, "no shots"),
        ({"outcomes": np.zeros((0, 2)), "counts": [], "setting": []}, "no shots"),
        ({"setting": [0, 1, 2]}, "does not exist"),
        ({"setting": [0, 1, -1]}, "one setting"),
        ({"setting": None}, "which basis"),
    ],
)
def test_bad_data(change, message):
    good = {"bases": BASES, "outcomes": BITS, "counts": [10, 4, 6], "setting": [0, 1, 1]}
    with pytest.raises(DataError, match=message) as caught:
        ShotData(**(good | change))
    assert {"got:", "expected:", "try:"} <= set(str(caught.value).split())


def test_bad_tables_of_counts():
    with pytest.raises(DataError, match="maps bases"):
        ShotData.from_counts({"ZZ": 3})
    with pytest.raises(DataError, match="bits"):
        ShotData.from_counts({"ZZ": {"0x": 3}})
    with pytest.raises(DataError, match="bits"):
        ShotData.from_counts({"ZZ": {"001": 3}})
    with pytest.raises(DataError):
        ShotData.from_counts({})
    with pytest.raises(DataError, match="one letter"):
        ShotData.from_counts({"ZA": {"00": 3}})
    for make, rows in ((ShotData.from_counts, {"00": 3}), (ShotData.from_qiskit, {"00": 3}),
                       (ShotData.from_qsharp, [["Zero", "One"]])):  # fmt: skip
        with pytest.raises(DataError, match="nothing for XX, YY"):
            make({"XX": type(rows)(), "ZZ": rows, "YY": type(rows)()})


@pytest.mark.slow
def test_moments_scatter_as_their_covariance_says():
    """Averages of many repetitions: unbiased, with the covariance that one repetition predicts."""
    model = random_model(6, 2)
    exact = np.asarray(model.marginals())
    found = []
    for k in range(200):
        shots = model.sample(jax.random.fold_in(jax.random.key(0), k), brick_bases(2), 100)
        mean, covariance = (np.asarray(a) for a in shots.moments(model.strings))
        found.append(mean)
    found = np.array(found)
    error = np.sqrt(np.diagonal(covariance) / len(found))
    assert np.all(np.abs(found.mean(0) - exact) < 4.5 * error)
    spread = np.cov(found.T)
    scale = np.sqrt(np.outer(np.diagonal(covariance), np.diagonal(covariance)))
    assert np.abs((spread - covariance) / scale).max() < 0.45


def test_moments_pool_all_settings_that_fit():
    model = local_model(2)
    shots = ShotData.from_counts({"ZZ": {"00": 3, "01": 1}, "ZX": {"10": 4}})
    with pytest.raises(DataError, match="no setting measures"):
        shots.moments(model.strings)
    few = type(model)(("ZI", "ZZ", "IX"))
    mean, covariance = shots.moments(few.strings)
    np.testing.assert_allclose(mean, [0.0, 0.5, 1.0])  # Z0: 4 up, 4 down; Z0 Z1: 3 to 1; X1: always up
    np.testing.assert_allclose(jnp.diagonal(covariance), [8 / 64, (3 * 0.25 + 1 * 2.25) / 16, 0])


def test_very_many_shots():
    """Ten thousand million shots, whose squared number is no 64-bit whole number."""
    shots = ShotData.from_counts({"Z": {"0": 6 * 10**9, "1": 4 * 10**9}})
    mean, spread = shots.moments(PauliGibbs(("Z",)).strings)
    np.testing.assert_allclose([mean[0], spread[0, 0]], [0.2, 0.96e-10])


def test_brick_bases():
    bases = brick_bases(4)
    assert len(set(bases)) == 9 and all(b[:2] == b[2:] for b in bases)
