"""The event kernel in plain Python: the semantics written for reading, to check and to time the compiled loops.

Everything is recomputed where it is needed: no heap, no run-ahead, no incremental state beyond what the rules name.
"""

import types
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import numpy as np
from reference_batch import BatchSimulation
from reference_prefetch import reference_prefetch

from hwmodels.kernel import tenants_of
from hwmodels.kernel_assign import VIEW
from hwmodels.policies.base import ALWAYS_VISIBLE, DECLARABLE, KILL, Policy
from hwmodels.tables import DRAM_FIXED, DRAM_PROPORTIONAL, CostTable, Machine, TaskRecords
from hwmodels.workload import RequestTrace

NAN, INF = float("nan"), float("inf")
PATIENCE = 32


def interpreted(compiled):
    """The Python function behind a compiled policy function, its helpers interpreted too."""
    function = getattr(compiled, "__wrapped__", None) or compiled.py_func
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        if hasattr(scope.get(name), "py_func"):
            scope[name] = interpreted(scope[name])
    return types.FunctionType(function.__code__, scope)


class Task:
    """What a policy sees, and what the kernel keeps of a task."""

    __slots__ = (*ALWAYS_VISIBLE, *DECLARABLE, "at", "cap", "continues", "engine", "live", "place", "request", "seen",
                 "target")


@dataclass
class Seat:
    """What `assign` and `sends` read and write of a task."""

    engine: int = -1
    units: int = 0
    need_bytes_per_s: float = 0.0
    cap_bytes_per_s: float = INF
    to_engine: int = -1
    to_units: int = 0
    droppable: bool = False
    drop: int = 0


class Sized(list):
    """A list that knows its size as an array does."""

    size = property(len)


@dataclass
class Running:
    task: Task
    engine: int
    units: int
    row: int
    begin: float
    since: float
    left: float
    need: float
    cap: float = INF
    speed: float = 1.0
    end: float = field(init=False)

    def __post_init__(self):
        self.end = self.begin + self.left


def reference_run(table: CostTable, machine: Machine, trace: RequestTrace, policy: Policy, params=None) -> TaskRecords:
    """Same result as `hwmodels.kernel.run`."""
    if policy.stops is not None and table.offset.shape[2:] == (1, 1) and machine.units[0] == 1 and len(trace.network):
        stops = policy.stops(table, machine, tenants_of(trace, machine), policy.values(params))
        if stops and (stops.how == KILL or stops.points is not None or (stops.tiles and table.tiles)):
            from reference_tiles import tile_reference

            return tile_reference(table, machine, trace, policy, params)
    simulation = _Simulation(table, machine, trace, policy, policy.values(params).tolist())
    if policy.issue is not None:
        return reference_prefetch(simulation, interpreted(policy.issue))
    if policy.batch is not None:
        return BatchSimulation(simulation, interpreted(policy.batch), simulation.plan,
                               policy.largest_batch(params)).run()
    return simulation.run()


class _Simulation:
    def __init__(self, table, machine, trace, policy, params):
        self.table, self.machine, self.policy, self.params = table, machine, policy, params
        self.trace = RequestTrace(*(column.tolist() for column in trace))
        self.key = interpreted(policy.key) if policy.key is not None else None
        self.select = interpreted(policy.select) if policy.select is not None else None
        self.rank = interpreted(policy.rank) if policy.rank is not None else None
        self.keeps = interpreted(policy.keeps) if policy.keeps is not None else None
        self.sends = interpreted(policy.sends) if policy.sends is not None else None
        stops = policy.stops(table, machine, tenants_of(trace, machine), np.array(params)) if (
            policy.stops and len(trace.network)) else None
        self.quantum_s, self.asked_s = stops.quantum_s if stops else 0.0, 0.0
        self.units = machine.units.tolist()
        self.levels = machine.level_units.tolist()
        self.engines = range(len(self.units))
        bandwidth = machine.engine_dram_bytes_per_s
        self.bandwidth = [machine.dram_bytes_per_s] * len(self.units) if bandwidth is None else bandwidth.tolist()
        self.latency, self.estimate = table.latency_s.tolist(), table.estimate_s.tolist()
        self.pattern = self.estimate if table.pattern_s is None else table.pattern_s.tolist()
        self.sparsity = table.sparsity_frac.tolist()
        self.exit = [0.0] * len(self.latency) if table.exit_frac is None else table.exit_frac.tolist()
        self.run_ahead = policy.run_ahead and (table.exit_frac is None or not any(
            name.endswith(("remaining_s", "isolated_s", "next_s", "density_ratio")) for name in policy.needs))
        average = table.sparsity_frac if table.pattern_sparsity_frac is None else table.pattern_sparsity_frac
        self.average = average.tolist()
        self.bytes, self.live, self.energy = (c.tolist() for c in (table.dram_bytes, table.live_bytes, table.energy_j))
        self.places = lru_cache(None)(self._places)
        self.left = lru_cache(None)(self._left)
        self.told = lru_cache(None)(self._told)
        self.state = [0.0] * 16
        self.assign = interpreted(policy.assign) if policy.assign is not None else None
        self.plan = np.empty((0, 0))
        if policy.prepare is not None:
            self.plan = np.asarray(policy.prepare(table, machine, tenants_of(trace, machine), np.array(params)))
        self.top = [max(u for u, size in enumerate(self.levels) if size <= units) for units in self.units]
        n = len(self.trace.arrival_s)
        self.ready, self.start, self.finish = [NAN] * n, [NAN] * n, [NAN] * n
        self.service, self.joules, self.preempted = [0.0] * n, [0.0] * n, [0] * n
        self.busy = [0.0] * len(self.units)
        self.moved, self.overhead, self.decisions, self.events = 0.0, 0.0, 0, 0
        self.waiting: list[Task] = []
        self.running: list[Running] = []
        self.formed = list(self.top)
        self.resident: list[Task | None] = [None] * len(self.units)
        self.epoch, self.admitted = 0, 0
        self.spans: list[tuple[float, ...]] = []

    # ---- what the tables say ------------------------------------------------------------------------------------
    def bound(self, r):
        return int(self.machine.tenant_engine[self.trace.tenant[r]])

    def depth(self, network, sample):
        """Layers that a request with this sample runs."""
        return int(self.table.n_layers[network] if self.table.depth is None else self.table.depth[network, sample])

    def layers(self, r):
        return self.depth(self.trace.network[r], self.trace.sample[r])

    def _places(self, network, sample, bound):
        offset = self.table.offset[network, sample]
        return [(e, u, int(offset[e, u])) for e in self.engines if bound in (-1, e)
                for u in range(len(self.levels)) if offset[e, u] >= 0]

    def _left(self, network, sample, bound, layer, e, u, column):
        """Time left from this layer on at this place, the later layers placed best and as likely as declared."""
        first = int(self.table.offset[network, sample, e, u])
        own = getattr(self, column)[first + layer]
        if layer + 1 == (self.depth(network, sample) if column == "latency" else self.table.n_layers[network]):
            return own
        options = []
        for f, v, _ in self.places(network, sample, bound):
            cost = 0.0
            if f != e:
                cost = 2.0 * self.live[first + layer] / self.bandwidth[f] + self.machine.switch_s
                cost += self.machine.reconfigure_s
            elif v != u:
                cost = self.machine.reconfigure_s
            options.append(self.left(network, sample, bound, layer + 1, f, v, column) + cost)
        return own + (1.0 if column == "latency" else 1.0 - self.exit[first + layer]) * min(options)

    def _told(self, network, sample, bound, layer):
        """Columns of a task at this layer."""
        places = self.places(network, sample, bound)
        single = self.table.offset.shape[2:] == (1, 1)

        def left(column, at):
            true = column == "latency"
            if single:
                first, values, total, reach = places[0][2], getattr(self, column), 0.0, 1.0
                end = self.depth(network, sample) if true else int(self.table.n_layers[network])
                for row in range(first + at, first + end):
                    total += reach * values[row]
                    reach *= 1.0 if true else 1.0 - self.exit[row]
                return total
            return min(self.left(network, sample, bound, at, e, u, column) for e, u, _ in places)

        def ratio(skip):
            pairs = [(self.sparsity[row], self.average[row])
                     for row in range(places[0][2], places[0][2] + layer)]
            kept = [(1.0 - s) / (1.0 - a) if a < 1.0 else 1.0 for s, a in pairs if not (skip and a <= 0.0)]
            return sum(kept) / len(kept) if kept else 1.0

        return {
            "isolated_s": left("estimate", 0), "remaining_s": left("estimate", layer),
            "next_s": min(self.estimate[first + layer] for _, _, first in places),
            "pattern_isolated_s": left("pattern", 0), "pattern_remaining_s": left("pattern", layer),
            "pattern_next_s": min(self.pattern[first + layer] for _, _, first in places),
            "true_isolated_s": left("latency", 0), "true_remaining_s": left("latency", layer),
            "density_ratio": ratio(False), "measured_density_ratio": ratio(True),
        }

    # ---- events -------------------------------------------------------------------------------------------------
    def run(self):
        trace = self.trace
        roots = [r for r in range(len(trace.arrival_s)) if trace.parent[r] < 0]
        children = {}
        for r, parent in enumerate(trace.parent):
            children.setdefault(parent, []).append(r)
        while roots or self.running:
            now = min([x.end for x in self.running] + [trace.arrival_s[r] for r in roots[:1]])
            arriving = []
            for x in sorted((x for x in self.running if x.end <= now), key=lambda x: (x.engine, x.task.request)):
                if self._end_of_layer(x, now):
                    arriving += children.get(x.task.request, [])
            self.running = [x for x in self.running if x.end > now]
            while roots and trace.arrival_s[roots[0]] <= now:
                arriving.append(roots.pop(0))
            for r in arriving:
                self._admit(r, now)
            self.epoch += bool(arriving)
            self.waiting = [t for t in self.waiting if not (
                trace.drop_late[t.request] and t.layer == 0 and trace.deadline_s[t.request] <= now)]
            self._start(self._assigned(now) if self.assign else self._round(now), now)
            self._share(now)
        return self._records()

    def _end_of_layer(self, x, now):
        task, r, took = x.task, x.task.request, now - x.begin
        self.busy[x.engine] += took * x.units / self.units[x.engine]
        self.service[r] += took
        self.spans.append((x.begin, now, r, task.layer, x.engine, x.units))
        self.events += 1
        task.layer += 1
        task.last_s = now
        task.service_s += took
        task.live = self.live[x.row]
        task.at = x.engine
        if task.layer < self.layers(r):
            self._show(task)
            self.waiting = sorted([*self.waiting, task], key=lambda t: t.order)
            return False
        self.finish[r] = now
        self.epoch += 1
        if self.resident[x.engine] is task:
            self.resident[x.engine] = None
        return True

    def _admit(self, r, now):
        task = Task()
        task.request, task.order, task.layer, task.tenant = r, self.admitted, 0, self.trace.tenant[r]
        task.tile = 0
        task.ready_s = task.last_s = self.ready[r] = now
        task.service_s, task.memory_a, task.memory_b, task.memory_c = 0.0, NAN, NAN, NAN
        task.live, task.at, task.place, task.seen = None, None, None, -1
        for name in DECLARABLE:
            setattr(task, name, NAN)
        for name in ("arrival_s", "deadline_s", "priority"):
            if name in self.policy.needs:
                setattr(task, name, getattr(self.trace, name)[r])
        self._show(task)
        self.admitted += 1
        self.waiting.append(task)
        return task

    def _show(self, task):
        r = task.request
        told = self.told(self.trace.network[r], self.trace.sample[r], self.bound(r), task.layer)
        for name in self.policy.needs:
            if name in told:
                setattr(task, name, told[name])
        task.target, task.cap = self.bound(r), INF
        if self.sends:
            seat = Seat()
            self.sends([task], [seat], 0, self.machine.dram_bytes_per_s, self.params, self.plan)
            task.cap = seat.cap_bytes_per_s
            if any(e == seat.to_engine for e, _, _ in self.places(
                    self.trace.network[r], self.trace.sample[r], self.bound(r))):
                task.target = seat.to_engine

    # ---- decisions ----------------------------------------------------------------------------------------------
    def _idle(self):
        return [self.units[e] - sum(x.units for x in self.running if x.engine == e) for e in self.engines]

    def _prepare_s(self, task, e, u, now):
        """(time, bytes) before a task can run at a place."""
        seconds, moved = 0.0, 0.0
        if task.layer > 0 and task.at != e:
            moved = task.live if task.at is None else 2.0 * task.live
            seconds = self.machine.switch_s + moved / self.bandwidth[e]
        continues = task.layer > 0 and task.last_s == now
        if continues and task.place[0] == e:
            change = task.place[1] != u
        else:
            change = (task.place is not None and task.place != (e, u)) or self.formed[e] != u
        return seconds + (self.machine.reconfigure_s if change else 0.0), moved

    def _expected(self, task, e, most, limit, now):
        """(time until the task is done if it starts at engine e, level), or None."""
        r = task.request
        options = [(u, first) for f, u, first in self.places(self.trace.network[r], self.trace.sample[r], self.bound(r))
                   if f == e]
        if options and most < self.levels[options[0][0]] <= limit:
            most = self.levels[options[0][0]]
        found = []
        for u, _ in options:
            if self.levels[u] <= most:
                ahead = self.left(self.trace.network[r], self.trace.sample[r], self.bound(r), task.layer, e, u,
                                  "estimate")
                found.append((self._prepare_s(task, e, u, now)[0] + ahead, u))
        return min(found) if found else None

    def _best(self, candidates, now):
        if self.key is not None or self.rank is not None:
            return self._first(candidates, now)
        return self.select(candidates, list(range(len(candidates))), len(candidates), now, self.params, self.state)

    def _first(self, tasks, now):
        """Who comes first, or the one that has just run if that stays."""
        ran = [i for i, t in enumerate(tasks) if (t.layer > 0 or t.tile > 0) and t.last_s == now]
        if self.rank and ran and tasks[ran[-1]].seen == self.epoch and now < self.asked_s + self.quantum_s:
            return ran[-1]
        self.asked_s = now
        count = len(tasks)
        if self.key:
            numbers = [self.key(tasks, i, self.params) for i in range(count)]
        else:
            ranked = [types.SimpleNamespace() for _ in tasks]
            self.rank(tasks, list(range(count)), count, now, count, count, self.params, ranked)
            numbers = [row.value for row in ranked]
        first = min(range(count), key=lambda i: numbers[i] if numbers[i] < INF else INF)
        if ran and first != ran[-1] and self.keeps and self.keeps(tasks, ran[-1], first, now, self.params):
            return ran[-1]
        return first

    def _round(self, now):
        """Who starts where: [(task, engine, level)]."""
        idle, picks = self._idle(), []
        free_at, layer_end = [now] * len(self.units), [now] * len(self.units)
        displaced = [None] * len(self.units)
        for e in self.engines:
            if idle[e] == 0:
                ends = []
                for x in (x for x in self.running if x.engine == e):
                    r = x.task.request
                    stays = x.end
                    if x.task.layer + 1 < self.table.n_layers[self.trace.network[r]]:
                        u = self.levels.index(x.units)
                        stays += (1.0 - self.exit[x.row]) * self.left(
                            self.trace.network[r], self.trace.sample[r], e, x.task.layer + 1, e, u, "estimate")
                    ends.append((stays, x))
                free_at[e], x = min(ends, key=lambda pair: pair[0])
                layer_end[e], displaced[e] = x.end, x.task
        if self.sends and len(self.waiting) == 1 and not self.running:  # alone: free to go anywhere
            self.waiting[0].target, self.waiting[0].cap = self.bound(self.waiting[0].request), INF
        candidates = [t for t in self.waiting if t.target < 0 or idle[t.target] > 0]
        patience = PATIENCE
        while candidates and sum(idle) > 0 and patience > 0:
            task = candidates.pop(self._best(candidates, now))
            waiting = len(candidates) + 1
            best = None
            for e in self.engines:
                if task.target not in (-1, e):
                    continue
                if idle[e] > 0:
                    sharing = 1 + sum(t.target in (-1, e) for t in candidates) if self.sends else waiting
                    takers = min(sharing, idle[e] // self.levels[0])
                    begin, expected = now, self._expected(task, e, idle[e] // takers if takers else 0, idle[e], now)
                else:
                    begin, expected = free_at[e], self._expected(task, e, self.units[e], self.units[e], now)
                    if (self.key and not self.keeps and displaced[e]
                            and self.key([task], 0, self.params) < self.key([displaced[e]], 0, self.params)):
                        begin = layer_end[e]
                if expected and (best is None or (begin + expected[0], idle[e] == 0) < best[:2]):
                    best = (begin + expected[0], idle[e] == 0, e, expected[1])
            if best is not None and not best[1]:
                picks.append((task, best[2], best[3]))
                idle[best[2]] -= self.levels[best[3]]
            else:
                patience -= 1
            if best is not None and idle[best[2]] == 0:
                free_at[best[2]] = layer_end[best[2]] = best[0]
                displaced[best[2]] = None
                candidates = [t for t in candidates if t.target != best[2]]
        return picks

    def _assigned(self, now):
        """Who starts where under a policy that assigns: [(task, engine, level)]."""
        idle = self._idle()
        seen = [t for t in self.waiting if self.bound(t.request) < 0 or idle[self.bound(t.request)] > 0][:VIEW]
        if not seen or sum(idle) == 0:
            return []
        tasks = [*seen, *(x.task for x in self.running)]
        count = len(seen)
        shape = (len(tasks), len(self.units), len(self.levels))
        lefts, needs = np.full(shape, INF), np.zeros(shape)
        seats = [Seat() for _ in tasks]
        for i, task in enumerate(tasks):
            r = task.request
            network, sample, bound = self.trace.network[r], self.trace.sample[r], self.bound(r)
            running = self.running[i - count] if i >= count else None
            seats[i].droppable = self.trace.drop_late[r]
            layer = task.layer + (running is not None)
            if running is not None:
                seats[i].engine, seats[i].units = running.engine, running.units
                seats[i].need_bytes_per_s, seats[i].cap_bytes_per_s = running.need, running.cap
            elif task.place is not None:
                seats[i].engine = task.place[0]
                seats[i].units = self.levels[task.place[1]] if task.last_s == now else 0
            rest = max(0.0, self.estimate[running.row] - (now - running.begin)) if running is not None else 0.0
            for e, u, first in self.places(network, sample, bound):
                if layer == self.table.n_layers[network]:
                    lefts[i, e, u] = rest
                    continue
                if running is None:
                    rest = self._prepare_s(task, e, u, now)[0]
                goes_on = 1.0 if running is None else 1.0 - self.exit[running.row]
                lefts[i, e, u] = rest + goes_on * self.left(network, sample, bound, layer, e, u, "estimate")
                needs[i, e, u] = self.bytes[first + layer] / self.estimate[first + layer]
        chip = [types.SimpleNamespace(units=units, idle=free, bytes_per_s=self.machine.dram_bytes_per_s)
                for units, free in zip(self.units, idle, strict=True)]
        self.assign(tasks, seats, list(range(count)), count, list(range(count, len(tasks))), len(tasks) - count, lefts,
                    needs, Sized(chip), Sized(self.levels), now, self.params, self.state, self.plan)
        for seat in seats:
            seat.drop = seat.drop and seat.droppable
        kept = [i for i in range(count) if not seats[i].drop]
        picks = []
        for i in kept:
            e, wish = seats[i].to_engine, seats[i].to_units
            if e >= 0 and wish > 0:
                self._seat(tasks[i], lefts[i], seats[i], [e], wish, idle, picks)
        if not picks and not self.running:
            for i in kept:
                if not picks:
                    self._seat(tasks[i], lefts[i], seats[i], self.engines, INF, idle, picks)
        for i in range(count):
            if seats[i].drop:
                self.waiting.remove(tasks[i])
                if tasks[i].at is not None and self.resident[tasks[i].at] is tasks[i]:
                    self.resident[tasks[i].at] = None
        return picks

    def _seat(self, task, left, seat, engines, wish, idle, picks):
        options = []
        for e in engines:
            able = [u for u, size in enumerate(self.levels) if left[e, u] < INF and size <= idle[e]]
            options += [(left[e, u], e, u) for u in able if self.levels[u] <= min(wish, idle[e]) or u == able[0]]
        if options:
            _, e, u = min(options)
            idle[e] -= self.levels[u]
            task.cap = seat.cap_bytes_per_s
            picks.append((task, e, u))

    def _start(self, picks, now):
        if not picks:
            return
        bound = [t.target for t in self.waiting]
        if self.assign:  # those it was shown: they could use an engine that was idle
            free = self._idle()
            bound = [b for b in bound if b < 0 or free[b] > 0][:VIEW]
        for task, e, _ in picks:
            if task.at is not None and task.at != e and self.resident[task.at] is task:
                self.resident[task.at] = None
            self.waiting.remove(task)
        unsaved = [0.0] * len(self.units)
        for task in self.waiting:
            if task.at is not None and self.units[task.at] > 1:
                self._give_way(task, unsaved, task.at)
        for task, e, u in picks:
            r = task.request
            seconds, moved = self._prepare_s(task, e, u, now)
            if self.units[e] == 1:
                other = self.resident[e]
                if other is not None and other is not task:
                    self._give_way(other, unsaved, e)
                self.resident[e] = task
            seconds += unsaved[e] / self.bandwidth[e]
            moved += unsaved[e]
            unsaved[e] = 0.0
            rivals = sum(b in (-1, e) for b in bound)
            if task.layer == 0 or (rivals >= 2 and not (self.run_ahead and task.seen == self.epoch)):
                seconds += self.machine.decision_s
                self.decisions += 1
            task.seen = self.epoch
            if task.layer == 0:
                self.start[r] = now
            self.formed[e], task.place, task.at = u, (e, u), e
            row = int(self.table.offset[self.trace.network[r], self.trace.sample[r], e, u]) + task.layer
            duration = seconds + self.latency[row]
            self.overhead += seconds
            self.moved += moved + self.bytes[row]
            self.joules[r] += self.energy[row] + moved * self.machine.dram_j_per_byte
            need = (moved + self.bytes[row]) / duration if duration > 0.0 else 0.0
            self.running.append(Running(task, e, self.levels[u], row, now, now, duration, need, task.cap))

    def _give_way(self, task, unsaved, e):
        unsaved[e] += task.live
        task.at = None
        self.preempted[task.request] += 1

    # ---- the DRAM channel ---------------------------------------------------------------------------------------
    def _share(self, now):
        needs = [min(x.need, x.cap) for x in self.running]
        limit = self.machine.dram_bytes_per_s
        speeds = [1.0] * len(needs)
        if len(needs) > 1 and self.machine.dram_mode != DRAM_FIXED and sum(needs) > limit * (1.0 + 1e-9):
            if self.machine.dram_mode == DRAM_PROPORTIONAL:
                speeds = [limit / sum(needs)] * len(needs)
            else:
                speeds = _max_min(needs, limit)
        speeds = [s * min(1.0, x.cap / x.need) if x.need else s for x, s in zip(self.running, speeds, strict=True)]
        for x, speed in zip(self.running, speeds, strict=True):
            if speed != x.speed:
                x.left -= (now - x.since) * x.speed
                x.since, x.speed = now, speed
                x.end = now + x.left / speed

    def _records(self):
        return TaskRecords(
            ready_s=np.array(self.ready), start_s=np.array(self.start), finish_s=np.array(self.finish),
            service_s=np.array(self.service), energy_j=np.array(self.joules),
            preemptions=np.array(self.preempted, dtype=np.int64), engine_busy_s=np.array(self.busy),
            dram_bytes=self.moved, overhead_s=self.overhead, decisions=self.decisions, events=self.events,
            spans=np.array(self.spans).reshape(-1, 6))


def _max_min(needs, limit):
    """Water filling: the level at which the cut needs add up to the limit."""
    ordered = sorted(needs)
    spent = 0.0
    for index, need in enumerate(ordered):
        level = (limit - spent) / (len(ordered) - index)
        if need > level:
            return [1.0 if n <= level else level / n for n in needs]
        spent += need
    return [1.0] * len(needs)


def overlaps(spans, units):
    """Most units in use at any time on one engine, from rows (start, end, request, layer, engine, units)."""
    moments = sorted({t for row in spans for t in row[:2]})
    return max((sum(row[5] for row in spans if row[0] <= a and row[1] >= b) for a, b in pairwise(moments)), default=0)
