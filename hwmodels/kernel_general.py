"""The event loop for any machine: several engines, pools of units, a shared DRAM channel.

Order of what happens at one instant: ends of layers (engine, then request), followers of what finished, arrivals,
drops, one round of decisions, and the rates of the DRAM channel.

A round of decisions hands out the idle units. The policy names the best waiting task; it goes to the place where it is
expected to finish first, or keeps waiting for a busy engine if that ends sooner; then the next best, until
no unit is idle, nobody is left, or `_PATIENCE` tasks chose to wait. The queue of a policy with a key is sorted by it,
the best task last: who runs comes and goes at the end, so that a long queue costs little more than a short one.
"""

import numpy as np
from numba import njit

from hwmodels.compiled import part
from hwmodels.kernel_assign import VIEW, seat, show_running, show_waiting
from hwmodels.kernel_parts import KEY, RANK, admit, children_of, heap_pop, heap_push, overdue, refresh
from hwmodels.kernel_places import best_level, lendable, rates, to_place
from hwmodels.kernel_rank import scan
from hwmodels.policies.base import RANKED

__all__ = ["run_general"]

_PATIENCE = 32
"""Tasks that may prefer a busy engine before a round of decisions gives up on the idle ones."""


@part
def _insert(queue, size, slot, tasks, keys, use_key):  # type: ignore[no-untyped-def]
    """Let a task wait: by key, largest first, then latest first; without a key in order of admission. The new size."""
    at, high = 0, size
    while at < high:
        middle = (at + high) >> 1
        other = queue[middle]
        later = tasks[other].order > tasks[slot].order
        if use_key:
            later = keys[other] < keys[slot] or (keys[other] == keys[slot] and not later)
        if later:
            high = middle
        else:
            at = middle + 1
    for p in range(size, at, -1):
        queue[p] = queue[p - 1]
    queue[at] = slot
    return size + 1


# Longer than a screen: one loop over local variables, because compiled code cannot keep its state in objects for free.
@njit(cache=True, error_model="numpy")
def run_general(hw, requests, lookups, visible, key, rank, keeps, select, form, run_ahead, use_keeps, quantum_s, params,  # type: ignore[no-untyped-def]
                assign, use_assign, plan, record, watch, tasks, seats, chip, out):
    """Serve all requests; writes `out`. Parameters as in `kernel_single.run_single`; `seats`, shape (n,) for a
    policy that assigns, else (0,), and `chip`, shape (E,), are scratch."""
    # written-out columns: an attribute of a tuple of arrays costs a reference count at every use
    n_layers, offset, units, level_units = hw.n_layers, hw.offset, hw.units, hw.level_units
    latency_s, dram_bytes, energy_j, live_bytes = hw.latency_s, hw.dram_bytes, hw.energy_j, hw.live_bytes
    engine_bytes_per_s, any_left_s, own_left_s = hw.engine_bytes_per_s, hw.any_left_s, hw.own_left_s
    estimate_s, stay_frac = hw.estimate_s, hw.stay_frac
    n = len(requests.arrival_s)
    zero = n - n  # not a literal: pieces would be compiled for those too
    n_engines = units.size
    first_child, sibling = children_of(requests.parent)
    use_key = form == KEY
    state = np.zeros(16)
    ranked = np.empty(n if form == RANK else 0, dtype=RANKED)
    asked_s = 0.0
    request_of = np.full(n, -1, dtype=np.int64)
    free_slots = np.arange(n - 1, -1, -1)
    n_free = n
    live = np.empty(n)  # bytes held since the last layer, -1 before the first
    holds = np.empty(n, dtype=np.int64)  # engine that holds them, -1 = DRAM
    last_engine = np.empty(n, dtype=np.int64)
    last_level = np.empty(n, dtype=np.int64)
    seen = np.zeros(n, dtype=np.int64)
    picked = np.zeros(n, dtype=np.bool_)
    keys = np.empty(n)
    queue = np.empty(n, dtype=np.int64)
    candidates = np.empty(0 if use_key else n, dtype=np.int64)
    held = np.empty(n, dtype=np.int64)  # tasks whose layer ended in a pool since somebody last started
    n_held = 0
    size = zero
    late_keys = np.empty(n)
    late_requests = np.empty(n, dtype=np.int64)
    late_slots = np.empty(n, dtype=np.int64)
    n_late = zero
    arriving = np.empty(n, dtype=np.int64)
    # running layers
    most = 0
    for e in range(n_engines):
        most += units[e]
    run_slot = np.empty(most, dtype=np.int64)
    run_engine = np.empty(most, dtype=np.int64)
    run_units = np.empty(most, dtype=np.int64)
    run_begin = np.empty(most)
    run_since = np.empty(most)
    run_left = np.empty(most)
    run_end = np.empty(most)
    run_need = np.empty(most)
    run_drawn = np.empty(most)
    run_row = np.empty(most, dtype=np.int64)
    speed = np.empty(most)
    new_speed = np.empty(most)
    running = zero
    ended = np.empty(most, dtype=np.int64)
    # engines
    idle = units.copy()
    engine_level = hw.top_level.copy()
    resident = np.full(n_engines, -1, dtype=np.int64)  # engines of one unit: unfinished task whose data they hold
    free_at = np.empty(n_engines)
    layer_end = np.empty(n_engines)
    displaced = np.empty(n_engines, dtype=np.int64)  # running task that a smaller key would displace
    bound_here = np.empty(n_engines, dtype=np.int64)  # waiting tasks that are bound to it
    left = np.empty(n_engines + 1, dtype=np.int64)  # those of them to ask in this round, for policies with a key
    waits = np.zeros(n_engines + 1, dtype=np.int64)  # all the time; [-1]: those that may use every engine
    # choices of one round
    pick_slot = np.empty(most, dtype=np.int64)
    pick_engine = np.empty(most, dtype=np.int64)
    pick_level = np.empty(most, dtype=np.int64)
    unsaved = np.zeros(n_engines)
    # policies that assign: time left and bandwidth needed at every place
    shown = seats.size
    lefts = np.empty((shown, n_engines, level_units.size))
    needs = np.empty((shown, n_engines, level_units.size))
    moved_on = np.ones(n, dtype=np.bool_)  # its place, layer or data are not those it was shown with
    now = 0.0
    upcoming = 0
    order = zero
    epoch = 0
    total_bytes, total_overhead, decisions, events = 0.0, 0.0, 0, 0
    levels = watch.more_j.size
    watched, late = np.zeros(levels, dtype=np.int64), np.zeros((levels, watch.spare.size), dtype=np.int64)
    missed = np.zeros(levels, dtype=np.int64)
    look_s, excess_j = 0.0 if levels > 0 else np.inf, 0.0
    while True:
        while upcoming < n and requests.parent[upcoming] >= 0:
            upcoming += 1
        now = requests.arrival_s[upcoming] if upcoming < n else np.inf
        for x in range(running):
            if run_end[x] < now:
                now = run_end[x]
        if now == np.inf:
            break
        if look_s < now:
            look_s = overdue(watch, now, requests.tenant, out.finish_s, excess_j, watched, late, missed)
            if look_s < 0.0:
                out.totals[5] = now
                break
        n_arriving = 0

        # ends of layers
        n_ended = 0
        for x in range(running):
            if run_end[x] <= now:
                at = n_ended
                while at > 0 and (run_engine[ended[at - 1]] > run_engine[x] or (
                        run_engine[ended[at - 1]] == run_engine[x]
                        and request_of[run_slot[ended[at - 1]]] > request_of[run_slot[x]])):
                    ended[at] = ended[at - 1]
                    at -= 1
                ended[at] = x
                n_ended += 1
        for index in range(n_ended):
            x = ended[index]
            slot, e = run_slot[x], run_engine[x]
            r = request_of[slot]
            took = now - run_begin[x]
            idle[e] += run_units[x]
            out.busy_s[e] += took * run_units[x] / units[e]
            out.service_s[r] += took
            if record:
                out.spans[events, 0], out.spans[events, 1], out.spans[events, 2] = run_begin[x], now, r
                out.spans[events, 3], out.spans[events, 4] = tasks[slot].layer, e
                out.spans[events, 5] = run_units[x]
            events += 1
            live[slot] = live_bytes[run_row[x]]
            holds[slot] = e
            moved_on[slot] = True
            tasks[slot].layer += 1
            tasks[slot].last_s = now
            tasks[slot].service_s += took
            if tasks[slot].layer < requests.layers[r]:
                refresh(tasks[slot], requests.look[r], lookups, visible.groups)
                if use_key:
                    keys[slot] = key(tasks, slot, params)
                size = _insert(queue, size, slot, tasks, keys, use_key)
                waits[requests.engine[r]] += 1
                if units[e] > 1:
                    held[n_held] = slot
                    n_held += 1
                continue
            out.finish_s[r] = now
            if levels > 0:
                excess_j += out.energy_j[r] - watch.least_j[requests.tenant[r]]
            epoch += 1
            if resident[e] == slot:
                resident[e] = -1
            request_of[slot] = -1
            free_slots[n_free] = slot
            n_free += 1
            child = first_child[r]
            while child >= 0:
                arriving[n_arriving] = child
                n_arriving += 1
                child = sibling[child]
        if n_ended > 0:
            kept = 0
            for x in range(running):
                if run_end[x] > now:
                    run_slot[kept], run_engine[kept], run_units[kept] = run_slot[x], run_engine[x], run_units[x]
                    run_begin[kept], run_since[kept], run_left[kept] = run_begin[x], run_since[x], run_left[x]
                    run_end[kept], run_need[kept], run_row[kept] = run_end[x], run_need[x], run_row[x]
                    run_drawn[kept] = run_drawn[x]
                    speed[kept] = speed[x]
                    kept += 1
            running = kept

        # arrivals and drops
        while upcoming < n and requests.arrival_s[upcoming] <= now:
            if requests.parent[upcoming] < 0:
                arriving[n_arriving] = upcoming
                n_arriving += 1
            upcoming += 1
        for a in range(n_arriving):
            r = arriving[a]
            n_free -= 1
            slot = free_slots[n_free]
            request_of[slot] = r
            live[slot] = -1.0
            holds[slot] = -1
            moved_on[slot] = True
            last_engine[slot] = -1
            last_level[slot] = -1
            out.ready_s[r] = now
            admit(tasks[slot], order, now, r, requests, lookups, visible)
            if use_key:
                keys[slot] = key(tasks, slot, params)
            order += 1
            size = _insert(queue, size, slot, tasks, keys, use_key)
            waits[requests.engine[r]] += 1
            if requests.drop_late[r]:
                n_late = heap_push(late_keys, late_requests, late_slots, n_late, requests.deadline_s[r], r, slot)
        if n_arriving > 0:
            epoch += 1
        while n_late > 0 and late_keys[0] <= now:
            slot, r = late_slots[0], late_requests[0]
            n_late = heap_pop(late_keys, late_requests, late_slots, n_late)
            if request_of[slot] != r or not np.isnan(out.start_s[r]):
                continue
            position = 0
            while queue[position] != slot:
                position += 1
            size -= 1
            for p in range(position, size):
                queue[p] = queue[p + 1]
            waits[requests.engine[r]] -= 1
            request_of[slot] = -1
            free_slots[n_free] = slot
            n_free += 1

        # one round of decisions
        n_picks = 0
        spare = 0
        for e in range(n_engines):
            spare += idle[e]
            free_at[e], layer_end[e], unsaved[e] = now, now, 0.0
            displaced[e] = -1
            bound_here[e] = waits[e] if use_key else 0
        unbound = waits[-1] if use_key else 0
        n_seen, to_ask = 0, 0
        if use_assign:
            if size > 0 and spare > 0:
                for e in range(n_engines):
                    chip[e].units, chip[e].idle, chip[e].bytes_per_s = units[e], idle[e], hw.bytes_per_s
                for p in range(size):
                    slot = queue[p]
                    r = request_of[slot]
                    bound = requests.engine[r]
                    if bound >= 0 and idle[bound] == 0:
                        continue
                    if bound < 0:
                        unbound += 1
                    else:
                        bound_here[bound] += 1
                    continues = live[slot] >= 0.0 and tasks[slot].last_s == now
                    if moved_on[slot]:
                        show_waiting(offset, any_left_s if bound < 0 else own_left_s, estimate_s, dram_bytes,
                                     engine_bytes_per_s, hw.reconfigure_s, hw.switch_s, lefts, needs, slot,
                                     requests.network[r], requests.sample[r], tasks[slot].layer, bound, engine_level,
                                     last_engine[slot], last_level[slot], holds[slot], live[slot], continues)
                        moved_on[slot] = hw.reconfigure_s > 0.0  # then it depends on what the engines last lent
                        seats[slot].engine, seats[slot].need_bytes_per_s, seats[slot].drop = last_engine[slot], 0.0, 0
                        seats[slot].droppable = 1 if requests.drop_late[r] else 0
                    seats[slot].units = level_units[last_level[slot]] if continues else 0
                    seats[slot].cap_bytes_per_s, seats[slot].to_engine, seats[slot].to_units = np.inf, -1, 0
                    candidates[n_seen] = slot
                    n_seen += 1
                    if n_seen == VIEW:
                        break
                for x in range(running):
                    slot = run_slot[x]
                    r = request_of[slot]
                    last = tasks[slot].layer + 1 == n_layers[requests.network[r]]
                    show_running(offset, any_left_s if requests.engine[r] < 0 else own_left_s, estimate_s, dram_bytes,
                                 stay_frac, lefts, needs, slot, requests.network[r], requests.sample[r],
                                 tasks[slot].layer, last, requests.engine[r], run_row[x], now - run_begin[x])
                if n_seen > 0:
                    assign(tasks, seats, candidates, n_seen, run_slot, running, lefts, needs, chip, level_units, now,
                           params, state, plan)
                kept = 0
                for p in range(n_seen):
                    slot = candidates[p]
                    if seats[slot].droppable == 0:
                        seats[slot].drop = 0
                    if seats[slot].drop == 0:
                        candidates[kept] = slot
                        kept += 1
                if kept < n_seen:
                    n_seen = kept
                    kept = 0
                    for q in range(size):
                        slot = queue[q]
                        if seats[slot].drop == 0:
                            queue[kept] = slot
                            kept += 1
                            continue
                        seats[slot].drop = 0
                        if holds[slot] >= 0 and resident[holds[slot]] == slot:
                            resident[holds[slot]] = -1
                        holds[slot] = -1
                        request_of[slot] = -1
                        free_slots[n_free] = slot
                        n_free += 1
                    size = kept
                n_picks = seat(seats, lefts, candidates, n_seen, running == 0, idle, level_units, pick_slot,
                               pick_engine, pick_level)
        elif size > 0 and spare > 0:
            for x in range(running):
                e, slot = run_engine[x], run_slot[x]
                r = request_of[slot]
                after = run_row[x] + 1
                stays = run_end[x]
                if tasks[slot].layer + 1 < n_layers[requests.network[r]]:
                    stays += stay_frac[after - 1] * own_left_s[after]
                if idle[e] == 0 and (free_at[e] == now or stays < free_at[e]):
                    free_at[e] = stays
                    layer_end[e] = run_end[x]
                    displaced[e] = slot
            waiting, to_ask = 0, size  # with a key queue[:to_ask] is still to be asked
            if use_key:
                waiting = unbound
                for e in range(n_engines):
                    left[e] = bound_here[e] if idle[e] > 0 else 0
                    waiting += left[e]
            else:
                for p in range(size):
                    e = requests.engine[request_of[queue[p]]]
                    if e < 0:
                        unbound += 1
                    else:
                        bound_here[e] += 1
                    if e < 0 or idle[e] > 0:
                        candidates[waiting] = queue[p]
                        waiting += 1
            patience = _PATIENCE
            while waiting > 0 and spare > 0 and patience > 0:
                position = 0
                if use_key:
                    to_ask -= 1
                    slot = queue[to_ask]
                    bound = requests.engine[request_of[slot]]
                    if bound >= 0 and idle[bound] == 0:
                        continue
                elif form == RANK:
                    ran = -1  # the last one that has just run
                    for p in range(waiting):
                        if live[candidates[p]] >= 0.0 and tasks[candidates[p]].last_s == now:
                            ran = p
                    if ran >= 0 and seen[candidates[ran]] == epoch and now < asked_s + quantum_s:
                        position = ran
                    else:
                        asked_s = now
                        position = scan(rank, tasks, candidates, waiting, now, waiting, params, ranked)
                        if ran >= 0 and use_keeps and position != ran and keeps(
                                tasks, candidates[ran], candidates[position], now, params) != 0:
                            position = ran
                else:
                    position = select(tasks, candidates, waiting, now, params, state)
                if not use_key:
                    slot = candidates[position]
                r = request_of[slot]
                network, sample, bound = requests.network[r], requests.sample[r], requests.engine[r]
                continues = live[slot] >= 0.0 and tasks[slot].last_s == now
                best, best_e, best_u, best_idle = np.inf, -1, -1, False
                for e in range(n_engines):
                    if bound >= 0 and bound != e:
                        continue
                    begin, lend, limit = now, units[e], units[e]
                    if idle[e] > 0:
                        lend = lendable(idle[e], waiting, level_units[0])
                        limit = idle[e]
                    else:
                        begin = free_at[e]
                        if use_key and displaced[e] >= 0 and keys[slot] < key(tasks, displaced[e], params):
                            begin = layer_end[e]
                    seconds, level = best_level(
                        offset, any_left_s if bound < 0 else own_left_s, level_units, network, sample,
                        tasks[slot].layer, lend, limit, engine_bytes_per_s[e], hw.reconfigure_s, hw.switch_s,
                        engine_level[e], last_engine[slot], last_level[slot], holds[slot], live[slot], continues, e)
                    if level >= 0 and (begin + seconds < best
                                       or (begin + seconds == best and idle[e] > 0 and not best_idle)):
                        best, best_e, best_u, best_idle = begin + seconds, e, level, idle[e] > 0
                if best_e >= 0 and best_idle:
                    pick_slot[n_picks], pick_engine[n_picks], pick_level[n_picks] = slot, best_e, best_u
                    n_picks += 1
                    idle[best_e] -= level_units[best_u]
                    spare -= level_units[best_u]
                else:
                    patience -= 1
                if best_e >= 0 and idle[best_e] == 0:
                    free_at[best_e] = best
                    layer_end[best_e] = best
                    displaced[best_e] = -1
                full = best_e if best_e >= 0 and idle[best_e] == 0 else -2
                waiting -= 1
                if use_key:
                    left[bound] -= 1
                    if full >= 0:  # those bound to it need not be asked any more
                        waiting -= left[full]
                        left[full] = 0
                    continue
                for p in range(position, waiting):
                    candidates[p] = candidates[p + 1]
                if full >= 0 and bound_here[full] > 0:
                    kept = 0
                    for p in range(waiting):
                        if requests.engine[request_of[candidates[p]]] != full:
                            candidates[kept] = candidates[p]
                            kept += 1
                    waiting = kept
        if n_picks == 0:
            if n_ended > 0:
                rates(hw.dram_mode, hw.bytes_per_s, now, running, run_need, run_drawn, speed, new_speed, run_since,
                      run_left, run_end)
            continue

        # who gives way: in a pool a task that was not picked again as its layer ended, on an engine of one unit the
        # task whose data it holds, as soon as another one starts there
        for p in range(n_picks):
            slot = pick_slot[p]
            if holds[slot] >= 0 and resident[holds[slot]] == slot and holds[slot] != pick_engine[p]:
                resident[holds[slot]] = -1
            if tasks[slot].layer == 0:
                out.start_s[request_of[slot]] = now
            picked[slot] = True
        kept = to_ask if use_key else 0
        for q in range(kept, size):
            slot = queue[q]
            if not picked[slot]:
                queue[kept] = slot
                kept += 1
        size = kept
        for x in range(n_held):
            slot = held[x]
            e = holds[slot]
            if not picked[slot] and e >= 0 and units[e] > 1:
                unsaved[e] += live[slot]
                holds[slot] = -1
                moved_on[slot] = True
                out.preemptions[request_of[slot]] += 1
        n_held = 0

        for p in range(n_picks):
            slot, e, u = pick_slot[p], pick_engine[p], pick_level[p]
            picked[slot] = False
            r = request_of[slot]
            waits[requests.engine[r]] -= 1
            layer = tasks[slot].layer
            continues = layer > 0 and tasks[slot].last_s == now
            overhead, moved = to_place(engine_bytes_per_s[e], hw.reconfigure_s, hw.switch_s, engine_level[e],
                                        last_engine[slot], last_level[slot], holds[slot], live[slot], continues, e, u)
            if units[e] == 1:
                other = resident[e]
                if other >= 0 and other != slot:
                    unsaved[e] += live[other]
                    holds[other] = -1
                    moved_on[other] = True
                    out.preemptions[request_of[other]] += 1
                resident[e] = slot
            if unsaved[e] > 0.0:
                overhead += unsaved[e] / engine_bytes_per_s[e]
                moved += unsaved[e]
                unsaved[e] = 0.0
            if layer == 0 or (unbound + bound_here[e] >= 2 and (not run_ahead or seen[slot] != epoch)):
                overhead += hw.decision_s
                decisions += 1
            seen[slot] = epoch
            engine_level[e] = u
            last_engine[slot], last_level[slot] = e, u
            holds[slot] = e
            row = offset[requests.network[r], requests.sample[r], e, u] + layer
            duration = overhead + latency_s[row]
            total_bytes += moved + dram_bytes[row]
            total_overhead += overhead
            out.energy_j[r] += energy_j[row] + moved * hw.j_per_byte
            run_slot[running], run_engine[running], run_units[running] = slot, e, level_units[u]
            run_begin[running], run_since[running], run_left[running] = now, now, duration
            run_end[running] = now + duration
            run_need[running] = (moved + dram_bytes[row]) / duration if duration > 0.0 else 0.0
            run_drawn[running] = run_need[running]
            if use_assign:
                seats[slot].engine, seats[slot].units = e, level_units[u]
                seats[slot].need_bytes_per_s = run_need[running]
                if seats[slot].cap_bytes_per_s < run_need[running]:
                    run_drawn[running] = seats[slot].cap_bytes_per_s
            run_row[running] = row
            speed[running] = 1.0
            running += 1
        rates(hw.dram_mode, hw.bytes_per_s, now, running, run_need, run_drawn, speed, new_speed, run_since, run_left,
              run_end)
    out.totals[0], out.totals[1], out.totals[2], out.totals[3] = total_bytes, total_overhead, decisions, events
