"""The event loop for one undivided engine that loads weights ahead: policies of the form `issue`.

Machine
-------
One compute unit, one DRAM channel that moves the bytes of one layer after the other in the order of issue, one buffer
of `prefetch_bytes`. A layer of latency L, the same with its weights on chip C <= L, weights b and DRAM bytes d:

    begin   of its load: the channel is free, and b fits beside the weights of the issued layers not yet computed
    end     = max(unit free + C, begin + L): what a load that began early enough saves is L - C
    channel free at begin + d / bandwidth; b is in the buffer from begin to end

A layer with b above half the buffer is cut in equal blocks, and so is every layer with weights if the policy says in
how many. With L = C + b / bandwidth this is the machine of `hwmodels.layerweaver`.

* The next layer is issued when the channel is free, but no further ahead of the compute unit than the time in which
  the buffer fills. Candidates are the oldest request of every tenant, in the order of admission.
* A request that is alone in the system is not prefetched: it takes the isolated latency of the cost model, the same
  under every policy, and what a policy gains is due to interleaving.
* Activations of an interrupted task stay in the buffer while all of them take at most half of it; else they are saved
  and restored as on other machines, through the channel.
* A decision delays the load that it starts, and its layer only if nothing hides it.
* Eviction: the last issued block, loaded but not begun, may leave the buffer; its weights are loaded again later.

At one instant: ends of layers, followers, arrivals, drops, one decision.

Limits
------
The channel moves all bytes of a layer at its load, activations included; really they move while it is computed, up to
the lead later. A save is charged before it can happen by as much. That the running layer's tiles leave half of the SRAM
free is assumed by `Machine.prefetch_bytes`, not checked. Whether a request leaves at an early exit is known
when the layer before it is issued: nothing is loaded in vain.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.compiled import part
from hwmodels.kernel_parts import admit, children_of, heap_pop, heap_push, refresh
from hwmodels.tables import CostTable, Machine

__all__ = ["Blocks", "blocks", "first_issued", "run_prefetch"]

Floats = NDArray[np.float64]

_SLACK = 1.0 + 1e-12
"""Room for rounding in sums of bytes."""
_EVICT = -1

_ISSUED = np.dtype([
    *((name, "f8") for name in ("end", "start", "bytes", "before", "held", "moved", "energy", "compute", "load")),
    *((name, "i8") for name in ("slot", "layer", "part", "row", "last", "resident", "kept")),
], align=True)
"""An issued block until it is computed: end and start of computing [s], weights [byte], what it reports, and what
undoes it: `before`, `held`, `resident` and `kept` as they were."""


class Blocks(NamedTuple):
    """Every row of the cost table, cut in equal blocks: columns of shape (R,), of one block."""

    parts: NDArray[np.int64]
    """Blocks of the layer."""
    compute_s: Floats
    """With the weights on chip."""
    told_s: Floats
    """The same as the scheduler is told."""
    wait_s: Floats
    """What it takes longer if its load begins with it."""
    load_s: Floats
    """Time of its bytes on the channel."""
    bytes: Floats
    """Weights."""
    moved_bytes: Floats
    """All that it moves."""


def blocks(table: CostTable, machine: Machine, tiles: int) -> Blocks:
    """Cut the layers that have weights in `tiles` blocks, or in as many as keep one within half the buffer."""
    compute = table.latency_s if table.prefetched_s is None else table.prefetched_s
    told = table.estimate_s if table.prefetched_s is None else table.prefetched_s
    weights = np.zeros(len(compute)) if table.weight_bytes is None else table.weight_bytes
    count = np.where(weights > 0.0, max(1, tiles), 1).astype(np.int64)
    room = machine.prefetch_bytes
    if room > 0.0:
        over = weights > room / 2
        count = np.maximum(count, np.where(over, np.ceil(2.0 * weights / room), 1.0).astype(np.int64))
    else:
        weights, count = np.zeros(len(compute)), np.ones(len(compute), dtype=np.int64)
    moved = table.dram_bytes / count
    bandwidth = machine.dram_bytes_per_s
    if machine.engine_dram_bytes_per_s is not None:
        bandwidth = float(machine.engine_dram_bytes_per_s[0])
    return Blocks(parts=count, compute_s=compute / count, told_s=told / count,
                  wait_s=(table.latency_s - compute) / count, load_s=moved / bandwidth, bytes=weights / count,
                  moved_bytes=moved)


def first_issued() -> NDArray[np.void]:
    """Room for issued blocks; the loop makes more."""
    return np.zeros(64, dtype=_ISSUED)


@part
def _load_begin(issued, front, back, inside, size, room, now):  # type: ignore[no-untyped-def]
    """When `size` bytes fit beside those of the issued blocks that are not computed by then."""
    begin, at = now, front
    while size > 0.0 and inside + size > room * _SLACK and at < back:
        begin = issued[at % issued.size].end
        inside -= issued[at % issued.size].bytes
        at += 1
    return begin


@part
def _held_after(slot, resident, held, live, kept, saved, room):  # type: ignore[no-untyped-def]
    """If the task takes the place of the last one: (activations on chip, bytes moved, whether the task is restored,
    whether those of the last one stay)."""
    moved, resumes, stays = 0.0, False, False
    if slot == resident:
        return held, moved, resumes, stays
    if kept[slot]:
        held -= live[slot]
    elif saved[slot]:
        moved += live[slot]
        resumes = True
    if resident >= 0:
        if room > 0.0 and held + live[resident] <= room / 2.0:
            held += live[resident]
            stays = True
        else:
            moved += live[resident]
    return held, moved, resumes, stays


@part
def _insert(heads, count, tasks, slot):  # type: ignore[no-untyped-def]
    """Put a task among the heads, which are in the order of admission; returns their number."""
    at = count
    while at > 0 and tasks[heads[at - 1]].order > tasks[slot].order:
        heads[at] = heads[at - 1]
        at -= 1
    heads[at] = slot
    return count + 1


@part
def _remove(heads, count, slot):  # type: ignore[no-untyped-def]
    kept = 0
    for h in range(count):
        if heads[h] != slot:
            heads[kept] = heads[h]
            kept += 1
    return kept


# Longer than a screen: one loop over local variables, because compiled code cannot keep its state in objects for free.
@njit(cache=True, error_model="numpy")
def run_prefetch(hw, cut, room, requests, lookups, visible, issue, params, plan, record, tasks, heads, port, issued,  # type: ignore[no-untyped-def]
                 out):
    """Serve all requests; writes `out`.

    Parameters
    ----------
    cut : `Blocks` of the table; room : `prefetch_bytes`.
    tasks : scratch for the tasks in the system, shape (n,); heads : `HEAD` rows, one per tenant; port : one `PORT` row.
    issued : from `first_issued`.
    """
    n = len(requests.arrival_s)
    zero = n - n  # not a literal: pieces would be compiled for those too
    tenants = heads.size
    first_child, sibling = children_of(requests.parent)
    state = np.zeros(16)
    request_of = np.full(n, -1, dtype=np.int64)
    free_slots = np.arange(n - 1, -1, -1)
    n_free = n
    part = np.zeros(n, dtype=np.int64)  # blocks of the next layer that are issued
    live = np.zeros(n)
    kept = np.zeros(n, dtype=np.bool_)  # interrupted, activations on chip
    saved = np.zeros(n, dtype=np.bool_)  # interrupted, activations in DRAM
    oldest = np.full(tenants, -1, dtype=np.int64)
    newest = np.full(tenants, -1, dtype=np.int64)
    after = np.full(n, -1, dtype=np.int64)
    queue = np.empty(tenants, dtype=np.int64)
    size = zero
    late_keys = np.empty(n)
    late_requests = np.empty(n, dtype=np.int64)
    late_slots = np.empty(n, dtype=np.int64)
    n_late = zero
    arriving = np.empty(n, dtype=np.int64)
    held_next = np.empty(tenants)
    moved_next = np.empty(tenants)
    extra_next = np.empty(tenants)
    stays_next = np.empty(tenants, dtype=np.bool_)
    live_bytes = hw.live_bytes
    bandwidth = hw.engine_bytes_per_s[0]
    fill = room / bandwidth
    now, channel, unit = 0.0, 0.0, 0.0
    front, back, inside, held = 0, 0, 0.0, 0.0
    resident = -1  # last issued task, if it has layers left
    upcoming, ready, order = 0, 0, zero
    total_bytes, total_overhead, decisions, events, busy, reloaded = 0.0, 0.0, 0, 0, 0.0, 0.0
    port[0].buffer_bytes, port[0].bytes_per_s = room, bandwidth
    while True:
        due = np.inf
        if size > 0:
            due = unit - fill if ready > 1 else unit
            if channel > due:
                due = channel
            if now > due:
                due = now
        if front < back and issued[front % issued.size].end < due:
            due = issued[front % issued.size].end
        while upcoming < n and requests.parent[upcoming] >= 0:
            upcoming += 1
        if upcoming < n and requests.arrival_s[upcoming] < due:
            due = requests.arrival_s[upcoming]
        if due == np.inf:
            break
        now = due

        # ends of layers and their followers, arrivals, drops
        n_arriving = 0
        while front < back and issued[front % issued.size].end <= now:
            x = issued[front % issued.size]
            r = request_of[x.slot]
            took = x.end - x.start
            busy += took
            inside -= x.bytes
            out.service_s[r] += took
            out.energy_j[r] += x.energy
            tasks[x.slot].service_s += took
            tasks[x.slot].last_s = x.end
            if record:
                out.spans[events, 0], out.spans[events, 1] = x.start, x.end
                out.spans[events, 2], out.spans[events, 3] = r, x.layer
                out.spans[events, 4], out.spans[events, 5] = 0.0, 1.0
            events += 1
            front += 1
            if x.last == 1:
                out.finish_s[r] = x.end
                ready -= 1
                request_of[x.slot] = -1
                free_slots[n_free] = x.slot
                n_free += 1
                child = first_child[r]
                while child >= 0:
                    arriving[n_arriving] = child
                    n_arriving += 1
                    child = sibling[child]
        if front == back:
            inside = 0.0
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
            part[slot], live[slot], kept[slot], saved[slot], after[slot] = 0, 0.0, False, False, -1
            out.ready_s[r] = now
            admit(tasks[slot], order, now, r, requests, lookups, visible)
            order += 1
            ready += 1
            t = requests.tenant[r]
            if oldest[t] < 0:
                oldest[t] = slot
                size = _insert(queue, size, tasks, slot)
            else:
                after[newest[t]] = slot
            newest[t] = slot
            if requests.drop_late[r]:
                n_late = heap_push(late_keys, late_requests, late_slots, n_late, requests.deadline_s[r], r, slot)
        while n_late > 0 and late_keys[0] <= now:
            slot, r = late_slots[0], late_requests[0]
            n_late = heap_pop(late_keys, late_requests, late_slots, n_late)
            if request_of[slot] != r or not np.isnan(out.start_s[r]):
                continue
            t = requests.tenant[r]  # dropped; what follows it is never released
            if oldest[t] == slot:
                oldest[t] = after[slot]
                size = _remove(queue, size, slot)
                if oldest[t] >= 0:
                    size = _insert(queue, size, tasks, oldest[t])
            else:
                previous = oldest[t]
                while after[previous] != slot:
                    previous = after[previous]
                after[previous] = after[slot]
                if newest[t] == slot:
                    newest[t] = previous
            ready -= 1
            request_of[slot] = -1
            free_slots[n_free] = slot
            n_free += 1
        if size == 0 or channel > now or (unit - fill if ready > 1 else unit) > now:
            continue

        # one decision
        alone = ready == 1
        for h in range(size):
            slot = queue[h]
            row = hw.offset[requests.network[request_of[slot]], requests.sample[request_of[slot]], 0, 0]
            row += tasks[slot].layer
            times = cut.parts[row] - part[slot] if alone else 1
            held_next[h], moved_next[h], resumes, stays_next[h] = _held_after(slot, resident, held, live, kept, saved,
                                                                              room)
            extra_next[h] = moved_next[h] / bandwidth + (hw.switch_s if resumes else 0.0)
            bytes_in = cut.bytes[row]
            heads[h].slot, heads[h].compute_s = slot, times * cut.told_s[row]
            heads[h].load_s, heads[h].bytes = times * cut.load_s[row], times * bytes_in
            heads[h].begin_s = _load_begin(issued, front, back, inside, bytes_in, room - held_next[h], now)
            stocked = heads[h].begin_s + extra_next[h] + times * cut.wait_s[row]
            heads[h].ready_s = stocked if stocked > unit else unit
        tail = issued[(back - 1) % issued.size]
        port[0].unit_s, port[0].free_bytes = unit, room - held - inside
        port[0].evictable = 1 if back > front and tail.start > now and tail.moved == 0.0 and tail.bytes > 0.0 else 0
        port[0].last_slot, port[0].last_bytes = tail.slot, tail.bytes
        port[0].last_compute_s, port[0].last_load_s = tail.compute, tail.load
        choice = issue(tasks, heads, size, port, now, params, state, plan)
        if choice == _EVICT and port[0].evictable == 1:
            slot = tail.slot
            r = request_of[slot]
            back -= 1
            inside -= tail.bytes
            unit = tail.before
            reloaded += tail.bytes
            total_bytes += tail.bytes - cut.moved_bytes[tail.row]  # the rest of its bytes has not moved
            out.energy_j[r] += tail.bytes * hw.j_per_byte
            if tail.last == 1:
                t = requests.tenant[r]
                if oldest[t] >= 0:
                    size = _remove(queue, size, oldest[t])
                else:
                    newest[t] = slot
                after[slot] = oldest[t]
                oldest[t] = slot
                size = _insert(queue, size, tasks, slot)
            tasks[slot].layer, part[slot] = tail.layer, tail.part
            live[slot] = live_bytes[tail.row - 1] if tail.layer > 0 else 0.0
            refresh(tasks[slot], requests.look[r], lookups, visible.groups)
            held, resident = tail.held, tail.resident
            if tail.resident != slot:
                kept[slot] = tail.kept == 1
                if tail.resident >= 0:
                    kept[tail.resident] = False
            if tail.layer == 0 and tail.part == 0:
                out.start_s[r] = np.nan
            continue
        if choice < 0 or choice >= size:
            choice = 0

        slot = queue[choice]
        r = request_of[slot]
        layer = tasks[slot].layer
        n_layers = requests.layers[r]
        row = hw.offset[requests.network[r], requests.sample[r], 0, 0] + layer
        times = cut.parts[row] - part[slot] if alone else 1
        whole = times == cut.parts[row]
        decision = 0.0
        if (layer == 0 and part[slot] == 0) or size > 1:
            decision = hw.decision_s
            decisions += 1
        if layer == 0 and part[slot] == 0:
            out.start_s[r] = now
        if back - front == issued.size:
            wider = np.empty(2 * issued.size, dtype=issued.dtype)
            for at in range(front, back):
                wider[at % wider.size] = issued[at % issued.size]
            issued = wider
        x = issued[back % issued.size]
        x.slot, x.layer, x.part, x.row, x.before = slot, layer, part[slot], row, unit
        x.resident, x.held, x.kept, x.moved = resident, held, 1 if kept[slot] else 0, moved_next[choice]
        compute = times * cut.compute_s[row]
        latency = hw.latency_s[row] if whole else times * (cut.compute_s[row] + cut.wait_s[row])
        begin, extra = heads[choice].begin_s, extra_next[choice]
        if begin > now + decision:
            x.start = begin if begin > unit else unit
            x.end = begin + (extra + latency)
        else:
            begin = now + decision
            x.start = now if now > unit else unit
            x.end = now + (decision + extra + latency)
        if begin + extra + times * cut.wait_s[row] <= unit:
            x.end = unit + compute
        carried = moved_next[choice] + times * cut.moved_bytes[row]
        if carried > 0.0:
            channel = begin + (moved_next[choice] / bandwidth + times * cut.load_s[row])
        total_bytes += carried
        total_overhead += decision + extra
        unit = x.end
        x.bytes = times * cut.bytes[row]
        if x.bytes > room / 2.0:
            x.bytes = room / 2.0  # alone: it streams through
        x.compute, x.load = times * cut.told_s[row], times * cut.load_s[row]
        x.energy = hw.energy_j[row] * times / cut.parts[row] + moved_next[choice] * hw.j_per_byte
        inside += x.bytes
        back += 1

        if slot != resident:
            if resident >= 0:
                kept[resident] = stays_next[choice]
                if not kept[resident]:
                    saved[resident] = True
                    out.preemptions[request_of[resident]] += 1
            held = held_next[choice]
            kept[slot], saved[slot] = False, False
        part[slot] += times
        x.last = 0
        resident = slot
        if part[slot] == cut.parts[row]:
            part[slot] = 0
            live[slot] = live_bytes[row]
            tasks[slot].layer = layer + 1
            if layer + 1 < n_layers:
                refresh(tasks[slot], requests.look[r], lookups, visible.groups)
            else:
                x.last = 1
                resident = -1
                t = requests.tenant[r]
                oldest[t] = after[slot]
                size = _remove(queue, size, slot)
                if oldest[t] >= 0:
                    size = _insert(queue, size, tasks, oldest[t])
    out.busy_s[0] = busy
    out.totals[0], out.totals[1], out.totals[2], out.totals[3] = total_bytes, total_overhead, decisions, events
    out.totals[4] = reloaded
