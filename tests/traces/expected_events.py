# SPDX-License-Identifier: Apache-2.0
"""What each recorded life (tests/data/traces) is to be told as: for each of its pods, in the order they were seen."""

from __future__ import annotations

from typing import Final

EXPECTED: Final[dict[str, list[list[str]]]] = {
    "absent-image": [["Created", "ImagePullFailed main ErrImagePull"]],
    "absent-image-mended": [["Created", "ImagePullFailed main ErrImagePull", "Started", "Ready", "Recovered"]],
    "absent-image-never-pulled": [["Created", "ImagePullFailed main ErrImageNeverPull"]],
    "active-deadline": [["Created", "Started", "Ready", "Failed DeadlineExceeded"]],
    "bad-command": [
        [
            "Created",
            "StartFailed main RunContainerError",
            "Restarted main StartError 128",
            "CrashLooping main StartError 128",
            "Restarted main StartError 128",
        ]
    ],
    "completes-again-and-again": [
        [
            "Created",
            "Started",
            "Ready",
            "Restarted main Completed 0",
            "CrashLooping main Completed 0",
            "Restarted main Completed 0",
            "Restarted main Completed 0",
        ]
    ],
    "crash-after-ready": [
        [
            "Created",
            "Started",
            "Ready",
            "Restarted main Error 1",
            "CrashLooping main Error 1",
            "Restarted main Error 1",
            "Recovered",
        ]
    ],
    "crash-loop": [
        [
            "Created",
            "Started",
            "Ready",
            "Restarted main Error 1",
            "CrashLooping main Error 1",
            "Restarted main Error 1",
            "Restarted main Error 1",
            "Restarted main Error 1",
        ]
    ],
    "crash-once": [["Created", "Started", "Ready", "Restarted main Error 1"]],
    "created-and-deleted": [["Created", "Deleted"]],
    "cron-job": [["Created", "Started", "Ready", "Succeeded"]],
    "daemon-set": [["Created", "Started", "Ready"]],
    "deleted-by-force": [["Created", "Started", "Ready", "Deleted"]],
    "deleted-exit-0": [["Created", "Started", "Ready", "Deleted"]],
    "deleted-exit-143": [["Created", "Started", "Ready", "Deleted"]],
    "deleted-in-crash-loop": [
        [
            "Created",
            "Started",
            "Ready",
            "Restarted main Error 1",
            "CrashLooping main Error 1",
            "Restarted main Error 1",
            "Deleted",
        ]
    ],
    "deleted-killed": [["Created", "Started", "Ready", "Deleted"]],
    "deleted-prestop": [["Created", "Started", "Ready", "Deleted"]],
    "deleted-unready": [["Created", "Started", "Ready", "Deleted"]],
    "deleted-while-pulling": [["Created", "Deleted"]],
    "deleted-with-finalizer": [["Created", "Started", "Ready", "Deleted"]],
    "deployment-bad-rollout": [
        ["Created", "Started", "Ready", "Deleted"],
        [
            "Created",
            "Started",
            "Ready",
            "Restarted main Error 1",
            "CrashLooping main Error 1",
            "Restarted main Error 1",
            "Recovered",
        ],
    ],
    "deployment-liveness": [["Created", "Started", "Ready", "Restarted main Error 143", "Restarted main Error 143"]],
    "deployment-rollout": [
        ["Created", "Started", "Ready", "Deleted"],
        ["Created", "Started", "Ready", "Deleted"],
        ["Created", "Started", "Ready", "Deleted"],
        ["Created", "Started", "Ready", "Deleted"],
        ["Created", "Started", "Ready"],
        ["Created", "Started", "Ready"],
    ],
    "deployment-scaled-down": [
        ["Created", "Started", "Ready", "Deleted"],
        ["Created", "Started", "Ready", "Deleted"],
        ["Created", "Started", "Ready", "Deleted"],
    ],
    "disk-eviction": [["Created", "Started", "Ready", "Failed Evicted"]],
    "ephemeral-container-fails": [["Created", "Started", "Ready"]],
    "ephemeral-storage-eviction": [["Created", "Started", "Ready", "Failed main Evicted 143"]],
    "ephemeral-storage-eviction-exit-0": [["Created", "Started", "Ready", "Succeeded"]],
    "evicted-by-api": [["Created", "Started", "Ready", "Failed EvictionByEvictionAPI", "Deleted"]],
    "failure": [["Created", "Started", "Ready", "Failed main Error 7"]],
    "gated-deleted": [["Created", "Deleted"]],
    "init-containers": [["Created", "Started", "Ready"]],
    "init-crash-loop": [
        [
            "Created",
            "Restarted init Error 1",
            "CrashLooping init Error 1",
            "Restarted init Error 1",
            "Restarted init Error 1",
        ]
    ],
    "init-failure": [["Created", "Failed init Error 3"]],
    "init-image-absent": [["Created", "ImagePullFailed init ErrImagePull"]],
    "invalid-image-name": [["Created", "StartFailed main InvalidImageName"]],
    "job-deadline": [["Created", "Started", "Ready", "Deleted"]],
    "job-failure": [
        ["Created", "Started", "Ready", "Failed main Error 1"],
        ["Created", "Started", "Ready", "Failed main Error 1"],
        ["Created", "Started", "Ready", "Failed main Error 1"],
    ],
    "job-failure-in-place": [
        [
            "Created",
            "Started",
            "Ready",
            "Restarted main Error 1",
            "CrashLooping main Error 1",
            "Restarted main Error 1",
            "Deleted",
        ]
    ],
    "job-parallel-removed": [
        ["Created", "Started", "Ready", "Succeeded", "Deleted"],
        ["Created", "Started", "Ready", "Succeeded", "Deleted"],
        ["Created", "Started", "Ready", "Succeeded", "Deleted"],
    ],
    "job-success": [["Created", "Started", "Ready", "Succeeded"]],
    "job-with-sidecar": [["Created", "Started", "Ready", "Succeeded"]],
    "kubelet-restarted": [["Created", "Started", "Ready"]],
    "late-config-map-volume": [["Created", "Started", "Ready"]],
    "liveness-kills": [
        [
            "Created",
            "Started",
            "Ready",
            "Restarted main Error 143",
            "Restarted main Error 143",
            "CrashLooping main Error 143",
            "Restarted main Error 143",
            "Recovered",
        ]
    ],
    "missing-config-map-key": [
        ["Created", "StartFailed main CreateContainerConfigError", "Started", "Ready", "Recovered"]
    ],
    "missing-config-map-volume": [["Created", "StartFailed NotReadyToStartContainers"]],
    "missing-seccomp-profile": [["Created", "StartFailed main CreateContainerError"]],
    "missing-secret-volume": [["Created", "Deleted"]],
    "namespace-deleted": [["Created", "Started", "Ready", "Deleted"]],
    "node-deleted": [["Created", "Started", "Ready", "Failed DeletionByPodGC", "Deleted"]],
    "node-lost": [
        ["Created", "Started", "Ready", "Failed DeletionByTaintManager", "Deleted"],
        ["Created", "Started", "Ready"],
    ],
    "node-lost-deployment": [
        ["Created", "Started", "Ready", "Failed DeletionByTaintManager", "Deleted"],
        ["Created", "Started", "Ready"],
    ],
    "normal-start": [["Created", "Started", "Ready"]],
    "on-failure-then-success": [["Created", "Started", "Ready", "Restarted main Error 1", "Succeeded"]],
    "one-of-two-crash-loops": [
        [
            "Created",
            "Started",
            "Ready",
            "Restarted crashes Error 2",
            "CrashLooping crashes Error 2",
            "Restarted crashes Error 2",
            "Restarted crashes Error 2",
        ]
    ],
    "one-of-two-images-absent": [["Created", "ImagePullFailed absent ErrImagePull"]],
    "oom-kill": [["Created", "Started", "Ready", "OOMKilled main OOMKilled 137", "Failed main OOMKilled 137"]],
    "oom-loop": [
        [
            "Created",
            "Started",
            "Ready",
            "Restarted main Error 137",
            "OOMKilled main OOMKilled 137",
            "CrashLooping main OOMKilled 137",
            "Restarted main OOMKilled 137",
            "Restarted main OOMKilled 137",
        ]
    ],
    "poststart-hook-fails": [
        [
            "Created",
            "StartFailed main PostStartHookError",
            "Started",
            "Restarted main Completed 0",
            "CrashLooping main Completed 0",
            "Restarted main Completed 0",
        ]
    ],
    "preempted": [
        ["Created", "Started", "Ready", "Failed PreemptionByScheduler", "Deleted"],
        ["Created", "Started", "Ready"],
    ],
    "readiness-flapping": [["Created", "Started", "Ready"]],
    "readiness-gate": [["Created", "Started", "Ready"]],
    "refused-node-affinity": [["Created", "Failed NodeAffinity"]],
    "refused-out-of-cpu": [["Created", "Failed OutOfcpu"]],
    "resize": [["Created", "Started", "Ready"]],
    "root-refused": [["Created", "StartFailed main CreateContainerConfigError"]],
    "runtime-restarted": [["Created", "Started", "Ready"]],
    "scheduling-gate": [["Created", "Started", "Ready"]],
    "sidecar": [["Created", "Started", "Ready", "Deleted"]],
    "sidecar-crash-loop": [
        [
            "Created",
            "Started",
            "Ready",
            "Restarted sidecar Error 1",
            "CrashLooping sidecar Error 1",
            "Restarted sidecar Error 1",
            "Restarted sidecar Error 1",
        ]
    ],
    "slow-readiness": [["Created", "Started", "Ready"]],
    "startup-probe": [["Created", "Started", "Ready"]],
    "startup-probe-fails": [["Created", "Started", "Restarted main Error 143", "Restarted main Error 143"]],
    "stateful-set-replaced": [
        ["Created", "Started", "Ready", "Deleted", "Created", "Started", "Ready"],
        ["Created", "Started", "Ready"],
    ],
    "static-pod": [["Created", "Started", "Ready", "Deleted"]],
    "success": [["Created", "Started", "Ready", "Succeeded"]],
    "tainted-node": [["Created", "Started", "Ready", "Failed DeletionByTaintManager", "Deleted"]],
    "too-large-deleted": [["Created", "Deleted"]],
    "unschedulable": [["Created", "Unschedulable Unschedulable"]],
    "unschedulable-then-scheduled": [["Created", "Started", "Ready"]],
}
