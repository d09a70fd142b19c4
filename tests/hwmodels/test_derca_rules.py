"""DERCA's analysis on machines, shapes and periods of its own, against the rules written a second time."""

import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from derca_rules import verdict

from hwmodels.derca import SEMANTICS, STRATEGIES, DercaMachine, analyse, execution_cycles, regions


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**9), tasks=st.integers(1, 4), semantics=st.sampled_from(SEMANTICS),
       load=st.sampled_from([0.4, 0.7, 0.9, 1.0, 1.1]))
def test_analysis(seed, tasks, semantics, load):
    rng = np.random.default_rng(seed)
    cycles = {name: int(rng.integers(0, high)) for name, high in (
        ("load_cycles", 12), ("comp_cycles", 12), ("store_cycles", 60), ("clean_output_cycles", 6),
        ("persist_cycles", 40), ("resume_cycles", 60))}
    machine = DercaMachine(tile_m=int(rng.integers(1, 4)), tile_k=int(rng.integers(1, 4)),
                           tile_n=int(rng.integers(1, 4)), **cycles | {"load_cycles": 1 + cycles["load_cycles"]})
    networks = [[tuple(int(x) for x in rng.integers(1, 7, 3)) for _ in range(rng.integers(1, 4))]
                for _ in range(tasks)]
    executed = [execution_cycles(network, machine) for network in networks]
    base = 12 * max(1, int(sum(executed) / load) // 12)
    # few primes, so that the hyperperiod stays small; equal periods on purpose
    periods = [base * int(rng.choice([1, 1, 2, 3, 4])) // int(rng.choice([1, 2, 3])) for _ in range(tasks)]
    for strategy in STRATEGIES:
        parts = [regions(network, machine, strategy) for network in networks]
        ours = analyse(parts, periods, strategy, semantics=semantics)
        expected = verdict(networks, periods, machine, strategy, semantics)
        if expected is None:
            assert not ours.schedulable
            continue
        good, beta, longest, wcets, counts = expected
        assert (ours.schedulable, list(ours.tolerances_cycles)) == (good, beta), strategy
        assert (list(ours.longest_regions_cycles), list(ours.wcet_cycles)) == (longest, wcets), strategy
        assert [len(part.exec_cycles) for part in ours.regions] == counts, strategy
