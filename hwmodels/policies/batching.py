"""What the batching policies share: a stack of groups, and the test whether a push makes anybody late.

Model
-----
The top of the stack runs. At a decision:

1. Groups at the same layer merge.
2. Waiting requests of the top's network are pushed as a new group, the longest prefix of their line for which nobody's
   slack breaks. They catch up with the group below and merge with it.
3. An empty stack starts with the network of the oldest waiting request, by the same test.

The test sums the time that is left for all: the groups of the stack, their parking, the newcomers. Every request of
the stack, every newcomer, and the first that goes on waiting in each line (after all of that and its own time) must end
by its deadline. A request that could not, even if it ran alone from now on, protects nobody.

What is left for a group of b requests is b times that of one (serial, pessimistic where batches are sublinear), or with
`slack_test` = 1 what the table of batches says: newcomers run to the layer of the group below as a batch of their own,
then with it, and so on. Where requests may leave, of a batch of b there are b P(reach) at a later layer, rounded up.

`plan` (from `plan_of`), B = `max_batch`: row n B + b - 1, column l: time left for b requests of network n at layer l;
row N B + n: probability of reaching layer l. Parameters: 0 = `max_batch`, 1 = `slack_test`.
"""

import numpy as np
from numpy.typing import NDArray

from hwmodels.policies.base import Param, inline
from hwmodels.tables import CostTable

__all__ = ["LARGEST", "MAX_BATCH", "SLACK_TEST", "plan_of", "stack_step"]

LARGEST = 64
MAX_BATCH = Param(8.0, 1.0, LARGEST, "most requests computed together [-]", True)
SLACK_TEST = Param(0.0, 0.0, 1.0, "1: time left by the costs of batches; 0: serial, requests one after the other [-]",
                   True)

_FOREVER = 2**31


def _rest(work: NDArray[np.float64], stay: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    """Time from every layer on to the end, shape (L + 1,): the mean over the exits, or a quantile of it.

    Parameters
    ----------
    work : of every layer, shape (L,), or (L, L): that of layer k when a request is at layer l.
    stay : probability of going on after every layer, shape (L,).
    quantile : in (0, 1); 0 = the mean.
    """
    layers = len(stay)
    rest = np.zeros(layers + 1)
    for at in range(layers):
        own = work if work.ndim == 1 else work[at]
        reach = np.concatenate([[1.0], np.cumprod(stay[at : layers - 1])])  # of layers at, at + 1, ...
        if quantile > 0.0:  # the least depth that a share of at least `quantile` does not pass
            deep = int(np.argmax(np.append(1.0 - reach[1:], 1.0) >= quantile - 1e-12))
            rest[at] = own[at : at + deep + 1].sum()
        else:
            rest[at] = (reach * own[at:]).sum()
    return rest


def plan_of(table: CostTable, most: int, *, by_batch: bool, exits: bool, quantile: float = 0.0) -> NDArray[np.float64]:
    """The plan of the module's docstring, from what is declared.

    Parameters
    ----------
    by_batch : take the costs of batches, not b times those of one.
    exits : count on the exits; else on the whole network.
    quantile : of the time left, in (0, 1); 0 = its mean.
    """
    networks, deepest = len(table.n_layers), int(table.n_layers.max())
    plan = np.zeros((networks * most + networks, deepest + 1))
    for n in range(networks):
        layers = int(table.n_layers[n])
        first = int(table.offset[n, 0, 0, 0])
        rows = slice(first, first + layers)
        one = table.estimate_s[rows]
        stay = np.ones(layers)
        if exits and table.exit_frac is not None:
            stay = 1.0 - table.exit_frac[rows]
        plan[networks * most + n, 0] = 1.0
        plan[networks * most + n, 1:layers] = np.cumprod(stay[: layers - 1])
        single = _rest(one, stay, quantile)
        for b in range(1, most + 1):
            plan[n * most + b - 1, : layers + 1] = b * single
        if not by_batch or table.batch_latency_s is None:
            continue
        told = table.latency_s[rows]
        scale = np.divide(table.batch_latency_s[:most, rows], told, where=told > 0.0, out=np.zeros((most, layers)))
        many = np.maximum(scale, 1.0) * one
        for b in range(2, most + 1):
            work = np.zeros((layers, layers))
            for at in range(layers):
                reach = np.concatenate([[1.0], np.cumprod(stay[at : layers - 1])])
                left = np.ceil(b * reach - 1e-9).astype(int).clip(1)
                work[at, at:] = many[left - 1, np.arange(at, layers)]
            plan[n * most + b - 1, : layers + 1] = _rest(work, stay, quantile)
    return plan


@inline
def _among(x):  # type: ignore[no-untyped-def]
    """A mean number of requests as one that the plan knows."""
    return int(x - 1e-9) + 1 if x > 1.0 else 1


@inline
def _drain_s(groups, top, n, newcomers, most, networks, serial, plan):  # type: ignore[no-untyped-def]
    """Time left for the groups 0 .. top, all of network n, and so many newcomers, parking excluded."""
    total = 0.0
    if serial:
        for g in range(top + 1):
            total += plan[n * most + groups[g].slots - 1, groups[g].layer]
        if newcomers > 0:
            total += plan[n * most + newcomers - 1, 0]
        return total
    reach = networks * most + n
    count, at = float(newcomers), 0
    for g in range(top, -1, -1):
        here = groups[g].layer
        if count > 0.0 and here > at and plan[reach, at] > 0.0:
            go_on = plan[reach, here] / plan[reach, at]
            total += plan[n * most + _among(count) - 1, at]
            if go_on > 0.0:
                total -= go_on * plan[n * most + _among(count * go_on) - 1, here]
            count *= go_on
        count += groups[g].slots
        at = here
    return total + plan[n * most + _among(count) - 1, at]


@inline
def _breaks(tasks, lines, follows, groups, top, n, newcomers, spent, now, most, plan):  # type: ignore[no-untyped-def]
    """Whether somebody is late who need not be, if the stack and the first `newcomers` in line n need `spent` seconds;
    `top` = -1: an empty stack."""
    end = now + spent
    for g in range(top + 1):
        alone = now + plan[n * most, groups[g].layer]
        i = groups[g].first
        while i >= 0:
            if end > tasks[i].deadline_s >= alone:
                return True
            i = follows[i]
    i = lines[n].first
    for _ in range(newcomers):
        if end > tasks[i].deadline_s >= now + plan[n * most, 0]:
            return True
        i = follows[i]
    if top < 0:
        return False
    for x in range(len(lines)):
        j = lines[x].first if x != n else i
        if j >= 0 and end + plan[x * most, 0] > tasks[j].deadline_s >= now + plan[x * most, 0]:
            return True
    return False


@inline
def stack_step(tasks, lines, follows, groups, n_groups, order, picks, now, params, plan, may_push):  # type: ignore[no-untyped-def]
    """One decision of a stack; `may_push`: 0 = the running group must not be interrupted here."""
    most, serial = int(params[0]), params[1] < 0.5
    networks = len(lines)
    top = n_groups - 1
    if top > 0 and groups[top].layer == groups[top - 1].layer:
        groups[top].into = top - 1
        return
    slots, parking = 0, 0.0
    for g in range(top + 1):
        slots += groups[g].slots
        parking += groups[g].park_s
    if top >= 0:
        n = groups[top].network
    else:
        n = -1
        for x in range(networks):
            i = lines[x].first
            if i >= 0 and (n < 0 or tasks[i].order < tasks[lines[n].first].order):
                n = x
    newcomers = 0
    if top < 0:
        newcomers = 1
    while (may_push or top < 0) and newcomers < lines[n].count and slots + newcomers < most:
        spent = parking + _drain_s(groups, top, n, newcomers + 1, most, networks, serial, plan)
        if _breaks(tasks, lines, follows, groups, top, n, newcomers + 1, spent, now, most, plan):
            break
        newcomers += 1
    order[0].run = n_groups if newcomers > 0 else top
    i = lines[n].first
    for p in range(newcomers):
        picks[p] = i
        i = follows[i]
    order[0].start = newcomers
    at, below = 0, top
    if newcomers == 0:
        at, below = groups[top].layer, top - 1
    if below >= 0:
        order[0].layers = groups[below].layer - at
    if lines[n].count > newcomers and slots + newcomers < most:
        order[0].layers = 1  # time passes: the test may come out otherwise after the next layer
