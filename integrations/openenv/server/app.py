"""The application that `uvicorn` and OpenEnv start.

``VLM_GYM_ROW`` holds, as JSON, what rows of clients do not name: ``{"game": "sokoban", "reasoning": 1}``.
"""

import json
import os

from vlm_gym.adapters.openenv.server import application, serve

app = application(json.loads(os.environ.get("VLM_GYM_ROW", '{"game": "2048"}')))


def main() -> None:
    """Serve on this machine alone, unless ``--host`` is given; ``--help`` lists the options."""
    serve()


if __name__ == "__main__":
    main()
