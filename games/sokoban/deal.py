"""Deal a level by reverse play: boxes are pulled away from the goals, so pushes bring them back."""

from typing import NamedTuple

from vlm_gym.dice import Dice

from .room import Push, Room, far, pushed, reached

WALLS = 0.12
"""Chance that a cell within the room is a wall."""
ATTEMPTS = 20
"""Rooms tried for a level of the wanted number of pushes; then the best one so far is taken."""
AWAY = 0.8
"""Chance of a pull that leads away from the goals, where there is one."""

Level = tuple[Room, tuple[int, ...], int]
"""The room, the boxes, and the cell of the walker."""


def deal(size: int, boxes: int, least: int, dice: Dice) -> Level:
    """Deal a level that takes at least so many pushes, as far as `ATTEMPTS` rooms allow."""
    best: Level | None = None
    best_distance = 0
    attempt = 0
    while best is None or (attempt < ATTEMPTS and best_distance < least):
        attempt += 1
        room, walker = _room(size, boxes, dice)
        pulled, walker = _pull(room, walker, least, dice)
        distance = far(room, pulled) or 0
        if distance > best_distance:
            best = room, pulled, walker
            best_distance = distance
    return best


def _room(size: int, boxes: int, dice: Dice) -> tuple[Room, int]:
    """Draw a room whose floor is connected, with goals, and a cell for the walker."""
    while True:
        walls = bytearray(b"\1" * size**2)
        for row in range(1, size - 1):
            for col in range(1, size - 1):
                walls[row * size + col] = dice.chance(WALLS)
        floor = [cell for cell, wall in enumerate(walls) if not wall]
        if len(floor) < 2 * boxes + 3:  # too few cells to move boxes on
            continue
        dice.shuffle(floor)
        room = Room(size, bytes(walls), tuple(sorted(floor[:boxes])))
        if len(reached(room, (), floor[-1])) == len(floor):
            return room, floor[-1]


class _Pull(NamedTuple):
    """A pull, as the push that it undoes, the boxes after it, and how far they are from the goals."""

    push: Push
    boxes: tuple[int, ...]
    distance: int


def _pull(room: Room, walker: int, least: int, dice: Dice) -> tuple[tuple[int, ...], int]:
    """Pull boxes, never to a position that was there before, until they are far and off the goals."""
    boxes = room.goals
    visited = {boxes}
    for _ in range(2 * least):
        pulls = []
        for push in _before(room, boxes, walker):
            after = pushed(boxes, Push(push.to, push.box))
            if after not in visited:
                pulls.append(_Pull(push, after, far(room, after) or 0))
        if not pulls:
            break
        if dice.chance(AWAY):
            farthest = max([pull.distance for pull in pulls])
            pulls = [pull for pull in pulls if pull.distance == farthest]
        pull = dice.choice(pulls)
        boxes = pull.boxes
        walker = pull.push.stand
        visited.add(boxes)
        if pull.distance >= least and not set(boxes) & set(room.goals):
            break
    return boxes, walker


def _before(room: Room, boxes: tuple[int, ...], walker: int) -> list[Push]:
    """List the pushes that can have led to a position."""
    near = reached(room, boxes, walker)
    pushes = []
    for box in boxes:
        for offset in room.offsets:
            push = Push(box - offset, box)
            # After the push, the walker stands where the box was; before it, one cell behind.
            if push.box in near and not room.walls[push.stand] and push.stand not in boxes:
                pushes.append(push)
    return pushes
