"""The eleven schedulers of the Dysta benchmark exactly as its public artefact runs them: `--compat dysta-artifact`.

All quirks of the artefact (H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263; artefact of 18 Sep
2023) live here and in the `rewind` clock of the kernel, nowhere else:

* the clock goes back when the queue runs empty during a layer in which a request arrived (kernel, `rewind`); requests
  that arrive exactly now are not seen yet;
* PREMA adds the whole time since the last layer to the tokens at every event, and leaves the tokens of new tasks out of
  the maximum; its sparse form scales every candidate by the density ratio of the last task of the queue;
* Planaria and SDRM3 scores turn negative when a task is late: the scan rule then lets any next task replace it;
* Dysta adds a dimensionless waiting term to seconds (`hwmodels.policies.dysta` keeps that);
* the density ratio counts layers without sparsity.

With `dysta-corrected` the same formulas run on a clock that never goes back. The registered policies of the same names
mend all of this.
"""

from hwmodels.policies import dysta_naive, dysta_oracle, fcfs, sjf
from hwmodels.policies.base import Param, Policy, inline, key, rank, select
from hwmodels.policies.dysta import BETA, by_score
from hwmodels.policies.prema import threshold

__all__ = ["ARTIFACT"]

_SOURCE = "public artefact of H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263"
_ALPHA = Param(1.0, 0.0, 10.0, "weight of the relative waiting time [-]")


@key
def _sjf_sparse(tasks, i, params):  # type: ignore[no-untyped-def]
    return tasks[i].density_ratio * tasks[i].pattern_remaining_s


@inline
def _add_tokens(tasks, queue, count, now, sparse):  # type: ignore[no-untyped-def]
    """Update all tokens (`memory_a`); returns the threshold."""
    largest = 0.0
    for position in range(count):
        task = tasks[queue[position]]
        if not task.memory_a >= 0.0:
            task.memory_a = task.priority
            continue
        if task.memory_a >= 9.0:  # more makes no difference
            largest = 9.0
            continue
        idle = now - task.last_s
        if sparse:
            task.memory_a += task.priority * idle / (task.density_ratio * task.pattern_isolated_s)
        else:
            task.memory_a += task.priority * idle / task.isolated_s
        if task.memory_a > largest:
            largest = task.memory_a
    return threshold(largest if largest > 1.0 else 1.0)


@select
def _prema(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    least = _add_tokens(tasks, queue, count, now, False)
    best, best_left = -1, 0.0
    for position in range(count):
        task = tasks[queue[position]]
        if task.memory_a >= least and (best < 0 or task.remaining_s < best_left):
            best, best_left = position, task.remaining_s
    return best if best >= 0 else 0


@select
def _prema_sparse(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    least = _add_tokens(tasks, queue, count, now, True)
    ratio = tasks[queue[count - 1]].density_ratio
    best, best_left = -1, 0.0
    for position in range(count):
        task = tasks[queue[position]]
        left = ratio * task.pattern_remaining_s
        if task.memory_a >= least and (best < 0 or left < best_left):
            best, best_left = position, left
    return best if best >= 0 else 0


@inline
def _takes_over(score, arrival, best, best_arrival):  # type: ignore[no-untyped-def]
    """The scan rule of the artefact, first task aside."""
    if best < 0.0:
        return True
    if score == best:
        return not best_arrival < arrival
    return score > best


@select
def _planaria(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    position, best, best_arrival = 0, -1.0, 0.0
    for at in range(count):
        task = tasks[queue[at]]
        score = task.priority / (task.deadline_s - now)
        if _takes_over(score, task.arrival_s, best, best_arrival):
            position, best, best_arrival = at, score, task.arrival_s
    return position


@inline
def _sdrm3_score(left, following, task, now, alpha):  # type: ignore[no-untyped-def]
    ratio = left / (task.deadline_s - now)
    return (ratio if ratio < 1.0 else 1.0) + alpha * (now - task.last_s) / following


@select
def _sdrm3(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    position, best, best_arrival = 0, -1.0, 0.0
    for at in range(count):
        task = tasks[queue[at]]
        score = _sdrm3_score(task.remaining_s, task.next_s, task, now, params[0])
        if _takes_over(score, task.arrival_s, best, best_arrival):
            position, best, best_arrival = at, score, task.arrival_s
    return position


@select
def _sdrm3_sparse(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    position, best, best_arrival = 0, -1.0, 0.0
    for at in range(count):
        task = tasks[queue[at]]
        ratio = task.density_ratio
        score = _sdrm3_score(ratio * task.pattern_remaining_s, ratio * task.pattern_next_s, task, now, params[0])
        if _takes_over(score, task.arrival_s, best, best_arrival):
            position, best, best_arrival = at, score, task.arrival_s
    return position


@rank
def _dysta(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    for p in range(count):
        task = tasks[queue[p]]
        left = task.density_ratio * task.pattern_remaining_s
        by_score(left, task.pattern_isolated_s, task, now, size, most, params[0], ranked[p])


_ARCH = ("isolated_s", "remaining_s", "next_s")
_PATTERN = ("pattern_isolated_s", "pattern_remaining_s", "pattern_next_s", "density_ratio")
_TRUTH = ("true_isolated_s", "true_remaining_s")


def _published(name, needs, params=None, **functions):  # type: ignore[no-untyped-def]
    return Policy(name=name, summary="As the public artefact of Dysta runs it.", source=_SOURCE, origin="publication",
                  needs=needs, params=params or {}, machines="single", **functions)


ARTIFACT: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        fcfs.POLICY,
        sjf.POLICY,
        _published("sjf_sparse", ("pattern_remaining_s", "density_ratio"), key=_sjf_sparse),
        _published("prema", (*_ARCH, "priority"), select=_prema),
        _published("prema_sparse", (*_PATTERN, "priority"), select=_prema_sparse),
        _published("planaria", ("priority", "deadline_s", "arrival_s"), select=_planaria),
        _published("sdrm3", (*_ARCH, "deadline_s", "arrival_s"), {"alpha": _ALPHA}, select=_sdrm3),
        _published("sdrm3_sparse", (*_PATTERN, "deadline_s", "arrival_s"), {"alpha": _ALPHA}, select=_sdrm3_sparse),
        _published("dysta_naive", (*_ARCH, "deadline_s"), {"beta": BETA}, rank=dysta_naive.POLICY.rank),
        _published("dysta", (*_PATTERN, "deadline_s"), {"beta": BETA}, rank=_dysta),
        _published("dysta_oracle", (*_TRUTH, "deadline_s"), {"beta": BETA}, rank=dysta_oracle.POLICY.rank),
    )
}
"""Name -> published semantics. fcfs, sjf, dysta_naive and dysta_oracle have no quirk of their own."""
