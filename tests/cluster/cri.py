"""What a kubelet asks containerd for, over CRI."""

from __future__ import annotations

import time
from pathlib import Path

import grpc

from mirror.containerd.api import cri_pb2, cri_pb2_grpc
from tests.cluster.image import Image


class PullFailed(Exception):
    """containerd gave up on a pull; a kubelet would say ImagePullBackOff."""


class Cri:
    """A connection to containerd's image service."""

    def __init__(self, socket: Path) -> None:
        """Connects when first used, and again whenever containerd has been away.

        Args:
            socket: containerd's.
        """
        quick = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100)]
        self._channel = grpc.insecure_channel(f"unix://{socket}", options=quick)
        self._images = cri_pb2_grpc.ImageServiceStub(self._channel)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def answers(self) -> bool:
        """Whether containerd is up and its CRI plugin is too."""
        try:
            self._images.ListImages(cri_pb2.ListImagesRequest(), timeout=1)
        except grpc.RpcError:
            return False
        return True

    def pull(
        self,
        image: Image | str,
        timeout: float = 100.0,
        credentials: tuple[str, str] | None = None,
    ) -> float:
        """Pulls an image by tag, or whatever reference is given; returns the seconds it took.

        Args:
            image: What is pulled.
            timeout: Seconds.
            credentials: User and password for its registry, as of an image pull secret.

        Raises:
            PullFailed: containerd says so, or it took longer than `timeout` seconds.
        """
        reference = image if isinstance(image, str) else image.reference
        user, password = credentials or ("", "")
        request = cri_pb2.PullImageRequest(
            image=cri_pb2.ImageSpec(image=reference),
            auth=cri_pb2.AuthConfig(username=user, password=password) if credentials else None,
        )
        start = time.monotonic()
        try:
            self._images.PullImage(request, timeout=timeout)
        except grpc.RpcError as error:
            seconds = time.monotonic() - start
            raise PullFailed(f"{reference} after {seconds:.1f} s: {error.details()}") from error
        return time.monotonic() - start

    def tags(self) -> set[str]:
        """The tagged names of all images."""
        answer = self._images.ListImages(cri_pb2.ListImagesRequest(), timeout=10)
        return {tag for image in answer.images for tag in image.repo_tags}

    def remove(self, image: Image) -> None:
        """Removes an image; its content goes with it, a moment later."""
        spec = cri_pb2.ImageSpec(image=image.reference)
        self._images.RemoveImage(cri_pb2.RemoveImageRequest(image=spec), timeout=30)
