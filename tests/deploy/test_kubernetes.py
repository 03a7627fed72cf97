"""deploy/kubernetes holds together: schemas, names, stop times, rights, settings."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from consumer.cli.run import STOP_SLACK
from consumer.core.ledger_url import LedgerKind
from consumer.core.topology import lane_queue
from consumer.settings import Settings, load_settings
from publisher_lib.routing import Lane
from tests.deploy.kubernetes import FOLDER, KEDA, Manifest, documents, keda_schema, rendered

ROOT = FOLDER.parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())

FOLDERS = ("topology", "one-pod", "several-pods")
SECRETS = {each["metadata"]["name"]: each for each in documents(FOLDER / "secret.example.yaml")}

KUBERNETES = ("1.31", "1.37")


def manifest(folder: str, kind: str) -> Manifest:
    (found,) = [each for each in rendered(FOLDER / folder) if each["kind"] == kind]
    return found


def pod(folder: str) -> dict[str, Any]:
    """Return the pod that a folder makes."""
    kind = "Job" if folder == "topology" else "StatefulSet"
    found: dict[str, Any] = manifest(folder, kind)["spec"]["template"]["spec"]
    return found


def containers(folder: str) -> list[dict[str, Any]]:
    found = pod(folder)
    return [*found.get("initContainers", ()), *found["containers"]]


def consumer(folder: str) -> dict[str, Any]:
    (found,) = [each for each in containers(folder) if each["name"] == "consumer"]
    return found


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_manifest_keeps_to_the_schema_of_its_kind(folder: str, version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="dev/setup.sh --with kubernetes")

    for each in [*rendered(FOLDER / folder), *SECRETS.values()]:
        if each["kind"] not in KEDA:
            validate.validate(each, version, strict=True)


@pytest.mark.parametrize("wrong", [{"replica": 2}, {"replicas": "two"}])
def test_the_schemas_refuse_what_is_no_manifest(wrong: dict[str, object]) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="dev/setup.sh --with kubernetes")
    found = manifest("one-pod", "StatefulSet")

    with pytest.raises(validate.ValidationError):
        validate.validate(found | {"spec": found["spec"] | wrong}, KUBERNETES[0], strict=True)


@pytest.mark.parametrize("kind", sorted(KEDA))
def test_kedas_kinds_have_fields_that_it_knows(kind: str) -> None:
    jsonschema.validate(manifest("several-pods", kind), keda_schema(kind))


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not here")
@pytest.mark.parametrize("folder", FOLDERS)
def test_kubectl_makes_the_same_of_a_kustomization(folder: str) -> None:
    made = subprocess.run(
        ["kubectl", "kustomize", FOLDER / folder], capture_output=True, text=True, check=True
    )

    def by_name(found: list[Manifest]) -> list[Manifest]:
        return sorted(found, key=lambda each: (each["kind"], each["metadata"]["name"]))

    assert by_name([*yaml.safe_load_all(made.stdout)]) == by_name(rendered(FOLDER / folder))


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_runs_as_root_or_may_become_it(folder: str) -> None:
    whole = pod(folder)["securityContext"]
    assert whole["runAsNonRoot"] is True
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(folder)["automountServiceAccountToken"] is False
    for each in containers(folder):
        assert (
            each["securityContext"].items()
            >= {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }.items()
        ), each["name"]


def test_the_user_is_the_images() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()

    for folder in FOLDERS:
        user = pod(folder)["securityContext"]
        assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in dockerfile


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_volume_is_there_and_mounted(folder: str) -> None:
    found = manifest(folder, "Job" if folder == "topology" else "StatefulSet")["spec"]
    claimed = {each["metadata"]["name"] for each in found.get("volumeClaimTemplates", ())}
    there = claimed | {each["name"] for each in pod(folder)["volumes"]}
    mounted = {mount["name"] for each in containers(folder) for mount in each["volumeMounts"]}

    assert mounted == there


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_container_says_what_memory_it_may_take(folder: str) -> None:
    for each in containers(folder):
        assert {"cpu", "memory"} <= each["resources"]["requests"].keys()
        assert each["resources"]["limits"].keys() == {"memory"}


@pytest.mark.parametrize("folder", ["one-pod", "several-pods"])
def test_what_an_image_may_write_is_a_volume(folder: str) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    written = {
        mount["mountPath"]
        for mount in consumer(folder)["volumeMounts"]
        if not mount.get("readOnly")
    }

    assert written == {
        line.split("=", 1)[1].split()[0]
        for line in dockerfile.replace("ENV", "").splitlines()
        if line.strip().startswith(("TMPDIR=", "HOPMAIL_METRICS_DIR=", "HOPMAIL_STATE_DIR="))
    }


def test_the_file_of_a_ledger_outlives_its_pod_and_is_of_one_pod_only() -> None:
    found = manifest("one-pod", "StatefulSet")["spec"]
    (claim,) = found["volumeClaimTemplates"]

    assert found["replicas"] == 1
    assert claim["metadata"]["name"] == "state"
    assert found["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"


def test_where_a_pod_has_a_ledger_of_its_own_there_is_only_one() -> None:
    """However many are asked for: the scheduler finds no node for a second one."""
    labels = manifest("one-pod", "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    (rule,) = pod("one-pod")["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]

    # Which every node has, with the same value on all that can run it.
    assert rule["topologyKey"] == "kubernetes.io/os"
    assert rule["labelSelector"]["matchLabels"].items() <= labels.items()


def test_where_pods_share_a_ledger_each_may_have_its_node() -> None:
    assert "affinity" not in pod("several-pods")
    assert "topologySpreadConstraints" in pod("several-pods")
    assert "volumeClaimTemplates" not in manifest("several-pods", "StatefulSet")["spec"]


def test_a_node_can_be_drained() -> None:
    budget = manifest("several-pods", "PodDisruptionBudget")["spec"]

    assert budget["maxUnavailable"] == 1
    for kind in ("PodDisruptionBudget", "StatefulSet"):
        selected = manifest("several-pods", kind)["spec"]["selector"]["matchLabels"]
        labels = manifest("several-pods", "StatefulSet")["spec"]["template"]["metadata"]["labels"]
        assert selected.items() <= labels.items()


def test_the_service_finds_the_exporter_of_a_pod_in_trouble() -> None:
    service = manifest("one-pod", "Service")["spec"]
    labels = manifest("one-pod", "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    (exporter,) = pod("one-pod")["initContainers"]

    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True
    assert service["selector"].items() <= labels.items()
    assert [port["targetPort"] for port in service["ports"]] == [
        port["name"] for port in exporter["ports"]
    ]
    # No jobs' pods: they have no figures.
    job = manifest("topology", "Job")["spec"]["template"]["metadata"]["labels"]
    assert not service["selector"].items() <= job.items()


def test_the_exporter_is_that_of_compose_and_outlives_the_consumers() -> None:
    (exporter,) = pod("one-pod")["initContainers"]
    composed = COMPOSE["services"]["node-exporter"]

    assert exporter["image"] == composed["image"]
    assert exporter["args"] == composed["command"]
    assert exporter["restartPolicy"] == "Always"


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_pod_is_judged_by_its_workers(probe: str) -> None:
    found = consumer("one-pod")[probe]

    assert found["exec"]["command"] == ["hopmail", "status", "--workers"]
    assert found["timeoutSeconds"] < found["periodSeconds"] or probe == "startupProbe"


def settings_of(
    folder: str, container: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    """Return the settings as a container reads them, with the example's secrets."""
    monkeypatch.chdir(tmp_path)
    given = manifest(folder, "ConfigMap")["data"] | {
        each["name"]: each["value"] for each in container.get("env", ())
    }
    volume = next(each for each in pod(folder)["volumes"] if each["name"] == "secrets")
    secret = SECRETS[volume["secret"]["secretName"]]["stringData"]
    for item in volume["secret"].get("items") or [{"key": key, "path": key} for key in secret]:
        (tmp_path / item["path"]).write_text(secret[item["key"]])
    for name, value in given.items():
        monkeypatch.setenv(name, value.replace("/etc/hopmail/secrets", str(tmp_path)))
    return load_settings()


@pytest.mark.parametrize(
    ("folder", "ledger"),
    [
        ("topology", LedgerKind.SQLITE),
        ("one-pod", LedgerKind.SQLITE),
        ("several-pods", LedgerKind.REDIS),
    ],
)
def test_the_settings_are_valid(
    folder: str, ledger: LedgerKind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_of(folder, containers(folder)[-1], monkeypatch, tmp_path)

    assert settings.ledger.kind is ledger
    assert settings.login == ("hopmail-deploy" if folder == "topology" else "hopmail")


@pytest.mark.parametrize("folder", ["one-pod", "several-pods"])
def test_kubernetes_waits_longer_than_supervisor_and_supervisor_longer_than_a_worker(
    folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_of(folder, consumer(folder), monkeypatch, tmp_path)
    waits = timedelta(seconds=pod(folder)["terminationGracePeriodSeconds"])

    assert waits > settings.grace + STOP_SLACK > settings.grace


def test_consumers_see_no_secret_but_their_own() -> None:
    for folder in ("one-pod", "several-pods"):
        (secret,) = [each["secret"] for each in pod(folder)["volumes"] if "secret" in each]
        assert secret["secretName"] == "hopmail"
        for each in containers(folder):
            assert not [name for name in each.get("env", ()) if "secretKeyRef" in str(name)]


def test_no_secret_has_a_real_value() -> None:
    for each in SECRETS.values():
        for value in each["stringData"].values():
            assert "://" not in value or (":CHANGE-ME@" in value and ".example.org" in value)


def test_no_kustomization_applies_the_example() -> None:
    for file in FOLDER.rglob("kustomization.yaml"):
        assert "secret" not in file.read_text()


def test_keda_counts_the_lanes_with_a_login_of_its_own() -> None:
    scaled, login = (
        manifest("several-pods", kind) for kind in ("ScaledObject", "TriggerAuthentication")
    )
    triggers = scaled["spec"]["triggers"]

    assert [each["metadata"]["queueName"] for each in triggers] == [*map(lane_queue, Lane)]
    assert {each["authenticationRef"]["name"] for each in triggers} == {login["metadata"]["name"]}
    for reference in login["spec"]["secretTargetRef"]:
        assert reference["key"] in SECRETS[reference["name"]]["stringData"]
    target = scaled["spec"]["scaleTargetRef"]
    assert manifest("several-pods", target["kind"])["metadata"]["name"] == target["name"]
    assert "replicas" not in manifest("several-pods", "StatefulSet")["spec"]


def test_every_image_is_pinned() -> None:
    for folder in FOLDERS:
        for each in containers(folder):
            assert each["image"].rpartition(":")[2].strip("v").count(".") == 2
