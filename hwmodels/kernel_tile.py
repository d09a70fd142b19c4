"""The event loop for one undivided engine whose policy may stop a task inside a layer, or kills what it stops.

Model
-----
A layer is `n` equal tiles (`hwmodels.tables.Tiles`); tile k ends at begin + overhead + latency x k / n. A *point* is
the end of a tile where the policy allows to stop (`hwmodels.policies.base.Stops`). Beyond the semantics of
`hwmodels.kernel`:

* The policy is asked at the first point at or after an arrival, when a task finishes, and, unless it is `run_ahead`, at
  every further point that lies `quantum_s` or more after it was last asked. Elsewhere the running task goes on.
* Inside a layer a decision that keeps the running task costs it no time: the engine works while the scheduler decides.
* A task stopped inside a layer saves and restores what `hwmodels.stops` says, and fetches its operand tiles again; or
  it redoes tiles, with their energy and traffic. A killed task loses everything, at ends of layers too, and starts
  again; its lost time counts as overhead.

So busy time = latency of the layers served + overhead. Without points inside layers, checkpointing, it is the loop of
`hwmodels.kernel_single`.

Limits: with a key or `select` decisions take a time linear in the queue.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.compiled import column, piece
from hwmodels.errors import InvalidWorkload
from hwmodels.kernel_line import first_of, leave, stand, take, wait
from hwmodels.kernel_parts import (
    NEED_LEFT,
    NEED_PATTERN,
    NEED_TRUTH,
    SELECT,
    admit,
    children_of,
    heap_pop,
    heap_push,
    overdue,
    refresh,
    removed,
)
from hwmodels.policies.base import Stops
from hwmodels.stops import KILL, kept_bytes, redone_tiles, undivided
from hwmodels.tables import CostTable
from hwmodels.workload import RequestTrace

__all__ = ["Points", "points_of", "run_tile"]


class Points(NamedTuple):
    """Layers cut into tiles, and where tasks may be stopped. A network's tiles are numbered through its layers."""

    tiles: NDArray[np.int64]
    """(R,) and the next three: as in `hwmodels.tables.Tiles`."""
    piece: NDArray[np.int64]
    accumulator_bytes: NDArray[np.float64]
    reload_bytes: NDArray[np.float64]
    before: NDArray[np.int64]
    """(R,) tiles of the network before this layer."""
    following: NDArray[np.int64]
    """First tile >= g before which request r may be stopped: row `first[r] + g`."""
    first: NDArray[np.int64]
    """(n,) row of tile 0."""


def points_of(table: CostTable, trace: RequestTrace, stops: Stops) -> Points:
    """The points of every request; raises InvalidWorkload for `stops.points` of another network than a request's."""
    tiles = table.tiles if table.tiles is not None else undivided(len(table.latency_s))
    before = np.zeros(len(tiles.tiles), dtype=np.int64)
    for starts, length in zip(table.offset[:, :, 0, 0], table.n_layers, strict=True):
        for start in starts[starts >= 0]:
            own = slice(start, start + length)
            before[own] = np.cumsum(tiles.tiles[own]) - tiles.tiles[own]
    pairs, inverse = np.unique(np.stack([trace.network, trace.tenant if stops.points is not None else trace.network]),
                               axis=1, return_inverse=True)
    parts: list[NDArray[np.int64]] = []
    for n, t in pairs.T.tolist():
        start = max(0, int(table.offset[n, 0, 0, 0]))
        own = slice(start, start + int(table.n_layers[n]))
        count = int(tiles.tiles[own].sum())
        places = np.arange(count + 1)
        if stops.points is not None or not stops.tiles:
            may = np.zeros(count + 1, dtype=np.bool_)
            may[before[own]] = may[-1] = True
            if stops.points is not None:
                if len(stops.points[t]) != count:
                    raise InvalidWorkload("trace.network", "the same for all requests of a tenant", n)
                may[:-1] = stops.points[t]
            places = np.minimum.accumulate(np.where(may, places, count)[::-1])[::-1]
        parts.append(places)
    rows = np.cumsum([0, *(len(part) for part in parts)])
    return Points(column(tiles.tiles, np.int64), column(tiles.piece, np.int64), column(tiles.accumulator_bytes),
                  column(tiles.reload_bytes), before, np.concatenate(parts), rows[:-1][inverse.ravel()])


@piece
def _show(task, look, lookups, groups, fraction, estimate, latency):  # type: ignore[no-untyped-def]
    """As `refresh`, for a task that has done a fraction of its next layer."""
    refresh(task, look, lookups, groups)
    if fraction > 0.0:
        if groups & NEED_LEFT:
            task.remaining_s -= fraction * estimate
            task.next_s -= fraction * estimate
        if groups & NEED_PATTERN:
            task.pattern_remaining_s -= fraction * lookups.pattern_next_s[look + task.layer]
            task.pattern_next_s -= fraction * lookups.pattern_next_s[look + task.layer]
        if groups & NEED_TRUTH:
            task.true_remaining_s -= fraction * latency


# Longer than a screen: one loop over local variables, because compiled code cannot keep its state in objects for free.
@njit(cache=True, error_model="numpy")
def run_tile(hw, points, requests, lookups, visible, key, rank, keeps, select, form, run_ahead, use_keeps, quantum_s,  # type: ignore[no-untyped-def]
             params, how, record, watch, counts, tasks, line, out):
    """Serve all requests; writes `out` and returns the spans, as there can be more of them than layers. Parameters as
    in `kernel_single.run_single`; `how` of `Stops`.
    """
    n = len(requests.arrival_s)
    zero = n - n  # not a literal: pieces would be compiled for those too
    first_child, sibling = children_of(requests.parent)
    state = np.zeros(16)
    closed, ran = np.zeros(1, dtype=np.int64), np.empty(1, dtype=np.int64)
    request_of = np.full(n, -1, dtype=np.int64)
    free_slots = np.arange(n - 1, -1, -1)
    n_free = n
    seen = np.zeros(n, dtype=np.int64)
    saved = np.zeros(n, dtype=np.bool_)
    redo = np.zeros(n, dtype=np.int64)  # tiles to redo when it resumes
    kept = np.zeros(n)  # bytes on chip, or saved
    done_s = np.zeros(n)  # useful time, lost with a kill
    queue = np.empty(n, dtype=np.int64)  # select: all tasks, in order of admission
    size = zero
    late_keys = np.empty(n)
    late_requests = np.empty(n, dtype=np.int64)
    late_slots = np.empty(n, dtype=np.int64)
    n_late = zero
    arriving = np.empty(n, dtype=np.int64)
    spans = np.empty((1024 if record else 0, 6))
    # written-out columns: an attribute of a tuple of arrays costs a reference count at every use
    latency_s, dram_bytes, energy_j, live_bytes = hw.latency_s, hw.dram_bytes, hw.energy_j, hw.live_bytes
    estimate_s, bandwidth = hw.estimate_s, hw.engine_bytes_per_s[0]
    arrival_s, parent, network_of, look = requests.arrival_s, requests.parent, requests.network, requests.look
    start_s, service_s, request_energy_j = out.start_s, out.service_s, out.energy_j
    first_row = np.empty(n, dtype=np.int64)
    for r in range(n):
        first_row[r] = hw.offset[network_of[r], requests.sample[r], 0, 0]
    tiles, piece, accumulator, reload_bytes = points.tiles, points.piece, points.accumulator_bytes, points.reload_bytes
    before, following, first_point = points.before, points.following, points.first
    now = 0.0
    upcoming = 0
    order = zero
    epoch = 0
    asked_s = 0.0
    resident = -1  # unfinished task whose data are on the engine
    finished = -1
    # tile k of the running layer ends at since + lag + latency (k - since_tile) / tiles
    since, lag, since_tile = 0.0, 0.0, 0
    total_bytes, total_overhead, decisions, events, busy = 0.0, 0.0, 0, 0, 0.0
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
        while upcoming < n and (parent[upcoming] >= 0 or arrival_s[upcoming] < now):
            if parent[upcoming] < 0:
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
        if size + n_arriving == 0:
            if upcoming >= n:
                break
            if arrival_s[upcoming] > now:
                now = arrival_s[upcoming]
        while upcoming < n and (parent[upcoming] >= 0 or arrival_s[upcoming] == now):
            if parent[upcoming] < 0:
                arriving[n_arriving] = upcoming
                n_arriving += 1
            upcoming += 1
        for a in range(n_arriving):
            r = arriving[a]
            n_free -= 1
            slot = free_slots[n_free]
            request_of[slot] = r
            saved[slot] = False
            redo[slot], kept[slot], done_s[slot] = 0, 0.0, 0.0
            out.ready_s[r] = arrival_s[r] if parent[r] < 0 else now
            admit(tasks[slot], order, out.ready_s[r], r, requests, lookups, visible)
            if form == SELECT:
                queue[size] = slot
            else:
                stand(form, key, rank, tasks, line, slot, zero, now, size + 1, params)
            size += 1
            order += 1
            if requests.drop_late[r]:
                n_late = heap_push(late_keys, late_requests, late_slots, n_late, requests.deadline_s[r], r, slot)
        if n_arriving > 0:
            epoch += 1
        while n_late > 0 and late_keys[0] <= now:
            slot, r = late_slots[0], late_requests[0]
            n_late = heap_pop(late_keys, late_requests, late_slots, n_late)
            if request_of[slot] != r or not np.isnan(start_s[r]):
                continue
            if form == SELECT:  # dropped; what follows it is never released
                size = removed(queue, size, slot)
            else:
                leave(form, line, slot)
                size -= 1
            request_of[slot] = -1
            free_slots[n_free] = slot
            n_free += 1
        if size == 0:
            continue

        # who runs
        asked = True
        if resident >= 0:
            r = request_of[resident]
            row = first_row[r] + tasks[resident].layer
            at = before[row] + tasks[resident].tile
            asked = following[first_point[r] + at] == at and (
                seen[resident] != epoch or (not run_ahead and now >= asked_s + quantum_s))
        slot = resident
        if asked:
            if resident >= 0:
                _show(tasks[resident], look[r], lookups, visible.groups, tasks[resident].tile / tiles[row],
                      estimate_s[row], latency_s[row])
            if form == SELECT:
                slot = queue[select(tasks, queue, size, now, params, state)]
            else:
                ran[0] = resident
                first = first_of(form, key, rank, tasks, line, ran, 1 if resident >= 0 else 0, closed, now, size,
                                 params)
                if first != resident and (resident < 0 or not use_keeps or keeps(
                        tasks, resident, first, now, params) == 0):
                    take(form, line, first)
                    slot = first
            asked_s = now
        r = request_of[slot]
        switched = slot != resident
        overhead, moved = 0.0, 0.0
        fresh = tasks[slot].layer == 0 and tasks[slot].tile == 0
        if fresh or (asked and size >= 2 and (not run_ahead or seen[slot] != epoch)):
            decisions += 1
            if switched or tasks[slot].tile == 0:
                overhead += hw.decision_s
        if asked:
            seen[slot] = epoch
        if fresh and np.isnan(start_s[r]):
            start_s[r] = now
        energy = 0.0
        if switched:
            if resident >= 0:
                out.preemptions[request_of[resident]] += 1
                if how == KILL:
                    total_overhead += done_s[resident]
                    done_s[resident] = 0.0
                    kept[resident] = 0.0
                    tasks[resident].layer = 0
                    tasks[resident].tile = 0
                    refresh(tasks[resident], look[request_of[resident]], lookups, visible.groups)
                else:
                    moved += kept[resident]
                    saved[resident] = True
                if form != SELECT:
                    wait(form, key, rank, tasks, line, resident, now, size, params)
            row = first_row[r] + tasks[slot].layer
            if saved[slot]:
                moved += kept[slot]
                overhead += hw.switch_s
                saved[slot] = False
                if tasks[slot].tile > 0:
                    moved += reload_bytes[row]
                if redo[slot] > 0:
                    share = redo[slot] / tiles[row]
                    overhead += share * latency_s[row]
                    energy += share * energy_j[row]
                    total_bytes += share * dram_bytes[row]
                    redo[slot] = 0
            if moved > 0.0:
                overhead += moved / bandwidth
                total_bytes += moved
                energy += moved * hw.j_per_byte
            resident = slot
        total_overhead += overhead

        # up to which tile of its layer
        row = first_row[r] + tasks[slot].layer
        count = tiles[row]
        tile = tasks[slot].tile
        tile_s = latency_s[row] / count
        if switched or tile == 0:
            since, lag, since_tile = now, overhead, tile
        whole = latency_s[row] if since_tile == 0 else tile_s * (count - since_tile)
        stop, end = count, since + (lag + whole)
        next_arrival = arrival_s[upcoming] if upcoming < n else np.inf
        at = first_point[r] + before[row]
        if tile + 1 < count:
            until = next_arrival
            if size >= 2 and seen[slot] != epoch:
                until = now
            elif size >= 2 and not run_ahead and asked_s + quantum_s < until:
                until = asked_s + quantum_s
            if until < end:
                k = tile + 1
                if tile_s > 0.0 and since_tile + (until - since - lag) / tile_s > k:
                    k = int(since_tile + (until - since - lag) / tile_s)  # the tile that runs then, or ends
                while k < count and since + (lag + tile_s * (k - since_tile)) < until:
                    k += 1
                k = following[at + k] - before[row]
                if k < count:
                    stop, end = k, since + (lag + tile_s * (k - since_tile))
        share = (stop - tile) / count
        energy += share * energy_j[row]
        total_bytes += share * dram_bytes[row]
        service = end - now
        busy += service
        done_s[slot] += share * latency_s[row]
        service_s[r] += service
        request_energy_j[r] += energy
        if switched or tile == 0:
            if record:
                if events == len(spans):
                    longer = np.empty((2 * events, 6))
                    for x in range(events):  # a slice would take long to compile
                        for c in range(6):
                            longer[x, c] = spans[x, c]
                    spans = longer
                spans[events, 0], spans[events, 2], spans[events, 3] = now, r, tasks[slot].layer
                spans[events, 4], spans[events, 5] = 0.0, 1.0
            events += 1
        if record:
            spans[events - 1, 1] = end
        now = end
        tasks[slot].last_s = now
        tasks[slot].service_s += service
        if stop < count:
            tasks[slot].tile = stop
            redo[slot] = redone_tiles(how, stop, piece[row], tile_s, accumulator[row], bandwidth)
            kept[slot] = kept_bytes(stop, count, piece[row], redo[slot],
                                    live_bytes[row - 1] if tasks[slot].layer > 0 else 0.0, live_bytes[row],
                                    accumulator[row])
        else:
            tasks[slot].tile = 0
            tasks[slot].layer += 1
            redo[slot], kept[slot] = 0, live_bytes[row]
        if tasks[slot].layer < requests.layers[r]:
            continue
        out.finish_s[r] = now
        if levels > 0:
            excess_j += request_energy_j[r] - watch.least_j[requests.tenant[r]]
        finished = r
        resident = -1
        epoch += 1
        request_of[slot] = -1
        free_slots[n_free] = slot
        n_free += 1
        if form == SELECT:
            size = removed(queue, size, slot)
        else:
            leave(form, line, slot)
            size -= 1
    out.busy_s[0] = busy
    out.totals[0], out.totals[1], out.totals[2], out.totals[3] = total_bytes, total_overhead, decisions, events
    return spans[:events] if record else spans
