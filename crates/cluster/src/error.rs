//! What can be wrong with an identity that shall reach the cluster.

/// An identity that EKS gives no access entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{arn} cannot have access to a cluster: {why}")]
pub struct NotAPrincipal {
    pub(crate) arn: String,
    pub(crate) why: &'static str,
}
