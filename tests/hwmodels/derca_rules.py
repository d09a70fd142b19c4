"""DERCA's analysis written from its rules alone: enumerates every deadline up to the hyperperiod, region by region."""

import math


def ceil(a, b):
    return -(-a // b)


def layer_regions(layer, machine, strategy):
    """[(executed, swap-in before, swap-out after)] per iteration of one layer; the ends of the layer are free."""
    m, k, n = layer
    depth = ceil(k, machine.tile_k)
    pieces = ceil(m, machine.tile_m) * ceil(n, machine.tile_n)
    last = pieces * depth
    load = [machine.load_cycles if i < last else 0 for i in range(last + 2)]
    comp = [machine.comp_cycles if 1 <= i <= last else 0 for i in range(last + 2)]
    store = [machine.store_cycles if i >= depth + 1 and (i - 1) % depth == 0 else 0 for i in range(last + 2)]
    run = [max(stages) for stages in zip(load, comp, store, strict=True)]

    def redo(i):
        if i == 1:
            return machine.load_cycles
        s = depth * ((i - 2) // depth)
        return load[s] + max(load[s + 1], comp[s + 1]) + sum(run[s + 2 : i])

    result, out = [], 0
    for i in range(last + 2):
        entry = out_before = 0
        if i > 0:
            persist = strategy == "ip" or (strategy == "if" and machine.resume_cycles < redo(i))
            entry = machine.resume_cycles if persist else redo(i)
            out_before = machine.persist_cycles if persist else machine.clean_output_cycles
        if result:
            result[-1][2] = out_before
        result.append([run[i], entry, out])
    return result


def network_regions(network, machine, strategy):
    if strategy == "np":
        total = sum(r[0] for layer in network for r in layer_regions(layer, machine, "ip"))
        return [[total, 0, 0]]
    if strategy == "lw":
        return [[sum(r[0] for r in layer_regions(layer, machine, "ip")), 0, 0] for layer in network]
    return [region for layer in network for region in layer_regions(layer, machine, strategy)]


def betas(periods, e):
    ends = [*periods, math.lcm(*periods)]
    result = []
    for k in range(len(periods)):
        low, high = ends[k], ends[k + 1]
        times = {p * a for p in periods for a in range(1, high // p + 1) if low <= p * a < high}
        if low == high:
            times.add(low)
        result.append(min(t - sum((1 + (t - p) // p) * c for p, c in zip(periods, e, strict=True)) for t in times))
    return result


def place(regions, first, tolerance):
    """Merged regions [(executed, swap-in)], or None."""
    def wcet(a, b):
        return (first if a == 0 else regions[a][1]) + sum(r[0] for r in regions[a : b + 1])

    placed, s, f = [], 0, 0
    while True:
        if wcet(s, f) < tolerance:
            if f == len(regions) - 1:
                return [*placed, (s, f)]
            f += 1
            continue
        cuts = [x for x in range(s, f) if wcet(s, x) <= tolerance and wcet(x + 1, f) <= tolerance]
        if not cuts:
            return None
        x = min(cuts, key=lambda x: wcet(x + 1, f))
        placed.append((s, x))
        s = x + 1


def verdict(networks, periods, machine, strategy, semantics):
    """(schedulable, betas, longest regions by period, wcets and numbers of regions as given); None = no placement."""
    order = sorted(range(len(periods)), key=lambda i: periods[i])
    ps = [periods[i] for i in order]
    base, _, ppp = strategy.partition("-")
    tasks = [network_regions(networks[i], machine, base) for i in order]
    outs = [max([r[2] for r in task[:-1]], default=0) for task in tasks]
    xi = [max([outs[j] for j in range(len(ps)) if ps[j] > ps[i]], default=0) for i in range(len(ps))]
    if ppp:
        e = [xi[i] + sum(r[0] for r in t) + sum(r[1] for r in t[1:]) for i, t in enumerate(tasks)]
        for i, task in enumerate(tasks):
            parts = [(0, len(task) - 1)] if i == 0 else place(task, xi[i], min(betas(ps, e)[:i]))
            if parts is None:
                return None
            tasks[i] = [[sum(r[0] for r in task[a : b + 1]), task[a][1], 0] for a, b in parts]
            e[i] = xi[i] + sum(r[0] for r in tasks[i]) + sum(r[1] for r in tasks[i][1:])
    overhead = [[xi[i], *(r[1] for r in task[1:])] for i, task in enumerate(tasks)]
    wcets = [sum(r[0] for r in t) + sum(o) for t, o in zip(tasks, overhead, strict=True)]
    demand = [w - x for w, x in zip(wcets, xi, strict=True)] if semantics == "published" and not ppp else wcets
    beta = betas(ps, demand)
    q = [max(r[0] + o for r, o in zip(t, os, strict=True)) for t, os in zip(tasks, overhead, strict=True)]
    good = min(beta) >= 0 and (bool(ppp) or all(q[i] <= min(beta[:i]) for i in range(1, len(ps))))
    back = [order.index(i) for i in range(len(ps))]
    return good, beta, q, [wcets[i] for i in back], [len(tasks[i]) for i in back]
