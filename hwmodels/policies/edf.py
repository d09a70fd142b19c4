"""Earliest deadline first, preemptive at ends of layers or of tiles.

Requests without a deadline come last, in order of admission.
"""

from hwmodels.policies.base import GRAIN, Policy, at_grain, key

__all__ = ["POLICY"]


@key
def _key(tasks, i, params):  # type: ignore[no-untyped-def]
    return tasks[i].deadline_s


POLICY = Policy(
    name="edf",
    summary="Earliest deadline first, preemptive at ends of layers or of tiles.",
    source="C. Liu, J. Layland, Journal of the ACM 20(1), 1973, doi:10.1145/321738.321743",
    origin="textbook",
    params={"grain": GRAIN},
    discipline="deadline",
    needs=("deadline_s",),
    key=_key,
    run_ahead=True,
    stops=at_grain,
)
