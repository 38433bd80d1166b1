"""Deal mazes, and draw anew what a player has not seen of one."""

from collections.abc import Collection

from vlm_gym.dice import Dice

from .plan import DOORS, FLOOR, GOAL, KEYS, WALL, Link, links, opened, rooms, solvable, walk

ATTEMPTS = 30
"""Plans drawn for a player who has seen only a part, before the true one is taken."""


def deal(size: int, loops: int, keys: int, way: int, dice: Dice) -> tuple[bytes, int]:
    """Deal a plan and the place of the walker. Every key is needed, in the order of the colours.

    The goal is the room farthest from the walker, of those at most `way` steps away.
    """
    while True:
        plan = bytearray([WALL]) * size**2
        for room in rooms(size):
            plan[room] = FLOOR
        shuffled = list(links(size))
        dice.shuffle(shuffled)
        for link in _joining(shuffled, []):
            plan[link.place] = FLOOR
        start = dice.choice(rooms(size))
        path = _path(bytes(plan), size, start, way)
        plan[path[-1]] = GOAL
        if _lock(plan, size, path, keys, dice):
            _loop(plan, size, loops, start, dice)
            return bytes(plan), start


def _joining(candidates: Collection[Link], joined: Collection[Link]) -> list[Link]:
    """Choose the links, in their order, that join rooms not yet joined (Kruskal, 1956)."""
    group: dict[int, int] = {}

    def root(room: int) -> int:
        while room in group:
            room = group[room]
        return room

    for link in joined:
        if root(link.one) != root(link.other):
            group[root(link.one)] = root(link.other)
    chosen = []
    for link in candidates:
        if root(link.one) != root(link.other):
            group[root(link.one)] = root(link.other)
            chosen.append(link)
    return chosen


def _path(plan: bytes, size: int, start: int, way: int) -> list[int]:
    """Return the way to the farthest room of those at most `way` steps away, both ends included."""
    before = walk(plan, size, start)
    best = [start]
    for end in rooms(size):
        path = [end]
        while path[-1] != start:
            path.append(before[path[-1]])
        if len(best) < len(path) <= way + 1:
            best = path[::-1]
    return best


def _lock(plan: bytearray, size: int, path: list[int], keys: int, dice: Dice) -> bool:
    """Place doors on the path, and each key before its door and behind the previous door, in place.

    Returns False if there is no room.
    """
    places = [place for place in path if place not in rooms(size)]
    if len(places) < keys:
        return False
    dice.shuffle(places)
    doors = sorted(places[:keys], key=path.index)
    for color, door in enumerate(doors):
        plan[door] = DOORS[color]
    before: set[int] = {path[0], path[-1]}
    for color in range(keys):
        near = walk(opened(bytes(plan), tuple(range(color))), size, path[0])
        behind = [room for room in rooms(size) if room in near and room not in before]
        if not behind:
            return False
        plan[dice.choice(behind)] = KEYS[color]
        before |= set(near)
    return True


def _loop(plan: bytearray, size: int, loops: int, start: int, dice: Dice) -> None:
    """Open further links that do not lead around a door."""
    region: dict[int, int] = {}
    for color in range(len(DOORS) + 1):
        for place in walk(opened(bytes(plan), tuple(range(color))), size, start):
            region.setdefault(place, color)
    closed = [
        link for link in links(size) if plan[link.place] == WALL and region[link.one] == region[link.other]
    ]
    dice.shuffle(closed)
    for link in closed[:loops]:
        plan[link.place] = FLOOR


def redraw(plan: bytes, seen: bytes, walker: int, held: tuple[int, ...], dice: Dice) -> bytes:
    """Draw all anew that has not been seen: as many links, doors and keys, and a goal that can be reached."""
    size = round(len(plan) ** 0.5)
    if 0 not in seen:
        return plan
    for _ in range(ATTEMPTS):
        drawn = _redrawn(plan, seen, dice)
        if solvable(opened(drawn, held), size, walker):
            return drawn
    return plan


def _redrawn(plan: bytes, seen: bytes, dice: Dice) -> bytes:
    size = round(len(plan) ** 0.5)
    hidden = [link for link in links(size) if not seen[link.place]]
    opens = [link for link in links(size) if seen[link.place] and plan[link.place] != WALL]
    dice.shuffle(hidden)
    joining = _joining(hidden, opens)
    others = [link for link in hidden if link not in joining]
    count = sum(plan[link.place] != WALL for link in hidden)
    drawn = bytearray(plan)
    for link in hidden:
        drawn[link.place] = WALL
    free_links = [*joining, *others][:count]
    for link in free_links:
        drawn[link.place] = FLOOR
    dice.shuffle(free_links)
    unseen_doors = [plan[link.place] for link in hidden if plan[link.place] in DOORS]
    for link, door in zip(free_links, unseen_doors, strict=False):
        drawn[link.place] = door
    empty = [room for room in rooms(size) if not seen[room]]
    things = [plan[room] for room in empty if plan[room] != FLOOR]
    dice.shuffle(empty)
    for room in empty:
        drawn[room] = FLOOR
    for room, thing in zip(empty, things, strict=False):
        drawn[room] = thing
    return bytes(drawn)
