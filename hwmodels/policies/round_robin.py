"""Round robin: turns of a fixed number of layers, or of at least a fixed time.

A turn ends at the first layer boundary at which `quantum_layers` layers have run, `quantum_s` has passed since it began
and somebody waits; the task then goes behind all that wait, those that arrive at this very instant included.
`memory_a` = layers and `memory_b` = service time at the end of the last turn, `memory_c` = when that was.
"""

import numpy as np

from hwmodels.policies.base import Param, Policy, keeps, key

__all__ = ["POLICY"]


@key
def _key(tasks, i, params):  # type: ignore[no-untyped-def]
    return np.nextafter(tasks[i].last_s, np.inf) if tasks[i].layer > 0 else tasks[i].ready_s


@keeps
def _keeps(tasks, runner, first, now, params):  # type: ignore[no-untyped-def]
    task = tasks[runner]
    if task.memory_c == now:
        return 0
    layers, service_s = (task.memory_a, task.memory_b) if task.memory_c >= 0.0 else (0.0, 0.0)
    if task.layer - layers < params[0] or task.service_s - service_s < params[1]:
        return 1
    task.memory_a, task.memory_b, task.memory_c = task.layer, task.service_s, now
    return 0


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
    key=_key,
    keeps=_keeps,
)
