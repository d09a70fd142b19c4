"""A study in a database that many drivers share: PostgreSQL, or SQLite for several processes on one machine.

The database holds an Optuna study (what optuna-dashboard shows, see `dse.optuna_study`) and beside Optuna's tables one
of ours, `dse_trials`: the one sequence of trials of the study, a row for each.

    study, number   key; the study by a random word, as numbers of deleted studies are given again
    params          as the first driver proposed them
    driver          who evaluates the trial, null while nobody does
    result          as in a journal, null until it is known

Whoever writes a result first is heard, and writes the trial of Optuna in the same transaction: a trial is in the
study once or not at all, however often a connection breaks and a driver repeats what it said.
"""

import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any, TypeVar, final

import sqlalchemy as sql
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from dse.console import without_password
from dse.errors import InputError, Problem
from dse.objective import Result, judge
from dse.optuna_study import constraints, create_study, distribution, insert_trials, optuna_trial, trial_tables
from dse.study import Study
from dse.workers import Task
from spaces.domains import Domain, Real

__all__ = ["Answer", "SharedStudy", "StorageAway"]

_INSERT: dict[str, Callable[..., Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_CONNECT: dict[str, dict[str, Any]] = {
    # a server that vanished is noticed after seconds, not after the two hours of TCP
    "postgresql": {"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 5, "keepalives_interval": 2,
                   "keepalives_count": 3, "application_name": "dse"},
    "sqlite": {"timeout": 60},
}
_T = TypeVar("_T")
_ATTRIBUTE = "dse"
_CHUNK = 200  # trials written in one transaction when a run joins
_MANY = 10_000  # values of a parameter that are looked at one by one
_TRIES = 5  # drivers that create the same tables at the same moment
_JOINING_S = 30.0, 0.25  # how long a server that breaks off may need to come back, and between two attempts

_trials = sql.Table(
    "dse_trials", sql.MetaData(),
    sql.Column("study", sql.String(32), primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("params", sql.Text, nullable=False),
    sql.Column("driver", sql.String(200)),
    sql.Column("result", sql.Text))


class StorageAway(Exception):
    """The database does not answer for now: to be asked again."""


def _bad(message: str, hint: str = "") -> InputError:
    return InputError(Problem(field="--storage", message=message, hint=hint))


def _address(url: str) -> sql.URL:
    """Checked, with the driver package that is ours."""
    rule = "must be postgresql://USER@HOST/DATABASE or sqlite:///FILE"
    try:
        address = sql.make_url(url)
    except (SQLAlchemyError, ValueError):
        raise _bad(f"{rule}, got {without_password(url)!r}") from None
    kind = address.get_backend_name()
    if kind == "postgres":
        kind = "postgresql"
    if kind not in _INSERT or (kind == "sqlite" and address.database in (None, "", ":memory:")):
        raise _bad(f"{rule}, got {without_password(url)!r}")
    if kind == "sqlite":
        return address
    if find_spec("psycopg") is None:
        raise _bad("needs the package psycopg for PostgreSQL", "pip install 'npu-codesign[postgresql]'")
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # connections that break are reported by the run
    return address.set(drivername="postgresql+psycopg")


def _reason(error: BaseException, password: str = "") -> str:
    """What the database said, in a line."""
    error = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    said = str(getattr(error, "orig", None) or error).strip()
    line = " ".join(said.splitlines()[0].split()) if said else type(error).__name__
    return line.replace(password, "***") if password else line


def _retried(make: Callable[[], _T]) -> _T:
    """Drivers that create the same thing at the same moment: all but one fail, and find it at the next attempt."""
    for left in reversed(range(_TRIES)):
        try:
            return make()
        except (SQLAlchemyError, StorageInternalError) as error:
            cause = error.__cause__ if isinstance(error, StorageInternalError) else error
            if not left or (isinstance(cause, OperationalError) and "already exists" not in str(cause)):
                raise
            time.sleep(0.1)
    raise AssertionError


@final
@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the database said.

    Parameters
    ----------
    results : of the trials asked about, as far as there are any.
    claimed : trials that are this driver's to evaluate now, with the parameters that count.
    """

    results: list[Result] = field(default_factory=list)
    claimed: list[Task] = field(default_factory=list)


@final
class SharedStudy:
    """The study of a driver in the database. One thread at a time may use it.

    Parameters
    ----------
    url : `postgresql://...` or `sqlite:///FILE`.
    driver : name of this driver, the same when its run is resumed.

    Raises
    ------
    InputError : no such database, it cannot be reached or written, a package is missing.
    """

    def __init__(self, url: str, study: Study, driver: str) -> None:
        self._study, self._driver = study, driver
        address = _address(url)
        self._password = str(address.password or "")
        kind = address.get_backend_name()
        self._insert = _INSERT[kind]
        self._storage = self._opened(address, kind)
        self._engine = self._storage.engine
        self._distributions = {name: _distribution(domain) for name, domain in study.space.domains.items()}
        self._key, self._study_id = "", -1

    def _opened(self, address: sql.URL, kind: str) -> RDBStorage:
        """Optuna's storage with its tables and ours."""
        def make() -> RDBStorage:
            storage = RDBStorage(address.render_as_string(hide_password=False), engine_kwargs={
                "connect_args": _CONNECT[kind], "pool_size": 1, "max_overflow": 1})
            _trials.metadata.create_all(storage.engine)
            return storage

        try:
            return _retried(make)
        except (SQLAlchemyError, StorageInternalError) as error:
            raise _bad(f"must be a database that can be reached and written, got {without_password(str(address))!r}",
                       _reason(error, self._password)) from None
        except (RuntimeError, ImportError) as error:  # tables of another Optuna; psycopg without libpq
            raise _bad("must be a database that this Optuna can use", _reason(error, self._password)) from None

    # --- joining ----------------------------------------------------------------------------------------------------

    def header(self) -> dict[str, Any] | None:
        """Of the study of that name in the database; None when there is none."""
        return self._patiently(self._header)

    def _header(self) -> dict[str, Any] | None:
        try:
            study_id = self._storage.get_study_id_from_name(self._study.name)
        except KeyError:
            return None
        found = self._storage.get_study_user_attrs(study_id).get(_ATTRIBUTE)
        if isinstance(found, dict):
            return found
        minimised = [direction.name == "MINIMIZE" for direction in self._storage.get_study_directions(study_id)]
        if self._storage.get_n_trials(study_id) or minimised != [one.minimise for one in self._study.objectives]:
            raise _bad(f"holds a study {self._study.name!r} that is not from dse run", "change `name` of the study")
        return None  # another driver is about to make it

    def join(self, header: Mapping[str, Any], known: Mapping[int, Result]) -> dict[int, Result]:
        """Take part in the study, which is created where there is none.

        Parameters
        ----------
        header : what must be the same for all drivers.
        known : results that this driver has from before: the study gets those that it misses.

        Returns
        -------
        All results of the study.
        """
        return self._patiently(lambda: self._join(header, known))

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        """The answer of a database that could be reached, asked again where a server breaks off."""
        end = time.monotonic() + _JOINING_S[0]
        while True:
            try:
                return ask()
            except (SQLAlchemyError, StorageInternalError, StorageAway) as error:
                cause = error.__cause__ if isinstance(error, StorageInternalError) else error
                away = isinstance(cause, StorageAway | OperationalError | InterfaceError)
                if not (away and self._engine.dialect.name == "postgresql") or time.monotonic() > end:
                    raise _bad("must be a database that can be reached and written",
                               _reason(error, self._password)) from None
            time.sleep(_JOINING_S[1])

    def _join(self, header: Mapping[str, Any], known: Mapping[int, Result]) -> dict[int, Result]:
        study = self._study
        if self._header() is None:
            _retried(lambda: create_study(self._storage, study.name, study.objectives, study.budgets, study.minimise,
                                          load_if_exists=True))
        self._study_id = self._storage.get_study_id_from_name(study.name)
        attributes = sql.Table("study_user_attributes", sql.MetaData(), autoload_with=self._engine)
        value = json.dumps({**header, "key": uuid.uuid4().hex}, sort_keys=True)
        with self._engine.begin() as db:  # the first one's counts
            db.execute(self._insert(attributes).on_conflict_do_nothing(),
                       {"study_id": self._study_id, "key": _ATTRIBUTE, "value_json": value})
        found = self._header()
        assert found is not None
        changed = [name for name in header if found.get(name) != header[name]]
        if changed:
            raise _bad(f"holds a study {study.name!r} of another content; different: {', '.join(changed)}",
                       "change `name` of the study, or run the same study")
        self._key = str(found["key"])
        self._tables = trial_tables(self._engine)
        self._release()
        results = {result.number: result for result in self._results()}
        for number, result in results.items():
            if number in known and known[number].params != result.params:
                raise _bad(f"holds another trial {number} than this run", "go on in another folder: it takes the "
                           "trials that are in the storage")
        missing = [result for number, result in sorted(known.items()) if number not in results]
        for at in range(0, len(missing), _CHUNK):
            chunk = missing[at:at + _CHUNK]
            self.exchange([(r.number, r.params) for r in chunk], chunk, [], 0)
        return results | {result.number: result for result in missing}

    def _mine(self, *conditions: Any) -> Any:
        return sql.and_(_trials.c.study == self._key, *conditions)

    def _results(self) -> list[Result]:
        with self._engine.connect() as db:
            rows = db.execute(sql.select(_trials.c.result).where(self._mine(_trials.c.result.is_not(None))))
            return [Result(**json.loads(row.result)) for row in rows]

    def _release(self) -> None:
        """What this driver has not finished is anybody's again."""
        with self._engine.begin() as db:
            db.execute(sql.update(_trials).values(driver=None).where(
                self._mine(_trials.c.driver == self._driver, _trials.c.result.is_(None))))

    # --- while it runs ----------------------------------------------------------------------------------------------

    def exchange(self, proposed: Sequence[Task], finished: Sequence[Result], awaited: Sequence[int], want: int, *,
                 take_over: bool = False) -> Answer:
        """Say and hear everything in one transaction; saying it again does no harm.

        Parameters
        ----------
        proposed : trials that this driver asked.
        finished : results of this driver.
        awaited : trials whose results are wanted.
        want : how many of them this driver would evaluate.
        take_over : take also those that others have claimed.

        Raises
        ------
        StorageAway : the database does not answer.
        InputError : it answers, and refuses.
        """
        try:
            with self._engine.begin() as db:
                return self._exchange(db, proposed, finished, awaited, want, take_over)
        except (OperationalError, InterfaceError) as error:
            raise StorageAway(_reason(error, self._password)) from None
        except SQLAlchemyError as error:
            reason = _reason(error, self._password)
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise StorageAway(reason) from None
            raise _bad("must take the results of this run", f"{reason}; what was told is safe; go on with "
                       "--resume") from None

    def _exchange(self, db: Any, proposed: Sequence[Task], finished: Sequence[Result], awaited: Sequence[int],
                  want: int, take_over: bool) -> Answer:
        column = _trials.c
        if proposed:
            db.execute(self._insert(_trials).on_conflict_do_nothing(), [
                {"study": self._key, "number": number, "params": json.dumps(params)} for number, params in proposed])
        first = []
        for result in sorted(finished, key=lambda r: r.number):  # one order: drivers never wait for each other
            told = db.execute(sql.update(_trials).where(
                self._mine(column.number == result.number, column.result.is_(None))).values(
                params=json.dumps(result.params), driver=self._driver, result=json.dumps(result.as_dict())))
            if told.rowcount:
                first.append(result)
        insert_trials(db, self._tables, self._study_id, {result.number: self._optuna_trial(result)
                                                         for result in first})
        rows = db.execute(sql.select(column.number, column.driver, column.result).where(
            self._mine(column.number.in_(awaited)))).all() if awaited else []
        results = [Result(**json.loads(row.result)) for row in rows if row.result is not None]
        claimed: list[Task] = []
        if want and any(row.result is None and (row.driver is None or take_over) for row in rows):
            free = [self._mine(column.number.in_(awaited), column.result.is_(None))]
            free += [] if take_over else [column.driver.is_(None)]
            numbers = sql.select(column.number).where(*free).order_by(column.number).limit(want).with_for_update(
                skip_locked=True)
            taken = db.execute(sql.update(_trials).where(self._mine(column.number.in_(numbers), *free)).values(
                driver=self._driver).returning(column.number, column.params))
            claimed = sorted((row.number, json.loads(row.params)) for row in taken)
        return Answer(results=results, claimed=claimed)

    def _optuna_trial(self, result: Result) -> FrozenTrial:
        verdict = judge(self._study, result)
        now = datetime.now()
        shown = {"trial": result.number, "status": result.status, "feasible": verdict.feasible, "driver": self._driver}
        if result.error:
            shown["error"] = result.error
        shown |= {name: value for name, value in result.metrics.items() if abs(value) < float("inf")}
        values = None if verdict.values is None else [
            value if objective.minimise else -value
            for value, objective in zip(verdict.values, self._study.objectives, strict=True)]
        return optuna_trial(result.params, self._distributions, values=values,
                            limits=constraints(verdict.violations, self._study.budgets), attributes=shown,
                            start=now - timedelta(seconds=result.duration_s), duration_s=result.duration_s)

    def leave(self) -> None:
        """Give back what is not finished; whoever waits for it takes it anyway, only later."""
        try:
            self._release()
        except SQLAlchemyError:
            pass
        finally:
            self._engine.dispose()


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Real):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    n = int(domain.n)
    return distribution([domain.value(code) for code in (range(n) if n <= _MANY else (0, 1, 2, n - 1))])
