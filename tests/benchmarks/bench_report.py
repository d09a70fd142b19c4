"""How long the report of 5,000 trials takes to load and to answer a click, in a headless Chromium.

    python tests/benchmarks/bench_report.py [--trials 5000]

Times are of the page's main thread, wall and CPU; the baseline is a page that only runs plotly.js, in the same browser.
"""

import argparse
import importlib.util
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from plotly.offline import get_plotlyjs

from dse.report.detail import chosen_trials
from dse.report.insight import run_insight
from dse.report.page import render
from dse.report.rundata import read_run

_REPEATS = 3


def _synthetic():
    path = Path(__file__).parents[1] / "dse" / "synthetic_run.py"
    spec = importlib.util.spec_from_file_location("synthetic_run", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _measure(browser, path: Path, actions: dict[str, str], ready: str) -> dict[str, tuple[float, float]]:
    """What -> (wall, CPU) seconds."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    clock = page.context.new_cdp_session(page)
    clock.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    clock.send("Performance.enable")

    def cpu_s():
        return {m["name"]: m["value"] for m in clock.send("Performance.getMetrics")["metrics"]}["TaskDuration"]

    begin = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_function(ready, timeout=180_000)
    found = {"load": (time.perf_counter() - begin, cpu_s())}
    for name, script in actions.items():
        begin, before = time.perf_counter(), cpu_s()
        page.evaluate(script)
        found[name] = time.perf_counter() - begin, cpu_s() - before
    page.close()
    return found


def main() -> None:
    """Print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5000)
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if chromium is None:
        sys.exit("no chromium-headless-shell or chromium on the path")
    synthetic = _synthetic()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as engine:
        run = read_run(synthetic.make_run(Path(folder) / "run", given.trials))
        details = {t: synthetic.make_detail(run.params(run.row(t)), t) for t in chosen_trials(run)}
        report, bare = run.path / "report.html", Path(folder) / "bare.html"
        report.write_text(render(run, details, insight=run_insight(run, None, -1)), encoding="utf-8")
        bare.write_text(f"<html><body><script>{get_plotlyjs()}</script></body></html>", encoding="utf-8")
        actions = {"click": "choose(DATA.ranking[3])", "budget": "setBudget('area_mm2', 15)",
                   "axes": "$('axis-x').value = AXES[3]; drawScatter()", "pin": "pin(DATA.ranking[2])"}
        browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        rounds = [(_measure(browser, report, actions, "document.documentElement.classList.contains('ready')"),
                   _measure(browser, bare, {}, "Boolean(window.Plotly)")) for _ in range(_REPEATS)]
        browser.close()
        print(f"{given.trials:,} trials, {report.stat().st_size / 1e6:.2f} MB; medians of {_REPEATS}")
        base = statistics.median(plain["load"][1] for _, plain in rounds)
        for name in rounds[0][0]:
            wall, cpu = (statistics.median(each[name][k] for each, _ in rounds) for k in (0, 1))
            print(f"  {name:<8} {wall:6.2f} s wall  {cpu:6.2f} s CPU  {cpu / base:5.2f} x loading plotly.js alone")
        print(f"  {'plotly':<8} {'':6}         {base:6.2f} s CPU")


if __name__ == "__main__":
    main()
