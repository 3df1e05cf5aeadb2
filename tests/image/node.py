"""A node without Kubernetes: runs the pods that the chart renders with podman, and does what kubelet and Service would.

Not as in a cluster: pods share the host's network, each with ports of its own; probes are asked and preStop is run from
here; a Job is a pod that is waited for. Everything else is as rendered: image, command, variables, Secrets, ConfigMaps,
user, capabilities, read-only root, limits.
"""

import asyncio
import base64
import contextlib
import copy
import itertools
import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import aiohttp
import yaml

from tests.free_ports import find_free_ports

CONF = Path(__file__).with_name("containers.conf")
READY_SECONDS_MAX = 30.0

Objects = dict[str, Any]


def podman(*arguments: str, stdin: str | None = None) -> str:
    """Run podman and give what it wrote, warnings and a container's stderr included; a failure is raised with it."""
    environ = os.environ | {"CONTAINERS_CONF": str(CONF)}
    command = ["/usr/bin/podman", *arguments]
    both = subprocess.STDOUT
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=both, text=True, env=environ, input=stdin
    )
    if done.returncode:
        raise AssertionError(f"podman {' '.join(arguments)}: {done.stdout}")
    return done.stdout


def free_ports() -> Iterator[int]:
    """Yield ports that no server uses now."""
    while True:
        yield from find_free_ports(1)


class Pod(NamedTuple):
    """One running pod; `spec` as the chart rendered it."""

    name: str
    container: str
    spec: Any
    port: int
    admin_port: int

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in podman("logs", self.container).splitlines()]


class Node:
    """The pods of one release, and the Secrets that somebody else made for it. `close` ends them all."""

    def __init__(self, objects: Objects, folder: Path, secrets: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._objects = copy.deepcopy(objects)
        self._folder = folder
        self._mark = f"wb{os.getpid()}"
        self._counts = itertools.count(1)
        self._ports = free_ports()
        self._pods: dict[str, str] = {}
        self._secrets: list[str] = []
        made = [each for each in objects.values() if each["kind"] == "Secret"]
        self._texts = {each["metadata"]["name"]: each["stringData"] for each in made} | dict(secrets or {})
        for name, held in self._texts.items():
            self._keep(name, held)

    def _keep(self, name: str, texts: Mapping[str, str]) -> None:
        # podman 4.3 reads the keys of a Secret from JSON, though it stores the YAML that kube play is given
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        if name in podman("secret", "ls", "--format", "{{.Name}}").split():
            podman("secret", "rm", name)
        podman("secret", "create", name, "-", stdin=json.dumps(encoded))
        self._secrets.append(name)

    async def start(self, component: str) -> Pod:
        """Start one pod of a Deployment, and return once it is ready."""
        pod = await self.begin(component)
        await self._ready(pod)
        return pod

    async def begin(self, component: str) -> Pod:
        """Start one pod of a Deployment, whatever becomes of it."""
        return await self._play(component, self._objects[f"Deployment/rel-waybill-{component}"]["spec"]["template"])

    async def run_job(self) -> None:
        """Run the Job to its end; it has to end well."""
        pod = await self._play("rules", self._objects["Job/rel-waybill-rules"]["spec"]["template"])
        code = await asyncio.to_thread(podman, "wait", pod.container)
        assert code.strip() == "0", podman("logs", pod.container)

    def shorten_test(self, seconds: int) -> None:
        """Let the pod of `helm test` wait no longer than that."""
        (container,) = self._objects["Pod/rel-waybill-test"]["spec"]["containers"]
        container["args"] = [f"--seconds-max={seconds}" if "seconds" in each else each for each in container["args"]]

    async def run_test(self, webhooks: str, admin: str) -> tuple[int, str]:
        """Run the pod of `helm test`; give its exit code and what it said."""
        whole = copy.deepcopy(self._objects["Pod/rel-waybill-test"])
        (container,) = whole["spec"]["containers"]
        container["args"] = [f"--webhooks={webhooks}", f"--admin={admin}", *container["args"][2:]]
        pod = await self._play("test", {"metadata": whole["metadata"], "spec": whole["spec"]})
        code = await asyncio.to_thread(podman, "wait", pod.container)
        return int(code), await asyncio.to_thread(podman, "logs", pod.container)

    async def stop(self, pod: Pod) -> float:
        """Do what a kubelet does to a pod that goes: preStop, SIGTERM, and SIGKILL after the grace period.

        Gives the seconds it took.
        """
        began = time.monotonic()
        grace: int = pod.spec["terminationGracePeriodSeconds"]
        hook = pod.spec["containers"][0].get("lifecycle")
        if hook:
            await asyncio.to_thread(podman, "exec", pod.container, *hook["preStop"]["exec"]["command"])
        left = grace - int(time.monotonic() - began)
        await asyncio.to_thread(podman, "stop", "--time", str(left), pod.container)
        return time.monotonic() - began

    def exit_code(self, pod: Pod) -> int:
        """How it ended; 137 is killed."""
        return int(podman("inspect", "--format", "{{.State.ExitCode}}", pod.container))

    def memory(self, pod: Pod) -> int:
        """Bytes of memory that its process holds."""
        status = podman("exec", pod.container, "cat", "/proc/1/status")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))

    def close(self) -> None:
        """End and remove everything."""
        for name, container in self._pods.items():
            # Before its pod, which otherwise takes three seconds. It fails for a container that ends in this moment.
            with contextlib.suppress(AssertionError):
                podman("rm", "--force", "--ignore", "--time", "0", container)
            podman("pod", "rm", "--force", "--ignore", "--time", "0", name)
            podman("volume", "rm", "--force", f"{name}-tmp")
        maps = [each["metadata"]["name"] for each in self._objects.values() if each["kind"] == "ConfigMap"]
        for name in (*maps, *self._secrets):  # what was mounted
            podman("volume", "rm", "--force", name)
        for name in self._secrets:
            podman("secret", "rm", name)

    async def _play(self, component: str, template: Any) -> Pod:
        name = f"{self._mark}-{component}-{next(self._counts)}"
        spec = copy.deepcopy(template["spec"])
        ports = next(self._ports), next(self._ports)
        _fit(spec, name, ports)
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        maps = [each for each in self._objects.values() if each["kind"] == "ConfigMap"]
        maps += [_as_map(each, self._texts) for each in spec["volumes"] if "secret" in each]
        path = self._folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump_all([*maps, whole]))
        self._pods[name] = f"{name}-{spec['containers'][0]['name']}"
        await asyncio.to_thread(podman, "kube", "play", str(path))
        return Pod(name, self._pods[name], template["spec"], *ports)

    async def _ready(self, pod: Pod) -> None:
        probe = pod.spec["containers"][0]["readinessProbe"]["httpGet"]
        url = f"http://127.0.0.1:{pod.admin_port}{probe['path']}"
        deadline = time.monotonic() + READY_SECONDS_MAX
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                try:
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError(f"{pod.name} did not become ready: {podman('logs', pod.container)}")


def _fit(spec: Any, name: str, ports: tuple[int, int]) -> None:
    """Fit a pod to a node with one network and without systemd."""
    spec["hostNetwork"] = True
    if spec.get("restartPolicy", "Always") != "Always":
        spec["restartPolicy"] = "Never"
    (container,) = spec["containers"]
    for key in ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle", "ports"):
        container.pop(key, None)
    container["env"] += [
        {"name": "WAYBILL_PORT", "value": str(ports[0])},
        {"name": "WAYBILL_ADMIN_PORT", "value": str(ports[1])},
    ]
    # podman names an emptyDir after the volume alone, so that pods would share it
    for volume in (*spec["volumes"], *container["volumeMounts"]):
        if volume["name"] == "tmp":
            volume["name"] = f"{name}-tmp"


def _as_map(volume: Any, texts: Mapping[str, Mapping[str, str]]) -> Any:
    """Make a Secret's volume one of a ConfigMap: podman 4.3 mounts no others."""
    source = volume.pop("secret")
    volume["configMap"] = {"name": source["secretName"], "items": source["items"]}
    held = texts[source["secretName"]]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": source["secretName"]}, "data": dict(held)}


class Balancer:
    """A Service: takes connections, by TLS if there is a context, and hands each to the next of the endpoints."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self.endpoints: list[int] = []
        self._turn = itertools.count()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """Its port."""
        assert self._server
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self.endpoints[next(self._turn) % len(self.endpoints)]
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer), return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
