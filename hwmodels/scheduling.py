"""The block that runs a policy with its parameters: `hwmodels.area.scheduler_block` for a design."""

from collections.abc import Mapping

from hwmodels.area import SchedulerBlock, scheduler_block
from hwmodels.policies import policy as named_policy
from hwmodels.technology import Corner

__all__ = ["block_of"]

_TASKS = 8


def block_of(kind: str, policy: str, params: Mapping[str, float], node_nm: float, *,
             corner: Corner = "value") -> SchedulerBlock:
    """Who runs the policy, and at what cost; a batching policy has entries for its largest batch.

    Parameters
    ----------
    kind : `software` or `hardware`.
    params : of the policy, by name.
    """
    record = named_policy(policy)
    together = record.largest_batch(dict(params))
    return scheduler_block(kind, policy, node_nm, tasks=max(_TASKS, together), together=together,
                           overlaps=record.overlaps, corner=corner)
