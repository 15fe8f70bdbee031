"""Plain data as TOML text; reading is the standard library's `tomllib`."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from qml._core.errors import ConfigError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(str(k))} = {_value(v)}" for k, v in value.items() if v is not None) + "}"
    raise ConfigError(
        "A setting cannot be written to a TOML file.",
        got=f"{type(value).__name__}: {value!r}",
        expected="a bool, number, string, list or table",
        try_="a plain number or string",
    )


def to_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """Write nested dictionaries as TOML; entries that are `None` are left out.

    Example:
        >>> from drivers.io.toml import to_toml
        >>> print(to_toml({"kind": "ground_state", "lattice": {"name": "chain", "extent": [4]}}))
        kind = "ground_state"
        <BLANKLINE>
        [lattice]
        name = "chain"
        extent = [4]
    """
    table = {k: v for k, v in table.items() if v is not None}
    plain = [f"{_key(str(k))} = {_value(v)}" for k, v in table.items() if not isinstance(v, Mapping)]
    blocks = ["\n".join(plain)] if plain else []
    for name, inner in table.items():
        if isinstance(inner, Mapping):
            path = f"{prefix}{_key(str(name))}"
            text = to_toml(inner, f"{path}.")
            has_plain = any(not isinstance(v, Mapping) for v in inner.values() if v is not None)
            head = f"[{path}]\n" if has_plain else f"[{path}]\n\n" if text else f"[{path}]"
            blocks.append(head + text)
    return "\n\n".join(blocks)
