"""A RUN folder of two objectives and one tenant, row by row, for fronts that can be checked by eye."""

import csv

from dse.report.rundata import read_run


def hand_made(path, rows, budgets="{area_mm2: 20, p99_deadline_frac: 1.0}"):
    """rows: (class, area, p99 fraction, feasible); the front is the feasible ones that nothing dominates."""
    path.mkdir()
    header = ["trial", "state", "feasible", "status", "params.architecture", "params.policy",
              "area_mm2", "p99_deadline_frac", "tenants.cam.p99_deadline_frac", "violations.area_mm2", "error"]
    table = [[t, "complete", ok, "ok", kind, "edf", area, frac, frac, area - 20, ""]
             for t, (kind, area, frac, ok) in enumerate(rows)]
    front = [r for r in table if r[2] and not any(
        q[2] and q[6] <= r[6] and q[7] <= r[7] and q[6:8] != r[6:8] for q in table)]
    for name, lines in (("trials.csv", table), ("front.csv", sorted(front, key=lambda r: r[6]))):
        with (path / name).open("w", newline="") as file:
            csv.writer(file).writerows([header, *lines])
    (path / "study.yaml").write_text(f"kind: study\nname: hand\nworkload: w.yaml\nobjectives: [area_mm2, "
                                     f"p99_deadline_frac]\nbudgets: {budgets}\n")
    (path / "manifest.json").write_text("{}")
    return read_run(path)


THREE = [("time_mux", 4.0, 0.9, True), ("composable", 5.0, 0.3, True), ("heterogeneous", 12.0, 0.2, True),
         ("time_mux", 6.0, 0.6, True), ("dedicated", 30.0, 0.1, False)]
