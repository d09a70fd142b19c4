"""First come, first served: in the order of admission, never preempted."""

from hwmodels.policies.base import Policy, key

__all__ = ["POLICY"]


@key
def _key(tasks, i, params):  # type: ignore[no-untyped-def]
    return tasks[i].ready_s


POLICY = Policy(
    name="fcfs",
    summary="First come, first served; nothing is preempted.",
    source="L. Kleinrock, Queueing Systems vol. 1, Wiley 1975",
    origin="textbook",
    discipline="arrival",
    key=_key,
    run_ahead=True,
)
