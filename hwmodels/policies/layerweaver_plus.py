"""Layerweaver+: Layerweaver, and a second mode for requests that run out of slack.

slack = deadline - time at which the issued work is computed - estimated remaining time. A candidate is urgent if its
slack is below `urgent` isolated latencies of its request but not negative: who is late already is not. The urgent one
with the least slack goes on; if there is none, Layerweaver decides.
"""

from hwmodels.policies.base import Param, Policy, issue
from hwmodels.policies.layerweaver import PARAMS, account, best_mix_plan, issued, weave

__all__ = ["POLICY"]


@issue
def _issue(tasks, heads, count, port, now, params, state, plan):  # type: ignore[no-untyped-def]
    least = account(tasks, heads, count, state, plan)
    start = port[0].unit_s if port[0].unit_s > now else now
    urgent, least_slack = -1, 0.0
    for h in range(count):
        task = tasks[heads[h].slot]
        slack = task.deadline_s - start - task.remaining_s
        if 0.0 <= slack < params[2] * task.isolated_s and (urgent < 0 or slack < least_slack):
            urgent, least_slack = h, slack
    if urgent >= 0:
        return issued(tasks, heads, urgent, plan)
    return issued(tasks, heads, weave(tasks, heads, count, port, now, params[0], params[1], least, plan), plan)


POLICY = Policy(
    name="layerweaver_plus",
    summary="Layerweaver; a request that runs out of slack goes first.",
    source="Y. H. Oh et al., Layerweaver, HPCA 2021, doi:10.1109/HPCA51647.2021.00056",
    origin="reconstruction",
    params=PARAMS | {"urgent": Param(0.5, 0.0, 10.0, "slack below which a request goes first, in isolated latencies "
                                                     "[-]")},
    needs=("deadline_s", "remaining_s", "isolated_s"),
    issue=_issue,
    prepare=best_mix_plan,
    machines="single",
    discipline="shared",
    deviations="the published second mode is known to exist only: that it acts by slack is inferred; otherwise as "
               "layerweaver",
)
