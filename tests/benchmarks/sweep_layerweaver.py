"""Where the gain of interleaving lives: throughput over one network at a time, by the balance of the NPU.

Run `python tests/benchmarks/sweep_layerweaver.py`. Pairs of a convolutional and a language network on two 128 x 128
arrays (48 TOPS), batch 1, 32 MB of buffer; the DRAM bandwidth goes from starved to ample. Printed per bandwidth: mean
share of time on compute and on the channel of one network at a time, mean gain of the bound, of `layerweaver` and of
`ai_mt` as policies of the kernel with their default parameters. The published +60.1 % is a mean over 16 pairs of its
own; here single pairs reach it where compute and channel are about equally busy, which is where the hump is. Whole
inferences are counted, so gains are understated by up to 2 %.
"""

import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "hwmodels"))

from test_layerweaver import LAYERS, NPUS  # type: ignore[import-not-found]
from test_prefetch import endless, progress  # type: ignore[import-not-found]

from hwmodels.layerweaver import Stream, isolated_s, lower, rate_bound

PAIRS = tuple(product(("inceptionv3", "mobilenetv2", "resnet50", "resnext50"),
                      ("bert_base_128", "bert_large_128", "xlnet_like_128")))


def _row(bandwidth: float) -> tuple[float, ...]:
    """Means over the pairs: busy shares of one at a time, STP of the bound and of both policies; then that of the best
    pair."""
    npu = replace(NPUS["B"], dram_bytes_per_s=bandwidth)
    streams = {name: lower(*np.array(layers).T, npu) for name, layers in LAYERS.items()}

    def busy(stream: Stream) -> tuple[float, float]:
        alone = isolated_s(stream, npu)
        return stream.compute_s.sum() / alone, stream.weight_bytes.sum() / bandwidth / alone

    found = []
    for names in PAIRS:
        pair = [streams[name] for name in names]
        case = endless(pair, npu, 40)
        found.append((*np.mean([busy(s) for s in pair], axis=0), rate_bound(pair, npu).stp,
                      progress(case, "layerweaver")[1], progress(case, "ai_mt")[1]))
    return (*np.mean(found, axis=0).tolist(), max(row[-1] for row in found))


if __name__ == "__main__":
    print(f"{'GB/s':>7}{'compute':>9}{'channel':>9}{'bound':>8}{'layerweaver':>13}{'ai_mt':>8}{'best pair':>11}")
    for gigabytes in (4, 8, 17, 24, 34, 48, 68, 96, 136, 272, 544):
        compute, channel, bound, weaver, blocks, best = _row(gigabytes * 1e9)
        print(f"{gigabytes:>7}{compute:>9.2f}{channel:>9.2f}{bound - 1:>+8.1%}{weaver - 1:>+13.1%}{blocks - 1:>+8.1%}"
              f"{best - 1:>+11.1%}  " + "#" * round(60 * max(0.0, blocks - 1)))
