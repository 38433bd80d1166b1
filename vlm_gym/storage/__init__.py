"""Files of runs: one writer at a time, whole or not written at all, and never a file of somebody else."""

from vlm_gym.storage.append import Appender, cut_back
from vlm_gym.storage.closing import Closing
from vlm_gym.storage.differences import difference
from vlm_gym.storage.lines import (
    LineBlock,
    LineFormat,
    blocks,
    dumps,
    is_json,
    packed,
    read_lines,
)
from vlm_gym.storage.lock import InUse, locked, locked_folder
from vlm_gym.storage.paths import bare_name, from_home
from vlm_gym.storage.whole import read_json, whole, write_json, write_text

__all__ = [
    "Appender",
    "Closing",
    "InUse",
    "LineBlock",
    "LineFormat",
    "bare_name",
    "blocks",
    "cut_back",
    "difference",
    "dumps",
    "from_home",
    "is_json",
    "locked",
    "locked_folder",
    "packed",
    "read_json",
    "read_lines",
    "whole",
    "write_json",
    "write_text",
]
