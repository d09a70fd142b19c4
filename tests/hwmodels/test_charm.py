"""CHARM: latencies in exact nanoseconds, by hand and against the public model; compositions never worse than its."""

import csv
from pathlib import Path

import pytest

from hwmodels.charm import VCK190, MatmulEngine, Product, Resources, best_engine, compose, latency_ns
from hwmodels.errors import InvalidEngine, InvalidLayer

DATA = Path(__file__).parents[1] / "data" / "scheduling" / "charm"
BERT = [
    Product(3072, 1024, 3072),
    Product(3072, 1024, 1024),
    Product(3072, 1024, 4096),
    Product(3072, 4096, 1024),
    Product(512, 64, 512, 96),
    Product(512, 512, 64, 96),
]


def rows(name):
    with (DATA / name).open() as file:
        return list(csv.DictReader(file))


def unit_engine(**sizes):
    return MatmulEngine(**(dict.fromkeys("abcxyz", 1) | sizes))


def test_latency_by_hand():
    # One tile of 4096 bytes: ceil(4096 / 10.12) = 405 to load and to store, 4392 + 8 * 1024 to compute.
    assert latency_ns(Product(32, 32, 32), unit_engine()) == 405 + 12584 + 405
    # Two tiles of output: the second hides its load and store.
    assert latency_ns(Product(64, 32, 32), unit_engine()) == 405 + 12584 + 12584 + 405
    # Two tiles deep.
    assert latency_ns(Product(32, 64, 32), unit_engine()) == 405 + 12584 + 12584 + 405
    assert latency_ns(Product(32, 32, 32, 7), unit_engine()) == 7 * 13394


@pytest.mark.parametrize("row", rows("layer_latency.csv"), ids=lambda r: f"{r['case']}-{r['M']}-{r['K']}-{r['N']}")
def test_public_latencies(row):
    engine = MatmulEngine(**{k: int(row[k]) for k in ("a", "b", "c", "x", "y", "z", "pack_in", "pack_out")})
    product = Product(*(int(row[k]) for k in ("M", "K", "N", "count")))
    found = latency_ns(product, engine, ddr_share=float(row["ddr_share"]))
    assert found == int(row["latency_ns"])
    gflops = 2 * product.m * product.k * product.n * product.copies / found
    assert gflops == pytest.approx(float(row["gflops"]), abs=1e-3)


def test_public_compositions():
    found = {1: compose(BERT, 1), 2: compose(BERT, 2)}
    for row in rows("bert_composition.csv"):
        cut = tuple(int(part) for part in row["cut_after_sorted_layer"].split())
        best = found[int(row["accelerators"])][cut]
        assert best.latency_ns <= float(row["latency_ms"]) * 1e6 * (1 + 1e-8)
        assert best.latency_ns >= 0.9 * float(row["latency_ms"]) * 1e6
        share = 1 / len(best.groups)
        slowest = max(
            sum(latency_ns(product, engine, ddr_share=share) for product in group)
            for group, engine in zip(best.groups, best.engines, strict=True)
        )
        assert slowest == best.latency_ns
        assert sum(engine.ai_engines for engine in best.engines) <= VCK190.ai_engines
    # The published finding: large products apart from the attention ones.
    assert min(found[2], key=lambda cut: found[2][cut].latency_ns) == (4,)


def test_more_resources_never_hurt_the_search():
    few = best_engine(BERT[:2], Resources(64, 40, 40, 200, 100))
    many = best_engine(BERT[:2], Resources(128, 40, 40, 200, 100))
    assert many[1] <= few[1]
    assert few[0].ai_engines <= 64
    assert best_engine(BERT[:2], Resources(64, 1, 1, 1, 0)) is None


def test_bad_input():
    with pytest.raises(InvalidEngine):
        unit_engine(a=0)
    with pytest.raises(InvalidEngine):
        latency_ns(Product(1, 1, 1), unit_engine(), ddr_share=0)
    with pytest.raises(InvalidLayer):
        latency_ns(Product(0, 1, 1), unit_engine())
    with pytest.raises(InvalidEngine):
        compose(BERT, 7)
