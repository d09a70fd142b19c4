"""Shortest remaining time first on the scheduler's estimates, preemptive at layer boundaries (SRPT)."""

from hwmodels.policies.base import Policy, key

__all__ = ["POLICY"]


@key
def _key(tasks, i, params):  # type: ignore[no-untyped-def]
    return tasks[i].remaining_s


POLICY = Policy(
    name="sjf",
    summary="Shortest estimated remaining time first, preemptive at layer boundaries.",
    source="L. Schrage, Operations Research 16(3), 1968, doi:10.1287/opre.16.3.687",
    origin="textbook",
    needs=("remaining_s",),
    key=_key,
    run_ahead=True,
)
