"""Ranges that several keys of a recipe have."""

from typing import Annotated

from vlm_gym.config import Within

Positive = Annotated[int, Within(1)]
NotNegative = Annotated[int, Within(0)]
Amount = Annotated[float, Within(0)]
Share = Annotated[float, Within(0, 1)]
Finite = Annotated[float, Within()]
"""Ranges that several keys have."""
Size = Annotated[int, Within(1, 1_000_000)]
Rows = Annotated[int, Within(1, 100_000_000)]
Steps = Annotated[int, Within(1, 100_000_000)]
Moves = Annotated[int, Within(0, 1_000_000)]
"""Ranges of counts and sizes. Larger values are mistakes that no machine could run."""
