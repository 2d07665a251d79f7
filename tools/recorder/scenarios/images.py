# SPDX-License-Identifier: Apache-2.0
"""Images that cannot be had."""

from recorder.questions import deleted, is_condition, ready, waiting
from recorder.script import ABSENT_IMAGE, container, pod, scenario
from recorder.stage import Stage

_PORT = 5999
_SILENT_IMAGE = f"127.0.0.1:{_PORT}/absent:1"
"""An image of a place that takes connections and never answers: its pull takes long."""


@scenario("an image that does not exist: the registry cannot be reached")
def absent_image(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(image=ABSENT_IMAGE)))
    stage.until("the pull failed", waiting("ErrImagePull"))
    stage.until("the pull waits", waiting("ImagePullBackOff"))
    stage.until("the pull failed again", waiting("ErrImagePull"))
    stage.until("the pull waits again", waiting("ImagePullBackOff"))
    stage.settle(2)


@scenario("an image that is on no node, imagePullPolicy Never")
def absent_image_never_pulled(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(image=ABSENT_IMAGE, imagePullPolicy="Never")))
    stage.until("the image is not there", waiting("ErrImageNeverPull"))
    stage.settle(10)


@scenario("an image name that is no image name")
def invalid_image_name(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(image="Not:a:Name")))
    stage.until("the name is refused", waiting("InvalidImageName"))
    stage.settle(10)


@scenario("an image that does not exist, mended by an edit of the pod after the first back-off")
def absent_image_mended(stage: Stage) -> None:
    """Play it."""
    good = container()["image"]
    stage.apply(pod(container(image=ABSENT_IMAGE)))
    stage.until("the pull waits", waiting("ImagePullBackOff"))
    stage.kubectl("set", "image", "pod/actor", f"main={good}")
    stage.step("the image was corrected")
    stage.until("the pod is ready", ready())
    stage.settle(2)


@scenario("two containers, the image of one does not exist")
def one_of_two_images_absent(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(container(name="stays"), container(name="absent", image=ABSENT_IMAGE)))
    stage.until("the pull waits", waiting("ImagePullBackOff"))
    stage.settle(15)


@scenario("the image of an init container does not exist")
def init_image_absent(stage: Stage) -> None:
    """Play it."""
    stage.apply(pod(initContainers=[container(name="init", image=ABSENT_IMAGE)]))
    stage.until("the pull waits", waiting("ImagePullBackOff"))
    stage.settle(5)


@scenario("the pod is deleted while its image is being pulled from a place that does not answer")
def deleted_while_pulling(stage: Stage) -> None:
    """Play it."""
    listen = f"socat -u TCP-LISTEN:{_PORT},bind=127.0.0.1,fork,reuseaddr SYSTEM:'sleep 60' >/dev/null 2>&1 & echo $!"
    pid = stage.on_node("sh", "-c", listen).strip()
    try:
        stage.apply(pod(container(image=_SILENT_IMAGE)))
        stage.until("the sandbox is there", is_condition("PodReadyToStartContainers", "True"))
        stage.settle(4)
        stage.kubectl("delete", "pod", "actor", "--wait=false")
        stage.step("the pod was deleted")
        stage.until("the pod is gone", deleted(), timeout=150)
    finally:
        stage.on_node("kill", pid)
