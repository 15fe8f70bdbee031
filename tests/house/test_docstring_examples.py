"""Every public class of the foundation shows how to use it; `test_examples` runs what is shown."""

import importlib
import inspect

import pytest

ROOMS = ("symmetries", "qml.lattice", "qml.hilbert", "qml.operator", "qml.exact")


@pytest.mark.parametrize("room", ROOMS)
def test_every_class_has_an_example(room):
    """Classes and functions that a room exports have a `>>>` line in their docstring."""
    module = importlib.import_module(room)
    public = [(name, getattr(module, name)) for name in module.__all__]
    assert public
    shown = [
        (name, ">>>" in (thing.__doc__ or ""))
        for name, thing in public
        if inspect.isclass(thing) or inspect.isfunction(thing)
    ]
    assert [name for name, found in shown if not found] == []
