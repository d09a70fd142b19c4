"""Spaces: parameters with domains, conditions that switch parameters on, and forbidden combinations.

A point is a dict of the ACTIVE parameters only, in the order of the space. Its code is a tuple with one integer per
parameter of the space, -1 where inactive.

References
----------
The concepts follow ConfigSpace (M. Lindauer et al., arXiv:1908.06756): conditions and forbidden clauses are
first-class; counting and uniform sampling are ours (`spaces.graph`).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from spaces.domains import Choice, Domain, PowersOfTwo, Range, Real, Value, as_domain
from spaces.errors import SpaceError, did_you_mean
from spaces.graph import INACTIVE, Level, Node, build

__all__ = ["Clause", "Condition", "Params", "Space"]

Params = dict[str, Value]
Clause = Mapping[str, Any]
"""Parameter -> value or list of values; a point is forbidden when every parameter is active and matches."""

_TABLED = 4096  # domains up to this size get a table from value to code


@final
@dataclass(frozen=True, slots=True)
class Condition:
    """`parameter` is active only when `parent` is active and has one of `values`; several conditions must all hold."""

    parameter: str
    parent: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _as_values(self.values))


def _as_values(value: Any) -> tuple[Any, ...]:
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(value)
    return (value,)


def _sorted_names(names: Sequence[str], conditions: Sequence[Condition]) -> list[str]:
    """Parents before children, otherwise as declared."""
    parents: dict[str, set[str]] = {name: set() for name in names}
    for condition in conditions:
        parents[condition.parameter].add(condition.parent)
    order: list[str] = []
    while len(order) < len(names):
        ready = next((name for name in names if name not in order and parents[name] <= set(order)), None)
        if ready is None:
            left = [name for name in names if name not in order]
            culprit = next(condition for condition in conditions if condition.parameter in left)
            raise SpaceError(f"conditions[{culprit.parameter}]", "free of cycles", left, offender=culprit)
        order.append(ready)
    return order


@final
@dataclass(frozen=True)
class Space:
    """The valid points over some parameters.

    Parameters
    ----------
    domains : parameter -> domain, or anything `as_domain` takes; at least one.
    conditions : see `Condition`; chains are fine, cycles are not.
    forbidden : see `Clause`; conjunctions, each excludes the points that match all of it.

    Raises
    ------
    SpaceError : an unknown parameter or value, a cycle, or no valid point at all (names the clause).
    """

    domains: Mapping[str, Domain]
    conditions: Sequence[Condition] = ()
    forbidden: Sequence[Clause] = ()
    names: tuple[str, ...] = field(init=False, compare=False, repr=False)
    _root: Node = field(init=False, compare=False, repr=False)
    _values: dict[str, tuple[Value, ...]] = field(init=False, compare=False, repr=False)
    _codes: dict[str, dict[Any, int]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        domains: dict[str, Domain] = {}
        for name, spec in self.domains.items():
            domains[name] = _domain(name, spec)
        if not domains:
            raise SpaceError("domains", "at least one parameter", {}, offender=self.domains)
        put = object.__setattr__
        put(self, "domains", domains)
        put(self, "conditions", tuple(self.conditions))
        put(self, "forbidden", tuple(dict(clause) for clause in self.forbidden))
        self._check_links()
        order = _sorted_names(list(domains), self.conditions)
        put(self, "names", tuple(order))
        put(self, "domains", {name: domains[name] for name in order})
        tables = {name: tuple(domain.value(code) for code in range(int(domain.n)))
                  for name, domain in self.domains.items() if domain.n <= _TABLED}
        put(self, "_values", tables)
        # booleans are kept apart: 1 and True are the same key of a dict
        put(self, "_codes", {name: {(value, isinstance(value, bool)): code for code, value in enumerate(table)}
                             for name, table in tables.items()})
        put(self, "_root", build(self._levels(self.forbidden)))
        if not self._root.count:
            raise self._unsatisfiable()

    # --- declaration ------------------------------------------------------------------------------------------------

    def _check_links(self) -> None:
        def known(where: str, name: str, offender: object) -> Domain:
            if name not in self.domains:
                raise SpaceError(where, "about a parameter of the space", name, offender=offender,
                                 hint=did_you_mean(name, list(self.domains)))
            return self.domains[name]

        def member(where: str, name: str, value: Any, offender: object) -> None:
            domain = known(where, name, offender)
            if isinstance(domain, Real):
                raise SpaceError(where, "about parameters with a list of values", name, offender=offender)
            try:
                domain.code(value)
            except SpaceError as error:
                allowed = [str(v) for v in domain.values] if isinstance(domain, Choice) else []
                raise SpaceError(f"{where}.{name}", error.rule, value, offender=offender,
                                 hint=did_you_mean(value, allowed)) from None

        for condition in self.conditions:
            where = f"conditions[{condition.parameter}]"
            known(where, condition.parameter, condition)
            for value in condition.values:
                member(where, condition.parent, value, condition)
            if not condition.values:
                raise SpaceError(where, "satisfied by at least one value", [], offender=condition)
        for index, clause in enumerate(self.forbidden):
            where = f"forbidden[{index}]"
            if not clause:
                raise SpaceError(where, "about at least one parameter", clause, offender=clause)
            for name, given in clause.items():
                known(where, name, clause)
                if not _as_values(given):
                    raise SpaceError(f"{where}.{name}", "a value or a list of values", given, offender=clause)
                for value in _as_values(given):
                    member(where, name, value, clause)

    def _levels(self, forbidden: Sequence[Clause]) -> list[Level]:
        order = {name: i for i, name in enumerate(self.names)}
        spans = [sorted(clause, key=order.__getitem__) for clause in forbidden]
        levels = []
        for name, domain in self.domains.items():
            levels.append(Level(
                n=int(domain.n) if domain.n != math.inf else None,
                needs=frozenset(c for c, condition in enumerate(self.conditions) if condition.parameter == name),
                enables={c: frozenset(domain.code(v) for v in condition.values)
                         for c, condition in enumerate(self.conditions) if condition.parent == name},
                clauses={k: frozenset(domain.code(v) for v in _as_values(clause[name]))
                         for k, clause in enumerate(forbidden) if name in clause},
                opens=frozenset(k for k, span in enumerate(spans) if span[0] == name),
                closes=frozenset(k for k, span in enumerate(spans) if span[-1] == name),
            ))
        return levels

    def _unsatisfiable(self) -> SpaceError:
        """Name a smallest set of clauses that together leave nothing (none of them can be spared)."""
        guilty = list(range(len(self.forbidden)))
        for k in range(len(self.forbidden)):
            rest = [self.forbidden[j] for j in guilty if j != k]
            if not build(self._levels(rest)).count:
                guilty.remove(k)
        others = ", ".join(f"forbidden[{k}] {dict(self.forbidden[k])}" for k in guilty[1:])
        clause = self.forbidden[guilty[0]]
        return SpaceError(f"forbidden[{guilty[0]}]", "satisfiable: it leaves no point in the space", dict(clause),
                          offender=clause, hint=f"together with {others}" if others else "")

    def narrow(self, domains: Mapping[str, Any], forbidden: Sequence[Clause] = ()) -> "Space":
        """The space with some domains replaced and clauses added.

        Names and booleans can only be narrowed to those there are; numbers may also be others of the same type and
        sign. Parameters that can no longer become active are left out; conditions and clauses follow.

        Raises
        ------
        SpaceError : as the constructor.
        """
        new: dict[str, Domain] = dict(self.domains)
        for name, spec in domains.items():
            if name not in new:
                raise SpaceError(f"domains.{name}", "a parameter of the space", name, offender=spec,
                                 hint=did_you_mean(name, self.names))
            new[name] = _domain(f"domains.{name}", spec)
            _check_override(f"domains.{name}", self.domains[name], new[name])
        for index, clause in enumerate(forbidden):
            for name in clause:
                if name not in new:
                    raise SpaceError(f"forbidden[{index}].{name}", "a parameter of the space", name, offender=clause,
                                     hint=did_you_mean(name, self.names))
        conditions, dropped = [], set()
        for condition in sorted(self.conditions, key=lambda c: self.names.index(c.parameter)):
            gone = condition.parent in dropped
            kept = tuple(v for v in condition.values if not gone and _has(new[condition.parent], v))
            if kept:
                conditions.append(Condition(condition.parameter, condition.parent, kept))
            else:
                dropped.add(condition.parameter)
        conditions = [c for c in conditions if c.parameter not in dropped]
        # the caller's clauses first: an error then names them by the caller's own index
        clauses: list[Clause] = [clause for clause in forbidden if not dropped & set(clause)]
        for clause in self.forbidden:
            left = {name: tuple(v for v in _as_values(given) if name not in dropped and _has(new[name], v))
                    for name, given in clause.items()}
            if all(left.values()):
                clauses.append(left)
        return Space({name: domain for name, domain in new.items() if name not in dropped}, conditions, clauses)

    # --- counting, numbering, sampling ------------------------------------------------------------------------------

    @property
    def enumerable(self) -> bool:
        return self._root.count > 0 and not any(isinstance(domain, Real) for domain in self.domains.values())

    def size(self) -> int | float:
        """Number of valid points; `math.inf` with a `Real`."""
        return self._root.count if self.enumerable else math.inf

    def enumerate(self) -> Iterator[Params]:
        """Every valid point once, in the order of `at`."""
        return (self.decode(codes) for codes in self.enumerate_codes())

    def enumerate_codes(self) -> Iterator[tuple[int, ...]]:
        """Codes of every valid point, in the order of `at`; raises `SpaceError` when a parameter is continuous."""
        self._require_enumerable()
        depth = len(self.names)
        codes = [INACTIVE] * depth
        nodes: list[Node] = [self._root]
        choices: list[Iterator[int]] = [self._root.codes()]
        while choices:
            code = next(choices[-1], None)
            if code is None:
                choices.pop()
                nodes.pop()
                continue
            codes[len(choices) - 1] = code
            if len(choices) == depth:
                yield tuple(codes)
                continue
            below = nodes[-1].step(code)
            assert below is not None
            nodes.append(below)
            choices.append(below.codes())

    def at(self, index: int) -> Params:
        """The point with this number, 0 <= index < size()."""
        self._require_enumerable()
        if not 0 <= index < self._root.count:
            raise SpaceError("index", f"in 0..{self._root.count - 1}", index, offender=self)
        return self.decode(self._at(index))

    def sample(self, rng: np.random.Generator) -> Params:
        """A point, uniform over the valid points; continuous parameters uniform over their (logarithmic) interval.

        Exact (the points are counted, not rejected), one step per parameter.
        """
        return self.decode(self.sample_codes(rng))

    def sample_codes(self, rng: np.random.Generator) -> tuple[int, ...]:
        """`sample`, as codes."""
        return self._at(_below(rng, self._root.count), rng)

    def sample_evenly_codes(self, rng: np.random.Generator) -> tuple[int, ...]:
        """A point whose parameters are drawn one after the other, each uniform over its values that can be completed.

        Unlike `sample`, a branch is not favoured for having more parameters than its siblings.
        """
        return self.spread_codes(rng.random(len(self.names)))

    def spread_codes(self, fracs: Sequence[float] | np.ndarray) -> tuple[int, ...]:
        """The point at these coordinates in [0, 1), one per parameter (those of inactive ones are unused)."""
        codes, node = [], self._root
        for domain, frac in zip(self.domains.values(), fracs, strict=True):
            if node.skip is not None:
                code = INACTIVE
            elif isinstance(domain, Real):
                code = domain.code(domain.at(float(frac)))
            else:
                code = node.nth(min(int(frac * node.permitted), node.permitted - 1))
            codes.append(code)
            below = node.step(code)
            assert below is not None
            node = below
        return tuple(codes)

    def _at(self, index: int, rng: np.random.Generator | None = None) -> tuple[int, ...]:
        codes, node = [], self._root
        for domain in self.domains.values():
            code, below, index = node.unrank(index)
            if code != INACTIVE and isinstance(domain, Real):
                assert rng is not None
                code = domain.code(domain.at(rng.random()))
            codes.append(code)
            node = below
        return tuple(codes)

    def _require_enumerable(self) -> None:
        for name, domain in self.domains.items():
            if isinstance(domain, Real):
                raise SpaceError(name, "a list of values or a range with a step, to be enumerated", offender=domain)

    # --- points -----------------------------------------------------------------------------------------------------

    def encode(self, params: Mapping[str, Value]) -> tuple[int, ...]:
        """Code of a valid point; raises `SpaceError` when it is none."""
        codes, node = [], self._root
        for name, domain in self.domains.items():
            if node.skip is not None:
                if name in params:
                    raise SpaceError(name, f"absent: it is switched off ({self._why_inactive(name)})", params[name],
                                     offender=dict(params))
                code = INACTIVE
            elif name not in params:
                raise SpaceError(name, "given", offender=dict(params))
            else:
                code = self._code(name, domain, params[name], params)
            below = node.step(code)
            if below is None:
                raise self._forbidden(params)
            codes.append(code)
            node = below
        if len(params) != sum(code != INACTIVE for code in codes):
            extra = next(name for name in params if name not in self.domains)
            raise SpaceError(str(extra), "a parameter of the space", params[extra], offender=dict(params),
                             hint=did_you_mean(extra, self.names))
        return tuple(codes)

    def decode(self, codes: Sequence[int]) -> Params:
        """The point with this code (not validated: see `validate`)."""
        params: Params = {}
        for (name, domain), code in zip(self.domains.items(), codes, strict=True):
            if code != INACTIVE:
                table = self._values.get(name)
                params[name] = table[code] if table is not None else domain.value(code)
        return params

    def validate(self, params: Mapping[str, Value]) -> None:
        """Raise `SpaceError` (with the offending parameter, value or clause) unless the point is valid."""
        self.encode(params)

    def __contains__(self, params: object) -> bool:
        try:
            self.encode(params)  # type: ignore[arg-type]
        except SpaceError:
            return False
        return True

    def valid_codes(self, codes: np.ndarray) -> np.ndarray:
        """Which rows of a matrix of codes, shape (n, parameters), are valid points; booleans, shape (n,)."""
        codes = np.asarray(codes, dtype=np.int64)
        place = {name: i for i, name in enumerate(self.names)}

        def among(name: str, values: Any) -> np.ndarray:
            wanted = np.array([self.domains[name].code(value) for value in _as_values(values)])
            return np.asarray((codes[:, place[name], None] == wanted).any(axis=1))

        active = np.ones(codes.shape, dtype=bool)
        for condition in sorted(self.conditions, key=lambda c: place[c.parameter]):
            parent = active[:, place[condition.parent]]
            active[:, place[condition.parameter]] &= parent & among(condition.parent, condition.values)
        valid = ((codes >= 0) == active).all(axis=1) & (codes >= INACTIVE).all(axis=1)
        for i, domain in enumerate(self.domains.values()):
            last = domain.n if domain.n != math.inf else domain.code(domain.high)  # type: ignore[attr-defined]
            valid &= codes[:, i] <= (last if domain.n == math.inf else last - 1)
        for clause in self.forbidden:
            valid &= ~np.all([among(name, values) for name, values in clause.items()], axis=0)
        return np.asarray(valid)

    def repair_codes(self, wanted: Sequence[int], rng: np.random.Generator | None = None) -> tuple[int, ...]:
        """The valid point that keeps as many of the wanted codes as a walk in the order of the parameters can.

        A code that cannot be kept becomes the nearest permitted one (ordered domains) or another permitted one; a
        parameter that became active without a wanted code (-1) gets one at random, or the middle one without `rng`.
        """
        codes, node = [], self._root
        for domain, want in zip(self.domains.values(), wanted, strict=True):
            code = want if node.skip is None else INACTIVE
            below = node.step(code)
            if below is None:
                code = _nearest(node, domain, want, rng)
                below = node.step(code)
                assert below is not None
            codes.append(code)
            node = below
        return tuple(codes)

    def neighbour_codes(self, codes: Sequence[int],
                        rng: np.random.Generator | None = None) -> Iterator[tuple[int, ...]]:
        """Valid points one step away: an ordered parameter one value up or down, an unordered one any other value.

        Parameters that the step switches on take their middle value, or a random one with `rng`. When a clause is in
        the way, a later parameter of that clause moves too; a step to a value that nothing can complete is left out.
        """
        seen = {tuple(codes)}
        for i, name in enumerate(self.domains):
            if codes[i] == INACTIVE:
                continue
            for code in self.steps(name, codes[i]):
                wanted = (*codes[:i], code, *codes[i + 1:])
                point = self.repair_codes(wanted, rng)
                if point[i] == code and point not in seen:
                    seen.add(point)
                    yield point

    def neighbours(self, params: Mapping[str, Value]) -> Iterator[Params]:
        """`neighbour_codes` of a point, as points."""
        return (self.decode(codes) for codes in self.neighbour_codes(self.encode(params)))

    def steps(self, name: str, code: int) -> list[int]:
        """Codes of a parameter one step away; whether a point can have them is another question."""
        domain = self.domains[name]
        if isinstance(domain, Real):
            at = domain.frac(domain.value(code))
            return sorted({domain.code(domain.at(min(max(at + step, 0.0), 1.0))) for step in (-0.05, 0.05)} - {code})
        if domain.ordered:
            return [c for c in (code - 1, code + 1) if 0 <= c < domain.n]
        return [c for c in range(int(domain.n)) if c != code]

    def _code(self, name: str, domain: Domain, value: Any, params: Mapping[str, Value]) -> int:
        table = self._codes.get(name)
        if table is not None:
            try:
                code = table.get((value, isinstance(value, bool)))
            except TypeError:  # not hashable: no member of any domain
                code = None
            if code is not None:
                return code
        try:
            return domain.code(value)
        except SpaceError as error:
            allowed = [str(v) for v in domain.values] if isinstance(domain, Choice) else []
            hint = did_you_mean(value, allowed)
            raise SpaceError(name, error.rule, value, offender=dict(params), hint=hint) from None

    def _why_inactive(self, name: str) -> str:
        return " and ".join(f"needs {c.parent} = {' or '.join(str(v) for v in c.values)}"
                            for c in self.conditions if c.parameter == name)

    def _forbidden(self, params: Mapping[str, Value]) -> SpaceError:
        for k, clause in enumerate(self.forbidden):
            if all(name in params and params[name] in _as_values(given) for name, given in clause.items()):
                return SpaceError(f"forbidden[{k}]", "avoided", dict(clause), offender=clause)
        return SpaceError("params", "a point of the space: clauses leave no way to complete it", dict(params),
                          offender=dict(params))


def _domain(name: str, spec: Any) -> Domain:
    try:
        return as_domain(spec)
    except SpaceError as error:
        raise SpaceError(f"{name}.{error.field}", error.rule, error.value, offender=error.offender) from None


def _has(domain: Domain, value: Any) -> bool:
    try:
        domain.code(value)
    except SpaceError:
        return False
    return True


def _ends(domain: Domain) -> tuple[Value, ...]:
    """Values that stand for the type and range of a domain: all of a choice, else both ends."""
    if isinstance(domain, Choice):
        return domain.values
    if isinstance(domain, Range):
        return (domain.value(0), domain.value(domain.n - 1), *([domain.value(1)] if domain.n > 1 else []))
    if isinstance(domain, PowersOfTwo):
        return (domain.value(0), domain.value(domain.n - 1))
    assert isinstance(domain, Real)
    return (domain.low, domain.high)


def _check_override(where: str, old: Domain, new: Domain) -> None:
    """A replaced domain must speak of the same kind of values."""
    before = _ends(old)
    if any(isinstance(value, str | bool) for value in before):
        for value in _ends(new):
            if not _has(old, value):
                allowed = [str(v) for v in before]
                raise SpaceError(where, f"one of {', '.join(allowed)}", value, offender=new,
                                 hint=did_you_mean(value, allowed))
        return
    numbers = [value for value in before if isinstance(value, int | float)]
    whole = all(isinstance(value, int) for value in numbers)
    sign = "> 0" if min(numbers) > 0 else ">= 0" if min(numbers) >= 0 else ""
    rule = ("a whole number" if whole else "a number") + (f" {sign}" if sign else "")
    for value in _ends(new):
        good = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not good or (sign and float(value) < 0.0) or (sign == "> 0" and float(value) == 0.0):
            raise SpaceError(where, rule, value, offender=new)
    if whole and isinstance(new, Real):
        raise SpaceError(where, "whole numbers", new, offender=new)


def _below(rng: np.random.Generator, n: int) -> int:
    """Uniform integer in [0, n) for any size of n."""
    if n <= 2**62:
        return int(rng.integers(n))
    bits = (n - 1).bit_length()
    while True:  # each draw succeeds with a chance above 1/2
        value = int.from_bytes(rng.bytes((bits + 7) // 8), "little") & ((1 << bits) - 1)
        if value < n:
            return value


def _nearest(node: Node, domain: Domain, want: int, rng: np.random.Generator | None) -> int:
    """A permitted code in place of one that is not."""
    if isinstance(domain, Real):
        return domain.code(domain.at(0.5 if rng is None else rng.random()))
    if want != INACTIVE and domain.ordered:
        return min(node.codes(), key=lambda code: (abs(code - want), code))
    return node.nth(node.permitted // 2 if rng is None else int(rng.integers(node.permitted)))
