"""The event loop for one undivided engine: the fast path of `hwmodels.kernel`, with the semantics of the general one.

A decision is taken at a layer boundary if it could change the choice. For a policy with a key the waiting tasks stand
in a heap, for one that ranks in a tree (`hwmodels.kernel_rank`), so that a queue of thousands costs a logarithm; with
`run_ahead` the running task goes on, layer by layer, up to the next arrival or its own end.
"""

import numpy as np

from hwmodels.compiled import loop
from hwmodels.kernel_parts import KEY, RANK, admit, heap_pop, heap_push, overdue, refresh, removed
from hwmodels.kernel_rank import first_of, least_of, leave, stand, take, wait

__all__ = ["run_single"]


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
    tasks, line : scratch for the tasks in the system, for n; `line` for none if the policy does not rank.
    first_child, sibling : of `children_of`.
    state, closed, ran, scratch : scratch, shapes (16,), (1,), (1,) and `kernel_parts.scratch(n, 10, 3)`; zeros.
    rewind : admission and clock of the Dysta artefact: strictly before now, and when the queue runs empty exactly the
        next request is admitted and now becomes its arrival, even if that lies in the past.
    """
    n = len(requests.arrival_s)
    zero = n - n  # not a literal: pieces would be compiled for those too
    use_key = form == KEY
    ints, floats = scratch
    request_of, free_slots, seen, queue, orders = ints[0], ints[1], ints[2], ints[3], ints[4]
    late_requests, late_slots = ints[5], ints[6]
    arriving, saved, dead = ints[7], ints[8], ints[9]  # requests that become ready at this instant; flags
    live, keys, late_keys = floats[0], floats[1], floats[2]
    # queue: key: heap of the waiting tasks; select: all of them, in queue order
    for slot in range(n):
        free_slots[slot] = n - 1 - slot
    n_free = n
    asked_s = 0.0
    size = zero
    n_late = zero
    latency_s, dram_bytes, energy_j, live_bytes = hw.latency_s, hw.dram_bytes, hw.energy_j, hw.live_bytes
    bandwidth = hw.engine_bytes_per_s[0]
    now = 0.0
    upcoming = 0
    ready = 0
    order = zero
    epoch = 0
    runner = -1  # key: the task out of the heap
    resident = -1  # unfinished task whose live data are on the engine
    total_bytes, total_overhead, decisions, events, busy = 0.0, 0.0, 0, 0, 0.0
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
        while upcoming < n and (requests.parent[upcoming] >= 0 or requests.arrival_s[upcoming] < now):
            if requests.parent[upcoming] < 0:
                if rewind and ready == 0:
                    break
                arriving[n_arriving] = upcoming
                n_arriving += 1
            upcoming += 1
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
            if rewind or requests.arrival_s[upcoming] > now:
                now = requests.arrival_s[upcoming]
            if rewind:
                arriving[0] = upcoming
                n_arriving = 1
                upcoming += 1
        while not rewind and upcoming < n and (requests.parent[upcoming] >= 0 or requests.arrival_s[upcoming] == now):
            if requests.parent[upcoming] < 0:
                arriving[n_arriving] = upcoming
                n_arriving += 1
            upcoming += 1
        while upcoming < n and requests.parent[upcoming] >= 0:
            upcoming += 1
        for a in range(n_arriving):
            r = arriving[a]
            n_free -= 1
            slot = free_slots[n_free]
            request_of[slot] = r
            saved[slot] = 0
            dead[slot] = 0
            live[slot] = 0.0
            out.ready_s[r] = requests.arrival_s[r] if requests.parent[r] < 0 else now
            admit(tasks[slot], order, out.ready_s[r], r, requests, lookups, visible)
            if use_key:
                size = heap_push(keys, orders, queue, size, key(tasks, slot, params), order, slot)
            elif form == RANK:
                stand(rank, tasks, line, slot, zero, now, ready + 1, params)
            else:
                queue[size] = slot
                size += 1
            if requests.drop_late[r]:
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
            if use_key:
                dead[slot] = 1
                continue
            if form == RANK:
                leave(line, slot, now)
            else:
                size = removed(queue, size, slot)
            free_slots[n_free] = slot
            n_free += 1
            request_of[slot] = -1
        if ready == 0:
            continue

        if use_key:
            while size > 0 and dead[queue[0]] == 1:
                slot = queue[0]
                size = heap_pop(keys, orders, queue, size)
                free_slots[n_free] = slot
                n_free += 1
                request_of[slot] = -1
            if runner < 0:
                runner = queue[0]
                size = heap_pop(keys, orders, queue, size)
            elif size > 0:
                refresh(tasks[runner], requests.look[request_of[runner]], lookups, visible.groups)
                own = key(tasks, runner, params)
                if keys[0] < own or (keys[0] == own and orders[0] < tasks[runner].order):
                    other = queue[0]
                    size = heap_pop(keys, orders, queue, size)
                    size = heap_push(keys, orders, queue, size, own, tasks[runner].order, runner)
                    runner = other
            slot = runner
        elif form == RANK:
            slot = resident
            if resident < 0 or seen[resident] != epoch or now >= asked_s + quantum_s:
                asked_s = now
                first, value = -1, np.inf
                if resident >= 0:
                    ran[0] = resident
                    first, value = least_of(rank, tasks, ran, 1, now, ready, params, line)
                first = first_of(rank, tasks, line, first, value, closed, now, ready, params)
                if first != resident and (resident < 0 or not use_keeps or keeps(
                        tasks, resident, first, now, params) == 0):
                    if resident >= 0:
                        wait(rank, tasks, line, resident, now, ready, params)
                    take(line, first, now)
                    slot = first
        else:
            slot = queue[select(tasks, queue, size, now, params, state)]

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
                total_bytes += moved
            resident = slot
        total_overhead += overhead

        network = requests.network[r]
        first_row = hw.offset[network, requests.sample[r], 0, 0]
        n_layers = requests.layers[r]
        next_arrival = requests.arrival_s[upcoming] if upcoming < n else np.inf
        alone = run_ahead or (use_key and ready == 1)
        service, energy = 0.0, moved * hw.j_per_byte
        while True:
            row = first_row + layer
            duration = overhead + latency_s[row]
            end = now + duration
            energy += energy_j[row]
            total_bytes += dram_bytes[row]
            service += duration
            if record:
                out.spans[events, 0], out.spans[events, 1] = now, end
                out.spans[events, 2], out.spans[events, 3] = r, layer
                out.spans[events, 4], out.spans[events, 5] = 0.0, 1.0
            events += 1
            layer += 1
            now = end
            overhead = 0.0
            if layer == n_layers or not alone or next_arrival < now or (next_arrival == now and not rewind):
                break
        busy += service
        out.service_s[r] += service
        out.energy_j[r] += energy
        tasks[slot].layer = layer
        tasks[slot].last_s = now
        tasks[slot].service_s += service
        if layer < n_layers:
            live[slot] = live_bytes[first_row + layer - 1]
            if not use_key:
                refresh(tasks[slot], requests.look[r], lookups, visible.groups)
            continue
        out.finish_s[r] = now
        if levels > 0:
            excess_j += out.energy_j[r] - watch.least_j[requests.tenant[r]]
        finished = r
        resident = -1
        runner = -1
        ready -= 1
        epoch += 1
        free_slots[n_free] = slot
        n_free += 1
        request_of[slot] = -1
        if form == RANK:
            leave(line, slot, now)
        elif not use_key:
            size = removed(queue, size, slot)
    out.busy_s[0] = busy
    out.totals[0], out.totals[1], out.totals[2], out.totals[3] = total_bytes, total_overhead, decisions, events
