"""The loop that loads weights ahead in plain Python, for reading and checking: `hwmodels.kernel_prefetch`.

It also asserts what must hold of the machine: the buffer is never above its capacity, the channel moves one load at a
time and no byte before its time, blocks are computed one after the other.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from types import SimpleNamespace

import numpy as np

from hwmodels.policies.base import DECLARABLE
from hwmodels.tables import TaskRecords

NAN, INF = float("nan"), float("inf")


@dataclass
class Block:
    """An issued block."""

    task: object
    layer: int
    part: int
    parts: int
    start: float
    end: float
    begin: float
    size: float
    compute: float
    load: float
    moved: float
    joules: float
    unit_before: float
    held_before: dict
    last_before: object


class Prefetching:
    """Same result as `hwmodels.kernel.run` for a policy of the form `issue`; built from the general simulation, which
    knows what policies are told."""

    def __init__(self, base, issue):
        self.base, self.issue = base, issue
        self.table, self.machine, self.trace = base.table, base.machine, base.trace
        self.room, self.bandwidth = float(self.machine.prefetch_bytes), base.bandwidth[0]
        self.latency = base.latency
        own = self.table.prefetched_s
        self.compute = self.latency if own is None else own.tolist()
        self.told = base.estimate if own is None else own.tolist()
        weights = self.table.weight_bytes
        self.weights = [0.0] * len(self.latency) if weights is None or not self.room else weights.tolist()
        tiles = base.policy.blocks
        self.tiles = int(base.params[list(base.policy.params).index(tiles)]) if tiles and self.room else 1
        self.now = self.channel = self.unit = 0.0
        self.tasks, self.blocks, self.done_blocks = [], [], []
        self.held = {}  # interrupted tasks with activations on chip -> bytes
        self.in_dram = set()
        self.last = None  # issued last, with layers left
        self.reloaded = 0.0

    def first(self, task):
        return int(self.table.offset[self.trace.network[task.request], self.trace.sample[task.request], 0, 0])

    def cut(self, row):
        """Blocks of a layer."""
        least = ceil(2.0 * self.weights[row] / self.room) if self.room and self.weights[row] > self.room / 2 else 1
        return max(least, self.tiles if self.weights[row] > 0.0 else 1)

    def layers(self, task):
        return self.base.layers(task.request)

    def run(self):
        base, trace = self.base, self.trace
        roots = [r for r in range(len(trace.arrival_s)) if trace.parent[r] < 0]
        children = {}
        for r, parent in enumerate(trace.parent):
            children.setdefault(parent, []).append(r)
        while True:
            moments = [b.end for b in self.blocks[:1]] + [trace.arrival_s[r] for r in roots[:1]]
            if self.heads():
                moments.append(max(self.now, self.due()))
            if not moments:
                break
            self.now = min(moments)
            arriving = []
            while self.blocks and self.blocks[0].end <= self.now:
                arriving += children.get(self.retire(self.blocks.pop(0)), [])
            while roots and trace.arrival_s[roots[0]] <= self.now:
                arriving.append(roots.pop(0))
            for r in arriving:
                base._admit(r, self.now)
                task = base.waiting.pop()
                task.live, task.seen = 0.0, 0  # `seen`: blocks issued of the next layer
                self.tasks.append(task)
            self.tasks = [t for t in self.tasks if not (trace.drop_late[t.request] and np.isnan(base.start[t.request])
                                                        and trace.deadline_s[t.request] <= self.now)]
            if self.heads() and self.due() <= self.now:
                self.decide()
        self.check()
        records = base._records()
        return records._replace(reloaded_bytes=self.reloaded)

    def heads(self):
        """The oldest task of every tenant that has something to issue, in the order of admission."""
        seen = {}
        for task in self.tasks:
            if task.layer < self.layers(task):
                seen.setdefault(task.tenant, task)
        return list(seen.values())

    def due(self):
        ahead = self.room / self.bandwidth if len(self.tasks) > 1 else 0.0
        return max(self.channel, self.unit - ahead)

    def retire(self, block):
        base, task = self.base, block.task
        took = block.end - block.start
        base.busy[0] += took
        base.service[task.request] += took
        base.joules[task.request] += block.joules
        base.events += 1
        base.spans.append((block.start, block.end, task.request, block.layer, 0, 1.0))
        task.service_s += took
        task.last_s = block.end
        self.done_blocks.append(block)
        if task.layer == self.layers(task) and not any(b.task is task for b in self.blocks):
            base.finish[task.request] = block.end
            self.tasks.remove(task)
            return task.request
        return None

    def switch(self, task):
        """(activations on chip, bytes moved, time for them) if the task is issued now."""
        held, moved, fixed = dict(self.held), 0.0, 0.0
        if task is self.last:
            return held, moved, fixed
        held.pop(task, None)
        if task in self.in_dram:
            moved, fixed = task.live, self.machine.switch_s
        if self.last is not None:
            if self.room > 0.0 and sum(held.values()) + self.last.live <= self.room / 2:
                held[self.last] = self.last.live
            else:
                moved += self.last.live
        return held, moved, moved / self.bandwidth + fixed

    def load_begin(self, size, held):
        """Earliest time at which the weights fit."""
        inside = [b for b in self.blocks if b.end > self.now]
        for begin in [self.now, *(b.end for b in inside)]:
            taken = sum(b.size for b in inside if b.end > begin)
            if size == 0.0 or taken + size <= (self.room - sum(held.values())) * (1 + 1e-12):
                return begin
        raise AssertionError("a block that never fits")

    def decide(self):
        heads = self.heads()
        alone = len(self.tasks) == 1
        offers = []
        for task in heads:
            row = self.first(task) + task.layer
            parts = self.cut(row)
            times = parts - task.seen if alone else 1
            held, moved, extra = self.switch(task)
            begin = self.load_begin(self.weights[row] / parts, held)
            wait = times * (self.latency[row] - self.compute[row]) / parts
            offers.append((row, parts, times, held, moved, extra, begin, wait))
        shown = [SimpleNamespace(
            slot=i, compute_s=times * (self.told[row] / parts), begin_s=begin,
            load_s=times * (self.table.dram_bytes[row] / parts / self.bandwidth),
            bytes=times * self.weights[row] / parts, ready_s=max(self.unit, begin + extra + wait))
            for i, (row, parts, times, held, moved, extra, begin, wait) in enumerate(offers)]
        tail = self.blocks[-1] if self.blocks else None
        evictable = tail is not None and tail.start > self.now and tail.moved == 0.0 and tail.size > 0.0
        tasks = list(heads)
        port = SimpleNamespace(
            unit_s=self.unit, buffer_bytes=self.room, bytes_per_s=self.bandwidth, evictable=int(evictable),
            free_bytes=self.room - sum(self.held.values()) - sum(b.size for b in self.blocks), last_slot=-1,
            last_bytes=0.0, last_compute_s=0.0, last_load_s=0.0)
        if tail is not None:
            if tail.task not in tasks:
                tasks.append(tail.task)
            port.last_slot, port.last_bytes = tasks.index(tail.task), tail.size
            port.last_compute_s, port.last_load_s = tail.compute, tail.load
        # slots are stable in the kernel, positions are not here: remember an announced slot by its task
        if self.base.state[1] > 0.0:
            self.base.state[1] = (tasks.index(self.announced) if self.announced in tasks else len(tasks)) + 1.0
        choice = self.issue(tasks, shown, len(heads), [port], self.now, self.base.params, self.base.state,
                            self.base.plan)
        if self.base.state[1] > 0.0:
            self.announced = tasks[int(self.base.state[1]) - 1]
        if choice == -1 and evictable:
            self.evict(self.blocks.pop())
        else:
            self.put(heads[choice], *offers[choice], rivals=len(heads) > 1)

    def put(self, task, row, parts, times, held, moved, extra, begin, wait, *, rivals):
        base = self.base
        r, decision = task.request, 0.0
        new = task.layer == 0 and task.seen == 0
        if new or rivals:
            decision = self.machine.decision_s
            base.decisions += 1
        if new:
            base.start[r] = self.now
        whole = times == parts
        compute = times * (self.compute[row] / parts)
        latency = self.latency[row] if whole else compute + wait
        stalled = begin > self.now + decision
        start = max(begin if stalled else self.now, self.unit)
        load_begin = begin if stalled else self.now + decision
        end = begin + (extra + latency) if stalled else self.now + (decision + extra + latency)
        if load_begin + extra + wait <= self.unit:
            end = self.unit + compute
        bytes_moved = moved + times * (self.table.dram_bytes[row] / parts)
        size = min(times * (self.weights[row] / parts), self.room / 2)
        joules = self.table.energy_j[row] * times / parts + moved * self.machine.dram_j_per_byte
        told, load = times * (self.told[row] / parts), times * (self.table.dram_bytes[row] / parts / self.bandwidth)
        block = Block(task, task.layer, task.seen, times, start, end, load_begin, size, told, load, moved, joules,
                      self.unit, self.held, self.last)
        assert load_begin >= self.channel
        if bytes_moved > 0.0:
            self.channel = load_begin + bytes_moved / self.bandwidth
            assert self.channel <= end * (1 + 1e-12)
        base.moved += bytes_moved
        base.overhead += decision + extra
        self.unit = end
        self.blocks.append(block)
        if self.last not in (None, task) and self.last not in held:
            self.in_dram.add(self.last)
            base.preempted[self.last.request] += 1
        if task is not self.last:
            self.in_dram.discard(task)
        self.held, self.last = held, task
        task.seen += times
        if task.seen == parts:
            task.seen, task.live = 0, self.base.live[row]
            task.layer += 1
            if task.layer < self.layers(task):
                base._show(task)
            else:
                self.last = None

    def evict(self, block):
        task = block.task
        row = self.first(task) + block.layer
        self.reloaded += block.size
        self.base.moved += block.size - self.table.dram_bytes[row] / self.cut(row)
        self.base.joules[task.request] += block.size * self.machine.dram_j_per_byte
        self.unit, self.held, self.last = block.unit_before, block.held_before, block.last_before
        task.layer, task.seen = block.layer, block.part
        task.live = self.base.live[row - 1] if block.layer else 0.0
        self.base._show(task)
        if block.layer == 0 and block.part == 0:
            self.base.start[task.request] = NAN

    def check(self):
        """SRAM within its capacity, computing one block at a time."""
        order = sorted(self.done_blocks, key=lambda b: b.end)
        for a, b in pairwise(order):
            assert a.end <= b.start
        for block in order:
            taken = sum(b.size for b in order if b.begin <= block.begin < b.end)
            assert taken <= self.room * (1 + 1e-9)


def reference_prefetch(base, issue) -> TaskRecords:
    """Run a prepared `reference_kernel._Simulation` under an `issue` function."""
    assert set(base.policy.needs) <= set(DECLARABLE)
    return Prefetching(base, issue).run()
