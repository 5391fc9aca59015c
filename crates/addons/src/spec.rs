//! What should be installed. Pure.

use trunkline_ids::Address;

/// The wishes for everything in the cluster that Argo CD does not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddonsSpec {
    /// The environment's name.
    pub environment: String,
    /// The cluster's name, which its security group is tagged with.
    pub cluster: String,
    /// The name (not the ARN) of the role of nodes.
    pub node_role: String,
    /// The version of Kubernetes that charts are rendered for, `1.35`.
    pub kubernetes: String,
    /// The version of Argo CD's chart.
    pub argo_cd: String,
    /// Whether two lost zones must be survived, at the price of more pods.
    pub spread: bool,
    /// What must be there before anything here: the cluster, the access entry
    /// of whoever deploys and the one of the nodes.
    pub after: Vec<Address>,
    /// What nodes need besides, to pull images and reach AWS: routes, endpoint
    /// and security group.
    pub before_nodes: Vec<Address>,
}

impl AddonsSpec {
    /// Argo CD: what is delivered by Git waits for this.
    #[must_use]
    pub fn argo_cd(&self) -> Address {
        crate::catalog::argo_cd::address()
    }

    /// What pods with volumes need besides the cluster.
    #[must_use]
    pub fn node_pool_and_storage(&self) -> Vec<Address> {
        let mut all = crate::platform::storage_classes(self);
        all.push(crate::platform::node_pool(self));
        all.into_iter()
            .filter_map(|object| object.address())
            .collect()
    }
}

#[cfg(test)]
pub(crate) fn example() -> AddonsSpec {
    AddonsSpec {
        environment: "sandbox".into(),
        cluster: "trunkline-sandbox".into(),
        node_role: "trunkline-sandbox-node".into(),
        kubernetes: "1.35".into(),
        argo_cd: "10.1.1".into(),
        spread: false,
        after: vec![Address::new("cluster", "cluster", "main")],
        before_nodes: vec![Address::new("net", "route-table", "private-euc1-az1")],
    }
}
