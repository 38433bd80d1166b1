"""Deal a level by reverse play: boxes are pulled away from the goals, so pushes bring them back."""

from vlm_gym.dice import Dice

from .room import Push, Room, far, pushed, reached

WALLS = 0.12
"""Chance that a cell within the room is a wall."""
ATTEMPTS = 20
"""Rooms tried for a level of the wanted number of pushes; then the best one so far is taken."""
AWAY = 0.8
"""Chance of a pull that leads away from the goals, where there is one."""

Level = tuple[Room, tuple[int, ...], int]
"""The room, the boxes, and the place of the walker."""


def deal(size: int, boxes: int, least: int, dice: Dice) -> Level:
    """Deal a level that takes at least so many pushes, as far as `ATTEMPTS` rooms allow."""
    best: Level | None = None
    most = 0
    attempt = 0
    while best is None or (attempt < ATTEMPTS and most < least):
        attempt += 1
        room, walker = _room(size, boxes, dice)
        placed, walker = _pull(room, walker, least, dice)
        away = far(room, placed) or 0
        if away > most:
            best = room, placed, walker
            most = away
    return best


def _room(size: int, boxes: int, dice: Dice) -> tuple[Room, int]:
    """Draw a room whose floor hangs together, with goals, and a place for the walker."""
    while True:
        walls = bytearray(b"\1" * size**2)
        for row in range(1, size - 1):
            for col in range(1, size - 1):
                walls[row * size + col] = dice.chance(WALLS)
        floor = [place for place, wall in enumerate(walls) if not wall]
        if len(floor) < 2 * boxes + 3:
            continue
        dice.shuffle(floor)
        room = Room(size, bytes(walls), tuple(sorted(floor[:boxes])))
        if len(reached(room, (), floor[-1])) == len(floor):
            return room, floor[-1]


def _pull(room: Room, walker: int, least: int, dice: Dice) -> tuple[tuple[int, ...], int]:
    """Pull boxes, never to a position that was there before, until they are far and off the goals."""
    boxes = room.goals
    seen = {boxes}
    for _ in range(2 * least):
        found = []
        for push in _before(room, boxes, walker):
            after = pushed(boxes, Push(push.to, push.box))
            if after not in seen:
                found.append((far(room, after) or 0, push, after))
        if not found:
            break
        if dice.chance(AWAY):
            most = max(away for away, _, _ in found)
            found = [one for one in found if one[0] == most]
        away, push, boxes = dice.choice(found)
        walker = push.stand
        seen.add(boxes)
        if away >= least and not set(boxes) & set(room.goals):
            break
    return boxes, walker


def _before(room: Room, boxes: tuple[int, ...], walker: int) -> list[Push]:
    """List the pushes that can have led to a position."""
    near = reached(room, boxes, walker)
    found = []
    for box in boxes:
        for step in room.steps:
            push = Push(box - step, box)
            # After the push, the walker stands where the box was; before it, one cell behind.
            if push.box in near and not room.walls[push.stand] and push.stand not in boxes:
                found.append(push)
    return found
