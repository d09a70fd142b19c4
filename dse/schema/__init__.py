"""What our YAML files may hold: one pydantic model per mapping. `dse.documents` turns them into the models' records.

    workload     `dse.schema.workload`   Tenant[] (network: name, file or layers; Traffic; Service)
    engine       `dse.schema.hardware`
    design       `dse.schema.hardware`   DesignEngine[], policy, scheduler
    technology   `dse.schema.hardware`   OwnConstant per key
    study        `dse.schema.study`      workload, objectives, budgets, space, search

Rules are sentences (`dse.rules`); rules between the keys of one mapping are validators that name the key they blame.
Names come from the registries, so a new policy, architecture, network or sampler needs no change here.
"""

from typing import Any

from dse.schema.hardware import DesignFile, EngineFile, TechnologyFile
from dse.schema.parts import Model
from dse.schema.study import StudyFile
from dse.schema.workload import WorkloadFile

__all__ = ["KINDS", "json_schema"]

KINDS: dict[str, type[Model]] = {
    "workload": WorkloadFile, "engine": EngineFile, "design": DesignFile, "study": StudyFile,
    "technology": TechnologyFile,
}


def json_schema(kind: str) -> dict[str, Any]:
    """JSON schema of a kind, for editors."""
    schema = KINDS[kind].model_json_schema()
    schema["properties"]["kind"] = {"const": kind}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind} | schema
