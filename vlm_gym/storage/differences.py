"""The first difference between two settings, in words."""


def difference(old: object, new: object, path: str, grows: bool = False) -> str:
    """Return a sentence on the first difference between two settings, or "" if they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() & new.keys() if grows else old | new):
            if sentence := difference(old.get(key), new.get(key), f"{path}.{key}"):
                return sentence
        return ""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return next(filter(None, (difference(*pair, f"{path}[{index}]") for index, pair in pairs)), "")
    if isinstance(old, list) and isinstance(new, list):
        return f"{path} has {len(old)} entries there and {len(new)} here"
    return "" if old == new else f"{path} is {old!r} there and {new!r} here"
