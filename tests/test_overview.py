"""Reports over runs: numbers that are those of the turns, links that lead to them, and clear errors."""

import json
import re
from pathlib import Path

import pytest
from browsing import Reader
from recordings import Pupil, record
from typer.testing import CliRunner

from vlm_gym.cli import app
from vlm_gym.episode import Episode
from vlm_gym.evaluation.judge import KINDS, judge
from vlm_gym.evaluation.metrics import summarise
from vlm_gym.evaluation.stats import Estimate
from vlm_gym.play.session import Session
from vlm_gym.recordings.record import read
from vlm_gym.report import report
from vlm_gym.report.charts import plot, short, thin, whisker
from vlm_gym.report.runs import find_runs
from vlm_gym.rollouts.policy import Baseline, RawReply

pytestmark = pytest.mark.xdist_group("browser")
EPISODES = [
    Episode(game, level, "0", "test", index)
    for index in range(3)
    for level in "04"
    for game in ("swap", "2048")
]


def curves(path: Path, steps: int, slope: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {"stage": "grpo", "step": step, "reward": slope * step, "note": "x", "bad": None}
        for step in range(steps)
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two runs: one of three policies, one of a model that was trained."""
    folder = tmp_path_factory.mktemp("runs")
    for policy in (Pupil(), Baseline("random"), Baseline("solver")):
        record(folder / "eval" / policy.name / "turns.jsonl", policy, EPISODES)
    model = Pupil()
    model.name = "hf:<b>/model"
    record(folder / "grpo/eval/model/turns.jsonl.zst", model, EPISODES[:6])
    record(folder / "grpo/eval/random/turns.jsonl", Baseline("random"), EPISODES)
    curves(folder / "grpo/metrics.jsonl", 500, 1.0)
    curves(folder / "other/metrics.jsonl", 300, 0.5)
    return folder


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report(sorted(runs.iterdir())), encoding="utf-8")
    return path


@pytest.fixture
def reader(browser: Reader, page: Path) -> Reader:
    browser.resize(1400, 900)
    browser.darken("light")
    browser.open(page)
    browser.complaints()
    return browser


def rows(reader: Reader, section: int) -> dict[str, list[str]]:
    """The lines of a table, by the policy that they begin with."""
    lines = reader.find(f"#overview section:nth-of-type({section}) tbody tr")
    cells = [[cell.text for cell in line.find_elements("css selector", "th, td")] for line in lines]
    return {line[0]: line[1:] for line in cells}


def test_the_overview_comes_first_and_tells_every_policy_once(reader):
    assert reader.run("return document.body.dataset.page") == "overview"
    titles = [heading.text for heading in reader.find("#overview h2")]
    assert titles == [
        "How well it plays",
        "How often it reaches the goal",
        "What it gets right",
        "What went wrong",
        "How it learned",
        "Side by side",
        "Level by level",
    ]
    table = rows(reader, 1)
    assert set(table) == {"solver", "hf:<b>/model", "pupil", "random"}
    ranks = [int(cells[0].split()[0].replace("−", "-")) for cells in table.values()]
    assert ranks == sorted(ranks, reverse=True)
    assert table["solver"][0] == "100"
    assert table["random"][0] == "0"
    assert reader.complaints() == []


def test_the_numbers_are_those_of_the_turns(reader, runs):
    turns = list(read(runs / "eval/pupil/turns.jsonl"))
    ends = [turn for turn in turns if turn.terminated or turn.truncated]
    goals = {game: [turn.success for turn in ends if turn.episode.game == game] for game in ("swap", "2048")}
    shown = rows(reader, 2)["pupil"]
    heads = [cell.text.split("\n")[0] for cell in reader.find("#overview section:nth-of-type(2) thead td")]
    for game, title in (("swap", "Swap"), ("2048", "2048")):
        mean = sum(goals[game]) / len(goals[game])
        assert shown[heads.index(title)].startswith(f"{100 * mean:.0f} %")


def test_the_return_is_the_mean_sum_of_rewards_with_its_interval(runs):
    turns = [turn for turn in read(runs / "eval/pupil/turns.jsonl") if turn.episode.game == "swap"]
    episodes = len({turn.episode for turn in turns})
    (found,) = [
        row.games["swap"].estimates["return"]
        for row in summarise(find_runs([runs / "eval"]).played).rows
        if row.policy == "pupil"
    ]
    assert found.mean == pytest.approx(sum(turn.rewards["game"] for turn in turns) / episodes)
    section = report([runs / "eval"]).partition("<h2>How well it plays</h2>")[2].partition("</section>")[0]
    mean, low, high = map(short, found)
    (line,) = re.findall(r"<tr><th>pupil</th>.*?</tr>", section)
    assert f"<b>{mean}</b> <small>{low} – {high}</small>" in line


def test_every_share_of_failures_leads_to_its_turns(reader, runs, page):
    turns = list(read(runs / "eval/pupil/turns.jsonl"))
    kinds = [judge(turn).kind for turn in turns]
    links = reader.find("#overview .stack a[href*='who=pupil']:not([href*='game='])")
    told = {link.get_attribute("class"): link.get_attribute("title") for link in links}
    assert told == {
        kind: f"{kinds.count(kind):,} of {len(kinds):,} turns {kind}" for kind in KINDS if kind in kinds
    }
    for kind in told:
        reader.open(page)
        reader.click(f"#overview .stack a.{kind}[href*='who=pupil']:not([href*='game='])")
        reader.wait("the turns", lambda: reader.run("return document.body.dataset.page") == "turns")
        assert reader.text("#count").startswith(f"{kinds.count(kind):,} {kind} turn")
        assert reader.text(".verdict b") == kind
        assert reader.text(".panel h3") == "pupil"
    reader.click("nav a[href='#overview']")
    reader.wait("the overview", lambda: reader.find("#overview")[0].is_displayed())
    assert reader.complaints() == []


def test_the_name_of_a_policy_is_text_and_its_link_works(reader):
    reader.click("#overview .stack a[href*='model']")
    reader.wait("the turns", lambda: reader.run("return document.body.dataset.page") == "turns")
    assert reader.text(".panel h3") == "hf:<b>/model"
    assert reader.find("#overview th b") == []


def test_players_that_learn_nothing_stand_back_and_are_not_compared_with_each_other(tmp_path):
    for policy in (Pupil(), Baseline("constant"), Baseline("random")):
        record(tmp_path / policy.name / "turns.jsonl", policy, EPISODES[:4])
    other = Baseline("constant")
    other.act = Baseline("legal").act
    record(tmp_path / "run/evaluation/other/constant/turns.jsonl", other, EPISODES[:4])
    page = report([tmp_path])
    row = re.compile(r'<tr( class="baseline")?><th>([^<]*)</th><td t')
    named = {name: mark for mark, name in row.findall(page)}
    assert {name for name, mark in named.items() if mark} == {"constant", "constant (other)", "random"}
    assert "pupil" in named
    pairs = page.partition("<h2>Side by side</h2>")[2].partition("<tbody>")[2].partition("</section>")[0]
    both = re.findall(r"<tr><th>(.*?)</th><th>(.*?)</th>", pairs)
    assert both
    assert all("pupil" in pair for pair in both)


def test_a_policy_that_decodes_in_two_ways_is_told_apart_by_the_folders_of_a_run(tmp_path):
    for decoding, where in ((Pupil(), "greedy"), (Pupil(), "temperature-1")):
        decoding.act = Baseline("solver" if where == "greedy" else "legal").act
        record(tmp_path / f"run/evaluation/{where}/pupil/turns.jsonl", decoding, EPISODES[:2])
    assert set(find_runs([tmp_path / "run"]).played) == {"pupil", "pupil (temperature-1)"}
    found = find_runs([tmp_path / "run", tmp_path / "run/evaluation/temperature-1"])
    assert "pupil (run, temperature-1)" in found.played


def test_telling_curves_come_first(tmp_path):
    told = [
        "reward", "loss", "2048/reward", "2048/exact", "2048/reasoning", "2048/legal",
        "2048/zero_advantage", "entropy",
        "greedy/2048/perception", "grad_norm"
    ]  # fmt: skip
    mixed = [*told[4:], *told[:4]]
    mixed.insert(0, mixed.pop(mixed.index("2048/exact")))  # numbers of one kind stay in the order of the file
    line = {"stage": "grpo", "step": 1, **dict.fromkeys(mixed, 0.5)}
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(line)}\n")
    assert re.findall(r'aria-label="grpo: (\S+) by step"', report([tmp_path])) == told


def test_the_two_curves_of_the_paper_are_in_sight_beside_all_that_is_told_of_three_games(tmp_path):
    games = ("2048", "shisen_sho", "swap")
    names = ["perception", "game", "zero_advantage", "legal", "format", "exact", "reasoning", "reward"]
    line = {"stage": "grpo", "step": 1, "loss": 0.5, "kl": 0.5, "reward": 0.5, "entropy": 0.5}
    line |= {f"{place}{game}/{name}": 0.5 for name in names for game in games for place in ("greedy/", "")}
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(line)}\n")
    in_sight = report([tmp_path]).partition("<details><summary>")[0]
    for game in games:
        for name in ("exact", "reasoning", "reward", "legal", "zero_advantage"):
            assert f"<figcaption>grpo: {game}/{name}</figcaption>" in in_sight
    assert "<figcaption>grpo: entropy</figcaption>" in in_sight
    assert "is perception accuracy" in in_sight


def test_training_curves_of_runs_lie_in_one_plot(reader):
    (figure,) = reader.find("#overview .plot")
    assert figure.text.startswith("grpo: reward")
    assert len(figure.find_elements("css selector", "path.curve")) == 2
    legend = reader.find("#overview section:nth-of-type(5) .legend span")
    assert [entry.text for entry in legend] == ["grpo", "other"]


@pytest.mark.parametrize("width", [390, 1400])
def test_the_overview_fits(reader, width):
    reader.resize(width, 844)
    for summary in reader.find("#overview summary"):
        summary.click()
    assert reader.run("return document.documentElement.scrollWidth") <= width
    reader.resize(1400, 900)


def test_all_that_is_told_of_replies_is_in_sight_on_a_laptop(browser, tmp_path):
    class Model(Pupil):
        name = "hf:runs/quickstart/cold_start/model"

        def _reply(self, request):
            return RawReply(super()._reply(request), {"tokens": 40, "seconds": 0.5})

    record(tmp_path / "turns.jsonl", Model(), EPISODES)
    (tmp_path / "report.html").write_text(report([tmp_path / "turns.jsonl"]), encoding="utf-8")
    browser.resize(1300, 844)
    browser.open(tmp_path / "report.html")
    assert len(browser.find("#overview section:nth-of-type(3) thead td")) == 10
    tables = browser.find("#overview .wide")
    assert all(each.get_property("scrollWidth") <= each.get_property("clientWidth") for each in tables)
    browser.resize(1400, 900)


def test_what_two_runs_played_alike_is_told_once(runs):
    found = find_runs([runs / "eval", runs / "grpo"])
    assert set(found.played) == {"pupil", "random", "solver", "hf:<b>/model"}
    assert len(found.played["random"]) == len(EPISODES)
    assert sum(each.label == "random" for each in found.judged) == len(EPISODES)


def test_two_policies_of_one_name_are_told_apart_by_their_run(tmp_path):
    class Other(Pupil):
        def _reply(self, request):
            return "<answer>left</answer>"

    record(tmp_path / "one/turns.jsonl", Pupil(), EPISODES[:2])
    record(tmp_path / "two/turns.jsonl", Other(), EPISODES[:2])
    assert set(find_runs([tmp_path / "one", tmp_path / "two"]).played) == {"pupil", "pupil (two)"}


def test_people_stand_beside_models_without_what_they_took_back(tmp_path):
    with Session("2048", 0, 0, 5, tmp_path / "me.jsonl") as session:
        while not session.run.ended:
            session.play(session.run.legal[0])
        session.undo()
        session.play("nonsense")
        while not session.run.ended:
            session.play(session.run.legal[0])
    found = find_runs([tmp_path / "me.jsonl"])
    ((episode, counts),) = found.played["human"].items()
    assert (episode.game, counts["turns"]) == ("2048", session.run.turns)
    assert counts["illegal"] == 1
    assert "human" in report([tmp_path / "me.jsonl"])


def test_an_episode_that_was_not_played_to_its_end_counts_in_no_mean(tmp_path):
    with Session("2048", record=tmp_path / "me.jsonl") as session:
        session.play(session.run.legal[0])
    found = find_runs([tmp_path / "me.jsonl"])
    assert found.played == {}
    assert len(found.judged) == 1
    assert "How well it plays" not in report([tmp_path / "me.jsonl"])


def test_what_a_recipe_says_that_it_is_stands_at_the_top(tmp_path):
    for name, about in (("one", "Sees & plays"), ("two", "Plays <blind>"), ("three", "")):
        curves(tmp_path / name / "metrics.jsonl", 2, 1.0)
        (tmp_path / name / "run.json").write_text(json.dumps({"recipe": {"about": about}}))
    curves(tmp_path / "four" / "metrics.jsonl", 2, 1.0)
    line = re.compile(r'<p class="about">(.*?)</p>')
    assert line.findall(report([tmp_path / "one"])) == ["Sees &amp; plays"]
    runs = [tmp_path / name for name in ("one", "two", "three", "four")]
    assert line.findall(report(runs)) == ["<b>one</b> Sees &amp; plays", "<b>two</b> Plays &lt;blind&gt;"]
    assert line.findall(report(runs[2:])) == []


def test_curves_alone_make_a_report(runs, browser, tmp_path):
    path = tmp_path / "curves.html"
    path.write_text(report([runs / "other/metrics.jsonl"]), encoding="utf-8")
    browser.open(path)
    assert [heading.text for heading in browser.find("#overview h2")] == ["How it learned"]
    browser.click("nav a[href='#turns']")
    assert browser.complaints() == []


def command(*arguments: object):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("nothing", None, "nothing is not there"),
        ("empty", "", "empty holds no run"),
        ("x.jsonl", "hello\n", "x.jsonl, line 1: not a line of JSON"),
        ("x.jsonl", '{"prompt": 1}\n', "x.jsonl, line 1: not a turn"),
        ("x.jsonl", '{"step": 1, "lo', "after line 0: the rest is half-written"),
        ("x.jsonl", '{"step": 1, "loss": 2}\n{"loss": 2}\n', "line 2: not a line of numbers by step"),
        ("x.jsonl", "", "x.jsonl holds no turns"),
    ],
)
def test_a_path_with_nothing_to_show_is_named(name, text, says, tmp_path):
    path = tmp_path / name
    if text is not None:
        path.write_text(text) if name.endswith(".jsonl") else path.mkdir()
    done = command(path, "-o", tmp_path / "r.html")
    assert done.exit_code
    assert says in str(done.exception)
    assert not (tmp_path / "r.html").exists()


def test_the_command_writes_the_page(runs, tmp_path):
    done = command(runs / "eval", "-o", tmp_path / "deep/r.html", "--turns", "100")
    assert done.exit_code == 0, done.output
    assert re.fullmatch(r"wrote .*r.html \([0-9.]+ MB\)\n", done.output)


def test_a_whisker_spans_its_interval():
    drawn = whisker(Estimate(0.5, 0.25, 0.75), (0.0, 1.0), (0.0,))
    left, right = map(float, re.search(r'reach" d="M([\d.]+) 7H([\d.]+)', drawn).groups())
    middle = float(re.search(r'cx="([\d.]+)"', drawn).group(1))
    assert (left, middle, right) == (32, 60, 88)
    assert "reach" not in whisker(Estimate(0.5, float("nan"), float("nan")), (0.0, 1.0))
    assert "nan" not in whisker(Estimate(2.0, 2.0, 2.0), (2.0, 2.0))


def test_a_plot_of_one_point_or_of_equal_points_is_drawn():
    for curve in ([(3.0, 1.0)], [(1.0, 2.0), (2.0, 2.0)]):
        assert "nan" not in plot("x", {0: curve})


@pytest.mark.parametrize(
    ("value", "ends"), [(0.0, ["1", "0"]), (1.0, ["1", "0"]), (0.9, ["0.9", "0"]), (-2.5, ["0", "−2.5"])]
)
def test_the_axis_of_equal_points_goes_to_0_and_a_share_stays_a_share(value, ends):
    drawn = plot("x", {0: [(1.0, value), (2.0, value)]})
    assert re.findall(r'dy=".35em">(.*?)<', drawn) == ends


def test_the_ends_of_an_axis_are_told_apart():
    drawn = plot("x", {0: [(1.0, 0.996), (2.0, 0.998)]})
    assert re.findall(r'dy=".35em">(.*?)<', drawn) == ["0.998", "0.996"]


def test_long_curves_are_thinned_by_averaging():
    curve = [(float(step), float(step % 2)) for step in range(1000)]
    short_one = thin(curve)
    assert len(short_one) == 200
    assert all(0.4 <= y <= 0.6 for _, y in short_one)
    assert thin(curve[:50]) == curve[:50]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"),
        (0.1234, "0.123"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (-2.5, "−2.5"),
        (1e-6, "1e-6"),
        (1e7, "1e7"),
    ],
)
def test_numbers_are_short(value, told):
    assert short(value).replace(".0e", "e").replace("e−", "e-") == told
