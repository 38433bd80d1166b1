"""The first difference between two settings, in words."""


def difference(old: object, new: object, place: str, grows: bool = False) -> str:
    """Return a sentence on the first difference between two settings, or "" if they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() & new.keys() if grows else old | new):
            if words := difference(old.get(key), new.get(key), f"{place}.{key}"):
                return words
        return ""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return next(filter(None, (difference(*pair, f"{place}[{at}]") for at, pair in pairs)), "")
    if isinstance(old, list) and isinstance(new, list):
        return f"{place} has {len(old)} entries there and {len(new)} here"
    return "" if old == new else f"{place} is {old!r} there and {new!r} here"
