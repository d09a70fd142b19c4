"""Policies of other packages: entry points of the group `npu_codesign.policies`, each naming a `Policy` record.

    [project.entry-points."npu_codesign.policies"]
    weighted_sjf = "my_package.weighted_sjf:POLICY"

A plug-in that cannot be used is left out with a warning that says why: it must not take the tool down with it.
"""

import warnings
from importlib.metadata import EntryPoint, entry_points

from hwmodels.policies.base import Policy

__all__ = ["GROUP", "PolicyWarning", "with_plugins"]

GROUP = "npu_codesign.policies"


class PolicyWarning(UserWarning):
    """A policy of another package was left out."""


def _problem(entry: EntryPoint, record: object, known: dict[str, Policy]) -> str:
    """Why a loaded entry point cannot be used, or ''."""
    if not isinstance(record, Policy):
        return f"must name a Policy record, got {type(record).__name__}"
    if record.name != entry.name:
        return f"must have the name of its record, {record.name!r}"
    return f"must have a name of its own: there is another policy {record.name!r}" if record.name in known else ""


def with_plugins(built_in: dict[str, Policy]) -> dict[str, Policy]:
    """The built-in policies, then those of installed packages in the order of their names."""
    known = dict(built_in)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            record = entry.load()
            problem = _problem(entry, record, known)
        except Exception as error:  # whatever a foreign module does when it is imported
            problem = f"cannot be loaded: {type(error).__name__}: {error}"
        if problem:
            warnings.warn(f"policy {entry.name} ({entry.value}) is left out: it {problem}", PolicyWarning, stacklevel=2)
        else:
            known[record.name] = record
    return known
