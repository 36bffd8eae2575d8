"""Reports: what they say is what is said elsewhere, and their pages work in a browser."""

import io
import json
import re
import threading
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rulesmith
from browser import chromium, complaints, drawn, needs_chromium, opened
from in_process import command
from rich.console import Console
from rulesmith import Program, RulesmithError, Workers
from rulesmith.meta.fitness import RATES
from rulesmith.meta.frozen_clock import frozen
from rulesmith.meta.training import Trainer
from rulesmith.programs.objective import Objective, Shapes
from rulesmith.programs.rule import START
from rulesmith.results import following, views
from rulesmith.results.report import building, writing
from rulesmith.results.report.building import report_of
from rulesmith.results.report.comparisons import comparison_sections
from rulesmith.results.report.document import Commands, Grid, Plot
from rulesmith.results.report.markdown import to_markdown, to_svg
from rulesmith.results.report.measured import MEASURES
from rulesmith.results.report.page import to_html
from rulesmith.results.report.plots import legend_columns, lines
from rulesmith.results.report.programs import changed_lines, statements_parts
from rulesmith.results.report.reading import reading_of, sentence
from rulesmith.results.reporting import runs_table
from rulesmith.results.standing import UNKNOWN, WORSE, Conclusion, Standing, keep_comparison, rule_mark
from rulesmith.results.views import run_text
from rulesmith.search.method import Devices, discover
from rulesmith.search.store import Store
from small_runs import SMALL_RUNS

EVIDENCE = Path(rulesmith.__file__).parent / "results" / "evidence"
BYTES = 1_500_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def said(folder):
    """What a small search says on standard output; its run is `folder / "symbolic"`."""
    out = io.StringIO()
    with redirect_stdout(out):
        rulesmith.discover(
            SMALL_RUNS["symbolic"].config, folder / "symbolic", programs=150, resources=Workers(1), minutes=5
        )
    return out.getvalue()


def made(name, folder, bound):
    """Return the directory of a small run."""
    small = SMALL_RUNS[name]
    discover(small.method, small.config, folder / name, bound=bound, resources=Devices())
    return folder / name


@pytest.fixture(scope="module")
def runs(folder, said):
    """The directories of small runs by method."""
    return {"symbolic": folder / "symbolic", "objective": made("objective", folder, 6)}


def printed(renderable):
    console = Console(width=200, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def test_one_figure_stands_everywhere(runs, said):
    run = rulesmith.open_run(runs["symbolic"])
    figure = f"loss / AdamW's {run.standing.figure.value:.4f}"
    last = [line for line in said.splitlines() if "programs" in line and "best" in line][-1]
    assert figure in last
    for text in (
        said.split("def update")[-1],
        printed(runs_table(run.directory.parent)),
        printed(run_text(run.directory)),
    ):
        assert figure in " ".join(text.split())  # lines may break within it
        assert run.standing.verdict.kind in text
    assert figure in repr(run)
    page = to_html(report_of(run.directory))
    assert f"{run.standing.figure.value:.4f}" in page
    assert run.standing.verdict.sentence in page
    assert run.state == "done"


def test_what_to_do_next_is_printed_with_the_learning_rate_that_worked(runs, said):
    run = rulesmith.open_run(runs["symbolic"])
    rate = run.best.evidence[START]
    words = " ".join(said.split())
    function = run.best.function_name
    assert f"from my_optimizer import {function}; tx = {function}({rate:.2g}), the learning rate that worked" in words
    for step in ("rulesmith refine", "rulesmith compare", "rulesmith report", "rulesmith export"):
        assert step in said
    assert f"learning rate that worked: {rate:.2g}" in command("show", runs["symbolic"]).out
    trainer = Trainer(rulesmith.envs.tasks.find(["iris-mlp-2k"])[0])
    losses = trainer.losses(run.best, RATES, [0], interpreted=False)[:, 0, 0]  # by the compiler, not the interpreter
    assert rate == pytest.approx(RATES[int(np.nanargmin(losses))], rel=1e-6)


def test_the_verdict_of_a_kept_comparison_is_the_runs(runs):
    run = rulesmith.open_run(runs["symbolic"])
    before = run.standing
    mean = {"value": 0.7, "low": 0.6, "high": 0.8}
    found = {"rules": {"mine": {"interquartile_mean": mean, "tasks": [{"task": "words"}]}}, "too_few": ""}
    keep_comparison(run.directory, "mine", rule_mark(run.best), found)
    try:
        assert run.standing.figure == before.figure
        assert run.standing.verdict.kind == "better"
        assert "(better)" in repr(run)
        assert re.search(r"0\.700 \[0\.600, 0\.800\] over 1 task\b", printed(run_text(run.directory)))
    finally:
        (run.directory / "comparison.json").unlink()
    assert run.standing == before


def test_a_report_has_the_rule_in_equations(runs):
    report = report_of(runs["symbolic"])
    assert report.equations == rulesmith.open_run(runs["symbolic"]).best.to_latex()
    assert "<summary>the rule in equations</summary>" in to_html(report)
    assert f"$$\n{report.equations}\n$$" in to_markdown(report, "figures", pictures=False)[0]
    network = report_of(runs["objective"])
    assert not network.equations
    assert "<math" not in to_html(network)


def test_runs_are_sorted(runs):
    def order(column):
        return re.findall(r"/(symbolic|objective)\s", printed(runs_table(runs["symbolic"].parent, column)))

    assert order("run") == sorted(runs)
    assert order("method") == sorted(runs)
    assert sorted(order("verdict")) == sorted(order("figure")) == sorted(runs)


def contest(tasks, *, pilot=False, tuning=True):
    """Return a comparison of optimizers as plain data, with made-up figures."""
    rng = np.random.default_rng(0)
    rules = {}
    for k, name in enumerate(("adamw", "mine", "lion", "muon")):
        rows = [
            {
                **{"task": task, "losses": (rng.uniform(0.9, 1.0, 5) + 0.05 * k).tolist()},
                "setting": {"learning_rate": 0.01, "weight_decay": 0.1},
                "validation": np.linspace(2, 1, 20).tolist(),
                "tuning": [
                    [{"learning_rate": 10**a, "weight_decay": 10**b}, 1 + a * a + b * b]
                    for a, b in rng.uniform(-3, 0, (16 if tuning else 0, 2))
                ],
            }
            for task in tasks
        ]
        mean = {"value": 1 - 0.02 * k, "low": 0.97 - 0.02 * k, "high": 1.02 - 0.02 * k}
        rules[name] = {
            **{"interquartile_mean": mean, "tasks": rows},
            "by_scale": {"up to 5k weights": mean, "5k to 50k": mean},
            "best_learning_rates": {"up to 5k weights": 0.01, "5k to 50k": 0.003},
            "slope_by_tenfold_size": {"value": 0.0, "low": -0.01, "high": 0.01},
            "profile": {"below": [0.9, 1.0, 1.1], "share": [0.1, 0.5, 0.9]},
        }
    told = {"too_few": "2 of 8 tasks" if pilot else "", "conclusions": ["One is better."], "warnings": ["Mind this."]}
    return {"baseline": "adamw", "trials": 16, "seeds": 5, "claimed": list(tasks[:1]), **told, "rules": rules}


def test_a_comparison_shows_intervals_sizes_curves_and_basins():
    sections = {section.name: section.parts for section in comparison_sections(contest(("a", "b")), "mine")}
    assert set(sections) == {"Compared", "Curves", "Tuning"}
    titles = {part.title: part for part in sections["Compared"] if isinstance(part, Plot | Grid)}
    assert {"loss / AdamW's", "loss / AdamW's by task", "loss / AdamW's by weights", "performance profile"} <= set(
        titles
    )
    rows = titles["loss / AdamW's by task"].spec["data"]["values"]
    assert {row["place"] for row in rows} == {"a", "b *"}
    for title in ("loss / AdamW's by task", "results at the best settings"):
        assert "* Left out of what is claimed, which is of 1 other task:" in titles[title].note
    assert titles["loss / AdamW's"].note.startswith("Interquartile means over 1 task and")
    (profile, *_) = titles["performance profile"].spec["layer"]
    assert profile["mark"]["interpolate"] == "step-after"
    mine = np.array(contest(("a", "b"))["rules"]["mine"]["tasks"][0]["losses"])
    base = np.mean(contest(("a", "b"))["rules"]["adamw"]["tasks"][0]["losses"])
    shown = next(row for row in rows if row["place"] == "a" and row["of"] == "mine")
    assert shown["value"] == pytest.approx(mine.mean() / base)
    assert shown["high"] - shown["value"] == pytest.approx(2 * mine.std(ddof=1) / np.sqrt(5) / base)
    assert [part.title for part in sections["Tuning"]][:2] == ["mine on a", "adamw on a"]
    best = min(row["loss"] for row in sections["Tuning"][0].spec["data"]["values"])
    assert best == 1.0


def test_learning_rates_have_two_digits_wherever_they_are_shown():
    for text in (to_html(report_of("lion")), command("show", "lion").out):
        assert "up to 5k weights 0.077, 5k to 50k 0.0096" in " ".join(text.split())
        assert "0.0772995" not in text
    shown = contest(("a",))
    shown["rules"]["mine"]["tasks"][0]["setting"]["learning_rate"] = 0.0123456
    (whole, *_) = comparison_sections(shown)
    grid = next(part for part in whole.parts if isinstance(part, Grid) and part.title == "results at the best settings")
    assert any(row[3] == "learning_rate 0.012, weight_decay 0.1" for row in grid.rows)


def test_a_pilot_shows_no_interval():
    whole, *_ = comparison_sections(contest(("a",), pilot=True))
    plot = next(part for part in whole.parts if isinstance(part, Plot))
    assert all(row["low"] == row["high"] for row in plot.spec["data"]["values"])


def test_a_comparison_that_does_not_judge_the_run_is_refused(runs, tmp_path):
    (tmp_path / "found.json").write_text(json.dumps(contest(("a",))))
    with pytest.raises(RulesmithError, match="judges adamw, mine, lion, muon, not symbolic"):
        report_of(runs["symbolic"], tmp_path / "found.json")


def next_commands(report):
    (commands,) = (part for part in report.sections[-1].parts if isinstance(part, Commands))
    return [words for words, _ in commands.rows]


def test_a_report_advises_no_report_and_a_longer_search_where_the_rule_is_worse(runs, monkeypatch):
    run = runs["symbolic"]
    monkeypatch.setattr(building, "standing_of", lambda *_: Standing(None, Conclusion(UNKNOWN, "Who knows.")))
    known = next_commands(report_of(run))
    assert f"rulesmith report {run}" not in known
    assert known[0].startswith(f"rulesmith refine {run}")
    for place in (building, views):
        monkeypatch.setattr(place, "standing_of", lambda *_: Standing(None, Conclusion(WORSE, "It is worse.")))
    longer = f"rulesmith discover symbolic --out {run} --resume --minutes 60"
    assert next_commands(report_of(run)) == [longer, *known]
    assert f"Next:\n  {longer}\n" in printed(run_text(run))


def test_statements_are_spelled_out_and_a_huge_value_does_not_squeeze_the_others():
    names = ["_1 = square(g) ({0})", "v = interp(_1, v, 0.9) ({0})", "_2 = sqrt(v) ({0})", "m = divide(g, _2) ({0})"]
    rows = [(name.format(leaves), 0.9, False) for leaves in ("matrix", "other") for name in names]
    rows[2] = (rows[2][0], 16.58, False)
    plot, table = statements_parts(rows, 0.8, 0.01)
    assert isinstance(plot, Plot)
    assert isinstance(table, Grid)
    assert [row[0] for row in table.rows][:4] == [
        "1. matrix: square(g)",
        "2. matrix: v = interp(square(g), v, 0.9)",
        "3. matrix: sqrt(v)",
        "4. matrix: m = divide(g, sqrt(v))",
    ]
    shown = plot.spec["data"]["values"]
    assert {row["place"] for row in shown} == {row[0] for row in table.rows}
    assert [row["beyond"] for row in shown if "beyond" in row] == ["16.58"]
    assert max(row["high"] for row in shown) < 1.2
    assert "An arrow stands for a larger value" in plot.note
    assert ">16.58</text>" in to_svg(plot)
    calm, _ = statements_parts([rows[0]], 0.8, 0.01)
    assert "arrow" not in calm.note


def test_levels_are_drawn_and_told_apart_even_beside_a_single_point():
    plot = lines("held out", {"of the rule": [(1.0, 0.2)]}, "step", "share", levels={"a2c": 0.9, "nothing": 0.1})
    drawing = to_svg(plot)
    assert len(re.findall(r'stroke-dasharray="[\d,]+"', drawing)) == 2
    assert len(set(re.findall(r'stroke-dasharray="([\d,]+)"', drawing))) == 2
    assert len(set(plot.spec["encoding"]["color"]["scale"]["range"])) == 3
    assert 'aria-roledescription="point"' in drawing
    assert plot.spec["encoding"]["x"]["axis"] == {"tickMinStep": 1}
    assert "axis" not in lines("", {"": [(0.5, 1.0)]}, "share", "loss").spec["encoding"]["x"]


def test_legends_have_as_few_columns_as_their_names_need():
    def columns(name, width):
        return legend_columns(lines("", {name: [(0.0, 1.0)]}, "x", "y").spec, width)

    assert columns("a" * 40, 300) == 1
    assert columns("a" * 10, 300) == 3


def reports(runs, folder):
    """Return a report of each kind, by name."""
    compared = contest(("a", "b"))
    compared["rules"]["symbolic"] = compared["rules"].pop("mine")
    (folder / "found.json").write_text(json.dumps(compared))
    found = {f"run of {name}": report_of(directory) for name, directory in runs.items()}
    found["run with a comparison"] = report_of(runs["symbolic"], folder / "found.json")
    found["comparison of objectives"] = report_of(EVIDENCE / "lpg-small.json")
    found["published optimizer"] = report_of("muon")
    found["published objective"] = report_of("ta-lpo-invaders")
    found["side by side"] = writing.report_of_several([runs["symbolic"], runs["objective"]])
    return found


@pytest.fixture(scope="module")
def pages(runs, folder):
    """A page of each kind, by name."""
    found = {}
    for name, report in reports(runs, folder).items():
        path = folder / f"{name.replace(' ', '-')}.html"
        path.write_text(to_html(report), encoding="utf-8")
        found[name] = path
    return found


def test_pages_are_small_and_load_nothing(pages):
    for name, path in pages.items():
        assert path.stat().st_size < BYTES, name
        text = path.read_text(encoding="utf-8")
        head, _, rest = text.partition('<script id="specs"')
        assert not re.search(r"""(src|href)=["'](?!data:|#)""", head), name
        assert "@import" not in head
        assert rest.count("</script>") == 3


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


TOO_WIDE = """
const inside = '.table, .equations, pre, [role=tablist], svg';
const wide = [...document.querySelectorAll('main *')].filter(
    e => e.clientWidth && !e.closest(inside) && e.getBoundingClientRect().right > innerWidth + 1);
return document.documentElement.scrollWidth > innerWidth || wide.length > 0;
"""
EMPTY = """
const marks = ['symbol', 'line', 'rect', 'area', 'rule'].map(kind => `.mark-${kind} :is(path, line)`).join();
return [...document.querySelectorAll('.plot svg')].some(
    svg => svg.getBoundingClientRect().width && !svg.querySelector(marks));
"""


@needs_chromium
def test_pages_work_in_a_browser(pages, browser):
    for name, path in pages.items():
        check_page(browser, name, path)


@needs_chromium
@pytest.mark.slow
def test_the_page_of_a_curriculum_works_in_a_browser(browser, tmp_path):
    directory = made("curriculum", tmp_path, 41)
    page = tmp_path / "curriculum.html"
    page.write_text(to_html(report_of(directory)), encoding="utf-8")
    assert page.stat().st_size < BYTES
    check_page(browser, "curriculum", page)


def check_page(browser, name, path):
    """Check a page in all its tabs, wide and light, narrow and dark."""
    for width, dark in ((1280, False), (360, True)):
        opened(browser, path, width, dark=dark)
        tabs = browser.execute_script("return document.querySelectorAll('[role=tab]').length")
        for i in range(tabs):
            browser.execute_script(f"document.querySelectorAll('[role=tab]')[{i}].click()")
            drawn(browser)
            where = f"{name} at {width}, tab {i}"
            assert not browser.execute_script(TOO_WIDE), where
            assert not browser.execute_script(EMPTY), where
        colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert colour == ("rgb(18, 22, 28)" if dark else "rgb(255, 255, 255)")
    assert not complaints(browser), name


@needs_chromium
def test_tabs_links_and_points_follow_keys_and_clicks(pages, browser):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def shown():
        return browser.execute_script(
            "return [...document.querySelectorAll('[role=tabpanel]:not([hidden])')].map(e => e.id)"
        )

    def focused():
        return browser.execute_script("return document.activeElement.id")

    opened(browser, pages["run of symbolic"], 1280)
    assert shown() == ["course"]
    for _ in range(60):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        if focused() == "tab-course":
            break
    assert focused() == "tab-course"
    for key, panel in ((Keys.ARROW_RIGHT, "hall-of-fame"), (Keys.END, "next"), (Keys.ARROW_RIGHT, "course")):
        ActionChains(browser).send_keys(key).perform()
        assert (shown(), focused()) == ([panel], f"tab-{panel}")
    opened(browser, pages["run of symbolic"], 1280, anchor="#hall-of-fame")
    assert shown() == ["hall-of-fame"]
    browser.execute_script("document.querySelector('#hall-of-fame table a').click()")
    time.sleep(0.2)
    assert (
        browser.execute_script("return document.activeElement.tagName + document.activeElement.open") == "DETAILStrue"
    )
    before = focused()
    opened(browser, pages["run of symbolic"], 1280, anchor="#hall-of-fame")
    point = "return [...document.querySelectorAll('#hall-of-fame .mark-symbol path')].filter(e => e.__data__ && "
    point += "e.__data__.datum && e.__data__.datum.opens)[0]"
    ActionChains(browser).move_to_element(browser.execute_script(point)).perform()
    time.sleep(0.2)
    assert "candidate" in browser.execute_script("return document.querySelector('#vg-tooltip-element').innerText")
    ActionChains(browser).click().perform()
    time.sleep(0.2)
    assert re.fullmatch(r"program-\d+", before)
    assert re.fullmatch(r"program-\d+", focused())
    assert not complaints(browser)


def test_markdown_has_the_same_sections_and_its_figures(runs, folder):
    out = folder / "mine.md"
    assert command("report", runs["symbolic"], "--format", "md", "-o", out).status == 0
    text = out.read_text(encoding="utf-8")
    report = report_of(runs["symbolic"])
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [each.name for each in report.sections]
    shown = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert shown
    assert all((folder / name).read_text().startswith("<svg") for name in shown)
    assert "```python\ndef update" in text


def test_every_plot_is_drawn_without_a_warning(runs, folder, capfd):
    plots = [
        part
        for report in reports(runs, folder).values()
        for each in report.sections
        for part in each.parts
        if isinstance(part, Plot)
    ]
    assert len(plots) > 20
    kinds = {re.sub(r"[\d.]+", "", json.dumps({**part.spec, "data": None}))[:300]: part for part in plots}
    for part in kinds.values():
        assert "<path" in to_svg(part), part.title
    assert "WARN" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["report"], "name a run's directory"),
        (["report", "lionn"], "did you mean 'lion'"),
        (["report", "lion", "-o", "x.pdf"], "a .html or a .md file"),
        (["report", "lion", "--format", "pdf"], "no format 'pdf'"),
        (["report", "lion", "--watch"], "are for runs"),
        (["report", "lion", "--full"], "are for runs"),
        (["report", "lion", "adamw"], "--compare"),
        (["report", "--compare", "lion", "adamw"], "sets runs side by side"),
        (["report", "--compare", "lion"], "at least two runs"),
        (["report", "lion", "-o", "/nowhere/x.html"], "cannot be written"),
        (["report", "nofile.json"], "nofile.json: there is no such file"),
        (["report", "lion", "--comparison", "nofile.json"], "nofile.json: there is no such file"),
        (["report", "empty.json"], "not what `rulesmith compare --json` writes"),
        (["report", "adan", "--comparison", "found.json"], "found.json: judges adamw, mine, lion, muon, not adan"),
        (["report", "--compare", "runs/nope", "runs/nor"], "no rule 'runs/nope'"),
        (["show", "lion", "--follow"], "--follow is for a run's directory"),
        (["runs", "--sort", "figur"], "did you mean 'figure'"),
    ],
)
def test_bad_reports_get_one_line(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.json").write_text("{}")
    Path("found.json").write_text(json.dumps(contest(("a",))))
    done = command(*words)
    assert done.status == 2
    assert says in done.errors
    assert len(done.errors.strip().splitlines()) == 1


def test_watch_and_follow_go_on_until_the_run_ends(runs, folder, monkeypatch):
    monkeypatch.setattr(writing, "REFRESH", 0.05)
    monkeypatch.setattr(following, "_EVERY", 0.05)
    output, told, console = folder / "watched.html", [], Console(file=io.StringIO(), width=200)
    store = Store.open(runs["objective"], write=True)  # as a process that goes on with it
    end = threading.Timer(4.0, store.close)
    end.start()
    first = []

    def watch(line):
        told.append(line)
        first.append(output.read_text(encoding="utf-8"))

    writing.write_report([runs["objective"]], output, watch=watch)
    assert 'data-refresh="5"' in first[0]
    assert 'data-refresh="0"' in output.read_text(encoding="utf-8")
    end.join()
    store = Store.open(runs["objective"], write=True)
    end = threading.Timer(1.0, store.close)
    end.start()
    following.follow(runs["objective"], console)
    lines = console.file.getvalue().splitlines()
    assert "6 generations in" in lines[0]
    assert "normalized return" in lines[0]
    assert any(line.startswith("done") for line in lines)


def test_what_was_computed_for_a_report_is_of_the_rule_that_the_run_has(runs):
    run = runs["symbolic"]
    found = {"whole": 0.9, "noise": 0.01, "worth": {"m = interp(g, m, 0.9)": 1.2, "v = square(g)": None}}
    (run / MEASURES).write_text(json.dumps({"mark": rule_mark(rulesmith.open_run(run).best), "statements": found}))
    try:
        assert "Statements" in [section.name for section in report_of(run).sections]
        (run / MEASURES).write_text(json.dumps({"mark": "another", "statements": found}))
        assert "Statements" not in [section.name for section in report_of(run).sections]
    finally:
        (run / MEASURES).unlink()


def test_a_frozen_clock_stands_still():
    rule = Objective("timed", "drift", arrays=Shapes.drift(timed=True).draw(0, 2.0))
    r, a = np.float32([0.7, 1.0, 1.4]), np.float32([1.0, -1.0, 2.0])
    for moment in (0.0, 0.5, 0.95):
        still = frozen(rule, moment)
        expected = rule.drift()(rule.arrays, r, np.log(r), a, np.float32(moment))
        for progress in (0.0, 0.3, 1.0):
            found = still.drift()(still.arrays, r, np.log(r), a, np.float32(progress))
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_rules_are_read_in_plain_words():
    assert sentence(Program.parse("def update(g, lr):\n    return lr * sign(g)\n")) == (
        "Each step subtracts the learning rate times the sign of the gradient."
    )
    assert "running average of the square of the gradient over about 1,000 steps" in reading_of(rulesmith.load("adamw"))
    assert "On matrices" in reading_of(rulesmith.load("muon"))
    assert "network of 2,176 numbers" in reading_of(rulesmith.load("ta-lpo-invaders"))
    for name in rulesmith.programs.rule_file.published():
        assert reading_of(rulesmith.load(name)).endswith(".")
    assert changed_lines("a\nb", "a\nc") == " a\n-b\n+c"


def test_a_state_is_read_as_an_average_only_where_the_average_is_what_is_kept():
    kept = "def update(g, m, lr):\n    m = interp(g, m, 0.82)\n    {}\n    return lr * sign(m), m\n"
    assert "m is a running average" in sentence(Program.parse(kept.format("m = m + 0.0")))
    for other in ("m = arctanh(m)", "m = 0.5 * m", "m = interp(g, m, 0.9)"):
        said = sentence(Program.parse(kept.format(other)))
        assert "running average" not in said
        assert " Then m becomes " in said
    for text in ("m = interp(0.5 * m, m, 0.9)", "m = interp(g, m, tanh(rms(g)))"):
        program = Program.parse(f"def update(g, m, lr):\n    {text}\n    return lr * m, m\n")
        assert "running average" not in sentence(program)


def test_an_average_freed_of_its_start_is_read_without_nested_brackets():
    told = reading_of(rulesmith.load("adam"))
    assert "times the unbiased m divided by the root of |the unbiased v|, where" in told
    assert told.endswith("Unbiased: freed of the start at 0.")


def test_callbacks_log_a_search(runs, tmp_path):
    tensorboardX = pytest.importorskip("tensorboardX")
    wandb = pytest.importorskip("wandb")
    logs = [
        rulesmith.TensorBoard(tmp_path / "tensorboard"),
        rulesmith.WandB("tests", mode="offline", dir=str(tmp_path), settings=wandb.Settings(silent=True)),
    ]
    config = replace(SMALL_RUNS["symbolic"].config, batch=8, population=8)
    run = rulesmith.discover(
        config, tmp_path / "run", programs=20, callbacks=logs, resources=Workers(1), progress=False, minutes=5
    )
    (path,) = (tmp_path / "tensorboard").iterdir()
    data, events = path.read_bytes(), []
    while data:  # TensorBoard's records: length, checksum, data, checksum
        size = int.from_bytes(data[:8], "little")
        events.append(tensorboardX.proto.event_pb2.Event.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    values = [(event.step, value) for event in events for value in event.summary.value]
    scalars = {(step, value.tag): value.simple_value for step, value in values if value.HasField("simple_value")}
    last = len(run.history)
    assert scalars[last, "figure"] == pytest.approx(run.standing.figure.value)
    assert scalars[last, "best_fitness"] == pytest.approx(run.standing.figure.value)
    assert scalars[1, "seconds"] == pytest.approx(run.history["seconds"][0])
    texts = {
        value.tag.split("/")[0]: value.tensor.string_val[0].decode() for _, value in values if value.tensor.string_val
    }
    assert run.hall_of_fame["program"][0].strip() in texts["best program"]
    assert "## Hall of fame" in texts["report"]
    assert run.standing.verdict.sentence in texts["verdict"]
    (offline,) = tmp_path.glob("wandb/offline-run-*")
    kept = b"".join(path.read_bytes() for path in offline.rglob("*") if path.is_file())
    assert b"best fitness" in kept
    assert list(offline.rglob("report*.html"))


def test_a_logger_that_is_not_installed_is_told_in_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(RulesmithError, match="pip install wandb"):
        rulesmith.WandB("tests")
