"""Which keys are ours, which are K3s's, and which are one of ours misspelt."""

from __future__ import annotations

from collections.abc import Iterable

# Flags of `k3s server` and `k3s agent` up to v1.36 that mean nothing here; in a config.yaml that
# is shared with K3s they are passed over.
K3S_KEYS = frozenset(
    """
    advertise-address advertise-port agent-token agent-token-file alsologtostderr bind-address
    cluster-cidr cluster-dns cluster-domain cluster-init cluster-reset cluster-reset-restore-path
    cluster-secret container-runtime-endpoint datastore-cafile datastore-certfile
    datastore-endpoint datastore-keyfile datastore-reconcile-interval default-local-storage-path
    default-runtime disable disable-agent disable-apiserver disable-apiserver-lb
    disable-cloud-controller disable-controller-manager disable-etcd disable-helm-controller
    disable-kube-proxy disable-network-policy disable-scheduler disable-selinux docker
    egress-selector-mode enable-pprof etcd-arg etcd-disable-snapshots etcd-expose-metrics etcd-s3
    etcd-s3-access-key etcd-s3-bucket etcd-s3-bucket-lookup-type etcd-s3-config-secret
    etcd-s3-endpoint etcd-s3-endpoint-ca etcd-s3-folder etcd-s3-insecure etcd-s3-proxy
    etcd-s3-region etcd-s3-retention etcd-s3-secret-key etcd-s3-session-token
    etcd-s3-skip-ssl-verify etcd-s3-timeout etcd-snapshot-compress etcd-snapshot-dir
    etcd-snapshot-name etcd-snapshot-reconcile-interval etcd-snapshot-retention
    etcd-snapshot-schedule-cron flannel-backend flannel-cni-conf flannel-conf flannel-external-ip
    flannel-iface flannel-ipv6-masq helm-job-image https-listen-port
    image-credential-provider-bin-dir image-credential-provider-config image-service-endpoint
    kine-tls kube-apiserver-arg kube-cloud-controller-manager-arg kube-controller-manager-arg
    kube-proxy-arg kube-scheduler-arg kubelet-arg lb-server-port log multi-cluster-cidr no-deploy
    no-flannel node-external-dns node-external-ip node-internal-dns node-label node-taint
    nonroot-devices pause-image prefer-bundled-bin profile protect-kernel-defaults resolv-conf
    rootless secrets-encryption secrets-encryption-provider selinux service-cidr
    service-node-port-range servicelb-namespace supervisor-port system-default-registry tls-san
    tls-san-security v vmodule vpn-auth vpn-auth-file with-node-id write-kubeconfig
    write-kubeconfig-group write-kubeconfig-mode
    """.split()  # noqa: SIM905 (one long list reads best as words)
)

_MOST_EDITS = 2


def misspelt(key: str, ours: Iterable[str]) -> str | None:
    """The key of ours that `key` was most likely meant to be, or None when it is not ours."""
    if key in K3S_KEYS:
        return None
    found = min(((_edits(key, own), own) for own in ours), default=None)
    return found[1] if found is not None and 0 < found[0] <= _MOST_EDITS else None


def _edits(left: str, right: str) -> int:
    """Levenshtein's distance; anything above `_MOST_EDITS` may come out larger than it is."""
    if abs(len(left) - len(right)) > _MOST_EDITS:
        return _MOST_EDITS + 1
    row = list(range(len(right) + 1))
    for number, letter in enumerate(left, 1):
        diagonal, row[0] = row[0], number
        for column, other in enumerate(right, 1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (letter != other)),
            )
    return row[-1]
