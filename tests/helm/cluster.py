"""Kubernetes API server with etcd on loopback, without controllers or kubelet: `with Cluster(…) as cluster`.

The version is 1.20, the newest that can be built from Debian's packages (tests/helm/build_kube_apiserver). The chart
is adapted to it: kubeVersion, PodDisruptionBudget and HorizontalPodAutoscaler.
"""

import json
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tests.free_ports import find_free_ports
from tests.helm.rendering import NEWEST, CommandFailed
from tests.helm.schema import CHART
from tests.helm.tools import binary, kubectl

READY_SECONDS_MAX = 60.0
TOKEN = "of-the-test"
REPLACEMENTS = {
    "apiVersion: policy/v1\n": "apiVersion: policy/v1beta1\n",
    "apiVersion: autoscaling/v2\n": "apiVersion: autoscaling/v2beta2\n",
    "  unhealthyPodEvictionPolicy: AlwaysAllow\n": "",  # since 1.27
}
CUSTOM_RESOURCES = {
    "keda.sh/v1alpha1": ("ScaledObject", "TriggerAuthentication"),
    "monitoring.coreos.com/v1": ("PodMonitor", "PrometheusRule"),
    "gateway.networking.k8s.io/v1": ("HTTPRoute",),
    "external-secrets.io/v1": ("ExternalSecret",),
    "grafana.integreatly.org/v1beta1": ("GrafanaDashboard",),
}
"""Custom resources, accepted without validation: tests/helm/check validates them against their CRDs."""


class Answer(NamedTuple):
    """Response of the server."""

    status: int
    body: Any


class Cluster:
    """Running API server; `call` sends requests, `helm` and `kubectl` run the commands."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._folder = folder
        self._binaries = binaries
        self._processes: list[subprocess.Popen[bytes]] = []
        self._url = ""

    def __enter__(self) -> Self:
        etcd, peers, port = find_free_ports(3)
        address = f"http://127.0.0.1:{etcd}"
        peer_address = f"http://127.0.0.1:{peers}"
        self._start(
            "etcd", "--data-dir=data", "--unsafe-no-fsync", f"--listen-client-urls={address}",
            f"--advertise-client-urls={address}", f"--listen-peer-urls={peer_address}",
            f"--initial-advertise-peer-urls={peer_address}", f"--initial-cluster=default={peer_address}",
        )  # fmt: skip
        key = self._folder / "service-accounts.key"
        subprocess.run(["/usr/bin/openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self._folder / "tokens.csv").write_text(f"{TOKEN},tester,1,system:masters\n")
        self._start(
            "kube-apiserver", f"--etcd-servers={address}", "--cert-dir=certs", f"--secure-port={port}",
            "--bind-address=127.0.0.1", "--advertise-address=192.0.2.1", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--service-account-issuer=https://test",
            "--token-auth-file=tokens.csv", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
        )  # fmt: skip
        self._url = f"https://127.0.0.1:{port}"
        self._wait()
        self._write_config()
        for api, kinds in CUSTOM_RESOURCES.items():
            for kind in kinds:
                self._define(api, kind)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(30)

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Answer:
        """Send one request."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data, headers, method=method)  # noqa: S310 - the server above
        try:
            with urlopen(request, timeout=30, context=_unverified_context()) as response:  # noqa: S310 - likewise
                return Answer(response.status, json.load(response))
        except HTTPError as error:
            return Answer(error.code, json.load(error))

    def get(self, kind: str, name: str) -> Any:
        """Return one object of the namespace shop."""
        return json.loads(self.kubectl("get", kind, name, "--namespace=shop", "--output=json"))

    def helm(self, *arguments: str | Path, version: str = NEWEST, values: Mapping[str, Any] | None = None) -> str:
        """Run Helm. Raises CommandFailed."""
        return self._run([binary(version), *arguments], json.dumps(values or {}))

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl. Raises CommandFailed."""
        return self._run([kubectl(), *arguments], stdin)

    def shell(self, script: str, folder: Path, environ: Mapping[str, str]) -> str:
        """Run a shell script in which `helm` and `kubectl` are those above. Raises CommandFailed."""
        path = f"{kubectl().parent}:{os.environ['PATH']}"
        return self._run(["/bin/bash", "-euo", "pipefail", "-c", script], "", folder, {**environ, "PATH": path})

    def _run(
        self,
        command: Sequence[str | Path],
        stdin: str,
        folder: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        kubeconfig = {"KUBECONFIG": str(self._folder / "kubeconfig"), "HELM_NAMESPACE": "shop"}
        environment = {**os.environ, **kubeconfig, "HELM_CACHE_HOME": str(self._folder / "helm"), **(environ or {})}
        done = subprocess.run(
            [*map(str, command)], check=False, capture_output=True, text=True, input=stdin, env=environment, cwd=folder
        )
        if done.returncode:
            raise CommandFailed(done.stdout + done.stderr)
        return done.stdout

    def _start(self, name: str, *arguments: str) -> None:
        command = [str(self._binaries / name), *arguments]
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder))

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            for process in self._processes:
                assert process.poll() is None, f"{process.args} ended with {process.returncode}"
            try:
                if self.call("GET", "/api/v1/namespaces/default").status == 200:
                    return
            except (URLError, ConnectionError):
                pass
            time.sleep(0.2)
        raise AssertionError(f"the API server did not become ready within {READY_SECONDS_MAX:g} s")

    def _write_config(self) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "a", "cluster": {"server": self._url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "a", "user": {"token": TOKEN}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "current-context": "a",
        }
        (self._folder / "kubeconfig").write_text(json.dumps(config))
        (self._folder / "kubeconfig").chmod(0o600)

    def _define(self, api: str, kind: str) -> None:
        group, version = api.split("/")
        plural = kind.lower() + "s"
        open_schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        body = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": f"{plural}.{group}",
                "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
            },
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                "versions": [{"name": version, "served": True, "storage": True, "schema": open_schema}],
            },
        }
        answer = self.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
        assert answer.status == 201, answer


def downgrade_chart(folder: Path) -> Path:
    """Copy the chart, adapted to Kubernetes 1.20."""
    chart = folder / "helm"
    shutil.copytree(CHART, chart)
    meta = chart / "Chart.yaml"
    lines = [line for line in meta.read_text().splitlines() if not line.startswith("kubeVersion")]
    meta.write_text("\n".join(lines) + "\n")
    for path in (chart / "templates").rglob("*.*"):
        path.write_text(downgrade(path.read_text()))
    return chart


def downgrade(text: str) -> str:
    """Replace API versions and fields by those of Kubernetes 1.20."""
    for new, old in REPLACEMENTS.items():
        text = text.replace(new, old)
    # Kubernetes 1.20 does not know this field of a Service.
    return re.sub(r"(?m)^ *loadBalancerClass: .*\n", "", text)


def _unverified_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
