"""XRBench: one engine by hand; schedules and scores of the public software replayed frame by frame."""

import csv
import math
from pathlib import Path

import pytest

from hwmodels.errors import InvalidWorkload
from hwmodels.xrbench import ScenarioNetwork, run, score

DATA = Path(__file__).parents[1] / "data" / "scheduling" / "xrbench"
# workloads.yaml: network -> (fps, depends on); models read no YAML, so neither do their tests.
SCENARIOS = {
    "VR_gaming": {
        "ES_RITNet": (60, None),
        "GE_FBNet_C": (60, "ES_RITNet"),
        "HT_hand_graph_cnn_half": (45, None),
    },
    "AR_gaming": {
        "HT_hand_graph_cnn_half": (45, None),
        "DE_midas_v21_small": (30, None),
        "PD_Plane_RCNN_Quarter": (15, None),
    },
    "AR_Assistant": {
        "KD_res8_narrow": (3, None),
        "ASR_EM_24L": (3, "KD_res8_narrow"),
        "SS_HRViT_b1": (10, None),
        "DE_midas_v21_small": (30, None),
        "PD_Plane_RCNN_Quarter": (15, None),
        "OD_D2go_FasterRCNN": (10, None),
    },
    "social_interactionA": {
        "ES_RITNet": (60, None),
        "GE_FBNet_C": (60, "ES_RITNet"),
        "DR_RGBd_200": (30, None),
        "HT_hand_graph_cnn_half": (30, None),
    },
    "social_interactionB": {"ES_RITNet": (60, None), "GE_FBNet_C": (60, "ES_RITNet"), "AS_ED_TCN": (30, None)},
    "outdoor_activity_A": {
        "KD_res8_narrow": (3, None),
        "ASR_EM_24L": (3, "KD_res8_narrow"),
        "SS_HRViT_b1": (10, None),
        "OD_D2go_FasterRCNN": (30, None),
    },
}


def rows(name):
    with (DATA / name).open() as file:
        return list(csv.DictReader(file))


LATENCIES = {(r["case"], r["network"], r["dataflow"]): r for r in rows("latencies.csv")}
SCORES = {}
for _row in rows("scores.csv"):
    SCORES.setdefault(_row["case"], {})[_row["network"]] = _row


def scenario(case):
    any_row = next(iter(SCORES[case].values()))
    skipped = frozenset(int(frame) for frame in any_row["asr_frames_not_injected"].split())
    networks = []
    for name, (fps, parent) in SCENARIOS[any_row["workload"]].items():
        found = [LATENCIES.get((case, name, flow), {}) for flow in any_row["dataflows"].split("_")]
        networks.append(
            ScenarioNetwork(
                name=name,
                fps=fps,
                parent=parent,
                # A network that never ran there is longer than the run.
                latency_ms=tuple(float(row.get("latency_ms", 1e4)) for row in found),
                energy_mj=tuple(float(row.get("energy_mj", 0)) for row in found),
                skipped=skipped if name == "ASR_EM_24L" else frozenset(),
            )
        )
    return networks


def test_by_hand():
    # One engine, 100 ms periods: frame 0 ends at 150, late; frame 1 (due at 200) waits and ends at 300; frame 2 was
    # injected at 200, ran from 300 on and is not finished when the last frame is up for injection.
    network = ScenarioNetwork(name="a", fps=10, latency_ms=(150.0,), energy_mj=(750.0,))
    completed, dropped = run([network], duration_ms=400)
    assert [(f.frame, f.dispatch_ms, f.completion_ms) for f in completed] == [(0, 0, 150), (1, 150, 300)]
    assert dropped == []
    found = score(completed, dropped).networks["a"]
    assert (found.realtime, found.energy, found.ux) == (0, 0.5, 1)


def test_a_dependent_frame_waits_for_its_parent():
    parent = ScenarioNetwork(name="z", fps=10, latency_ms=(30.0,), energy_mj=(0.0,))
    child = ScenarioNetwork(name="a", fps=10, latency_ms=(20.0,), energy_mj=(0.0,), parent="z")
    completed, _ = run([child, parent], duration_ms=200)
    first = {frame.network: frame for frame in completed if frame.frame == 0}
    assert first["a"].dispatch_ms == first["z"].completion_ms == 30


@pytest.mark.parametrize("case", sorted(SCORES))
def test_public_schedules_and_scores(case):
    completed, dropped = run(scenario(case))
    expected = rows(f"schedules/{case}.csv")
    by_engine = sorted(completed, key=lambda frame: frame.engine)
    assert [(f.engine, f.network, f.frame) for f in by_engine] == [
        (int(r["accelerator"]), r["network"], int(r["frame"])) for r in expected
    ]
    for frame, row in zip(by_engine, expected, strict=True):
        for field in ("inject_ms", "dispatch_ms", "deadline_ms", "completion_ms"):
            assert getattr(frame, field) == pytest.approx(float(row[field]), abs=0.02)
    result = score(completed, dropped)
    assert set(result.networks) == set(SCORES[case])
    for name, row in SCORES[case].items():
        found = result.networks[name]
        assert (found.completed, found.dropped) == (int(row["frames_completed"]), int(row["frames_dropped"]))
        assert found.realtime == pytest.approx(float(row["realtime_score"]), abs=0.01)
        assert found.energy == pytest.approx(float(row["energy_score"]), abs=1e-5)
        assert found.ux == pytest.approx(float(row["ux_score"]), abs=1e-6)
        assert result.overall == pytest.approx(float(row["overall_score"]), abs=0.01)


def test_a_drop_counts_twice():
    network = ScenarioNetwork(name="a", fps=10, latency_ms=(50.0,), energy_mj=(0.0,))
    completed, _ = run([network])
    assert score(completed, []).overall == pytest.approx(100)
    half = len(completed) // 2
    lost = [frame._replace(engine=-1, completion_ms=math.nan) for frame in completed[half:]]
    assert score(completed[:half], lost).overall == pytest.approx(100 * (half / len(completed)) ** 2)


def test_bad_input():
    with pytest.raises(InvalidWorkload):
        run([])
    with pytest.raises(InvalidWorkload):
        ScenarioNetwork(name="a", fps=0, latency_ms=(1.0,), energy_mj=(1.0,))
    with pytest.raises(InvalidWorkload):
        run([ScenarioNetwork(name="a", fps=10, latency_ms=(1.0,), energy_mj=(1.0,), parent="b")])
