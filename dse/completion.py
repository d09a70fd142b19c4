"""Values that a shell offers after TAB (`dse --install-completion`); each loads what it lists only then."""

from collections.abc import Iterable

__all__ = ["formats", "kinds", "policies", "samplers"]


def _begin_with(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def formats(incomplete: str) -> list[str]:
    """Of `dse export`."""
    from dse.exporters import EXPORTERS

    return _begin_with(incomplete, EXPORTERS)


def kinds(incomplete: str) -> list[str]:
    """Of YAML files."""
    from dse.schema import KINDS

    return _begin_with(incomplete, KINDS)


def policies(incomplete: str) -> list[str]:
    """Of the catalogue."""
    from hwmodels.policies import POLICIES

    return _begin_with(incomplete, POLICIES)


def samplers(incomplete: str) -> list[str]:
    """Of `dse run`."""
    from dse.samplers import SAMPLERS

    return _begin_with(incomplete, SAMPLERS)
