"""The type of tables whose keys are not those of a recipe."""

from typing import Any

Table = dict[str, Any]
"""A table of TOML or an object of JSON. Its keys and values are checked where it is read."""
