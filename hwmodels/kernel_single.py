"""The event loop for one undivided engine: the fast path of `hwmodels.kernel`, with the semantics of the general one.

A decision is taken at a layer boundary if it could change the choice. Where a policy gives numbers the tasks stand in a
line (`hwmodels.kernel_line`), so that a queue of thousands costs a logarithm; with `run_ahead` the running task goes
on, layer by layer, up to the next arrival or its own end.
"""

import numpy as np

from hwmodels.compiled import loop, piece
from hwmodels.kernel_line import first_of, leave, stand, take, wait
from hwmodels.kernel_parts import KEY, SELECT, admit, heap_pop, heap_push, next_root, overdue, refresh, removed

__all__ = ["run_single"]


@piece
def _write_spans(spans, at, now, overhead, latency_s, first, last, r, layer):  # type: ignore[no-untyped-def]
    """Layers `first` to `last` of the table that request r ran without a break, beginning with its `layer`."""
    for row in range(first, last):
        end = now + (overhead + latency_s[row])
        spans[at, 0], spans[at, 1], spans[at, 2] = now, end, r
        spans[at, 3], spans[at, 4], spans[at, 5] = layer, 0.0, 1.0
        now, overhead = end, 0.0
        at += 1
        layer += 1


# Longer than a screen: one loop over local variables, because compiled code cannot keep its state in objects for free.
@loop
def run_single(hw, requests, lookups, visible, key, rank, keeps, select, form, run_ahead, use_keeps, quantum_s, params,  # type: ignore[no-untyped-def]
               rewind, record, watch, counts, tasks, line, first_child, sibling, state, closed, ran, scratch, out):
    """Serve all requests; writes `out`.

    Parameters
    ----------
    key, rank, keeps, select : functions of the policy; `form` says which it has, `use_keeps` whether it has `keeps`.
    quantum_s : a policy that ranks is asked again this long after it was last asked, or after an arrival.
    watch, counts : when to stop before all are served (`kernel_parts.Watch`), and its `counters`.
    tasks, line : scratch for the tasks in the system, for n (`kernel_line.line_of`).
    first_child, sibling : of `children_of`.
    state, closed, ran, scratch : scratch, shapes (16,), (1,), (1,) and `kernel_parts.scratch(n, 8, 2)`; zeros.
    rewind : admission and clock of the Dysta artefact: strictly before now, and when the queue runs empty exactly the
        next request is admitted and now becomes its arrival, even if that lies in the past.
    """
    n = len(requests.arrival_s)
    zero = n - n  # not a literal: pieces would be compiled for those too
    use_key = form == KEY
    arrival_s, parent, drop_late = requests.arrival_s, requests.parent, requests.drop_late
    totals = out.totals
    ints, floats = scratch
    request_of, free_slots, seen = ints[0], ints[1], ints[2]
    queue, size = ints[3], zero  # select: all tasks, in queue order
    late_requests, late_slots = ints[4], ints[5]
    arriving, saved = ints[6], ints[7]  # requests that become ready at this instant; flags
    live, late_keys = floats[0], floats[1]
    n_free, used = zero, zero  # slots below `used` were used before
    asked_s = 0.0
    n_late = zero
    latency_s, dram_bytes, energy_j, live_bytes = hw.latency_s, hw.dram_bytes, hw.energy_j, hw.live_bytes
    bandwidth = hw.engine_bytes_per_s[0]
    now = 0.0
    upcoming = next_root(parent, zero)
    next_s = arrival_s[upcoming] if upcoming < n else np.inf
    ready = 0
    order = zero
    epoch = 0
    resident = -1  # unfinished task whose live data are on the engine
    total_overhead, decisions, events, busy = 0.0, 0, 0, 0.0
    finished = -1
    levels = watch.more_j.size
    watched, late, missed = counts
    look_s, excess_j = 0.0 if levels > 0 else np.inf, 0.0
    while True:
        if look_s < now:
            look_s = overdue(watch, now, requests.tenant, out.finish_s, excess_j, watched, late, missed)
            if look_s < 0.0:
                out.totals[5] = now
                break
        # in the order in which they became ready: arrivals before now, followers of what has finished, arrivals now
        n_arriving = 0
        while next_s < now and not (rewind and ready == 0):
            arriving[n_arriving] = upcoming
            n_arriving += 1
            upcoming = next_root(parent, upcoming + 1)
            next_s = arrival_s[upcoming] if upcoming < n else np.inf
        if finished >= 0:
            child = first_child[finished]
            while child >= 0:
                arriving[n_arriving] = child
                n_arriving += 1
                child = sibling[child]
            finished = -1
        if ready + n_arriving == 0:
            if upcoming >= n:
                break
            if rewind or next_s > now:
                now = next_s
        while upcoming < n and ((next_s == now and not rewind) or ready + n_arriving == 0):
            arriving[n_arriving] = upcoming
            n_arriving += 1
            upcoming = next_root(parent, upcoming + 1)
            next_s = arrival_s[upcoming] if upcoming < n else np.inf
        for a in range(n_arriving):
            r = arriving[a]
            slot = used
            if n_free > 0:
                n_free -= 1
                slot = free_slots[n_free]
            else:
                used += 1
            request_of[slot] = r
            ready_s = arrival_s[r] if parent[r] < 0 else now
            out.ready_s[r] = ready_s
            admit(tasks[slot], order, ready_s, r, requests, lookups, visible)
            if form == SELECT:
                queue[size] = slot
                size += 1
            else:
                stand(form, key, rank, tasks, line, slot, zero, now, ready + 1, params)
            if drop_late[r]:
                n_late = heap_push(late_keys, late_requests, late_slots, n_late, requests.deadline_s[r], r, slot)
            order += 1
            ready += 1
        if n_arriving > 0:
            epoch += 1
        while n_late > 0 and late_keys[0] <= now:
            slot, r = late_slots[0], late_requests[0]
            n_late = heap_pop(late_keys, late_requests, late_slots, n_late)
            if request_of[slot] != r or not np.isnan(out.start_s[r]):
                continue
            ready -= 1  # dropped; what follows it is never released
            if form == SELECT:
                size = removed(queue, size, slot)
            else:
                leave(form, line, slot)
            free_slots[n_free] = slot
            n_free += 1
            request_of[slot] = -1
        if ready == 0:
            continue

        slot = resident
        if form == SELECT:
            slot = queue[select(tasks, queue, size, now, params, state)]
        elif resident < 0 or use_key or seen[resident] != epoch or now >= asked_s + quantum_s:
            asked_s = now
            if resident < 0 or ready > 1:
                ran[0] = resident
                first = first_of(form, key, rank, tasks, line, ran, 1 if resident >= 0 else 0, closed, now, ready,
                                 params)
                if first != resident and (resident < 0 or not use_keeps or keeps(
                        tasks, resident, first, now, params) == 0):
                    if resident >= 0:
                        wait(form, key, rank, tasks, line, resident, now, ready, params)
                    take(form, line, first)
                    slot = first

        r = request_of[slot]
        layer = tasks[slot].layer
        overhead, moved = 0.0, 0.0
        if layer == 0 or (ready >= 2 and (not run_ahead or seen[slot] != epoch)):
            overhead += hw.decision_s
            decisions += 1
        if layer == 0:
            out.start_s[r] = now
        seen[slot] = epoch
        if resident != slot:
            if resident >= 0:
                moved += live[resident]
                saved[resident] = 1
                out.preemptions[request_of[resident]] += 1
            if saved[slot] == 1:
                moved += live[slot]
                overhead += hw.switch_s
                saved[slot] = 0
            if moved > 0.0:
                overhead += moved / bandwidth
                totals[0] += moved
            resident = slot
        total_overhead += overhead

        first_row = hw.offset[requests.network[r], requests.sample[r], 0, 0]
        row, last_row = first_row + layer, first_row + requests.layers[r]
        # until others could be chosen
        until_s = -np.inf
        if run_ahead or (use_key and not use_keeps and ready == 1):
            until_s = np.nextafter(next_s, np.inf) if rewind else next_s
        service = overhead + latency_s[row]
        energy = moved * hw.j_per_byte + energy_j[row]
        drawn_bytes = totals[0] + dram_bytes[row]  # one that lives as long as the loop would be kept in memory
        begin_s, first = now, row
        now += service
        row += 1
        while row < last_row and now < until_s:
            duration = latency_s[row]
            now += duration
            energy += energy_j[row]
            drawn_bytes += dram_bytes[row]
            service += duration
            row += 1
        totals[0] = drawn_bytes
        if record:
            _write_spans(out.spans, events, begin_s, overhead, latency_s, first, row, r, layer)
        events += row - first
        layer += row - first
        busy += service
        out.service_s[r] += service
        out.energy_j[r] += energy
        tasks[slot].layer = layer
        tasks[slot].last_s = now
        tasks[slot].service_s += service
        if row < last_row:
            live[slot] = live_bytes[row - 1]
            refresh(tasks[slot], requests.look[r], lookups, visible.groups)
            continue
        out.finish_s[r] = now
        if levels > 0:
            excess_j += out.energy_j[r] - watch.least_j[requests.tenant[r]]
        finished = r
        resident = -1
        ready -= 1
        epoch += 1
        free_slots[n_free] = slot
        n_free += 1
        request_of[slot] = -1
        if form == SELECT:
            size = removed(queue, size, slot)
        else:
            leave(form, line, slot)
    out.busy_s[0] = busy
    totals[1], totals[2], totals[3] = total_overhead, decisions, events
