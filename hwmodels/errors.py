"""Errors of the models.

    ModelError                 root: something given to a model breaks one of its rules
    ├── InvalidLayer           a layer or network that cannot exist
    ├── InvalidEngine          an engine, chip or design that cannot be built
    ├── InvalidWorkload        tenants, traffic or requests that contradict themselves
    └── InvalidPolicy          an unknown policy, or a parameter outside its range

A legal design that misses its budget is a result, not an error. A design that cannot run a network is an
`Outcome` with a sentence in `status`, not an error either.
"""

__all__ = ["InvalidEngine", "InvalidLayer", "InvalidPolicy", "InvalidWorkload", "ModelError"]


class ModelError(ValueError):
    """A value breaks a rule: `field` must be `rule`, got `value`."""

    def __init__(self, field: str, rule: str, value: object = None, hint: str = "") -> None:
        self.field, self.rule, self.value, self.hint = field, rule, value, hint
        super().__init__(field, rule, value, hint)

    def __str__(self) -> str:
        got = f", got {self.value!r}" if self.value is not None else ""
        return f"{self.field}: must be {self.rule}{got}" + (f" ({self.hint})" if self.hint else "")


class InvalidLayer(ModelError):
    pass


class InvalidEngine(ModelError):
    pass


class InvalidWorkload(ModelError):
    pass


class InvalidPolicy(ModelError):
    pass
