//! Which roles may bring nodes into a cluster: what Auto Mode looks at before
//! a NodeClass becomes Ready.

use super::Emulator;

/// The policy that an entry for nodes of Auto Mode needs
/// (EKS User Guide, "Create a Node Class for Amazon EKS").
const POLICY: &str = "AmazonEKSAutoNodePolicy";

impl Emulator {
    /// Whether the cluster has an access entry of type EC2 with Auto Mode's
    /// policy for the role of that name.
    pub(crate) fn node_may_join(&self, cluster: &str, role: &str) -> bool {
        self.lock().get(cluster).is_some_and(|cluster| {
            cluster.entries.iter().any(|(principal, entry)| {
                // A role's ARN ends with its name, after its path.
                principal.rsplit('/').next() == Some(role)
                    && entry.kind == "EC2"
                    && entry.policies.keys().any(|arn| arn.ends_with(POLICY))
            })
        })
    }
}
