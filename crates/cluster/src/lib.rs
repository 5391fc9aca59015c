//! The layer of the EKS API: one Auto Mode cluster and who reaches it.
//!
//! How a cluster is made follows the facts of EKS Auto Mode: its three
//! switches together, no built-in node pools, private subnets only, access by
//! entries only. Until it was `ACTIVE` once it is absent to whatever would
//! live in it, so that a deploy can be taken up while it is being made.

mod apply;
mod error;
mod observe;
mod plan;
mod principal;
mod spec;
mod wait;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use aws_sdk_eks::{Client, types::VersionStatus};
use futures::join;
use trunkline_aws::{Aws, failure};
use trunkline_engine::{Applying, Draft, Failure, FailureKind, Layer, Observing, Seen, Wish};
use trunkline_ids::{Kind, Outputs};

pub use error::NotAPrincipal;
pub use observe::Observation;
pub use plan::{Action, Update};
pub use principal::{principal_of, role_of_session};
pub use spec::{ClusterSpec, ClusterWish, EntryWish};

/// The layer.
pub struct Cluster {
    spec: ClusterSpec,
    wished: ClusterWish,
    entries: Vec<EntryWish>,
    aws: Arc<Aws>,
    eks: Client,
}

impl Cluster {
    /// The layer of `spec`, reached by `aws`.
    #[must_use]
    pub fn new(spec: ClusterSpec, aws: Arc<Aws>) -> Self {
        Self {
            wished: spec.wish(|address| aws.marks(address)),
            entries: spec.entries(|address| aws.marks(address)),
            eks: Client::new(aws.sdk()),
            spec,
            aws,
        }
    }

    /// What EKS says against making the cluster.
    async fn problems_of_version(&self) -> Result<Option<String>, Failure> {
        let wished = self.spec.version.as_str();
        let mut pages = self.eks.describe_cluster_versions().into_paginator().send();
        let mut offered = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| failure("EKS", "DescribeClusterVersions", &e))?;
            let taken = page.cluster_versions().iter();
            let taken = taken.filter(|v| v.version_status() != Some(&VersionStatus::Unsupported));
            offered.extend(taken.filter_map(|v| v.cluster_version().map(str::to_owned)));
        }
        if offered.contains(wished) {
            return Ok(None);
        }
        let offered = offered.into_iter().collect::<Vec<_>>().join(", ");
        Ok(Some(format!(
            "EKS does not offer Kubernetes {wished}; set cluster.version to one of {offered}"
        )))
    }
}

#[async_trait]
impl Layer for Cluster {
    type Observation = Observation;
    type Action = Action;

    fn name(&self) -> &'static str {
        spec::LAYER
    }

    fn delete_order(&self) -> Vec<(Kind, Kind)> {
        let cluster = Kind::new(spec::LAYER, spec::CLUSTER);
        let entry = Kind::new(spec::LAYER, spec::ACCESS_ENTRY);
        let used = [self.spec.role.address(), self.spec.node_role_from.address()];
        let used = used
            .into_iter()
            .chain(self.spec.subnets.iter().map(|s| s.address()));
        let used: BTreeSet<Kind> = used.map(|address| address.kind()).collect();
        let after_cluster = used.into_iter().map(|kind| (cluster.clone(), kind));
        std::iter::once((entry, cluster.clone()))
            .chain(after_cluster)
            .collect()
    }

    fn api_actions(&self) -> &'static [&'static str] {
        &[
            "eks:AssociateAccessPolicy",
            "eks:CreateAccessEntry",
            "eks:CreateCluster",
            "eks:DeleteAccessEntry",
            "eks:DeleteCluster",
            "eks:DescribeAccessEntry",
            "eks:DescribeCluster",
            "eks:DescribeClusterVersions",
            "eks:DescribeUpdate",
            "eks:ListAccessEntries",
            "eks:ListAssociatedAccessPolicies",
            "eks:TagResource",
            "eks:UpdateClusterConfig",
        ]
    }

    async fn observe(&self, _: &Observing) -> Observation {
        observe::observe(&self.eks, self.aws.environment(), &self.spec.name).await
    }

    fn seen(&self, observation: &Observation) -> Seen {
        observation.seen(&self.wished, &self.entries)
    }

    fn plan(&self, wish: Wish, observation: &Observation) -> Draft<Action> {
        let environment = self.aws.environment();
        let deployer = &self.spec.deployer;
        plan::plan(
            environment,
            &self.wished,
            &self.entries,
            deployer,
            wish,
            observation,
        )
    }

    /// A name that is taken, a version that is not offered.
    async fn preflight(&self) -> Result<Vec<String>, Failure> {
        let (there, version) = join!(self.owned(&self.spec.name), self.problems_of_version());
        match there {
            // What runs, runs: its version is of no concern any more.
            Ok(Some(_)) => Ok(Vec::new()),
            Ok(None) => Ok(version?.into_iter().collect()),
            Err(failure) if failure.kind == FailureKind::Conflict => {
                let fix = failure.next.unwrap_or_default();
                Ok(vec![format!("{}; {fix}", failure.cause.message)])
            }
            Err(failure) => Err(failure),
        }
    }

    async fn apply(&self, action: Action, cx: &Applying) -> Result<Outputs, Failure> {
        self.perform(action, cx).await
    }

    /// A cluster of our name.
    async fn leaks(&self) -> Result<Vec<String>, Failure> {
        let name = &self.spec.name;
        let there = observe::cluster(&self.eks, name).await?;
        Ok(there
            .map(|cluster| format!("EKS cluster {name}, {}", cluster.status))
            .into_iter()
            .collect())
    }
}
