"""Intervals against what is known: closed forms, tables of Student's t, and how often they are right."""

import numpy as np
import pytest

from vlm_gym.evaluation import stats
from vlm_gym.evaluation.stats import Draws, mean, ratio, resamples, student

RNG = np.random.default_rng(7)


def covered(samples, truth):
    """Share of data sets, one a row, whose interval holds the truth."""
    hits = 0
    for row in samples:
        estimate = ratio(row, np.ones(len(row)), "x").estimate()
        hits += estimate.low <= truth <= estimate.high
    return hits / len(samples)


@pytest.mark.parametrize(
    ("free", "table"), [(4, 2.776), (5, 2.571), (9, 2.262), (29, 2.045), (100, 1.984), (10**6, 1.960)]
)
def test_students_t_is_that_of_the_tables(free, table):
    assert student(0.975, free) == pytest.approx(table, rel=3e-3)


@pytest.mark.parametrize("count", [8, 30])
def test_95_of_100_intervals_hold_the_mean_of_a_normal_distribution(count):
    chance = np.random.default_rng(count)
    assert 0.92 <= covered(chance.normal(3.0, 2.0, (600, count)), 3.0) <= 0.985


def test_intervals_of_skewed_and_of_yes_or_no_numbers_hold_nearly_as_often():
    chance = np.random.default_rng(1)
    assert covered(chance.exponential(2.0, (400, 25)), 2.0) >= 0.90
    assert covered(chance.random((400, 50)) < 0.3, 0.3) >= 0.92


def test_the_interval_of_many_deals_is_that_of_the_closed_form():
    data = RNG.normal(0.0, 1.0, 1000)
    estimate = ratio(data, np.ones(1000), "x").estimate()
    error = data.std(ddof=1) / np.sqrt(1000)
    assert estimate.mean == pytest.approx(data.mean())
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * error, rel=0.04)


def test_a_rate_is_a_ratio_of_sums_and_not_a_mean_of_ratios():
    assert ratio([1, 0], [1, 9], "x").estimate().mean == pytest.approx(0.1)


def test_a_rate_counts_deals_and_not_turns():
    """Ten deals of 100 turns that go all right or all wrong are ten facts, not a thousand."""
    by_deal = ratio([100.0, 0.0] * 5, [100.0] * 10, "x").estimate()
    by_turn = ratio([1.0, 0.0] * 500, [1.0] * 1000, "y").estimate()
    assert by_deal.mean == by_turn.mean == 0.5
    assert by_deal.high - by_deal.low > 8 * (by_turn.high - by_turn.low)


def test_differences_on_the_same_deals_are_surer_than_on_others():
    luck = RNG.normal(0.0, 10.0, 40)
    one, other = luck + RNG.normal(1.0, 1.0, 40), luck + RNG.normal(0.0, 1.0, 40)
    paired = ratio(one, np.ones(40), "deals") - ratio(other, np.ones(40), "deals")
    apart = ratio(one, np.ones(40), "deals") - ratio(other, np.ones(40), "other deals")
    near, far = paired.estimate(), apart.estimate()
    assert near.mean == pytest.approx(far.mean)
    assert near.low > 0 > far.low
    reference = (one - other).std(ddof=1) / np.sqrt(40) * student(0.975, 39)
    assert near.high - near.mean == pytest.approx(reference, rel=0.15)


def test_a_mean_over_levels_of_the_same_deals_is_no_surer_than_one_of_them():
    data = RNG.normal(0.0, 1.0, 30)
    once, again = ratio(data, np.ones(30), "deals"), ratio(data, np.ones(30), "deals")
    other = ratio(data, np.ones(30), "other deals")
    width = lambda draws: draws.estimate().high - draws.estimate().low  # noqa: E731
    assert width(mean([once, again])) == pytest.approx(width(once))
    assert width(mean([once, other])) == pytest.approx(width(once) / np.sqrt(2), rel=0.05)


def test_what_cannot_be_told_is_not_told():
    alone = ratio([3.0], [1.0], "x").estimate()
    assert alone.mean == 3.0
    assert np.isnan([alone.low, alone.high]).all()
    nothing = ratio([0.0, 0.0], [0.0, 0.0], "x")
    assert nothing.estimate() is None
    assert mean([nothing, ratio([1.0, 3.0], [1.0, 1.0], "x")]).estimate().mean == 2.0
    assert mean([nothing]).estimate() is None


def test_the_same_deals_are_resampled_alike_and_others_in_their_own_way():
    drawn = resamples("2048", 6)
    assert drawn.shape == (1 + stats.RESAMPLES, 6)
    assert (drawn.sum(axis=1) == 6).all()
    assert (drawn[0] == 1).all()
    resamples.cache_clear()
    assert (resamples("2048", 6) == drawn).all()
    assert (resamples("swap", 6) != drawn).any()


def test_a_number_that_never_varies_has_an_interval_of_no_width():
    assert ratio([1.0] * 9, [1.0] * 9, "x").estimate() == (1.0, 1.0, 1.0)
    assert Draws(np.ones(11), {"x": 9}).estimate() == (1.0, 1.0, 1.0)
