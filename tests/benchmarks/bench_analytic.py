"""The analytic fidelity against the simulation: how far off, how much faster, on random designs of the studies.

    python tests/benchmarks/bench_analytic.py [--designs 60] [--studies studies/front_small_edge.yaml ...]

Ratios analytic / simulated are over the designs whose queues stay finite in the simulation (no tenant beyond three
times its deadline): 10, 50 and 90 %, and the correlation of ranks.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from dse import load_study
from hwmodels.evaluate import evaluate
from spaces.designs import decode_design

STUDIES = Path(__file__).parents[2] / "studies"
METRICS = ("mean_latency_s", "p99_latency_s", "p99_deadline_frac", "energy_per_inference_j", "power_w")


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--designs", type=int, default=60)
    parser.add_argument("--studies", nargs="*", type=Path, default=sorted(STUDIES.glob("front_*.yaml")))
    args = parser.parse_args()
    for path in args.studies:
        study, rng = load_study(path), np.random.default_rng(0)
        pairs, cost = [], np.zeros(2)
        for _ in range(args.designs):
            design = decode_design(study.space.decode(study.space.sample_evenly_codes(rng)), study.workload)
            outcomes = []
            for k, fidelity in enumerate(("analytic", "simulate")):
                start = time.process_time()
                outcomes.append(evaluate(design, study.workload, seed=study.seed, fidelity=fidelity))
                cost[k] += time.process_time() - start
            if outcomes[1].ok and outcomes[1].metrics["p99_deadline_frac"] < 3.0:
                pairs.append([[outcome.metrics[name] for name in METRICS] for outcome in outcomes])
        values = np.array(pairs)
        ms = 1e3 * cost / args.designs
        sys.stdout.write(f"{study.name}: {len(pairs)} of {args.designs} designs; analytic {ms[0]:.1f} ms, "
                         f"simulate {ms[1]:.0f} ms each\n")
        for m, name in enumerate(METRICS):
            low, middle, high = np.percentile(values[:, 0, m] / values[:, 1, m], (10, 50, 90))
            rho = float(np.corrcoef(ranks(values[:, 0, m]), ranks(values[:, 1, m]))[0, 1])
            sys.stdout.write(f"  {name:24} {low:.2f} {middle:.2f} {high:.2f}  ranks {rho:.2f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
