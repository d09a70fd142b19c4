"""The tile loop in plain Python, one tile after the other, to check the compiled one (`hwmodels.kernel_tile`)."""

import numpy as np
from reference_kernel import _Simulation

from hwmodels.kernel import tenants_of
from hwmodels.policies.base import CHEAPER, CHECKPOINT, KILL


def tile_reference(table, machine, trace, policy, params=None):
    """Same result as `hwmodels.kernel.run` where the policy has `stops`, on one undivided engine."""
    return _Tiles(table, machine, trace, policy, policy.values(params).tolist()).run()


class _Tiles(_Simulation):
    def __init__(self, table, machine, trace, policy, params):
        super().__init__(table, machine, trace, policy, params)
        self.stops = policy.stops(table, machine, tenants_of(trace, machine), np.array(params))
        rows = len(self.latency)
        columns = table.tiles or (np.ones(rows, int), np.ones(rows, int), np.zeros(rows), np.zeros(rows))
        self.tiles, self.piece, self.sums, self.reload = (column.tolist() for column in columns)
        self.wakes = None

    def row(self, task):
        r = task.request
        return int(self.table.offset[self.trace.network[r], self.trace.sample[r], 0, 0]) + task.layer

    def point(self, task):
        """May the running task be stopped where it is?"""
        if self.stops.points is not None:
            before = sum(self.tiles[self.row(task) - task.layer : self.row(task)])
            return bool(self.stops.points[task.tenant][before + task.tile])
        return task.tile == 0 or self.stops.tiles

    def show(self, task):
        self._show(task)
        row, part = self.row(task), 0.0
        if task.tile:
            part = task.tile / self.tiles[row]
        for names, values in ((("remaining_s", "next_s"), self.estimate),
                              (("pattern_remaining_s", "pattern_next_s"), self.pattern),
                              (("true_remaining_s",), self.latency)):
            for name in names:
                setattr(task, name, getattr(task, name) - part * values[row])

    def kept(self, task):
        """(bytes to save, tiles to redo) of a task that stops here."""
        row = self.row(task)
        behind = self.live[row - 1] if task.layer else 0.0
        if task.tile == 0:
            return behind, 0
        kept, open_tiles = behind + self.live[row] * task.tile / self.tiles[row], task.tile % self.piece[row]
        persist_s = 2.0 * self.sums[row] / self.bandwidth[0]
        redo_s = open_tiles * self.latency[row] / self.tiles[row]
        if self.stops.how == CHECKPOINT or (self.stops.how == CHEAPER and persist_s <= redo_s):
            return kept + (self.sums[row] if open_tiles else 0.0), 0
        return kept, open_tiles

    def run(self):
        trace, n = self.trace, len(self.trace.arrival_s)
        roots = [r for r in range(n) if trace.parent[r] < 0]
        now, current, asked_s, finished = 0.0, None, 0.0, None
        saved, useful = {}, dict.fromkeys(range(n), 0.0)
        while roots or self.waiting or finished is not None:
            arriving = [r for r in roots if trace.arrival_s[r] < now]
            arriving += [r for r in range(n) if finished is not None and trace.parent[r] == finished]
            finished = None
            if not self.waiting and not arriving and roots:
                now = max(now, trace.arrival_s[roots[0]])
            arriving += [r for r in roots if trace.arrival_s[r] == now]
            roots = [r for r in roots if r not in arriving]
            for r in arriving:
                self._admit(r, now)
                if trace.parent[r] < 0:
                    self.waiting[-1].ready_s = self.waiting[-1].last_s = self.ready[r] = trace.arrival_s[r]
            self.epoch += bool(arriving)
            self.waiting = [t for t in self.waiting if not (
                trace.drop_late[t.request] and np.isnan(self.start[t.request]) and trace.deadline_s[t.request] <= now)]
            if not self.waiting:
                continue
            asked = current is None or (self.point(current) and (current.seen != self.epoch or (
                not self.run_ahead and now >= asked_s + self.stops.quantum_s
                and (current.tile == 0 or len(self.waiting) > 1))))
            task = current
            if asked:
                task, asked_s = self.waiting[self._best(self.waiting, now)], now
            seconds = self._dispatch(task, current, asked, now, saved, useful)
            # one tile
            row, fresh = self.row(task), task is not current or task.tile == 0
            tile_s = self.latency[row] / self.tiles[row]
            end = now + seconds + tile_s
            if fresh:
                self.spans.append([now, end, task.request, task.layer, 0.0, 1.0])
                self.events += 1
            self.spans[-1][1] = end
            self.busy[0] += end - now
            self.service[task.request] += end - now
            self.joules[task.request] += self.energy[row] / self.tiles[row]
            self.moved += self.bytes[row] / self.tiles[row]
            useful[task.request] += tile_s
            task.service_s += end - now
            task.last_s = now = end
            task.tile += 1
            current = task
            if task.tile == self.tiles[row]:
                task.tile, task.layer = 0, task.layer + 1
            if task.layer == self.layers(task.request):
                self.finish[task.request], finished, current = now, task.request, None
                self.waiting.remove(task)
                self.epoch += 1
            else:
                self.show(task)
        return self._records()

    def _dispatch(self, task, current, asked, now, saved, useful):
        """Charge what has to happen before the task runs; seconds."""
        seconds, moved, r = 0.0, 0.0, task.request
        fresh = task.layer == 0 and task.tile == 0
        if fresh or (asked and len(self.waiting) > 1 and not (self.run_ahead and task.seen == self.epoch)):
            self.decisions += 1
            if task is not current or task.tile == 0:
                seconds += self.machine.decision_s
        if asked:
            task.seen = self.epoch
        if np.isnan(self.start[r]):
            self.start[r] = now
        if task is not current:
            if current is not None:
                self.preempted[current.request] += 1
                if self.stops.how == KILL:
                    self.overhead += useful[current.request]
                    useful[current.request] = 0.0
                    current.layer = current.tile = 0
                    self.show(current)
                else:
                    saved[current.request] = self.kept(current)
                    moved += saved[current.request][0]
            if r in saved:
                kept, redo = saved.pop(r)
                row = self.row(task)
                part = redo / self.tiles[row]
                moved += kept + (self.reload[row] if task.tile else 0.0)
                seconds += self.machine.switch_s + part * self.latency[row]
                self.joules[r] += part * self.energy[row]
                self.moved += part * self.bytes[row]
            seconds += moved / self.bandwidth[0]
            self.moved += moved
            self.joules[r] += moved * self.machine.dram_j_per_byte
        self.overhead += seconds
        return seconds
