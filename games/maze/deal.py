"""Deal mazes, and draw anew what a player has not seen of one."""

from collections.abc import Collection

from vlm_gym.dice import Dice

from .plan import DOORS, FLOOR, GOAL, KEYS, WALL, Link, links, opened, rooms, solvable, walk

ATTEMPTS = 30
"""Plans drawn for a player who has seen only a part, before the true one is taken."""


def deal(size: int, loops: int, keys: int, limit: int, dice: Dice) -> tuple[bytes, int]:
    """Deal a plan and the cell of the walker. Every key is needed, in the order of the colours.

    The goal is the room farthest from the walker, of those at most `limit` steps away.
    """
    while True:
        plan = bytearray([WALL]) * size**2
        for room in rooms(size):
            plan[room] = FLOOR
        shuffled = list(links(size))
        dice.shuffle(shuffled)
        for link in _joining(shuffled, []):
            plan[link.cell] = FLOOR
        start = dice.choice(rooms(size))
        path = _path(bytes(plan), size, start, limit)
        plan[path[-1]] = GOAL
        if _lock(plan, size, path, keys, dice):
            _loop(plan, size, loops, start, dice)
            return bytes(plan), start


def _joining(candidates: Collection[Link], joined: Collection[Link]) -> list[Link]:
    """Choose the links, in their order, that join rooms not yet joined (Kruskal, 1956)."""
    # A forest over the rooms: joined rooms have the same root.
    parents: dict[int, int] = {}

    def root(room: int) -> int:
        while room in parents:
            room = parents[room]
        return room

    def join(link: Link) -> bool:
        """Join two rooms; return False if they were joined before."""
        one = root(link.one)
        other = root(link.other)
        if one == other:
            return False
        parents[one] = other
        return True

    for link in joined:
        join(link)
    chosen = []
    for link in candidates:
        if join(link):
            chosen.append(link)
    return chosen


def _path(plan: bytes, size: int, start: int, limit: int) -> list[int]:
    """Return the path to the farthest room of those at most `limit` steps away, both ends included."""
    before = walk(plan, size, start)
    best = [start]
    for end in rooms(size):
        path = [end]
        while path[-1] != start:
            path.append(before[path[-1]])
        if len(best) < len(path) <= limit + 1:
            best = path[::-1]
    return best


def _lock(plan: bytearray, size: int, path: list[int], keys: int, dice: Dice) -> bool:
    """Place doors on the path, and each key before its door and behind the previous door, in place.

    Returns False if there is no room.
    """
    path_links = [cell for cell in path if cell not in rooms(size)]
    if len(path_links) < keys:
        return False
    dice.shuffle(path_links)
    doors = sorted(path_links[:keys], key=path.index)
    for color, door in enumerate(doors):
        plan[door] = DOORS[color]
    excluded = {path[0], path[-1]}  # the ends of the path, and all that lies before the previous door
    for color in range(keys):
        reached = walk(opened(bytes(plan), tuple(range(color))), size, path[0])
        behind = [room for room in rooms(size) if room in reached and room not in excluded]
        if not behind:
            return False
        plan[dice.choice(behind)] = KEYS[color]
        excluded |= set(reached)
    return True


def _loop(plan: bytearray, size: int, loops: int, start: int, dice: Dice) -> None:
    """Open further links that do not lead around a door."""
    # The region of a cell is the number of doors between the walker and the cell.
    region: dict[int, int] = {}
    for color in range(len(DOORS) + 1):
        for cell in walk(opened(bytes(plan), tuple(range(color))), size, start):
            region.setdefault(cell, color)
    closed = []
    for link in links(size):
        if plan[link.cell] == WALL and region[link.one] == region[link.other]:
            closed.append(link)
    dice.shuffle(closed)
    for link in closed[:loops]:
        plan[link.cell] = FLOOR


def redraw(plan: bytes, seen: bytes, walker: int, held: tuple[int, ...], dice: Dice) -> bytes:
    """Draw all anew that has not been seen: as many links, doors and keys, and a goal that can be reached."""
    size = round(len(plan) ** 0.5)
    if 0 not in seen:
        return plan
    for _ in range(ATTEMPTS):
        drawn = bytearray(plan)
        _redraw_links(drawn, plan, seen, dice)
        _redraw_rooms(drawn, plan, seen, dice)
        if solvable(opened(bytes(drawn), held), size, walker):
            return bytes(drawn)
    return plan


def _redraw_links(drawn: bytearray, plan: bytes, seen: bytes, dice: Dice) -> None:
    """Draw the unseen links anew, in place: as many open ones and doors, with all rooms joined."""
    size = round(len(plan) ** 0.5)
    hidden: list[Link] = []
    known: list[Link] = []
    for link in links(size):
        if not seen[link.cell]:
            hidden.append(link)
        elif plan[link.cell] != WALL:
            known.append(link)
    dice.shuffle(hidden)
    contents = [plan[link.cell] for link in hidden]
    doors = [content for content in contents if content in DOORS]
    count = len(contents) - contents.count(WALL)
    # Links that join rooms come first; without them a part of the maze could not be reached.
    joining = _joining(hidden, known)
    others = [link for link in hidden if link not in joining]
    for link in hidden:
        drawn[link.cell] = WALL
    free_links = [*joining, *others][:count]
    for link in free_links:
        drawn[link.cell] = FLOOR
    dice.shuffle(free_links)
    for link, door in zip(free_links, doors, strict=False):
        drawn[link.cell] = door


def _redraw_rooms(drawn: bytearray, plan: bytes, seen: bytes, dice: Dice) -> None:
    """Move the keys and the goal in unseen rooms to other unseen rooms, in place."""
    size = round(len(plan) ** 0.5)
    hidden = [room for room in rooms(size) if not seen[room]]
    contents = [plan[room] for room in hidden if plan[room] != FLOOR]
    dice.shuffle(hidden)
    for room in hidden:
        drawn[room] = FLOOR
    for room, content in zip(hidden, contents, strict=False):
        drawn[room] = content
