"""The `rollout` command: play episodes by a policy into a file."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vlm_gym.cli.options import BaseUrl, Options, Perception, Reasoning, model_options


def rollout(
    games: Annotated[str, typer.Option(help="Games, separated by commas; their episodes take turns.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File for the turns: .jsonl or .jsonl.zst.")],
    policy: Annotated[
        str, typer.Option(help="Policy: a baseline such as solver, or a model as KIND:NAME.")
    ] = "solver",
    episodes: Annotated[int, typer.Option(help="Episodes of each game.", min=1)] = 100,
    first: Annotated[int, typer.Option(help="Index of the first episode.", min=0)] = 0,
    split: Annotated[str, typer.Option(help="Stream of deals: train, test, or free (seeds).")] = "train",
    perception: Perception = "0",
    reasoning: Reasoning = "2",
    workers: Annotated[int, typer.Option(help="Worker processes; 0: play in this one.", min=0)] = 0,
    parallel_episodes: Annotated[int, typer.Option(help="Episodes in play at the same time.", min=1)] = 64,
    base_url: BaseUrl = None,
    option: Options = None,
    ray: Annotated[
        str | None, typer.Option(help="Play on a Ray cluster instead: auto, local, or HOST:PORT.")
    ] = None,
    policy_actors: Annotated[
        int,
        typer.Option(help="With --ray: policies in actors of their own, on GPUs if there are any.", min=0),
    ] = 0,
) -> None:
    """Play episodes and record every turn. The same command resumes where it was stopped.

    vlm-gym rollout --games 2048,swap --policy solver --episodes 1000 --workers 2 -o turns.jsonl.zst

    vlm-gym rollout --games 2048 --policy openai:NAME --base-url http://localhost:8000/v1 -o turns.jsonl

    vlm-gym rollout --games 2048 --policy openai:NAME --option max_tokens=512 -o turns.jsonl
    """
    from vlm_gym.rollouts.collect import addresses, collect
    from vlm_gym.rollouts.policy import check_options, make

    if ray is not None and workers:
        raise ValueError("--workers and --ray exclude each other; give one of them")
    if ray is None and policy_actors:
        raise ValueError("--policy-actors need a cluster; give its address with --ray")
    asked = addresses(games.split(","), perception, reasoning, split, range(first, first + episodes))
    options = model_options(base_url, option)
    check_options([policy], options)
    player = partial(make, policy, **options)
    try:
        if ray is None:
            collect(out, asked, player(), workers, parallel_episodes)
            return
        from vlm_gym.rollouts.cluster import Cluster

        with Cluster(ray) as cluster:
            actors = cluster.policy(player, policy_actors) if policy_actors else player()
            collect(out, asked, actors, cluster, parallel_episodes)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
