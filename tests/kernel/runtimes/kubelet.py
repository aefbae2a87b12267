"""Plays the kubelet: makes pods over the Container Runtime Interface."""

import time
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import grpc
from google.protobuf.message import Message

from tests.kernel.runtimes import cri_calls_pb2 as wire

LIMIT_S = 300
NODE = wire.NamespaceOption(network=2)
"""The network of the node: pods of the tests need no other."""

Answer = TypeVar("Answer", bound=Message)


class Pod:
    """A pod that was made, and what its labels are."""

    def __init__(self, kubelet: "Kubelet", name: str, namespace: str, labels: dict[str, str]) -> None:
        self._kubelet = kubelet
        self.name = name
        self.namespace = namespace
        self.labels = labels
        self.uid = str(uuid4())
        self._its = {
            "io.kubernetes.pod.name": name,
            "io.kubernetes.pod.namespace": namespace,
            "io.kubernetes.pod.uid": self.uid,
        }
        self._config = wire.PodSandboxConfig(
            metadata=wire.PodSandboxMetadata(name=name, uid=self.uid, namespace=namespace),
            labels=labels | self._its,
            linux=wire.LinuxPodSandboxConfig(
                cgroup_parent=f"/kubepods/besteffort/pod{self.uid}",
                security_context=wire.LinuxSandboxSecurityContext(namespace_options=NODE),
            ),
        )
        self.id = kubelet.call(
            "RunPodSandbox", wire.RunPodSandboxRequest(config=self._config), wire.RunPodSandboxResponse
        ).pod_sandbox_id

    def create(self, name: str, image: str, *command: str) -> str:
        """A container that is not started yet: its ID."""
        config = wire.ContainerConfig(
            metadata=wire.ContainerMetadata(name=name),
            image=wire.ImageSpec(image=image),
            command=command,
            labels=self._its | {"io.kubernetes.container.name": name},
            linux=wire.LinuxContainerConfig(
                security_context=wire.LinuxContainerSecurityContext(namespace_options=NODE)
            ),
        )
        request = wire.CreateContainerRequest(
            pod_sandbox_id=self.id, config=config, sandbox_config=self._config
        )
        return self._kubelet.call("CreateContainer", request, wire.CreateContainerResponse).container_id

    def start(self, container_id: str) -> None:
        self._kubelet.call("StartContainer", wire.ContainerRequest(container_id=container_id), wire.Nothing)

    def run(self, name: str, image: str, *command: str) -> str:
        """A container that runs: its ID."""
        container_id = self.create(name, image, *command)
        self.start(container_id)
        return container_id

    def execute(self, container_id: str, *command: str) -> wire.ExecSyncResponse:
        request = wire.ExecSyncRequest(container_id=container_id, cmd=command, timeout=LIMIT_S)
        return self._kubelet.call("ExecSync", request, wire.ExecSyncResponse)

    def wait(self, container_id: str) -> int:
        """The exit code of its first process, once it has ended."""
        limit = time.monotonic() + LIMIT_S
        while (status := self._status(container_id)).state != 2:
            assert time.monotonic() < limit, f"{container_id} does not end"
            time.sleep(0.02)
        return status.exit_code

    def _status(self, container_id: str) -> wire.ContainerStatus:
        request = wire.ContainerRequest(container_id=container_id)
        return self._kubelet.call("ContainerStatus", request, wire.ContainerStatusResponse).status

    def remove(self) -> None:
        """Until it is gone: a runtime whose shim has just lost its connection refuses once, and a kubelet asks again."""
        limit = time.monotonic() + LIMIT_S
        for method in ("StopPodSandbox", "RemovePodSandbox"):
            while True:
                try:
                    self._kubelet.call(method, wire.PodRequest(pod_sandbox_id=self.id), wire.Nothing)
                    break
                except grpc.RpcError:
                    if time.monotonic() > limit:
                        raise
                    time.sleep(0.2)


class Kubelet:
    """Speaks to one runtime."""

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.insecure_channel(
            f"unix://{socket}", options=[("grpc.default_authority", "localhost")]
        )

    def call(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        ask: Any = self._channel.unary_unary(
            f"/runtime.v1.RuntimeService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        found: Answer = ask(request, timeout=LIMIT_S, wait_for_ready=True)
        return found

    def is_answered(self) -> bool:
        """The socket is there before the runtime is ready."""
        try:
            self.call("Version", wire.Nothing(), wire.Nothing)
        except grpc.RpcError:
            return False
        return True

    def pod(self, name: str, namespace: str, labels: dict[str, str]) -> Pod:
        return Pod(self, name, namespace, labels)

    def close(self) -> None:
        self._channel.close()
