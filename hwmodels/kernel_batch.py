"""The event loop for batches on one undivided engine: order of events, charges and records of `hwmodels.kernel`.

Model
-----
A *group* is a batch: requests of one network at one layer. A waiting request stands in the line of its network. At
every decision the policy (form `batch`) may let groups at the same layer merge, give up the places of requests that
have left, start a group from the lines, and say which group runs, for how many layers at most, or until when nobody
does. Where groups merge or shrink it is asked again at once. It is asked at arrivals, when a request leaves (exit or
end), after the layers it named, and when it said; a decision is charged to the layer that it starts, if that is the
first of a group or there was somebody else.

* A layer of a group costs the row of its batch size (`CostTable.batch_latency_s`, ...), once: the engine is busy once,
  every member is served for the whole time, energy is shared equally. Members whose rows differ (samples of measured
  profiles): the mean of what each of them would cost as a batch of that size.
* A request that leaves is finished at once. Its place in the group is computed on until the policy compacts the group:
  an exit-agnostic policy pays for it to the end of the group.
* Live data: what a group holds is saved by the group that takes its place and restored when it runs again, or when
  another group that has caught up merges with it. Merging and compacting move nothing else.
* Records: a span per member and layer whose units are the share 1 / members, so that spans add up to the busy time.

With one request per group this is `hwmodels.kernel_single` under a key policy with `run_ahead`, to the bit.

Limits
------
The layer after a merge is costed as if its inputs lay where the plan of that batch size has them: the residency of the
merged parts may differ from it by their live bytes.
"""

import numpy as np
from numba import njit

from hwmodels.compiled import part
from hwmodels.kernel_parts import admit, children_of, heap_pop, heap_push, refresh

__all__ = ["run_batches"]

_WAITING, _GROUPED, _GONE = 0, 1, 2


@part
def _of_batch(one, many, row, count):  # type: ignore[no-untyped-def]
    """A column of a row at a batch size; without a table of batches `count` times that of one request."""
    if count == 1:
        return one[row]
    if many.shape[0] == 0:
        return count * one[row]
    return many[count - 1, row]


@part
def _cost(one, many, first_row, member, follows, first_rows, layer, slots, members):  # type: ignore[no-untyped-def]
    """A column of a layer of a group; `first_row` of its members, -1 if they differ."""
    if first_row >= 0:
        return _of_batch(one, many, first_row + layer, slots)
    total = 0.0
    while member >= 0:
        total += _of_batch(one, many, first_rows[member] + layer, slots)
        member = follows[member]
    return total / members


# Longer than a screen: one loop over local variables, because compiled code cannot keep its state in objects for free.
@njit(cache=True, error_model="numpy")
def run_batches(hw, many, requests, lookups, visible, batch, most, params, plan, record, tasks, lines, groups, order,  # type: ignore[no-untyped-def]
                out):
    """Serve all requests; writes `out`.

    Parameters
    ----------
    many : `kernel_parts.BatchCosts`.
    most : largest batch.
    tasks, lines, groups, order : scratch, shapes (n,), (networks,), (most groups at a time,), (1,).
    """
    latency_s, dram_bytes, energy_j, live_bytes = hw.latency_s, hw.dram_bytes, hw.energy_j, hw.live_bytes
    bandwidth = hw.engine_bytes_per_s[0]
    n = len(requests.arrival_s)
    zero = n - n  # not a literal: pieces would be compiled for those too
    first_child, sibling = children_of(requests.parent)
    state = np.zeros(8)
    place = np.full(n, -1, dtype=np.int64)
    follows = np.full(n, -1, dtype=np.int64)  # next in the line or group
    precedes = np.full(n, -1, dtype=np.int64)  # the one before in the line
    line_end = np.full(len(lines), -1, dtype=np.int64)
    first_rows = np.empty(n, dtype=np.int64)
    for x in range(len(lines)):
        lines[x].first, lines[x].count = -1, 0
    for r in range(n):
        first_rows[r] = hw.offset[requests.network[r], requests.sample[r], 0, 0]
    room = len(groups)
    group_end = np.empty(room, dtype=np.int64)  # last member
    first_row = np.empty(room, dtype=np.int64)
    leaves = np.empty(room, dtype=np.int64)  # layers after which the next member leaves
    live = np.empty(room)  # on chip
    saved = np.empty(room)  # in DRAM, to be restored
    parked = np.empty(room, dtype=np.bool_)
    n_groups = 0
    resident = -1  # unfinished group whose live data are on the engine
    late_keys = np.empty(n)
    late_requests = np.empty(n, dtype=np.int64)
    late_unused = np.empty(n, dtype=np.int64)
    n_late = zero
    arriving = np.empty(n, dtype=np.int64)
    finished = np.empty(n, dtype=np.int64)
    n_finished = 0
    picks = np.empty(n, dtype=np.int64)
    now = 0.0
    upcoming = 0
    waiting = 0
    admitted = zero
    total_bytes, total_overhead, decisions, events, busy = 0.0, 0.0, 0, 0, 0.0
    while True:
        # in the order in which they became ready: arrivals before now, followers of what has finished, arrivals now
        n_arriving = 0
        while upcoming < n and (requests.parent[upcoming] >= 0 or requests.arrival_s[upcoming] < now):
            if requests.parent[upcoming] < 0:
                arriving[n_arriving] = upcoming
                n_arriving += 1
            upcoming += 1
        for f in range(n_finished):
            child = first_child[finished[f]]
            while child >= 0:
                arriving[n_arriving] = child
                n_arriving += 1
                child = sibling[child]
        n_finished = 0
        if waiting + n_groups + n_arriving == 0:
            if upcoming >= n:
                break
            if requests.arrival_s[upcoming] > now:
                now = requests.arrival_s[upcoming]
        while upcoming < n and (requests.parent[upcoming] >= 0 or requests.arrival_s[upcoming] == now):
            if requests.parent[upcoming] < 0:
                arriving[n_arriving] = upcoming
                n_arriving += 1
            upcoming += 1
        for a in range(n_arriving):
            r = arriving[a]
            out.ready_s[r] = requests.arrival_s[r] if requests.parent[r] < 0 else now
            admit(tasks[r], admitted, out.ready_s[r], r, requests, lookups, visible)
            admitted += 1
            x = requests.network[r]
            follows[r], precedes[r] = -1, line_end[x]
            if line_end[x] >= 0:
                follows[line_end[x]] = r
            else:
                lines[x].first = r
            line_end[x] = r
            lines[x].count += 1
            place[r] = _WAITING
            waiting += 1
            if requests.drop_late[r]:
                n_late = heap_push(late_keys, late_requests, late_unused, n_late, requests.deadline_s[r], r, r)
        while n_late > 0 and late_keys[0] <= now:
            r = late_requests[0]
            n_late = heap_pop(late_keys, late_requests, late_unused, n_late)
            if place[r] == _WAITING:  # dropped; what follows it is never released
                _leave_line(r, requests.network[r], lines, line_end, follows, precedes)
                place[r] = _GONE
                waiting -= 1
        if waiting + n_groups == 0:
            continue

        # the decision, taken again as long as groups change
        changed = True
        while changed:
            changed = False
            order[0].run, order[0].layers, order[0].start, order[0].wait_until_s = -1, 2**31, 0, np.inf
            for g in range(n_groups):
                groups[g].into, groups[g].compact, groups[g].park_s = -1, 0, 0.0
                if g == resident:
                    groups[g].park_s = hw.switch_s + 2.0 * live[g] / bandwidth
                if parked[g]:
                    groups[g].park_s += hw.switch_s + saved[g] / bandwidth
            batch(tasks, lines, follows, groups, n_groups, order, picks, now, params, state, plan)
            for g in range(n_groups):
                if groups[g].compact == 1 and groups[g].slots > groups[g].members:
                    live[g] *= groups[g].members / groups[g].slots
                    saved[g] *= groups[g].members / groups[g].slots
                    groups[g].slots = groups[g].members
                    changed = True
            for g in range(n_groups - 1, -1, -1):
                h = groups[g].into
                if (h < 0 or h >= g or groups[h].network != groups[g].network or groups[h].layer != groups[g].layer
                        or groups[h].slots + groups[g].slots > most):
                    continue
                changed = True
                follows[group_end[h]] = groups[g].first
                group_end[h] = group_end[g]
                groups[h].members += groups[g].members
                groups[h].slots += groups[g].slots
                if first_row[g] != first_row[h]:
                    first_row[h] = -1
                if leaves[g] < leaves[h]:
                    leaves[h] = leaves[g]
                live[h] += live[g]
                saved[h] += saved[g]
                parked[h] |= parked[g]
                if resident == g:
                    resident = h
                elif resident > g:
                    resident -= 1
                for k in range(g + 1, n_groups):
                    _move(k, k - 1, groups, group_end, first_row, leaves, live, saved, parked)
                n_groups -= 1
        new = n_groups
        run = order[0].run if 0 <= order[0].run <= new else -1
        started = 0
        for p in range(order[0].start if new < room else 0):
            r = picks[p]
            if started == most or place[r] != _WAITING or (
                    started > 0 and requests.network[r] != groups[new].network):
                break
            started = _join(r, started, new, requests, tasks, lines, line_end, follows, precedes, groups, group_end,
                            first_row, first_rows, leaves)
            place[r] = _GROUPED
        if run == new and started == 0:
            run = -1
        if run < 0 and started == 0:
            at = requests.arrival_s[upcoming] if upcoming < n else np.inf
            if order[0].wait_until_s < at:
                at = order[0].wait_until_s
            if now < at < np.inf:
                now = at
                continue
            run = n_groups - 1  # the machine never stops for good
            if run < 0:
                run, r = new, -1
                for x in range(len(lines)):
                    first = lines[x].first
                    if first >= 0 and (r < 0 or tasks[first].order < tasks[r].order):
                        r = first
                started = _join(r, 0, new, requests, tasks, lines, line_end, follows, precedes, groups, group_end,
                                first_row, first_rows, leaves)
                place[r] = _GROUPED
        if started > 0:
            waiting -= started
            live[new], saved[new], parked[new] = 0.0, 0.0, False
            n_groups += 1
            if run < 0:
                run = new

        layer, members, slots, member = groups[run].layer, groups[run].members, groups[run].slots, groups[run].first
        overhead, moved = 0.0, 0.0
        if layer == 0 or waiting + n_groups >= 2:
            overhead += hw.decision_s
            decisions += 1
        if layer == 0:
            m = member
            while m >= 0:
                out.start_s[m] = now
                m = follows[m]
        if resident != run:
            if resident >= 0:
                moved += live[resident]
                saved[resident] += live[resident]
                live[resident] = 0.0
                parked[resident] = True
                m = groups[resident].first
                while m >= 0:
                    out.preemptions[m] += 1
                    m = follows[m]
            resident = run
        if parked[run]:
            moved += saved[run]
            overhead += hw.switch_s
            saved[run], parked[run] = 0.0, False
        if moved > 0.0:
            overhead += moved / bandwidth
            total_bytes += moved
        total_overhead += overhead

        next_arrival = requests.arrival_s[upcoming] if upcoming < n else np.inf
        stop = leaves[run]
        if layer + order[0].layers < stop:
            stop = layer + order[0].layers
            if stop <= layer:
                stop = layer + 1
        service, energy, share, base = 0.0, moved * hw.j_per_byte, 1.0 / members, first_row[run]
        while True:
            duration = overhead + _cost(latency_s, many.latency_s, base, member, follows, first_rows, layer, slots,
                                        members)
            end = now + duration
            energy += _cost(energy_j, many.energy_j, base, member, follows, first_rows, layer, slots, members)
            total_bytes += _cost(dram_bytes, many.dram_bytes, base, member, follows, first_rows, layer, slots, members)
            service += duration
            if record:
                m = member
                while m >= 0:
                    out.spans[events, 0], out.spans[events, 1] = now, end
                    out.spans[events, 2], out.spans[events, 3] = m, layer
                    out.spans[events, 4], out.spans[events, 5] = 0.0, share
                    events += 1
                    m = follows[m]
            else:
                events += members
            layer += 1
            now = end
            overhead = 0.0
            if layer == stop or next_arrival <= now:
                break
        busy += service
        groups[run].layer = layer
        live[run] = _cost(live_bytes, many.live_bytes, base, member, follows, first_rows, layer - 1, slots, members)
        kept, first, least = -1, -1, 2**31
        while member >= 0:
            after = follows[member]
            out.service_s[member] += service
            out.energy_j[member] += energy * share if members > 1 else energy
            tasks[member].layer, tasks[member].last_s = layer, now
            tasks[member].service_s += service
            if requests.layers[member] == layer:
                out.finish_s[member] = now
                place[member] = _GONE
                at = n_finished
                while at > 0 and finished[at - 1] > member:
                    finished[at] = finished[at - 1]
                    at -= 1
                finished[at] = member
                n_finished += 1
            else:
                refresh(tasks[member], requests.look[member], lookups, visible.groups)
                if requests.layers[member] < least:
                    least = requests.layers[member]
                if kept >= 0:
                    follows[kept] = member
                else:
                    first = member
                kept = member
            member = after
        if kept >= 0:
            follows[kept] = -1
            groups[run].first, group_end[run], leaves[run] = first, kept, least
            groups[run].members = members - n_finished
        else:
            for k in range(run + 1, n_groups):
                _move(k, k - 1, groups, group_end, first_row, leaves, live, saved, parked)
            n_groups -= 1
            resident = -1
    out.busy_s[0] = busy
    out.totals[0], out.totals[1], out.totals[2], out.totals[3] = total_bytes, total_overhead, decisions, events


@part
def _leave_line(r, x, lines, line_end, follows, precedes):  # type: ignore[no-untyped-def]
    """Take request r out of line x."""
    if precedes[r] >= 0:
        follows[precedes[r]] = follows[r]
    else:
        lines[x].first = follows[r]
    if follows[r] >= 0:
        precedes[follows[r]] = precedes[r]
    else:
        line_end[x] = precedes[r]
    lines[x].count -= 1


@part
def _join(r, started, g, requests, tasks, lines, line_end, follows, precedes, groups, group_end, first_row,  # type: ignore[no-untyped-def]
          first_rows, leaves):
    """Move waiting request r into group g, which is being started and has `started` members; returns how many now."""
    _leave_line(r, requests.network[r], lines, line_end, follows, precedes)
    follows[r] = -1
    if started == 0:
        groups[g].network, groups[g].layer, groups[g].first = requests.network[r], 0, r
        first_row[g], leaves[g] = first_rows[r], requests.layers[r]
    else:
        follows[group_end[g]] = r
        if first_row[g] != first_rows[r]:
            first_row[g] = -1
        if requests.layers[r] < leaves[g]:
            leaves[g] = requests.layers[r]
    group_end[g] = r
    groups[g].members = groups[g].slots = started + 1
    return started + 1


@part
def _move(k, to, groups, group_end, first_row, leaves, live, saved, parked):  # type: ignore[no-untyped-def]
    """Group k becomes number `to`."""
    groups[to].network, groups[to].layer, groups[to].members = groups[k].network, groups[k].layer, groups[k].members
    groups[to].slots, groups[to].first = groups[k].slots, groups[k].first
    groups[to].into, groups[to].compact, groups[to].park_s = groups[k].into, groups[k].compact, groups[k].park_s
    group_end[to], first_row[to], leaves[to] = group_end[k], first_row[k], leaves[k]
    live[to], saved[to], parked[to] = live[k], saved[k], parked[k]
