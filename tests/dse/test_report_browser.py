"""The page in a real browser: Debian's Chromium driven by Playwright; skipped where one of them is missing.

Loading is what takes time, so tests share a page: each leaves it as it found it, by way of `RESET`.
"""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from dse.advice import ranked_front
from dse.cli import app
from dse.report import write_report
from dse.report.detail import chosen_trials
from dse.report.insight import run_insight
from dse.report.page import render
from dse.report.rundata import read_run

BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium-headless-shell or chromium on the path")


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


synthetic = _load("synthetic_run")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = read_run(synthetic.make_run(tmp_path_factory.mktemp("browser") / "run", 400))
    details = {t: synthetic.make_detail(run.params(run.row(t)), t) for t in chosen_trials(run)}
    (run.path / "report.html").write_text(render(run, details, insight=run_insight(run, None, -1)), encoding="utf-8")
    return run


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser, path, **options):
    """A page that has drawn everything; whatever goes wrong on it is collected in `page.wrong`."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, **options)
    page.wrong = []
    page.on("console", lambda m: page.wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: page.wrong.append(str(e)))
    inside = ("file:", "data:", "blob:")
    page.on("request", lambda r: page.wrong.append(r.url) if not r.url.startswith(inside) else None)
    page.goto(path.as_uri())
    page.wait_for_selector("html.ready", timeout=60_000)
    for plot in page.locator(".plot:visible").all():  # drawn once they come near the window
        plot.scroll_into_view_if_needed()
        page.wait_for_function("plot => plot.childElementCount > 0", arg=plot.element_handle())
    page.evaluate("scrollTo(0, 0)")
    return page


RESET = """(() => {
  const values = { 'axis-x': AXES[0], 'axis-y': AXES[1], 'colour': 'class', 'history-axis': 'trials' };
  for (const id in values) $(id).value = values[id];
  for (const id of ['log', 'show-all']) $(id).checked = false;
  setDrag('zoom'); state.sort = null; state.pinned = []; state.tenant = null; state.budgets = { ...DATA.budgets };
  for (const input of $('budgets').querySelectorAll('input')) input.value = DATA.budgets[input.dataset.metric];
  world = judge(); clearBrushes(); pick(null); changed('pinned'); changed('budgets');
  state.chosen = null; choose(DATA.advice.trial); zoom(0);
  document.activeElement?.blur();
})()"""


@pytest.fixture(scope="module")
def shared(browser, run):
    page = opened(browser, run.path / "report.html")
    yield page
    page.close()


@pytest.fixture
def page(shared):
    yield shared
    assert shared.wrong == []
    shared.evaluate(RESET)


@pytest.fixture(scope="module")
def ranked(run):
    return [int(t) for t in ranked_front(run)["trial"]]


def point(page, plot, x, y):
    """Screen position of a point of a plot."""
    return page.evaluate(
        """([id, x, y]) => { const g = document.getElementById(id), l = g._fullLayout;
           const r = g.querySelector('.nsewdrag').getBoundingClientRect();
           return [r.left + l.xaxis.d2p(x), r.top + l.yaxis.d2p(y)]; }""", [plot, x, y])


def click_design(page, run, trial):
    row = run.row(trial)
    page.locator("#pareto").scroll_into_view_if_needed()
    x, y = point(page, "pareto", row["area_mm2"], row["p99_deadline_frac"])
    page.mouse.move(x - 2, y)
    page.mouse.move(x, y)
    page.wait_for_timeout(150)
    page.mouse.click(x, y)
    page.wait_for_timeout(150)


def isolated(run):
    """A design of the front with nothing near it on the screen, and not the recommended one."""
    cloud = run.feasible[["area_mm2", "p99_deadline_frac"]].to_numpy(float)
    scale = cloud.max(axis=0) - cloud.min(axis=0)
    best, far = -1, -1.0
    for row in ranked_front(run).to_dict("records")[1:]:
        steps = (cloud - [row["area_mm2"], row["p99_deadline_frac"]]) / scale
        distance = sorted(np.hypot(steps[:, 0], steps[:, 1]))[1]  # the nearest of all is the design itself
        if distance > far:
            best, far = int(row["trial"]), distance
    return best


def chosen_row(page):
    return page.locator("#ranking tr[aria-selected=true]").get_attribute("data-trial")


def test_opens_on_the_recommended_design(page, ranked):
    assert page.inner_text("#selected") == f"trial {ranked[0]}"
    assert chosen_row(page) == str(ranked[0])
    assert page.locator("#headline").inner_text().split(":")[0].endswith("wins")
    assert page.locator("#tiles .tile").count() == 5
    assert page.locator("#classes tbody tr").count() == 4
    assert page.locator("#setbacks tbody tr").first.locator("td").nth(1).inner_text().isdigit()
    for plot in ("pareto", "roofline", "cdf", "timeline", "history"):
        assert page.locator(f"#{plot} .main-svg").count() > 0, plot
    for drawing in ("floorplan", "heat", "parallel"):
        assert page.locator(f"#{drawing} svg").count() == 1


def test_a_click_in_the_scatter_selects_everywhere(page, run):
    trial = isolated(run)
    click_design(page, run, trial)
    assert page.inner_text("#selected") == f"trial {trial}"
    assert chosen_row(page) == str(trial)
    assert page.locator("#parallel path.chosen title").text_content().startswith(f"trial {trial}:")
    assert page.inner_text("#design-name").startswith(f"trial {trial}:")


def test_a_click_in_the_table_selects_everywhere(page, ranked):
    page.locator(f"#ranking tr[data-trial='{ranked[1]}']").click()
    assert page.inner_text("#selected") == f"trial {ranked[1]}"
    ring = page.evaluate("document.getElementById('pareto').data.at(-1).x.length")
    assert ring == 1


def test_a_click_on_a_line_selects_everywhere(page, ranked):
    page.evaluate("t => [...document.querySelectorAll('#parallel path[data-row]')].find(p => p.textContent"
                  ".startsWith(`trial ${t}:`)).dispatchEvent(new MouseEvent('click', {bubbles: true}))", ranked[2])
    assert page.inner_text("#selected") == f"trial {ranked[2]}"
    assert chosen_row(page) == str(ranked[2])


def test_the_hover_names_the_design(page, run):
    trial = isolated(run)
    row = run.row(trial)
    page.locator("#pareto").scroll_into_view_if_needed()
    x, y = point(page, "pareto", row["area_mm2"], row["p99_deadline_frac"])
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y)
    page.wait_for_selector("#pareto .hovertext")
    assert f"trial {trial}" in page.locator("#pareto .hovertext").text_content()


def test_a_lasso_selects_in_table_and_lines(page):
    page.locator("#pareto").scroll_into_view_if_needed()
    page.click("#drag button[data-mode=select]")
    assert page.evaluate("document.getElementById('pareto').layout.dragmode") == "select"
    box = page.locator("#pareto .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] - 5, steps=8)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert page.inner_text("#picked").endswith("designs selected")
    assert page.locator("#ranking tr.in").count() > 0
    assert page.locator("#parallel path.off").count() > 0
    page.click("#clear")
    assert page.inner_text("#picked") == ""
    assert page.locator("#parallel path.off").count() == 0


def test_a_brush_on_an_axis_keeps_a_range(page):
    grab = page.locator("#parallel .grab[data-axis='area_mm2']")
    grab.scroll_into_view_if_needed()
    box = grab.bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] - 3)
    page.mouse.down()
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] * 0.6, steps=5)
    page.mouse.up()
    assert page.locator("#parallel path.off").count() > 0
    assert page.locator("#parallel path.in").count() > 0


def test_axes_colours_and_scales_change(page):
    page.select_option("#axis-x", "power_w")
    page.select_option("#axis-y", "antt")
    titles = page.evaluate("[document.getElementById('pareto').layout.xaxis.title.text, "
                           "document.getElementById('pareto').layout.yaxis.title.text]")
    assert titles == ["power [W]", "ANTT"]
    for colour, expected in (("policy", "edf"), ("feasibility", "feasible")):
        page.select_option("#colour", colour)
        names = page.evaluate("document.getElementById('pareto').data.map(t => t.name)")
        assert expected in names
    page.check("#log")
    assert page.evaluate("document.getElementById('pareto')._fullLayout.xaxis.type") == "log"


def test_tighter_budgets_change_the_answer(page, run):
    bound = float(run.front["area_mm2"].min()) * 1.05
    page.fill("#budgets input[data-metric=area_mm2]", str(bound))
    n = int((run.feasible["area_mm2"] <= bound).sum())
    assert page.inner_text("#budget-answer").startswith(f"{n} designs meet them")
    page.fill("#budgets input[data-metric=area_mm2]", "0.001")
    assert page.inner_text("#budget-answer") == "No design found meets these budgets."
    page.click("text=As in the study")
    assert page.inner_text("#budget-answer").startswith(f"{len(run.feasible)} designs")


def test_pins_compare_up_to_four(page, ranked):
    for trial in ranked[:5]:
        page.locator(f"#ranking tr[data-trial='{trial}']").click()
        page.click("#pin")
    heads = page.locator("#compared thead button:not([title])").all_inner_texts()
    assert heads == [f"trial {t}" for t in ranked[1:5]]
    assert page.locator("#compared .best").count() > 0
    page.click("#pin")
    assert page.locator("#compared thead button:not([title])").count() == 3


def test_the_best_of_each_class_side_by_side(page, run):
    page.click("#pin-classes")
    assert page.locator("#compared thead button:not([title])").count() == 4
    assert page.locator("#compared svg").count() >= 1  # floor plans on one scale
    changes = page.locator("#compared tbody td small").all_inner_texts()
    area = run.trials.set_index("trial")["area_mm2"]
    pinned = page.evaluate("state.pinned")
    expected = f"{round(100 * (area[pinned[1]] / area[pinned[0]] - 1)):+d} %".replace("-", "\u2212")
    assert expected in [text.strip() for text in changes]


def test_a_tenant_stands_out_everywhere(page):
    page.locator("#limits button").nth(2).click()
    assert page.evaluate("state.tenant") == synthetic.TENANTS[2]
    for plot in ("timeline", "cdf"):
        found = page.evaluate(f"document.getElementById('{plot}').data.map(t => [t.name, t.opacity ?? 1])")
        assert {name: o for name, o in found if name in synthetic.TENANTS} == {
            name: 1 if name == synthetic.TENANTS[2] else 0.12 for name in synthetic.TENANTS}
    page.locator("#limits button").nth(2).click()
    assert page.evaluate("state.tenant") is None


def test_more_of_a_budget_buys_less_of_the_others(page, run):
    text = page.locator("#ladder tbody tr").first.inner_text()
    least = float(run.front["area_mm2"].min())
    assert float(text.split()[1]) == pytest.approx(least, rel=0.1)
    values = page.evaluate("[...document.querySelectorAll('#ladder tbody tr')].map(r => "
                           "parseFloat(r.cells[2].innerText))")
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(float(run.front["p99_deadline_frac"].min()), rel=5e-3)
    page.select_option("#ladder-metric", "energy_per_inference_j")
    assert page.locator("#ladder tbody tr").count() > 1


def test_a_design_of_the_front_is_found_in_the_history(page, run):
    found = page.evaluate("document.getElementById('history').data[2].customdata")
    assert sorted(found) == sorted(int(t) for t in run.front["trial"])
    page.select_option("#history-axis", "time")
    assert "time" in page.evaluate("document.getElementById('history').layout.xaxis.title.text")


def test_the_keyboard_alone(page, ranked):
    page.locator("#pareto").focus()
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#selected") == f"trial {ranked[1]}"
    page.keyboard.press("Enter")
    assert page.locator("#compared thead button:not([title])").count() == 1
    page.locator(f"#ranking tr[data-trial='{ranked[1]}']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.inner_text("#selected") == f"trial {ranked[2]}"
    page.keyboard.press("p")
    assert page.locator("#compared thead button:not([title])").count() == 2


def test_the_timeline_zooms(page):
    page.locator("#timeline").scroll_into_view_if_needed()
    width = "(() => { const [a, b] = document.getElementById('timeline')._fullLayout.xaxis.range; return b - a; })()"
    before = page.evaluate(width)
    page.click("#zoom-in")
    assert page.evaluate(width) == pytest.approx(before / 2)
    box = page.locator("#timeline .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2, steps=6)
    page.mouse.up()
    page.wait_for_timeout(500)
    assert page.evaluate(width) == pytest.approx(before / 10, rel=0.1)
    page.click("#later")
    start = "document.getElementById('timeline')._fullLayout.xaxis.range[0]"
    shifted = page.evaluate(start)
    page.click("#earlier")
    assert page.evaluate(start) == pytest.approx(shifted - before / 20, rel=0.2)
    page.click("#zoom-out")
    assert page.evaluate(width) == pytest.approx(float(page.locator("#timeline").get_attribute("data-end")))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A run of the models themselves."""
    folder = _load("small_run").make_small_run(tmp_path_factory.mktemp("real"))
    write_report(folder)
    return folder


def test_copy_gives_yaml_that_evaluates(browser, real, tmp_path):
    page = opened(browser, real / "report.html")
    page.evaluate("document.addEventListener('copy', e => { window.taken = getSelection().toString(); }); "
                  "navigator.clipboard && (navigator.clipboard.writeText = async t => { window.taken = t; })")
    page.click("#copy")
    page.wait_for_function("document.getElementById('copied').textContent === 'copied'")
    (tmp_path / "design.yaml").write_text(page.evaluate("window.taken"))
    workload = yaml.safe_load((real / "study.yaml").read_text())["workload"]
    (tmp_path / "workload.yaml").write_text(yaml.safe_dump(workload))
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "design.yaml"), "--workload",
                                    str(tmp_path / "workload.yaml"), "--json"])
    trial = page.evaluate("state.chosen")
    row = read_run(real).row(trial)
    assert json.loads(done.stdout)["metrics"]["p99_latency_s"] == pytest.approx(row["p99_latency_s"], rel=1e-12)
    assert page.locator("#commands").inner_text().count(f"dse why {real} --trial {trial}") == 1
    # the neighbours of the recommended design were evaluated, their figures are those of the page's own units
    assert page.locator("#steps tbody tr").count() > 2
    assert page.locator("#importance").is_visible() is False  # 24 trials are too few for a regression
    assert page.wrong == []
    page.close()


def test_an_exact_front_shows_its_proof(browser, tmp_path):
    folder = synthetic.make_run(tmp_path / "run", 60)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"exact": True, "designs": 1000, "counts": {"budget_1": 600, "dominated_2": 340, "open": 0}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "certificate.json").write_text("{}")
    run = read_run(folder)
    (folder / "report.html").write_text(render(run, {}, insight=run_insight(run, None, -1)), encoding="utf-8")
    page = opened(browser, folder / "report.html")
    assert page.inner_text("#counts").startswith("60 of 1,000 designs simulated, the rest proven")
    assert "This front is exact" in page.inner_text("#history")
    assert page.locator("#history tbody tr").first.inner_text().split() == ["simulated", "60", "6", "%"]
    assert page.wrong == []
    page.close()


def test_a_front_of_boxes_shows_what_is_missing(browser, tmp_path):
    folder = synthetic.make_run(tmp_path / "run", 60)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"exact": False, "hypervolume_gap": 0.25,
                 "shares": {"open": 0.5, "budget": 0.3, "dominated": 0.2, "simulated": 0.0}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "certificate.json").write_text("{}")
    run = read_run(folder)
    (folder / "report.html").write_text(render(run, {}, insight=run_insight(run, None, -1)), encoding="utf-8")
    page = opened(browser, folder / "report.html")
    assert page.inner_text("#counts").startswith("60 designs simulated, ")
    assert "the designs of 50 % of the space are undecided; any of them could add at most 0.25" in page.inner_text(
        "#history")
    assert page.locator("#history tbody tr").count() == 3
    assert page.wrong == []
    page.close()


def test_a_link_opens_its_trial(browser, run, ranked):
    page = browser.new_page()
    page.goto((run.path / "report.html").as_uri() + f"#trial={ranked[3]}")
    page.wait_for_selector("html.ready")
    assert page.inner_text("#selected") == f"trial {ranked[3]}"
    page.close()


def test_dark_and_light(browser, run):
    page = opened(browser, run.path / "report.html", color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.click("#theme")
    assert page.evaluate(background) != dark
    assert page.wrong == []
    page.close()


def test_nothing_sticks_out_of_the_page(page):
    for width in (2560, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_javascript_the_ranking_remains(browser, run):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((run.path / "report.html").as_uri())
    assert page.locator("#answer table tbody tr").count() == len(run.front)
    assert page.is_visible("#answer table")
    assert not page.is_visible("#pareto")
    context.close()


def test_a_run_without_details_or_feasible_designs(browser, tmp_path):
    run = read_run(synthetic.make_run(tmp_path / "run", 80, budgets={"area_mm2": 0.1}))
    (run.path / "report.html").write_text(render(run, {}), encoding="utf-8")
    page = opened(browser, run.path / "report.html")
    assert "No design meets every budget" in page.inner_text("#headline")
    assert page.is_visible("#no-detail")
    assert page.wrong == []
    page.close()


def test_five_thousand_trials_stay_usable(browser, tmp_path):
    run = read_run(synthetic.make_run(tmp_path / "run", 5000))
    (run.path / "report.html").write_text(render(run, {}, insight=run_insight(run, None, -1)), encoding="utf-8")
    page = opened(browser, run.path / "report.html")  # how long it takes: tests/benchmarks/bench_report.py
    assert page.evaluate("document.getElementById('pareto').data.reduce((n, t) => n + t.x.length, 0)") > 1000
    page.fill("#budgets input[data-metric=area_mm2]", "15")
    assert "designs meet them" in page.inner_text("#budget-answer")
    assert page.wrong == []
    page.close()
