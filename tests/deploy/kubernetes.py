"""The manifests as `kubectl apply -k` would send them, and the schemas they must keep to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"

Manifest = dict[str, Any]


def documents(file: Path) -> Iterator[Manifest]:
    """Yield what a file holds."""
    yield from yaml.safe_load_all(file.read_text())


def rendered(folder: Path) -> list[Manifest]:
    """Return what a kustomization makes: its resources, with its patches (RFC 6902)."""
    (kustomization,) = documents(folder / "kustomization.yaml")
    found: list[Manifest] = []
    for name in kustomization["resources"]:
        path = folder / name
        found += rendered(path.resolve()) if path.is_dir() else documents(path)
    for patch in kustomization.get("patches", ()):
        (target,) = [each for each in found if each["kind"] == patch["target"]["kind"]]
        for step in yaml.safe_load((folder / patch["path"]).read_text()):
            _apply(target, **step)
    return found


def _apply(target: Any, op: str, path: str, value: object = None) -> None:
    *way, last = path.removeprefix("/").split("/")
    for step in way:
        target = target[int(step)] if isinstance(target, list) else target[step]
    match op:
        case "remove":
            del target[last]
        case "add" if last == "-":
            target.append(value)
        case "add":
            target[last] = value
        case _:
            raise NotImplementedError(op)


def _closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": list(required),
    }


TEXT: Final = {"type": "string", "minLength": 1}
COUNT: Final = {"type": "integer", "minimum": 1}
METADATA: Final = _closed({"name": TEXT, "labels": {"additionalProperties": TEXT}}, "name")
REFERENCE: Final = _closed({"name": TEXT}, "name")
RABBITMQ: Final = _closed(
    {
        "protocol": {"enum": ["amqp"]},
        "mode": {"enum": ["QueueLength"]},
        "queueName": TEXT,
        "value": {"type": "string", "pattern": "^[0-9]+$"},
    },
    *("protocol", "mode", "queueName", "value"),
)
SCALE_DOWN: Final = _closed(
    {
        "stabilizationWindowSeconds": {"type": "integer", "minimum": 0, "maximum": 3600},
        "policies": {
            "type": "array",
            "items": _closed(
                {"type": {"enum": ["Pods", "Percent"]}, "value": COUNT, "periodSeconds": COUNT},
                *("type", "value", "periodSeconds"),
            ),
        },
    }
)

KEDA: Final[dict[str, dict[str, Any]]] = {
    "TriggerAuthentication": _closed(
        {
            "secretTargetRef": {
                "type": "array",
                "items": _closed(
                    {"parameter": {"enum": ["host", "tls"]}, "name": TEXT, "key": TEXT},
                    *("parameter", "name", "key"),
                ),
            }
        },
        "secretTargetRef",
    ),
    "ScaledObject": _closed(
        {
            "scaleTargetRef": _closed({"apiVersion": TEXT, "kind": TEXT, "name": TEXT}, "name"),
            "minReplicaCount": COUNT,
            "maxReplicaCount": COUNT,
            "pollingInterval": COUNT,
            "fallback": _closed(
                {"failureThreshold": COUNT, "replicas": COUNT}, "failureThreshold", "replicas"
            ),
            "advanced": _closed(
                {
                    "horizontalPodAutoscalerConfig": _closed(
                        {"behavior": _closed({"scaleDown": SCALE_DOWN})}
                    )
                }
            ),
            "triggers": {
                "type": "array",
                "minItems": 1,
                "items": _closed(
                    {
                        "type": {"enum": ["rabbitmq"]},
                        "metadata": RABBITMQ,
                        "authenticationRef": REFERENCE,
                    },
                    *("type", "metadata", "authenticationRef"),
                ),
            },
        },
        *("scaleTargetRef", "triggers"),
    ),
}
"""The fields of KEDA's two kinds (as of KEDA 2.16) that are used here, and no other.

Held against https://keda.sh/docs/2.16/reference/scaledobject-spec and the page of the scaler.
"""


def keda_schema(kind: str) -> dict[str, Any]:
    """Return the schema of one of KEDA's kinds."""
    return _closed(
        {
            "apiVersion": {"const": "keda.sh/v1alpha1"},
            "kind": {"const": kind},
            "metadata": METADATA,
            "spec": KEDA[kind],
        },
        *("apiVersion", "kind", "metadata", "spec"),
    )
