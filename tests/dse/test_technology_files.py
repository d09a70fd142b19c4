"""Own constants: a file or a key of designs and studies; they reach every figure and nothing that was cached."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from command import dse

from dse.documents import dump_design, load, load_design, load_study, self_contained
from dse.errors import InputError
from dse.exporters.chip import parts_of
from dse.exporters.zigzag import accelerator
from hwmodels.design_uncertainty import design_evaluation
from hwmodels.engine import Engine
from hwmodels.errors import InvalidEngine
from hwmodels.evaluate import evaluate
from hwmodels.technology import CONSTANTS, Constants, constants_of, mac_energy_j, vector_lane_area_mm2
from hwmodels.uncertainty import intervals

DESIGN = """\
kind: design
architecture: time_mux
freq_hz: 1e9
dram_bytes_per_s: 16e9
engines: [{rows: 32, cols: 32, dataflow: ws, sram_bytes: 524288}]
policy: edf
"""
WORKLOAD = ("{kind: workload, name: one, duration_s: 0.02, tenants: [{name: words, network: res8, "
            "traffic: {kind: periodic, rate_hz: 200}}]}")
STUDY = f"""\
kind: study
name: own
workload: {WORKLOAD}
objectives: [area_mm2, energy_per_inference_j]
technology: TECHNOLOGY
space: {{architectures: [time_mux], policies: [edf], domains: {{node_nm: [16], rows: [16, 32], cols: [16]}}}}
search: {{sampler: random, trials: 4}}
"""
MAC = "mac_int8_energy_j.16nm"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("w.yaml").write_text(WORKLOAD)
    return tmp_path


def write(text, name="design.yaml"):
    Path(name).write_text(text)
    return name


def design(constants=""):
    return load_design(write(DESIGN + (f"technology: {{constants: {{{constants}}}}}\n" if constants else "")))


def workload():
    return load("w.yaml").record


def test_every_part_of_the_energy_and_area_follows(folder):
    plain = evaluate(design(), workload())
    doubled = ", ".join(f"{key}: {2 * record.value!r}" for key, record in CONSTANTS.items() if ".16nm" in key and
                        key.startswith("mac_int8_energy_j"))
    assert doubled.startswith(MAC)
    own = evaluate(design(doubled), workload())
    assert own.metrics["area_mm2"] == plain.metrics["area_mm2"]
    assert own.metrics["energy_j"] > plain.metrics["energy_j"]
    assert evaluate(design(), workload()) == plain  # nothing of the others stayed in a cache
    dram = "dram_lpddr4_energy_j_per_byte"
    more = evaluate(design(f"{dram}: {CONSTANTS[dram].value + 1e-12!r}"), workload())
    moved = (more.metrics["energy_j"] - plain.metrics["energy_j"]) / 1e-12
    assert moved == pytest.approx(plain.metrics["dram_utilisation_frac"] * 16e9
                                  * plain.metrics["energy_j"] / plain.metrics["power_w"])
    pe = CONSTANTS["pe_int8_area_mm2.16nm"]
    larger = evaluate(design(f"{pe.key}: {2 * pe.value!r}"), workload())
    assert larger.breakdown["area_mm2"]["pes"] == pytest.approx(2 * plain.breakdown["area_mm2"]["pes"])
    assert larger.breakdown["area_mm2"]["sram"] == plain.breakdown["area_mm2"]["sram"]


def test_a_point_of_a_curve_moves_what_is_scaled_along_it(folder):
    engine = design(f"logic_area_frac.16nm: {2 * CONSTANTS['logic_area_frac.16nm'].value!r}").architecture.engine
    assert vector_lane_area_mm2(16, corner=constants_of(engine)) == pytest.approx(2 * vector_lane_area_mm2(16))
    assert vector_lane_area_mm2(28, corner=constants_of(engine)) == vector_lane_area_mm2(28)


def test_the_range_is_used_by_uncertainty(folder):
    published = CONSTANTS[MAC]
    found = design(f"{MAC}: {{value: 1e-12, low: 1e-12, high: 3e-12, source: our test chip}}")
    own = found.architecture.engine.technology
    assert (own[0].source, own[0].trust) == ("our test chip", "own")
    at = {end: mac_energy_j(16, corner=Constants(others=end, own=own)) / mac_energy_j(16, corner=Constants(own=own))
          for end in (-1.0, 1.0)}
    assert at[-1.0] == 1.0
    assert at[1.0] == pytest.approx(3.0)
    wide = design(f"{MAC}: 1e-12").architecture.engine.technology[0]
    assert wide.high / wide.value == pytest.approx(published.high / published.value)
    function = design_evaluation(found, workload())
    assert function(Constants())["energy_j"] == pytest.approx(evaluate(found, workload()).metrics["energy_j"])
    assert intervals(function, samples=4)["area_mm2"].low > 0.0


def test_designs_and_exports_carry_them(folder):
    found = design(f"{MAC}: {{value: 1e-12, source: ours}}")
    assert load_design(write(dump_design(found), "again.yaml")) == found
    parts = parts_of(found, workload(), "t")
    array = accelerator(parts.engines[0].engine, "e", [])["operational_array"]
    assert array["unit_energy"] == pytest.approx(1.0, rel=0.05)


def test_a_run_with_a_technology_file(folder):
    write(f"kind: technology\nname: chip 3\nconstants:\n  {MAC}: 1e-12\n", "tech.yaml")
    write(STUDY.replace("TECHNOLOGY", "tech.yaml"), "study.yaml")
    study = load_study("study.yaml")
    assert study.technology[0].source == "technology 'chip 3'"
    assert load_study(write(self_contained(study), "copy.yaml")).technology == study.technology

    done = dse("run", "study.yaml", "--out", "run", "--workers", "1")
    assert done.returncode == 0, done.stderr
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["technology"] == {MAC: {"value": 1e-12, "low": study.technology[0].low,
                                            "high": study.technology[0].high, "source": "technology 'chip 3'"}}
    best = sorted(Path("run/best").iterdir())[0]
    provenance = yaml.safe_load(best.read_text())["provenance"]
    outcome = evaluate(load_design(best), workload())
    assert outcome.metrics == provenance["metrics"]
    assert evaluate(replace_technology(load_design(best)), workload()).metrics != provenance["metrics"]
    done = dse("front", "study.yaml", "--out", "exact")
    assert done.returncode == 2
    assert "technology: must be left out" in done.stderr


def replace_technology(design):
    engine = replace(design.architecture.engine, technology=())
    return replace(design, architecture=replace(design.architecture, engine=engine))


@pytest.mark.parametrize(("technology", "message"), [
    ("{constants: {mac_int8_energy: 1e-12}}", "constants.mac_int8_energy: must be a constant of `dse explain`"),
    ("{constants: {mac_int8_energy_j: 1e-12}}", "a curve: name one of mac_int8_energy_j."),
    (f"{{constants: {{{MAC}: -1}}}}", "must be a number > 0, got -1"),
    (f"{{constants: {{{MAC}: {{value: 1, low: 2}}}}}}", "must be a range with low <= value <= high, got 2, 1,"),
    ("{constants: {}}", "must be a mapping of at least one constant"),
    ("gone.yaml", "technology: gone.yaml: must be an existing file"), ("w.yaml", "w.yaml:1"),
])
def test_mistakes(folder, technology, message):
    for text in (DESIGN + f"technology: {technology}\n", STUDY.replace("TECHNOLOGY", technology)):
        with pytest.raises(InputError) as caught:
            load(write(text, "f.yaml"))
        assert message in str(caught.value)
        assert len(caught.value.problems) == 1 or technology == "w.yaml"


def test_bounds_refuse_them(folder):
    with pytest.raises(InvalidEngine, match="technology"):
        evaluate(design(f"{MAC}: 1e-12"), workload(), fidelity="analytic")
    with pytest.raises(InvalidEngine, match="range with 0 < low"):
        Engine(rows=1, cols=1, dataflow="ws", sram_bytes=1, dram_bytes_per_s=1.0, freq_hz=1.0,
               technology=(replace(CONSTANTS[MAC], low=9.0),))
