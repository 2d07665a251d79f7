# SPDX-License-Identifier: Apache-2.0
"""The fields of a ClusterServiceVersion, as a schema: what OLM's CRD knows and demands.

What other checks demand in better words is not demanded here. Pod templates are left to kubeconform: it knows them.
"""

from __future__ import annotations

from typing import Any, Final

_Schema = dict[str, Any]

_TEXT: Final[_Schema] = {"type": "string"}
_NUMBER: Final[_Schema] = {"type": "integer"}
_FLAG: Final[_Schema] = {"type": "boolean"}
_TEXTS: Final[_Schema] = {"type": "array", "items": _TEXT}
_LABELS: Final[_Schema] = {"type": "object", "additionalProperties": _TEXT}
_ANY_OBJECT: Final[_Schema] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_EITHER: Final[_Schema] = {"x-kubernetes-int-or-string": True}


def _object(demanded: str = "", /, **fields: _Schema) -> _Schema:
    """An object with these fields; in their names `_` stands for `-`."""
    properties = {name.replace("_", "-"): schema for name, schema in fields.items()}
    return {"type": "object", "properties": properties, "required": demanded.split()}


def _list(items: _Schema) -> _Schema:
    return {"type": "array", "items": items}


_SELECTOR: Final = _object(
    matchLabels=_LABELS,
    matchExpressions=_list(_object("key operator", key=_TEXT, operator=_TEXT, values=_TEXTS)),
)

_DESCRIPTORS: Final = _list(
    _object("path", path=_TEXT, displayName=_TEXT, description=_TEXT, value=_TEXT, x_descriptors=_TEXTS)
)

_CRDS: Final = _list(
    _object(
        "name version kind",
        name=_TEXT,
        version=_TEXT,
        kind=_TEXT,
        displayName=_TEXT,
        description=_TEXT,
        resources=_list(_object("name kind version", name=_TEXT, kind=_TEXT, version=_TEXT)),
        specDescriptors=_DESCRIPTORS,
        statusDescriptors=_DESCRIPTORS,
        actionDescriptors=_DESCRIPTORS,
    )
)

_RULE: Final = _object(apiGroups=_TEXTS, resources=_TEXTS, verbs=_TEXTS, resourceNames=_TEXTS, nonResourceURLs=_TEXTS)
_PERMISSIONS: Final = _list(_object(serviceAccountName=_TEXT, rules=_list(_RULE)))

_DEPLOYMENT: Final = _object(
    "name spec",
    name=_TEXT,
    label=_LABELS,
    spec=_object(
        "selector template",
        replicas=_NUMBER,
        minReadySeconds=_NUMBER,
        paused=_FLAG,
        progressDeadlineSeconds=_NUMBER,
        revisionHistoryLimit=_NUMBER,
        selector=_SELECTOR,
        strategy=_object(type=_TEXT, rollingUpdate=_object(maxSurge=_EITHER, maxUnavailable=_EITHER)),
        template=_object(metadata=_ANY_OBJECT, spec=_ANY_OBJECT),
    ),
)

_WEBHOOK: Final = _object(
    "type generateName sideEffects admissionReviewVersions",
    type={**_TEXT, "enum": ["ValidatingAdmissionWebhook", "MutatingAdmissionWebhook", "ConversionWebhook"]},
    generateName=_TEXT,
    sideEffects=_TEXT,
    admissionReviewVersions=_TEXTS,
    containerPort=_NUMBER,
    targetPort=_EITHER,
    timeoutSeconds=_NUMBER,
    deploymentName=_TEXT,
    failurePolicy=_TEXT,
    matchPolicy=_TEXT,
    reinvocationPolicy=_TEXT,
    webhookPath=_TEXT,
    conversionCRDs=_TEXTS,
    objectSelector=_SELECTOR,
    rules=_list(_object(apiGroups=_TEXTS, apiVersions=_TEXTS, operations=_TEXTS, resources=_TEXTS, scope=_TEXT)),
)

CSV_SCHEMA: Final = _object(
    "metadata spec",
    apiVersion=_TEXT,
    kind=_TEXT,
    metadata=_ANY_OBJECT,
    spec=_object(
        "install",
        annotations=_LABELS,
        apiservicedefinitions=_object(owned=_list(_ANY_OBJECT), required=_list(_ANY_OBJECT)),
        cleanup=_object("enabled", enabled=_FLAG),
        customresourcedefinitions=_object(owned=_CRDS, required=_CRDS),
        description=_TEXT,
        displayName=_TEXT,
        icon=_list(_object(base64data=_TEXT, mediatype=_TEXT)),
        install=_object(
            "strategy",
            strategy=_TEXT,
            spec=_object(deployments=_list(_DEPLOYMENT), permissions=_PERMISSIONS, clusterPermissions=_PERMISSIONS),
        ),
        installModes=_list(_object("type supported", type=_TEXT, supported=_FLAG)),
        keywords=_TEXTS,
        labels=_LABELS,
        links=_list(_object(name=_TEXT, url=_TEXT)),
        maintainers=_list(_object(name=_TEXT, email=_TEXT)),
        maturity=_TEXT,
        minKubeVersion=_TEXT,
        nativeAPIs=_list(_object("group kind version", group=_TEXT, kind=_TEXT, version=_TEXT)),
        provider=_object(name=_TEXT, url=_TEXT),
        relatedImages=_list(_object(name=_TEXT, image=_TEXT)),
        release=_TEXT,
        replaces=_TEXT,
        selector=_SELECTOR,
        skips=_TEXTS,
        version=_TEXT,
        webhookdefinitions=_list(_WEBHOOK),
    ),
)
"""In the dialect of CRDs; a field that is not in it is unknown to OLM."""
