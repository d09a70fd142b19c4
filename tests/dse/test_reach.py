"""Budgets that no design can meet are named before anything is evaluated."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_run import write_study

from dse.documents import load_study
from dse.reach import unreachable, unreachable_text
from hwmodels.evaluate import evaluate


def test_unreachable_budgets(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path))
    assert unreachable(study) == {}
    areas = [study.design(params).architecture.chip(study.workload).area_mm2 for params in study.space.enumerate()]
    least = min(sum(area.values()) for area in areas)
    beyond = replace(study, budgets={"p99_deadline_frac": 1.0, "area_mm2": 0.9 * least, "throughput_per_s": 1.0})
    found = unreachable(beyond)
    assert list(found) == ["area_mm2"]
    assert 0.9 * least < found["area_mm2"]
    best = min(evaluate(study.design(params), study.workload).metrics["area_mm2"] for params in study.space.enumerate()
               if params["policy"] == "fcfs")
    assert found["area_mm2"] == pytest.approx(best, rel=1e-12)
    assert unreachable_text(beyond, "area_mm2", 1.25).endswith("it is at least 1.25 for all of them")
    assert unreachable(replace(beyond, fidelity="analytic")) == {}
