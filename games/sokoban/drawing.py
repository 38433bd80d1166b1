"""The scene of Sokoban."""

from functools import lru_cache

from vlm_gym.scene import Symbol

from .room import Room

WALL = Symbol("icon", "wall")
GOAL = Symbol("icon", "goal")
BOX = Symbol("icon", "box")
BOX_ON_GOAL = Symbol("icon", "box on goal")
PLAYER = Symbol("icon", "player")
PLAYER_ON_GOAL = Symbol("icon", "player on goal")


def drawn(room: Room, boxes: tuple[int, ...], walker: int) -> tuple[Symbol | None, ...]:
    """Return what the cells of a room show."""
    cells = list(_bare(room.walls, room.goals))
    for box in boxes:
        cells[box] = BOX_ON_GOAL if box in room.goals else BOX
    cells[walker] = PLAYER_ON_GOAL if walker in room.goals else PLAYER
    return tuple(cells)


@lru_cache(maxsize=1 << 10)  # walls and goals stay for an episode
def _bare(walls: bytes, goals: tuple[int, ...]) -> tuple[Symbol | None, ...]:
    """Return what the cells of a room show without boxes and player."""
    cells = [WALL if wall else None for wall in walls]
    for goal in goals:
        cells[goal] = GOAL
    return tuple(cells)
