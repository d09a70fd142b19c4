"""The event loop for any machine: several engines, pools of units, a shared DRAM channel.

Order of what happens at one instant: ends of layers (engine, then request), followers of what finished, arrivals,
drops, one round of decisions, and the rates of the DRAM channel.

A round of decisions hands out the idle units. The policy names the best waiting task; it goes to the place where it is
expected to finish first, or keeps waiting for a busy engine if that ends sooner, or goes where the policy sends it;
then the next best, until no unit is idle, nobody is left, or `_PATIENCE` tasks chose to wait. Tasks with numbers stand
in a line (`hwmodels.kernel_line`). For other policies the queue is sorted by order of admission, who comes first at its
end: who runs comes and goes there, so that a long queue costs little more than a short one.
"""

import numpy as np

from hwmodels.compiled import loop, piece
from hwmodels.kernel_assign import VIEW, seat, show_next, show_running, show_waiting
from hwmodels.kernel_line import first_of, leave, stand, take, turn, wait
from hwmodels.kernel_parts import KEY, SELECT, admit, heap_pop, heap_push, overdue, refresh
from hwmodels.kernel_places import best_level, lendable, rates, to_place

__all__ = ["run_general"]

_PATIENCE = 32
"""Tasks that may prefer a busy engine before a round of decisions gives up on the idle ones."""


@piece
def _insert(queue, size, slot, tasks):  # type: ignore[no-untyped-def]
    """Let a task wait, by order of admission, latest first. The new size."""
    at, high = 0, size
    while at < high:
        middle = (at + high) >> 1
        if tasks[queue[middle]].order < tasks[slot].order:
            high = middle
        else:
            at = middle + 1
    for p in range(size, at, -1):
        queue[p] = queue[p - 1]
    queue[at] = slot
    return size + 1


@piece
def _without(queue, size, slot):  # type: ignore[no-untyped-def]
    """Take a task out of the queue, looked for from who comes first. The new size."""
    at = size - 1
    moved = queue[at]
    while moved != slot:
        at -= 1
        moved, queue[at] = queue[at], moved
    return size - 1


@piece
def _sent(sends, tasks, seats, slot, bound, bytes_per_s, params, plan, places):  # type: ignore[no-untyped-def]
    """The engine that a task waits for, -1 = any; `bound`, the one that its tenant may use, if it cannot run there."""
    seats[slot].to_engine, seats[slot].cap_bytes_per_s = -1, np.inf
    sends(tasks, seats, slot, bytes_per_s, params, plan)
    e = seats[slot].to_engine
    if 0 <= e < places.shape[0] and (bound < 0 or bound == e):
        for u in range(places.shape[1]):
            if places[e, u] >= 0:
                return e
    return bound


# Longer than a screen: one loop over local variables, because compiled code cannot keep its state in objects for free.
@loop
def run_general(hw, requests, lookups, visible, key, rank, keeps, select, form, run_ahead, use_keeps, quantum_s, params,  # type: ignore[no-untyped-def]
                assign, use_assign, foresees, sends, use_sends, plan, record, watch, counts, tasks, line, seats, chip,
                first_child, sibling, state, of_tasks, of_layers, of_engines, lefts, needs, rests, out):
    """Serve all requests; writes `out`.

    Parameters
    ----------
    as in `kernel_single.run_single`, and
    sends : function of the policy, if `use_sends`.
    seats, chip : scratch, shapes (n,) for a policy that assigns or sends, else (0,), and (E,).
    of_tasks, of_layers, of_engines : `kernel_parts.scratch` of n tasks (18, 2), all units (8, 8), E + 1 (8, 3); zeros.
    lefts, needs : what a policy that assigns is shown of every task at every place, shape (n, E, U), else (0, E, U).
    foresees, rests : whether it is shown that of running tasks, too; then as `lefts`, else (0, E, U).
    """
    # written-out columns: an attribute of a tuple of arrays costs a reference count at every use
    n_layers, offset, units, level_units = hw.n_layers, hw.offset, hw.units, hw.level_units
    latency_s, dram_bytes, energy_j, live_bytes = hw.latency_s, hw.dram_bytes, hw.energy_j, hw.live_bytes
    engine_bytes_per_s, any_left_s, own_left_s = hw.engine_bytes_per_s, hw.any_left_s, hw.own_left_s
    estimate_s, stay_frac = hw.estimate_s, hw.stay_frac
    n = len(requests.arrival_s)
    zero = n - n  # not a literal: pieces would be compiled for those too
    n_engines = units.size
    use_key = form == KEY
    listed = form == SELECT  # no numbers: the policy is shown the queue
    # tasks
    ints, floats = of_tasks
    request_of, free_slots, seen, queue, arriving = ints[0], ints[1], ints[2], ints[3], ints[4]
    holds, last_engine, last_level = ints[5], ints[6], ints[7]  # engine with its live data, -1 = DRAM; where it ran
    late_requests, late_slots, candidates = ints[8], ints[9], ints[10]
    held = ints[11]  # tasks whose layer ended in a pool since somebody last started
    picked, moved_on = ints[12], ints[13]  # 1: its place, layer or data are not those it was shown with
    named, just, ran = ints[14], ints[15], ints[16]  # by number: 1 = best in this round, 2: starts; who ran until now
    target = ints[17]  # engine that it waits for, -1 = any
    live, late_keys = floats[0], floats[1]  # bytes held since the last layer, -1 before the first
    anywhere, may_drop = True, False  # no tenant is bound to an engine; some requests may be dropped
    for slot in range(n):
        anywhere = anywhere and requests.engine[slot] < 0
        may_drop = may_drop or requests.drop_late[slot]
        request_of[slot], free_slots[slot], moved_on[slot] = -1, n - 1 - slot, 1
    n_free = n
    size, n_late, n_just, n_held, running = zero, zero, zero, 0, zero
    asked_s = 0.0
    # running layers, and the choices of one round
    ints, floats = of_layers
    run_slot, run_engine, run_units, run_row, ended = ints[0], ints[1], ints[2], ints[3], ints[4]
    pick_slot, pick_engine, pick_level = ints[5], ints[6], ints[7]
    run_begin, run_since, run_left, run_end, run_need = floats[0], floats[1], floats[2], floats[3], floats[4]
    run_drawn, speed, new_speed = floats[5], floats[6], floats[7]
    # engines; the last place: any
    ints, floats = of_engines
    idle, engine_level = ints[0, :n_engines], ints[1]
    resident, displaced = ints[2], ints[3]  # unfinished task whose data it holds; one that a smaller key would displace
    bound_here, left = ints[4], ints[5]  # waiting tasks that are bound to it; those to ask in this round
    waits, closed = ints[6], ints[7]  # waiting tasks, all the time; 1: those cannot start now, by bound engine + 1
    free_at, layer_end, unsaved = floats[0], floats[1], floats[2]
    for e in range(n_engines):
        idle[e], engine_level[e], resident[e] = units[e], hw.top_level[e], -1
    now = 0.0
    upcoming = 0
    order = zero
    epoch = 0
    total_bytes, total_overhead, decisions, events = 0.0, 0.0, 0, 0
    levels = watch.more_j.size
    watched, late, missed = counts
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
        if n_just > 0 and tasks[just[0]].last_s != now:
            for p in range(n_just):
                wait(form, key, rank, tasks, line, just[p], now, size, params)
            n_just = 0
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
            moved_on[slot] = 1
            tasks[slot].layer += 1
            tasks[slot].last_s = now
            tasks[slot].service_s += took
            if tasks[slot].layer < requests.layers[r]:
                refresh(tasks[slot], requests.look[r], lookups, visible.groups)
                if use_sends:
                    target[slot] = _sent(sends, tasks, seats, slot, requests.engine[r], hw.bytes_per_s, params, plan,
                                         offset[requests.network[r], requests.sample[r]])
                    turn(line, slot, target[slot] + 1)
                if listed:
                    size = _insert(queue, size, slot, tasks)
                else:
                    just[n_just] = slot
                    n_just += 1
                    size += 1
                waits[target[slot]] += 1
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
            if not listed:
                leave(form, line, slot)
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
                if run_end[x] > now and kept == x:
                    kept += 1
                elif run_end[x] > now:
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
            moved_on[slot] = 1
            last_engine[slot] = -1
            last_level[slot] = -1
            out.ready_s[r] = now
            admit(tasks[slot], order, now, r, requests, lookups, visible)
            target[slot] = requests.engine[r]
            if use_sends:
                target[slot] = _sent(sends, tasks, seats, slot, target[slot], hw.bytes_per_s, params, plan,
                                     offset[requests.network[r], requests.sample[r]])
            if listed:
                size = _insert(queue, size, slot, tasks)
            else:
                stand(form, key, rank, tasks, line, slot, target[slot] + 1, now, size + 1, params)
                size += 1
            order += 1
            waits[target[slot]] += 1
            if requests.drop_late[r]:
                n_late = heap_push(late_keys, late_requests, late_slots, n_late, requests.deadline_s[r], r, slot)
        if n_arriving > 0:
            epoch += 1
        while n_late > 0 and late_keys[0] <= now:
            slot, r = late_slots[0], late_requests[0]
            n_late = heap_pop(late_keys, late_requests, late_slots, n_late)
            if request_of[slot] != r or not np.isnan(out.start_s[r]):
                continue
            if listed:
                size = _without(queue, size, slot)
            else:
                leave(form, line, slot)
                size -= 1
            waits[target[slot]] -= 1
            request_of[slot] = -1
            free_slots[n_free] = slot
            n_free += 1

        # one round of decisions
        n_picks = 0
        spare = 0
        alone = use_sends and size == 1 and running == 0
        for e in range(n_engines):
            spare += idle[e]
            free_at[e], layer_end[e], unsaved[e] = now, now, 0.0
            displaced[e] = -1
            bound_here[e] = 0 if listed else waits[e]
        unbound = 0 if listed else waits[-1]
        n_seen, to_ask = 0, size  # queue[:to_ask] is still to be asked, or shown
        if use_assign:
            if size > 0 and spare > 0:
                for e in range(n_engines):
                    chip[e].units, chip[e].idle, chip[e].bytes_per_s = units[e], idle[e], hw.bytes_per_s
                while to_ask > 0 and n_seen < VIEW:
                    to_ask -= 1
                    slot = queue[to_ask]
                    bound = -1 if anywhere else target[slot]
                    if bound < 0:
                        unbound += 1
                    elif idle[bound] == 0:
                        continue
                    else:
                        bound_here[bound] += 1
                    if moved_on[slot] == 1:
                        r = request_of[slot]
                        continues = live[slot] >= 0.0 and tasks[slot].last_s == now
                        show_waiting(offset, any_left_s if bound < 0 else own_left_s, estimate_s, dram_bytes,
                                     engine_bytes_per_s, hw.reconfigure_s, hw.switch_s, lefts, needs, slot,
                                     requests.network[r], requests.sample[r], tasks[slot].layer, bound, engine_level,
                                     last_engine[slot], last_level[slot], holds[slot], live[slot], continues)
                        # if it costs to reconfigure it depends on what the engines last lent
                        moved_on[slot] = 1 if hw.reconfigure_s > 0.0 or continues else 0
                        seats[slot].engine, seats[slot].need_bytes_per_s = last_engine[slot], 0.0
                        seats[slot].droppable = 1 if requests.drop_late[r] else 0
                        seats[slot].units = level_units[last_level[slot]] if continues else 0
                    seats[slot].cap_bytes_per_s, seats[slot].drop = np.inf, 0
                    seats[slot].to_engine, seats[slot].to_units = -1, 0
                    candidates[n_seen] = slot
                    n_seen += 1
                if foresees:
                    show_running(rests, lefts, estimate_s, run_slot, run_row, run_begin, running, now)
                if n_seen > 0:
                    assign(tasks, seats, candidates, n_seen, run_slot, running, lefts, needs, chip, level_units, now,
                           params, state, plan)
                n_picks, n_dropped = seat(seats, lefts, candidates, n_seen, running == 0, may_drop, idle, level_units,
                                          pick_slot, pick_engine, pick_level)
                if n_dropped > 0:
                    kept = to_ask
                    for q in range(to_ask, size):
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
        elif size > 0 and spare > 0:
            # when busy engines will be free: who must go to an idle one does not ask
            for x in range(running if listed or waits[-1] > 0 else zero):
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
            waiting = 0
            if not listed:
                waiting = unbound
                left[-1] = unbound
                for e in range(n_engines):
                    left[e] = bound_here[e] if idle[e] > 0 else 0
                    closed[e + 1] = 0 if idle[e] > 0 else 1
                    waiting += left[e]
            else:
                for p in range(size - 1, -1, -1):
                    e = requests.engine[request_of[queue[p]]]
                    if e < 0:
                        unbound += 1
                    else:
                        bound_here[e] += 1
                    if e < 0 or idle[e] > 0:
                        candidates[waiting] = queue[p]
                        waiting += 1
            patience, n_named = _PATIENCE, 0
            while waiting > 0 and spare > 0 and patience > 0:
                position = 0
                if not listed:
                    stays, n_ran = -1, 0  # the last one of those that ran until now
                    for p in range(n_just):
                        slot = just[p]
                        if closed[target[slot] + 1] == 0 and named[slot] == 0:
                            ran[n_ran] = slot
                            n_ran += 1
                            if stays < 0 or tasks[slot].order > tasks[stays].order:
                                stays = slot
                    if stays >= 0 and not use_key and seen[stays] == epoch and now < asked_s + quantum_s:
                        slot = stays
                    else:
                        asked_s = now
                        slot = first_of(form, key, rank, tasks, line, ran, n_ran, closed, now, waiting, params)
                        if stays >= 0 and use_keeps and slot != stays and keeps(tasks, stays, slot, now, params) != 0:
                            slot = stays
                    named[slot] = 1
                    candidates[n_named] = slot
                    n_named += 1
                    if tasks[slot].last_s != now or live[slot] < 0.0:
                        take(form, line, slot)
                else:
                    position = select(tasks, candidates, waiting, now, params, state)
                if listed:
                    slot = candidates[position]
                r = request_of[slot]
                network, sample, bound = requests.network[r], requests.sample[r], requests.engine[r]
                own = bound if alone else target[slot]
                continues = live[slot] >= 0.0 and tasks[slot].last_s == now
                best, best_e, best_u, best_idle = np.inf, -1, -1, False
                for e in range(n_engines):
                    if own >= 0 and own != e:
                        continue
                    begin, lend, limit = now, units[e], units[e]
                    if idle[e] > 0:
                        sharing = left[e] + left[-1] if use_sends and not alone else waiting
                        lend = lendable(idle[e], sharing, level_units[0])
                        limit = idle[e]
                    else:
                        begin = free_at[e]
                        if use_key and not use_keeps and displaced[e] >= 0 and (
                                key(tasks, slot, params) < key(tasks, displaced[e], params)):
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
                    named[slot] = 0 if listed else 2
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
                if not listed:
                    left[target[slot]] -= 1
                    if full >= 0:  # those bound to it need not be asked any more
                        waiting -= left[full]
                        left[full] = 0
                        closed[full + 1] = 1
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
            for p in range(n_named):
                slot = candidates[p]
                prefers = named[slot] == 1  # a busy engine
                named[slot] = 0
                if prefers and (tasks[slot].last_s != now or live[slot] < 0.0):
                    wait(form, key, rank, tasks, line, slot, now, size, params)
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
            picked[slot] = 1
            if listed:
                size = _without(queue, size, slot)
        if not listed:
            kept = 0
            for p in range(n_just):
                if picked[just[p]] == 0:
                    just[kept] = just[p]
                    kept += 1
            n_just = kept
            size -= n_picks
        for x in range(n_held):
            slot = held[x]
            e = holds[slot]
            if picked[slot] == 0 and e >= 0 and units[e] > 1:
                unsaved[e] += live[slot]
                holds[slot] = -1
                moved_on[slot] = 1
                out.preemptions[request_of[slot]] += 1
        n_held = 0

        for p in range(n_picks):
            slot, e, u = pick_slot[p], pick_engine[p], pick_level[p]
            picked[slot] = 0
            r = request_of[slot]
            waits[target[slot]] -= 1
            layer = tasks[slot].layer
            continues = layer > 0 and tasks[slot].last_s == now
            overhead, moved = to_place(engine_bytes_per_s[e], hw.reconfigure_s, hw.switch_s, engine_level[e],
                                        last_engine[slot], last_level[slot], holds[slot], live[slot], continues, e, u)
            if units[e] == 1:
                other = resident[e]
                if other >= 0 and other != slot:
                    unsaved[e] += live[other]
                    holds[other] = -1
                    moved_on[other] = 1
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
            if use_sends and not alone and seats[slot].cap_bytes_per_s < run_need[running]:
                run_drawn[running] = seats[slot].cap_bytes_per_s
            if use_assign:
                seats[slot].engine, seats[slot].units = e, level_units[u]
                seats[slot].need_bytes_per_s = run_need[running]
                if seats[slot].cap_bytes_per_s < run_need[running]:
                    run_drawn[running] = seats[slot].cap_bytes_per_s
                if foresees:
                    bound = requests.engine[r]
                    show_next(offset, any_left_s if bound < 0 else own_left_s, estimate_s, dram_bytes, stay_frac, rests,
                              needs, slot, requests.network[r], requests.sample[r], layer,
                              layer + 1 == n_layers[requests.network[r]], bound, row)
            run_row[running] = row
            speed[running] = 1.0
            running += 1
        rates(hw.dram_mode, hw.bytes_per_s, now, running, run_need, run_drawn, speed, new_speed, run_since, run_left,
              run_end)
    out.totals[0], out.totals[1], out.totals[2], out.totals[3] = total_bytes, total_overhead, decisions, events
