"""Scheduling policies: one file each, registered by being listed here; those of other packages come by entry points.

How to write one: README.md in this folder.
"""

from difflib import get_close_matches

from hwmodels.errors import InvalidPolicy
from hwmodels.policies import (
    ai_mt,
    aurora,
    charm,
    derca,
    dream,
    dysta,
    dysta_aged,
    dysta_naive,
    dysta_oracle,
    edf,
    fcfs,
    fluid_batching,
    graph_batching,
    herald,
    layerweaver,
    layerweaver_plus,
    lazy_batching,
    least_slack,
    magma,
    moca,
    planaria,
    planaria_spatial,
    prema,
    prema_sparse,
    round_robin,
    sdrm3,
    sdrm3_sparse,
    sjf,
    sjf_sparse,
)
from hwmodels.policies.base import Param, Policy
from hwmodels.policies.plugins import with_plugins

__all__ = ["POLICIES", "Param", "Policy", "policy"]

_FILES = (
    fcfs,
    round_robin,
    sjf,
    sjf_sparse,
    edf,
    least_slack,
    prema,
    prema_sparse,
    planaria,
    sdrm3,
    sdrm3_sparse,
    dysta_naive,
    dysta,
    dysta_aged,
    dysta_oracle,
    dream,
    planaria_spatial,
    moca,
    aurora,
    herald,
    magma,
    charm,
    derca,
    layerweaver,
    layerweaver_plus,
    ai_mt,
    graph_batching,
    lazy_batching,
    fluid_batching,
)

POLICIES: dict[str, Policy] = with_plugins({file.POLICY.name: file.POLICY for file in _FILES})


def policy(name: str) -> Policy:
    """The policy of this name.

    Raises
    ------
    InvalidPolicy : unknown, with the nearest name.
    """
    if name not in POLICIES:
        near = get_close_matches(str(name), list(POLICIES), n=1)
        hint = f"did you mean {near[0]!r}?" if near else ""
        raise InvalidPolicy("policy", f"one of {', '.join(POLICIES)}", name, hint)
    return POLICIES[name]
