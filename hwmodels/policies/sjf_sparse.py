"""Shortest remaining time first, the estimate scaled by the density measured so far.

estimate = (mean over executed layers of measured / average density) x remaining time of the network's own average.
Layers whose average sparsity is 0 say nothing and do not count; the public artefact of Dysta counts them.
"""

from hwmodels.policies.base import Policy, key

__all__ = ["POLICY"]


@key
def _key(tasks, i, params):  # type: ignore[no-untyped-def]
    return tasks[i].measured_density_ratio * tasks[i].pattern_remaining_s


POLICY = Policy(
    name="sjf_sparse",
    summary="Shortest remaining time first, estimates scaled by the density measured in the executed layers.",
    source="public artefact of H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    needs=("pattern_remaining_s", "measured_density_ratio"),
    key=_key,
    deviations="layers without sparsity do not enter the density ratio",
)
