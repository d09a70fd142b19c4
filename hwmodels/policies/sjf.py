"""Shortest remaining time first on the scheduler's estimates, preemptive at ends of layers or of tiles (SRPT)."""

from hwmodels.policies.base import GRAIN, Policy, at_grain, key

__all__ = ["POLICY"]


@key
def _key(tasks, i, params):  # type: ignore[no-untyped-def]
    return tasks[i].remaining_s


POLICY = Policy(
    name="sjf",
    summary="Shortest estimated remaining time first, preemptive at ends of layers or of tiles.",
    source="L. Schrage, Operations Research 16(3), 1968, doi:10.1287/opre.16.3.687",
    origin="textbook",
    params={"grain": GRAIN},
    needs=("remaining_s",),
    key=_key,
    run_ahead=True,
    stops=at_grain,
)
