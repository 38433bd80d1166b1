"""An evaluation: policies play a suite, every turn is judged, and the metrics are compared.

All is in one folder, and the same command resumes where it was stopped. The turns of a policy are the same,
bit for bit, however often it was stopped.
"""

import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from hashlib import blake2b
from importlib.metadata import version
from math import inf
from pathlib import Path

import numpy as np

from vlm_gym.episode import Episode
from vlm_gym.evaluation.guests import invite
from vlm_gym.evaluation.judge import Verdict, verdicts
from vlm_gym.evaluation.meter import Meter
from vlm_gym.evaluation.metrics import BASELINES, CEILING, Tallies, Tally, summarise, tallies
from vlm_gym.evaluation.results import Missing, Results
from vlm_gym.evaluation.run_folder import (
    JOURNAL,
    RESULTS,
    TURNS_FILE,
    finished,
    folder,
    opened,
    put_in_order,
)
from vlm_gym.evaluation.stats import CONFIDENCE, RESAMPLES, SEED
from vlm_gym.evaluation.suite import Decoding, Suite, title_of
from vlm_gym.recordings.record import Recorder, read
from vlm_gym.registry import find
from vlm_gym.rollouts.collect import append
from vlm_gym.rollouts.history import History
from vlm_gym.rollouts.journal import Journal, Silent
from vlm_gym.rollouts.policy import check_options, make, options_of
from vlm_gym.rollouts.rollout import PARALLEL_EPISODES, rollout
from vlm_gym.storage import from_home, locked, write_json

RESULTS_VERSION = 1
"""Of the schema of ``run.json`` and ``results.json``."""

_MANY = 1000
"""The least number of turns for which processes are started to judge them."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is asked for. Raises `ValueError` for a policy that there is not, or options that none takes."""

    suite: Suite
    name: str = ""
    """Of the suite, for people."""
    policies: Sequence[str] = ()
    """As `policy.make` takes them."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What models take beside the suite's decoding: ``base_url``, ``concurrency``, ..."""
    baselines: bool = True
    """Whether `metrics.BASELINES` play, too: normalised scores need them."""
    guests: Sequence[Path] = ()
    """Recordings, such as those of people, or folders of other runs: they get rows of their own."""
    workers: int = 0
    parallel_episodes: int = PARALLEL_EPISODES
    reply_budget: float = inf
    """Seconds that all replies of an episode may take together; later turns are lost."""
    command: str = ""
    quiet: bool = False
    """Whether to show no bars, as where another process shows its own."""

    def __post_init__(self) -> None:
        if not self.players:
            raise ValueError("nobody plays: name a policy, or let the baselines play")
        fixed = [entry.name for entry in fields(Decoding)]
        for name in fixed:
            if name in self.options:
                raise ValueError(f"{name} is set by the suite, for all policies alike; it is no option")
        check_options(self.players, self.options, fixed)
        if self.reply_budget < inf and not any(map(options_of, self.players)):
            raise ValueError(
                f"an episode's time limit acts on none of the policies {', '.join(self.players)}"
            )
        for policy in self.players:
            if self.suite.decoding.temperature == "omit" and "temperature" in options_of(policy):
                _omits(policy)

    @property
    def players(self) -> list[str]:
        """The policies that play, baselines first."""
        return list(dict.fromkeys([*(BASELINES if self.baselines else ()), *self.policies]))

    def decoding(self, policy: str) -> dict[str, object]:
        """Return the options of the suite's decoding that a policy takes."""
        taken = options_of(policy)
        return _some(asdict(self.suite.decoding), taken)

    def settings(self) -> dict[str, object]:
        """Return the content of ``run.json``, the same for every command in a folder."""
        reply_budget = None if self.reply_budget == inf else self.reply_budget  # JSON has no infinity
        policies = dict[str, dict[str, object]]()
        for policy in self.players:
            policies[policy] = {}
            if options_of(policy):
                policies[policy] = {
                    "decoding": self.decoding(policy),
                    "reply_budget": reply_budget,
                    "files": _files(policy),
                }
        return {
            "version": RESULTS_VERSION,
            "suite": self.suite.resolved(),
            "vlm_gym": version("vlm-gym"),
            "seeds": {"split": "test", "resampling": SEED, "decoding": self.suite.decoding.seed},
            "policies": policies,
        }


def evaluate(asked: Evaluation, out: Path) -> Results:
    """Play what is not played yet, judge all of it, and write and return the numbers (``results.json``).

    They cover the policies of every command in this folder. ``complete`` is False if a policy gave no reply:
    then ``missing`` says why, and the numbers are those of the episodes that ended. An episode in which the
    endpoint refused a position is not played again; ``missing`` counts it as ``refused``. Raises `ValueError`
    if the folder holds something else.
    """
    silent: dict[str, str] = {}
    guests, notes = invite(asked.guests, asked.suite.episodes())
    with opened(out, asked.settings(), [asked.command]) as known:
        with Meter(asked.quiet) as meter:
            # Models first, so that a model that cannot be loaded fails at once.
            for policy in sorted(asked.players, key=lambda policy: not options_of(policy)):
                try:
                    _play(asked, out, policy, meter)
                except Silent as error:
                    silent[policy] = str(error)
            order = [policy for policy in BASELINES if policy in known]
            for policy in known:
                if policy not in order:
                    order.append(policy)
            played = dict[str, Tallies]()
            for policy in order:
                path = folder(out, policy) / TURNS_FILE
                played[policy] = _counted(path, asked.workers, meter, policy)
        for guest in guests:
            played[guest.name(played)] = guest.played
        missing: dict[str, Missing] = {}
        for policy in order:
            count = len(played_by(policy, asked.suite.episodes())) - len(played[policy])
            refused = _total(played[policy], "refused")
            if count or refused:
                why = silent.get(policy, "stopped before its end") if count else "refused by the endpoint"
                missing[policy] = {"episodes": count, "refused": refused, "why": why}
            notes += _remarks(policy, played[policy], known[policy].get("decoding", {}))
        results: Results = {
            "version": RESULTS_VERSION,
            "complete": not any(each["episodes"] for each in missing.values()),
            "missing": missing,
            "notes": notes,
            "suite": {
                "name": title_of(asked.name, asked.suite),
                "about": asked.suite.about,
                "digest": asked.suite.digest,
            },
            "intervals": {"confidence": CONFIDENCE, "resamples": RESAMPLES, "seed": SEED},
            **summarise(played).plain(),
        }
        write_json(out / RESULTS, results)
    return results


def played_by(policy: str, episodes: Sequence[Episode]) -> list[Episode]:
    """List the episodes that a policy plays: all of them, but the solver only where a game has one."""
    if policy != CEILING:
        return list(episodes)
    solved = dict[str, bool]()  # by game
    played = list[Episode]()
    for episode in episodes:
        if episode.game not in solved:
            solved[episode.game] = _solved(episode.game)
        if solved[episode.game]:
            played.append(episode)
    return played


def versions() -> dict[str, str]:
    """Name what computed the numbers."""
    return {"vlm_gym": version("vlm-gym"), "python": platform.python_version(), "numpy": np.__version__}


def _play(asked: Evaluation, out: Path, name: str, meter: Meter) -> None:
    """Play the episodes that are not on disk yet. Raises `Silent` if the policy gives no reply."""
    with locked(folder(out, name) / TURNS_FILE):  # other commands, such as `rollout -o`, can write to it
        _play_rest(asked, out, name, meter)


def _play_rest(asked: Evaluation, out: Path, name: str, meter: Meter) -> None:
    path = folder(out, name) / TURNS_FILE
    journal_path = folder(out, name) / JOURNAL
    episodes = played_by(name, asked.suite.episodes())
    history = asked.suite.context
    order = finished(path, episodes, name)
    waiting = _missing(order, episodes)
    bar = meter.bar(name, sum(order.values()), list(map(_limit, waiting)))
    if not waiting:
        return
    policy = make(name, **asked.decoding(name), **_some(asked.options, options_of(name)))
    assert policy.name == name
    if policy.portable:
        workers = asked.workers if len(waiting) > 2 * asked.workers else 0
        turns = rollout(waiting, policy, workers, asked.parallel_episodes, history)
        for count, episode in zip(append(path, turns), waiting, strict=True):
            order[episode] = count
            bar.ended(count, _limit(episode))
            bar.turned(count)
    else:
        with closing(Journal(policy, journal_path, waiting, asked.reply_budget, bar.turned)) as journal:
            bar.turned(len(journal))
            try:
                turns = rollout(waiting, journal, 0, asked.parallel_episodes, history)
                for count, episode in zip(append(path, turns), waiting, strict=True):
                    order[episode] = count
                    bar.ended(count, _limit(episode))
            except Silent:
                order |= _rescued(journal, path, _missing(order, waiting), history)
                put_in_order(path, list(order), episodes)
                raise
    put_in_order(path, list(order), episodes)
    journal_path.unlink(missing_ok=True)  # its replies are in the turns now


def _missing(done: Collection[Episode], episodes: Sequence[Episode]) -> list[Episode]:
    return [episode for episode in episodes if episode not in done]


def _rescued(
    journal: Journal, path: Path, waiting: Sequence[Episode], history: History
) -> dict[Episode, int]:
    """Record the episodes that had ended after one that could not be finished."""
    journal.mute = True
    ended = dict[Episode, int]()
    with Recorder(path, held=True) as recorder:
        for episode in filter(journal.knows, waiting):
            try:
                turns = list(rollout([episode], journal, history=history))
            except Silent:
                continue
            recorder.write(*turns)
            ended[episode] = len(turns)
    return ended


def _counted(path: Path, workers: int, meter: Meter, name: str) -> dict[Episode, Tally]:
    """Judge the turns of a file, and count by episode."""
    if not path.exists():
        return {}
    turns = sum(1 for _ in path.open("rb"))  # a turn is one line
    bar = meter.bar(f"judging {name}", 0, [turns])

    def shown() -> Iterator[Verdict]:
        for verdict in verdicts(path, workers if turns > _MANY else 0):
            bar.turned()
            yield verdict

    return tallies(read(path), shown())


def _some(options: Mapping[str, object], names: Collection[str]) -> dict[str, object]:
    """Return the options that have one of these names."""
    chosen = dict[str, object]()
    for name, value in options.items():
        if name in names:
            chosen[name] = value
    return chosen


def _remarks(policy: str, played: Tallies, decoding: Mapping[str, object]) -> Iterator[str]:
    """Report in words what an endpoint left out of a policy's episodes."""
    refused = _total(played, "refused")
    cut = _total(played, "cut")
    if refused:
        yield (
            f"{policy}: the endpoint refused a position in {refused} of {len(played)} episodes; "
            "they end there, and count as far as they got"
        )
    if cut:
        yield (
            f"{policy}: {cut} of {_total(played, 'turns')} replies were cut at the limit of "
            f"{decoding.get('max_tokens')} tokens; use a suite with a larger max_tokens"
        )


def _total(played: Tallies, name: str) -> int:
    return int(sum(tally[name] for tally in played.values()))


def _omits(policy: str) -> None:
    """Check that a policy can decode without being given a temperature. Raises `ValueError` if not."""
    if not policy.startswith("openai:"):
        raise ValueError(
            f"the suite omits the temperature, which only endpoints can do without; {policy} needs a number"
        )


def _limit(episode: Episode) -> int:
    return find(episode.game).settle(episode.reasoning).turns


def _solved(name: str) -> bool:
    """Return whether a game has a solver."""
    game = find(name)
    return game.solve(game.start(0, game.levels[0])) is not None


def _files(policy: str) -> str | None:
    """Fingerprint the files of a model in a folder, so that another model in its place is noticed."""
    directory = Path(from_home(policy.partition(":")[2]))
    if not directory.is_dir() or not policy.startswith(("hf:", "vllm:")):
        return None
    stamps = list[str]()
    for path in sorted(filter(Path.is_file, directory.rglob("*"))):
        status = path.stat()
        stamps.append(f"{path.relative_to(directory)} {status.st_size} {status.st_mtime_ns}")
    return blake2b("\n".join(stamps).encode(), digest_size=16).hexdigest()
