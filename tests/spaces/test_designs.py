"""The space of designs: every point is a design that can be built; a study narrows, overrides and extends it."""

import math

import numpy as np
import pytest

from hwmodels.architectures import ARCHITECTURES
from hwmodels.network import Layer, Network
from hwmodels.policies import POLICIES
from hwmodels.workload import Tenant, Traffic, Workload
from spaces.designs import PARAMETERS, architecture_of, chip_key, decode_design, design_space
from spaces.errors import SpaceError


def fc(k: int) -> Network:
    return Network(name=f"fc{k}", layers=(Layer(name="fc", op="gemm", oy=4, k=k, c=256),))


WORKLOAD = Workload(name="w", tenants=(Tenant(name="a", network=fc(64), traffic=Traffic(rate_hz=10)),
                                       Tenant(name="b", network=fc(640), traffic=Traffic(rate_hz=10))))


def test_every_point_builds_its_chip() -> None:
    space = design_space(WORKLOAD)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(400):
        params = space.sample(rng)
        design = decode_design(params, WORKLOAD)
        assert design.architecture.name == params["architecture"]
        assert sum(design.architecture.chip(WORKLOAD).area_mm2.values()) > 0
        seen.add((params["architecture"], params["policy"]))
    assert {a for a, _ in seen} == set(ARCHITECTURES)
    assert all(a in POLICIES[policy].architectures for a, policy in seen)


def test_size_by_hand() -> None:
    domains = {name: [values[0]] for name, (values, _) in PARAMETERS.items() if name not in ("architecture", "policy")}
    domains |= {"rows": [16, 32], "share_exponent": [0, 1]}
    space = design_space(WORKLOAD, policies=["fcfs", "edf"], domains=domains)
    # time_mux and composable: 2 rows; dedicated: 2 exponents; heterogeneous: 1; each with 2 policies
    assert space.size() == 2 * (2 + 2 + 2 + 1)
    assert len(list(space.enumerate())) == 14


def test_one_class_drops_the_parameters_of_the_others() -> None:
    space = design_space(WORKLOAD, architectures=["dedicated"], policies=["fcfs"])
    assert "total_pes" in space.names
    assert not {"rows", "engines", "side0", "subarrays"} & set(space.names)


def test_policy_parameters_join_on_request() -> None:
    space = design_space(WORKLOAD, policies=["prema", "fcfs"], domains={"prema.quantum_s": [0.0, 0.001]})
    points = [space.sample(np.random.default_rng(seed)) for seed in range(60)]
    assert all(("prema.quantum_s" in p) == (p["policy"] == "prema") for p in points)
    design = decode_design(next(p for p in points if p.get("prema.quantum_s")), WORKLOAD)
    assert design.policy_params == {"quantum_s": 0.001}


def test_heterogeneous_engines_follow_their_count() -> None:
    space = design_space(WORKLOAD, architectures=["heterogeneous"], domains={"engines": {"low": 2, "high": 3}})
    for seed in range(30):
        params = space.sample(np.random.default_rng(seed))
        assert ("side2" in params) == (params["engines"] == 3)
        assert len(decode_design(params, WORKLOAD).architecture.engines) == params["engines"]  # type: ignore[attr-defined]


def test_default_space_is_enumerable_but_large() -> None:
    size = design_space(WORKLOAD).size()
    assert math.isfinite(size)
    assert size > 1e6


@pytest.mark.parametrize(("wrong", "message"), [
    ({"domains": {"row": [16]}}, "did you mean 'rows'"),
    ({"domains": {"prema.quantum": [0.0]}}, "did you mean 'prema.quantum_s'"),
    ({"forbidden": [{"architecture": ["time_mux", "composable", "heterogeneous", "dedicated"]}]}, "forbidden"),
    ({"architectures": ["composable"], "policies": ["lazy_batching"]},
     r"policies: must be able to run on composable, got \['lazy_batching'\] \(they run on time_mux alone\)"),
])
def test_bad_spaces_are_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        design_space(WORKLOAD, **wrong)  # type: ignore[arg-type]


def test_equal_keys_are_equal_chips() -> None:
    """But for the names of their engines."""
    space = design_space(WORKLOAD, policies=["fcfs"], domains={
        "node_nm": [16], "freq_hz": [1e9], "dram_bytes_per_s": [8e9], "vector_lanes": [32], "rows": [16], "cols": [16],
        "subarrays": [4], "side1": [16, 8], "side2": [16], "total_pes": [512], "scheduler": ["software"],
        "sram_bytes": [2**17], "sram_bytes0": [2**17, 2**19], "sram_bytes1": [2**17, 2**19], "sram_bytes2": [2**17]})
    chips: dict[object, set[object]] = {}
    count = 0
    for codes in space.enumerate_codes():
        params = space.decode(codes)
        hardware = {name: value for name, value in params.items() if name not in ("policy", "scheduler")}
        chip = architecture_of(params, WORKLOAD).chip(WORKLOAD)
        chips.setdefault(chip_key(hardware), set()).add(
            (params["architecture"], tuple(slot.levels for slot in chip.slots), chip.dram_bytes_per_s,
             sum(chip.area_mm2.values()), chip.leakage_w))
        count += 1
    assert all(len(same) == 1 for same in chips.values())
    assert len({chip for same in chips.values() for chip in same}) <= len(chips) < count
