"""The Dysta benchmark written from its rules alone: traces, look-up table, event loop, eleven schedulers.

Independent of the package, slow and plain: it recomputes every sum at every event, and reads the traces itself.
"""

import csv
import gzip

SCHEDULERS = ("fcfs", "sjf", "sjf_sparse", "prema", "prema_sparse", "planaria", "sdrm3", "sdrm3_sparse", "dysta_naive",
              "dysta", "dysta_oracle")


def total(values):
    """Left to right, without the compensation of the built-in sum."""
    result = 0.0
    for value in values:
        result += value
    return result


def sanger(density, skip, length=512):
    sub = density / skip / 0.25 * length
    lin = length * 768 * 768 * 2 * 3 / 1e9 / 2048
    prj = length * 768 * 768 * 2 / 1e9 / (2048 / density * skip)
    tile = ((768 + 64) + (sub + 64)) * (length / 64)
    return lin + (sub / 64) * tile / 1e9 + prj


class Network:
    """One trace file: latencies and sparsities by sample and layer, and their means."""

    def __init__(self, file):
        self.name = file.name.split(".")[0]
        opened = gzip.open if file.name.endswith(".gz") else open
        with opened(file, "rt", encoding="utf-8-sig") as handle:
            rows = list(csv.DictReader(handle))
        self.attention = "sim_lat" not in rows[0]
        self.lat, self.sp = {}, {}
        for row in rows:
            sample, layer, sparsity = int(row["batch-indx"]), int(row["layer-indx"]), float(row["overall-sparsity"])
            self.lat.setdefault(sample, {})[layer] = (
                sanger(sparsity, float(row["50%-skip"])) if self.attention else float(row["sim_lat"]))
            self.sp.setdefault(sample, {})[layer] = 1 - sparsity if self.attention else sparsity
        count = len(self.lat)
        self.layers = len(next(iter(self.lat.values())))
        self.pat_lat = [total(by[k] for by in self.lat.values()) / count for k in range(self.layers)]
        self.pat_sp = [total(by[k] for by in self.sp.values()) / count for k in range(self.layers)]
        self.family = self.name if self.attention else self.name.split("_")[0]
        self.arch_lat = self.pat_lat


def load(folder):
    """Networks by name; those of one CNN architecture share the mean over its files, weighted by samples."""
    found = [Network(file) for file in sorted(folder.iterdir())]
    for family in {network.family for network in found}:
        mine = [network for network in found if network.family == family]
        weight = sum(len(network.lat) for network in mine)
        shared = [total(len(n.lat) * n.pat_lat[k] for n in mine) / weight for k in range(mine[0].layers)]
        for network in mine:
            network.arch_lat = network.pat_lat if len(mine) == 1 else shared
    return {network.name: network for network in found}


class Task:
    def __init__(self, index, request, network):
        self.index, self.network = index, network
        self.arrival, self.deadline, self.priority, _, self.sample = request
        self.k, self.last, self.token = 0, self.arrival, None

    def real(self):
        return [self.network.lat[self.sample][k] for k in range(self.network.layers)]

    def gamma(self, used):
        """Measured over average density of the executed layers."""
        ratios = [(1 - self.network.sp[self.sample][k]) / (1 - self.network.pat_sp[k]) for k in range(self.k)]
        return total(ratios) / len(ratios) if ratios and used else 1.0


def _scan(queue, scores):
    """Rule S."""
    chosen, best = None, -1.0
    for task, score in zip(queue, scores, strict=True):
        if best < 0 or score > best or (score == best and not chosen.arrival < task.arrival):
            chosen, best = task, score
    return chosen


def pick(policy, queue, now, alpha=1.0, beta=0.01):
    sparse = policy.endswith("_sparse") or policy == "dysta"
    lists = {t: (t.real() if policy == "dysta_oracle" else t.network.pat_lat if sparse else t.network.arch_lat)
             for t in queue}
    gamma = {t: t.gamma(sparse) for t in queue}
    left = {t: gamma[t] * total(lists[t][t.k:]) for t in queue}
    if policy == "fcfs":
        return min(queue, key=lambda t: t.arrival)
    if policy.startswith("sjf"):
        return min(queue, key=left.__getitem__)
    if policy.startswith("prema"):
        largest = 0.0
        for t in queue:
            if t.token is None:
                t.token = t.priority
            else:
                t.token += t.priority * (now - t.last) / (gamma[t] * total(lists[t]))
                largest = max(largest, t.token)
        least = 9 if largest >= 9 else 3 if largest >= 3 else 1
        common = gamma[queue[-1]]
        return min((t for t in queue if t.token >= least), key=lambda t: common * total(lists[t][t.k:]))
    if policy == "planaria":
        return _scan(queue, [t.priority / (t.deadline - now) for t in queue])
    if policy.startswith("sdrm3"):
        return _scan(queue, [min(left[t] / (t.deadline - now), 1)
                             + alpha * (now - t.last) / (gamma[t] * lists[t][t.k]) for t in queue])
    return min(queue, key=lambda t: left[t] + beta * (
        max(0.0, t.deadline - now - left[t]) + (now - t.last) / total(lists[t]) / len(queue)))


def finish_times(networks, requests, policy, *, compat):
    """Finish of every request; `requests` = (arrival, deadline, priority, network, sample) by arrival."""
    waiting = [Task(i, request, networks[request[3]]) for i, request in enumerate(requests)]
    finish, queue, now = [0.0] * len(requests), [], 0.0
    while waiting or queue:
        if compat:
            if not queue:
                queue.append(waiting.pop(0))
                now = queue[0].arrival
            else:
                while waiting and waiting[0].arrival < now:
                    queue.append(waiting.pop(0))
        else:
            if not queue:
                now = max(now, waiting[0].arrival)
            while waiting and waiting[0].arrival <= now:
                queue.append(waiting.pop(0))
        task = pick(policy, queue, now)
        now += task.network.lat[task.sample][task.k]
        task.k += 1
        task.last = now
        if task.k == task.network.layers:
            finish[task.index] = now
            queue.remove(task)
    return finish
