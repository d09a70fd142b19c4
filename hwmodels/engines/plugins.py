"""Engines of other packages: entry points of the group `npu_codesign.engines`, each naming a `forms` function.

    [project.entry-points."npu_codesign.engines"]
    adder_tree = "my_package.adder_tree:forms"

The name of the entry point is the engine's `dataflow`. It is loaded when the first engine of its kind is costed.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points

from hwmodels.engine import ENGINES_GROUP, Engine
from hwmodels.engines.common import Form
from hwmodels.errors import InvalidEngine
from hwmodels.network import Layer

__all__ = ["plugin_forms"]

Forms = Callable[[Layer, Engine], list[Form]]


@cache
def _loaded(dataflow: str) -> Forms:
    entries = list(entry_points(group=ENGINES_GROUP, name=dataflow))
    if len(entries) != 1:
        raise InvalidEngine("dataflow", f"provided by one package, {len(entries)} do", dataflow)
    try:
        forms = next(iter(entries)).load()
    except Exception as error:  # whatever a foreign module does when it is imported
        raise InvalidEngine("dataflow", f"an engine that can be loaded: {type(error).__name__}: {error}", dataflow
                            ) from error
    if not callable(forms):
        raise InvalidEngine("dataflow", "an entry point that names a function forms(layer, engine)", dataflow)
    found: Forms = forms
    return found


def plugin_forms(layer: Layer, engine: Engine) -> list[Form]:
    """The forms of an engine of another package; raises `InvalidEngine` where it gives none that can be used."""
    found = _loaded(engine.dataflow)(layer, engine)
    good = isinstance(found, list) and found and all(
        isinstance(form, Form) and form.nests and len(form.units) == 3 and all(len(role) == 5 for role in form.units)
        for form in found)
    if not good:
        raise InvalidEngine(f"forms of {engine.dataflow}", "a list of at least one Form with nests and three roles of "
                            f"five numbers each for layer {layer.name!r}", found)
    return found
