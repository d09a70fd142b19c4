"""Round robin: turns of a fixed number of layers, or of at least a fixed time.

A turn ends at the first layer boundary at which `quantum_layers` layers have run and `quantum_s` has passed since it
began; the task then goes behind all that wait, those that arrive at this very instant included.
`memory_a` = number of the turn, `memory_b` = layers and `memory_c` = service time at its begin; `state[0]` counts
turns.
"""

from hwmodels.policies.base import Param, Policy, select

__all__ = ["POLICY"]


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    for newcomers in (True, False):
        for position in range(count):
            task = tasks[queue[position]]
            if newcomers:
                over = not task.memory_a >= 0.0
            else:
                over = (task.layer - task.memory_b >= params[0] and task.layer > task.memory_b
                        and task.service_s - task.memory_c >= params[1])
            if over:
                state[0] += 1.0
                task.memory_a = state[0]
                task.memory_b = task.layer
                task.memory_c = task.service_s
    best = 0
    for position in range(1, count):
        if tasks[queue[position]].memory_a < tasks[queue[best]].memory_a:
            best = position
    return best


POLICY = Policy(
    name="round_robin",
    summary="Round robin with a quantum in layers or seconds, whichever ends later.",
    source="L. Kleinrock, Queueing Systems vol. 2, Wiley 1976",
    origin="textbook",
    discipline="shared",
    params={
        "quantum_layers": Param(1.0, 1.0, 1000.0, "layers of one turn [-]"),
        "quantum_s": Param(0.0, 0.0, 1.0, "least duration of one turn; it ends at the next layer boundary [s]"),
    },
    select=_select,
)
