//! What is deleted before what, across layers. Inside of a layer the layer
//! itself says so. Tested against every create edge reversed.

use trunkline_ids::Kind;

/// Pairs of kinds: first, then.
pub(crate) fn across_layers() -> Vec<(Kind, Kind)> {
    let pairs = [
        // Argo CD must be there to delete what it made, and it and the pods it
        // deletes need nodes.
        ("workloads/application", "addons/release"),
        ("workloads/application", "addons/node-pool"),
        ("workloads/namespace", "addons/node-pool"),
        ("workloads/namespace", "addons/storage-class"),
        ("workloads/project", "addons/release"),
        ("workloads/secret", "addons/release"),
        // Everything in the cluster goes while whoever deletes may still enter.
        ("workloads/namespace", "addons/release"),
        ("addons/release", "cluster/access-entry"),
        ("addons/namespace", "cluster/access-entry"),
        ("addons/storage-class", "cluster/access-entry"),
        ("addons/node-class", "cluster/access-entry"),
        ("cluster/access-entry", "cluster/cluster"),
        // Nodes that drain still pull images and answer through NAT.
        ("addons/node-pool", "net/nat-gateway"),
        ("addons/node-pool", "net/route-table"),
        ("addons/node-pool", "net/security-group"),
        ("addons/node-pool", "net/endpoint"),
        ("addons/node-pool", "storage/bucket"),
        // The cluster's network interfaces lie in its subnets and groups.
        ("cluster/cluster", "net/subnet"),
        ("cluster/cluster", "net/security-group"),
        ("cluster/cluster", "net/volume"),
        ("cluster/cluster", "access/role"),
    ];
    let kind = |text: &str| {
        let (layer, kind) = text.split_once('/').unwrap_or((text, ""));
        Kind::new(layer, kind)
    };
    pairs
        .iter()
        .map(|(first, then)| (kind(first), kind(then)))
        .collect()
}
