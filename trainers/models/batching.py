"""Batches of prompts of similar length, since every prompt of a batch is padded to the longest."""

from collections.abc import Sequence


def of_similar_length(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Split prompts, by their indices, into batches of at most `most`, none over twice as long as another.

    `lengths` are in any unit. The prompts of a batch stay in order.
    """
    batches = list[list[int]]()
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or len(batches[-1]) == most or lengths[index] > 2 * lengths[batches[-1][0]]:
            batches.append([])
        batches[-1].append(index)
    return [sorted(batch) for batch in batches]
