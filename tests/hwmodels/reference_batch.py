"""The batching path of the event kernel in plain Python: `hwmodels.kernel_batch` written for reading."""

from types import SimpleNamespace

import numpy as np

from hwmodels.tables import TaskRecords

NAN, INF = float("nan"), float("inf")


class Group:
    """Requests of one network at one layer."""

    def __init__(self, network, members):
        self.network, self.members, self.slots, self.layer = network, list(members), len(members), 0
        self.on_chip, self.in_dram, self.parked = 0.0, 0.0, False


class BatchSimulation:
    """`base`: the simulation of `reference_kernel`, whose records, tasks and look-ups are used; `function`: the
    interpreted policy; `most`: largest batch."""

    def __init__(self, base, function, plan, most):
        self.base, self.function, self.plan, self.most = base, function, plan, most
        self.table, self.machine, self.trace = base.table, base.machine, base.trace
        self.lines = [[] for _ in self.table.n_layers]
        self.groups: list[Group] = []
        self.on_engine: Group | None = None
        self.tasks: dict[int, object] = {}

    # ---- costs ----------------------------------------------------------------------------------------------------
    def cost(self, column, group):
        """Of the next layer of a group: the mean of what its members would cost as a batch of that size."""
        one, many = getattr(self.table, column), getattr(self.table, f"batch_{column}")
        found = []
        for r in group.members:
            row = int(self.table.offset[self.trace.network[r], self.trace.sample[r], 0, 0]) + group.layer
            found.append(float(many[group.slots - 1, row] if many is not None and group.slots > 1
                               else group.slots * one[row]))
        return found[0] if len(set(found)) == 1 else sum(found) / len(found)

    # ---- events ---------------------------------------------------------------------------------------------------
    def run(self):
        trace, base = self.trace, self.base
        roots = [r for r in range(len(trace.arrival_s)) if trace.parent[r] < 0]
        released: list[int] = []
        now = 0.0
        while roots or released or any(self.lines) or self.groups:
            if not (released or any(self.lines) or self.groups):
                now = max(now, trace.arrival_s[roots[0]])
            arriving = [r for r in roots if trace.arrival_s[r] < now] + released
            arriving += [r for r in roots if trace.arrival_s[r] == now]
            roots = [r for r in roots if trace.arrival_s[r] > now]
            for r in arriving:
                self.tasks[r] = base._admit(r, trace.arrival_s[r] if trace.parent[r] < 0 else now)
                self.lines[trace.network[r]].append(r)
            released = []
            for line in self.lines:
                line[:] = [r for r in line if not (trace.drop_late[r] and trace.deadline_s[r] <= now)]
            if not (any(self.lines) or self.groups):
                continue
            following = trace.arrival_s[roots[0]] if roots else INF
            group, layers, wait_until = self._decide(now)
            if group is None:
                at = min(following, wait_until)
                if now < at < INF:
                    now = at
                    continue
                group = self._somebody()
            now = self._run(group, layers, now, following)
            gone = sorted(r for r in group.members if base.layers(r) == group.layer)
            for r in gone:
                base.finish[r] = now
                group.members.remove(r)
                released += [c for c, parent in enumerate(trace.parent) if parent == r]
            if not group.members:
                self.groups.remove(group)
                self.on_engine = None
        base.busy = [base.busy[0]]
        return TaskRecords(
            ready_s=np.array(base.ready), start_s=np.array(base.start), finish_s=np.array(base.finish),
            service_s=np.array(base.service), energy_j=np.array(base.joules),
            preemptions=np.array(base.preempted, dtype=np.int64), engine_busy_s=np.array(base.busy),
            dram_bytes=base.moved, overhead_s=base.overhead, decisions=base.decisions, events=base.events,
            spans=np.array(base.spans).reshape(-1, 6))

    def _decide(self, now):
        """(group to run or None, most layers, when to ask again)."""
        while True:
            follows: dict[int, int] = {}
            for chain in (*self.lines, *(group.members for group in self.groups)):
                follows |= dict(zip(chain, [*chain[1:], -1], strict=False))
            lines = [SimpleNamespace(first=line[0] if line else -1, count=len(line)) for line in self.lines]
            shown = [SimpleNamespace(network=g.network, layer=g.layer, members=len(g.members), slots=g.slots,
                                     first=g.members[0], park_s=self._park_s(g), into=-1, compact=0)
                     for g in self.groups]
            order = SimpleNamespace(run=-1, layers=2**31, start=0, wait_until_s=INF)
            picks = [-1] * len(self.trace.arrival_s)
            self.function(self.tasks, lines, follows, shown, len(shown), [order], picks, now, self.base.params,
                          self.base.state, self.plan)
            if not self._reshape(shown):
                break
        picked = picks[: order.start]
        if picked:
            network = self.trace.network[picked[0]]
            self.lines[network] = [r for r in self.lines[network] if r not in picked]
            self.groups.append(Group(network, picked))
            order.run = len(self.groups) - 1 if order.run < 0 else order.run
        return (self.groups[order.run] if order.run >= 0 else None), order.layers, order.wait_until_s

    def _park_s(self, group):
        seconds = 0.0
        if group is self.on_engine:
            seconds += self.machine.switch_s + 2.0 * group.on_chip / self.base.bandwidth[0]
        if group.parked:
            seconds += self.machine.switch_s + group.in_dram / self.base.bandwidth[0]
        return seconds

    def _reshape(self, shown):
        """Compact and merge as asked; whether anything changed."""
        changed = False
        for group, view in zip(self.groups, shown, strict=True):
            if view.compact and group.slots > len(group.members):
                group.on_chip *= len(group.members) / group.slots
                group.in_dram *= len(group.members) / group.slots
                group.slots = len(group.members)
                changed = True
        before = list(self.groups)
        for g in reversed(range(len(before))):
            if shown[g].into < 0:
                continue
            source, target = before[g], before[shown[g].into]
            if (source.network, source.layer) != (target.network, target.layer):
                continue
            if source.slots + target.slots > self.most:
                continue
            target.members += source.members
            target.slots += source.slots
            target.on_chip += source.on_chip
            target.in_dram += source.in_dram
            target.parked |= source.parked
            if self.on_engine is source:
                self.on_engine = target
            self.groups.remove(source)
            changed = True
        return changed

    def _somebody(self):
        """The machine never stops for good: the last group, else the oldest request alone."""
        if not self.groups:
            r = min((line[0] for line in self.lines if line), key=lambda r: self.tasks[r].order)
            self.lines[self.trace.network[r]].remove(r)
            self.groups.append(Group(self.trace.network[r], [r]))
        return self.groups[-1]

    def _run(self, group, layers, now, following):
        """Layer after layer until somebody leaves or arrives, or the policy wants to be asked; the time then."""
        base, machine = self.base, self.machine
        seconds, moved = 0.0, 0.0
        if group.layer == 0 or sum(map(len, self.lines)) + len(self.groups) >= 2:
            seconds += machine.decision_s
            base.decisions += 1
        if group.layer == 0:
            for r in group.members:
                base.start[r] = now
        if self.on_engine is not group:
            other = self.on_engine
            if other is not None:
                moved += other.on_chip
                other.in_dram, other.on_chip, other.parked = other.in_dram + other.on_chip, 0.0, True
                for r in other.members:
                    base.preempted[r] += 1
            self.on_engine = group
        if group.parked:
            moved += group.in_dram
            seconds += machine.switch_s
            group.in_dram, group.parked = 0.0, False
        seconds += moved / base.bandwidth[0]
        base.moved += moved
        base.overhead += seconds
        share = 1.0 / len(group.members)
        for r in group.members:
            base.joules[r] += moved * machine.dram_j_per_byte * share
        for _ in range(max(1, layers)):
            took = seconds + self.cost("latency_s", group)
            seconds = 0.0
            base.moved += self.cost("dram_bytes", group)
            base.busy[0] += took
            for r in group.members:
                base.spans.append((now, now + took, r, group.layer, 0, share))
                base.service[r] += took
                base.joules[r] += self.cost("energy_j", group) * share
            base.events += len(group.members)
            group.on_chip = self.cost("live_bytes", group)
            group.layer += 1
            now += took
            for r in group.members:
                task = self.tasks[r]
                task.layer, task.last_s = group.layer, now
                task.service_s += took
                if group.layer < base.layers(r):
                    base._show(task)
            if following <= now or any(base.layers(r) == group.layer for r in group.members):
                break
        return now
