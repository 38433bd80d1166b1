"""The application that `uvicorn` and OpenEnv start.

``VLM_GYM_ROW`` holds, as JSON, what rows of clients do not name: ``{"game": "sokoban", "reasoning": 1}``.
"""

import os
from typing import Any

from vlm_gym import strict
from vlm_gym.adapters.openenv.server import application, serve


def _application() -> Any:
    """Make the application. Ends the program in one line for a row that cannot be played."""
    try:
        row = strict.parse(os.environ.get("VLM_GYM_ROW", '{"game": "2048"}'))
        if not isinstance(row, dict):
            raise ValueError(f"{strict.shown(row)} is no object")
        return application(row)
    except ValueError as error:
        raise SystemExit(f"VLM_GYM_ROW: {strict.brief(error)}") from None


app = _application()


def main() -> None:
    """Serve on this machine alone, unless ``--host`` is given; ``--help`` lists the options."""
    serve()


if __name__ == "__main__":
    main()
