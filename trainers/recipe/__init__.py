"""A recipe: all that a training run is asked for, in one TOML file.

``[[task]]`` tables say which games are played and how hard, ``[model]`` what learns, ``[data]`` and
``[cold_start]`` how it is shown, ``[grpo]`` how it is rewarded, ``[evaluation]`` how it is measured. What TRL
has a name for goes under ``trl`` by that name, and is passed through.
"""

from .cold_start_keys import ColdStart, Data, Endpoint, Optimizer
from .grpo_keys import Anchor, Grpo
from .model import Model
from .ranges import Amount, NotNegative, Positive
from .reading import load_recipe, passed, shipped_recipes
from .recipe import Measure, Recipe
from .tables import Table
from .task import Shares, Task, divide

__all__ = [
    "Amount",
    "Anchor",
    "ColdStart",
    "Data",
    "Endpoint",
    "Grpo",
    "Measure",
    "Model",
    "NotNegative",
    "Optimizer",
    "Positive",
    "Recipe",
    "Shares",
    "Table",
    "Task",
    "divide",
    "load_recipe",
    "passed",
    "shipped_recipes",
]
