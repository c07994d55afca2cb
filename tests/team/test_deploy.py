"""What deploy/ describes fits together: nothing names what is not there, no secret lies in it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from whatworks.cli import app
from whatworks.team.settings import require_url

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
MANIFESTS: list[dict[str, Any]] = [
    each
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for each in yaml.safe_load_all(path.read_text())
]
SETS = [each for each in MANIFESTS if each["kind"] == "StatefulSet"]
SECRETS = {"database-password", "mcp-token"}


def options_of_mcp() -> set[str]:
    command = get_command(app).commands["mcp"]  # type: ignore[attr-defined]
    return {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.y*ml")), ids=lambda path: path.name)
def test_no_secret_and_no_version_that_moves_is_written_down(path: Path) -> None:
    text = path.read_text()
    for url in re.findall(r"postgres(?:ql)?://\S+", text):
        require_url(url.rstrip(","))
    assert not re.search(r"(?i)(password|token)\s*:\s*[^\s{/]+$", text, re.MULTILINE)
    for image in re.findall(r"image: (\S+)", text):
        assert re.search(r":\d", image), image


def test_the_services_name_only_what_there_is() -> None:
    assert set(COMPOSE["secrets"]) == SECRETS
    for name, service in COMPOSE["services"].items():
        assert set(service.get("secrets", [])) <= SECRETS
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            there = (
                (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
            )
            assert there, f"{name} mounts {source}"
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
    memory = COMPOSE["services"]["memory"]
    assert set(memory["command"][::2]) <= options_of_mcp()
    assert (DEPLOY / memory["build"]["context"] / memory["build"]["dockerfile"]).is_file()
    assert "@database/" in memory["environment"]["WHATWORKS_STORE"]
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8443:8443"]  # the database is for the services only


def test_what_the_image_is_made_of_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists(), source
    extras = re.findall(r"\[([\w,]+)\]", text)[0].split(",")
    declared = re.findall(r"^([\w-]+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert set(extras) <= set(declared)
    subprocess.run(["sh", "-n", str(DEPLOY / "serve")], check=True)
    assert "--http" in options_of_mcp() and "whatworks mcp --http" in (DEPLOY / "serve").read_text()


@pytest.mark.parametrize("found", SETS, ids=lambda found: found["metadata"]["name"])
def test_the_sets_of_machines_fit_together(found: dict[str, Any]) -> None:
    pod = found["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert found["spec"]["selector"]["matchLabels"] == labels
    services = {
        each["metadata"]["name"]: each["spec"] for each in MANIFESTS if each["kind"] == "Service"
    }
    service = services[found["spec"]["serviceName"]]
    assert service["selector"] == labels
    named = {
        port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", [])
    }
    assert {port["targetPort"] for port in service["ports"]} <= named
    volumes = {each["name"] for each in pod["spec"].get("volumes", [])}
    volumes |= {each["metadata"]["name"] for each in found["spec"]["volumeClaimTemplates"]}
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    for container in pod["spec"]["containers"]:
        assert {"requests", "limits"} == set(container["resources"])
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                assert variable["valueFrom"]["secretKeyRef"]["key"] in SECRETS


def test_the_manifests_are_of_one_namespace_and_of_versions_that_are_not_beta() -> None:
    assert {each["metadata"]["namespace"] for each in MANIFESTS} == {"whatworks"}
    assert {each["apiVersion"] for each in MANIFESTS} == {"v1", "apps/v1"}
    maps = {each["metadata"]["name"]: each["data"] for each in MANIFESTS if each["kind"] == "ConfigMap"}
    (memory,) = [each for each in SETS if each["metadata"]["name"] == "memory"]
    for volume in memory["spec"]["template"]["spec"]["volumes"]:
        assert "Caddyfile" in maps[volume["configMap"]["name"]]
    arguments = memory["spec"]["template"]["spec"]["containers"][0]["args"]
    assert set(arguments[::2]) <= options_of_mcp()
    # The name that clients give is the one that both the door and the memory let in.
    assert all(text["Caddyfile"].startswith(arguments[1] + " {") for text in maps.values())
