"""AI-MT: layers cut in blocks; loads of blocks run ahead, blocks that compute are merged to cover them, blocks leave
the buffer early when it is short.

Model
-----
Every layer with weights is cut in `tiles` equal blocks, each a memory block (the load of its weights) and a compute
block. Blocks are issued by the rule of Layerweaver: memory blocks are fetched ahead as long as the lead of the compute
unit is longer than `theta` of the time in which the buffer fills; below it compute blocks follow each other (merged)
until they cover the next memory block. With one tile per layer this is Layerweaver, exactly.

Early eviction (`evict` = 1, layers cut in two or more): if the memory block that should be fetched next waits for room
in the buffer, and the last issued block has not begun, computes longer than it loads, belongs to another network and
makes room enough, it leaves the buffer. Memory blocks of the memory-bound network thus stay. An evicted block is loaded
again: its bytes count twice.

Limits
------
Blocks of a layer are equal; one compute unit (16 arrays in the paper). Only the last issued block can leave, because
the order of computing is that of issue.
"""

from hwmodels.policies.base import Param, Policy, issue
from hwmodels.policies.layerweaver import PARAMS, account, best_mix_plan, issued, weave

__all__ = ["POLICY"]


@issue
def _issue(tasks, heads, count, port, now, params, state, plan):  # type: ignore[no-untyped-def]
    least = account(tasks, heads, count, state, plan)
    if state[1] > 0.0:  # an eviction made room for this task
        state[1] -= 1.0
        for h in range(count):
            if heads[h].slot == int(state[1]):
                state[1] = 0.0
                return issued(tasks, heads, h, plan)
        state[1] = 0.0
    choice = weave(tasks, heads, count, port, now, params[0], params[1], least, plan)
    head = heads[choice]
    if (params[2] >= 2.0 and params[3] >= 0.5 and port[0].evictable == 1 and head.begin_s > now
            and head.load_s > head.compute_s and port[0].last_compute_s > port[0].last_load_s
            and port[0].last_slot != head.slot and head.bytes <= port[0].free_bytes + port[0].last_bytes):
        own = plan[tasks[port[0].last_slot].tenant]
        if own[0] > 0.0 and own[1] > 0.0:
            own[2] -= (port[0].last_compute_s + port[0].last_load_s) / own[1] / own[0]
        state[1] = head.slot + 1.0
        return -1
    return issued(tasks, heads, choice, plan)


POLICY = Policy(
    name="ai_mt",
    summary="Blocks of layers of opposed networks overlap loads and computing; blocks leave a short buffer early.",
    source="E. Baek, D. Kwon, J. Kim, AI-MT, ISCA 2020, doi:10.1109/ISCA45697.2020.00081",
    origin="reconstruction",
    params=PARAMS | {
        "tiles": Param(4.0, 1.0, 64.0, "blocks per layer with weights; whole numbers, rounded down [-]"),
        "evict": Param(1.0, 0.0, 1.0, "1: blocks of compute-bound layers leave the buffer for a waiting load; 0: never "
                                      "[-]"),
    },
    blocks="tiles",
    issue=_issue,
    prepare=best_mix_plan,
    machines="single",
    discipline="shared",
    deviations="known from its abstract: the rule is that of our Layerweaver; eviction by reload; a request alone "
               "in the system is not prefetched",
)
