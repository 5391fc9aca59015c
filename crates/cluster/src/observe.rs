//! Reads the cluster and who reaches it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_eks::{Client, types};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::{future::join_all, join, try_join};
use trunkline_aws::{address_of, failure};
use trunkline_engine::{Failure, FailureKind, Health, Observed, Presence, Seen};
use trunkline_ids::{Address, ClusterEndpoint, ClusterName};

use crate::spec::{self, ClusterWish, EndpointAccess, EntryWish, Settings};

/// What there is.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    pub(crate) cluster: Observed<ClusterState>,
    /// By principal; what went wrong when they could not be listed. Empty
    /// unless the cluster lives.
    pub(crate) entries: Result<BTreeMap<String, Observed<Entry>>, String>,
    /// Something of our name that is not ours.
    pub(crate) foreign: Vec<String>,
}

/// A cluster as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClusterState {
    pub(crate) arn: String,
    pub(crate) status: Status,
    pub(crate) version: String,
    pub(crate) role: String,
    pub(crate) endpoint: Option<ClusterEndpoint>,
    pub(crate) settings: Settings,
    pub(crate) tags: BTreeMap<String, String>,
    /// What AWS says is wrong with it.
    pub(crate) issues: Vec<String>,
}

/// The states of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Active,
    Updating,
    Deleting,
    Failed,
    /// One that EKS may invent.
    Other(String),
}

/// An access entry as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) arn: String,
    pub(crate) kind: String,
    /// The ARNs of the policies that hold over the whole cluster.
    pub(crate) policies: BTreeSet<String>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl ClusterState {
    /// The address the cluster is marked with.
    pub(crate) fn address(&self, environment: &str) -> Option<Address> {
        marked(&self.tags, environment)
    }

    /// Whether anything can be in it: it was `ACTIVE` once and does not end.
    pub(crate) fn lives(&self) -> bool {
        matches!(self.status, Status::Active | Status::Updating)
    }

    /// Whether it failed before it ever was `ACTIVE`: it has no endpoint then
    /// and holds nothing.
    pub(crate) fn is_stillborn(&self) -> bool {
        self.status == Status::Failed && self.endpoint.is_none()
    }
}

impl Entry {
    /// The address the entry is marked with.
    pub(crate) fn address(&self, environment: &str) -> Option<Address> {
        marked(&self.tags, environment)
    }
}

fn marked(tags: &BTreeMap<String, String>, environment: &str) -> Option<Address> {
    let tags = tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    address_of(tags, environment)
}

/// Reads everything, cluster and entries at once.
pub(crate) async fn observe(eks: &Client, environment: &str, name: &ClusterName) -> Observation {
    let (cluster, entries) = join!(cluster(eks, name), entries(eks, name));
    let mut seen = Observation {
        cluster: Observed::Absent,
        entries: Ok(BTreeMap::new()),
        foreign: Vec::new(),
    };
    match cluster {
        Err(failure) => seen.cluster = Observed::Unknown(failure.to_string()),
        Ok(None) => {}
        Ok(Some(cluster)) if cluster.address(environment) != Some(spec::address()) => {
            let text = format!("cluster {name}: it does not carry our marks");
            seen.foreign.push(text);
        }
        Ok(Some(cluster)) => {
            if cluster.lives() {
                seen.entries = entries.map_err(|failure| failure.to_string());
            }
            seen.cluster = Observed::one(cluster);
        }
    }
    seen
}

impl Observation {
    /// The summary for the engine. A cluster that was never `ACTIVE`, or ends,
    /// is absent to whatever would live in it.
    pub(crate) fn seen(&self, wish: &ClusterWish, entries: &[EntryWish]) -> Seen {
        let mut seen = Seen::default();
        let presence = match &self.cluster {
            Observed::Present { value, .. } if value.lives() => Presence::Present,
            Observed::Present { value, .. } => match &value.status {
                Status::Other(status) => Presence::Unknown(format!("it is {status}")),
                Status::Failed if value.endpoint.is_some() => {
                    Presence::Unknown("it is FAILED".to_owned())
                }
                _ => Presence::Absent,
            },
            other => other.presence(),
        };
        for entry in entries {
            let there = self.entry(&entry.principal).presence();
            seen.presence.insert(entry.address.clone(), there);
        }
        if let Some(cluster) = self.cluster.value() {
            seen.health.push(cluster.health(wish));
            if presence == Presence::Present {
                seen.outputs.put(&wish.address, &wish.name);
                if let Some(endpoint) = &cluster.endpoint {
                    seen.outputs.put(&wish.address, endpoint);
                }
            }
        }
        seen.presence.insert(wish.address.clone(), presence);
        seen
    }

    /// The entry of a principal: derived absent without a cluster that lives.
    pub(crate) fn entry(&self, principal: &str) -> Observed<Entry> {
        match (&self.cluster, &self.entries) {
            (Observed::Unknown(why), _) | (Observed::Present { .. }, Err(why)) => {
                Observed::Unknown(why.clone())
            }
            (Observed::Absent, _) => Observed::Absent,
            (Observed::Present { .. }, Ok(entries)) => {
                entries.get(principal).cloned().unwrap_or(Observed::Absent)
            }
        }
    }
}

impl ClusterState {
    fn health(&self, wish: &ClusterWish) -> Health {
        let mut words = format!("{}, {}", self.status, self.version);
        if self.version != wish.version {
            words += &format!(" (wished {})", wish.version);
        }
        if let Some(issue) = self.issues.first() {
            words += &format!("; {issue}");
        }
        let well = self.lives() && self.issues.is_empty() && self.version == wish.version;
        Health {
            address: wish.address.clone(),
            well,
            words,
        }
    }
}

/// The cluster of a name; none if there is no such cluster.
pub(crate) async fn cluster(
    eks: &Client,
    name: &ClusterName,
) -> Result<Option<ClusterState>, Failure> {
    match eks.describe_cluster().name(name.as_str()).send().await {
        Ok(answer) => Ok(answer.cluster().map(|cluster| read_cluster(name, cluster))),
        Err(error) => match failure("EKS", "DescribeCluster", &error) {
            failure if failure.kind == FailureKind::Gone => Ok(None),
            failure => Err(failure),
        },
    }
}

fn read_cluster(name: &ClusterName, cluster: &types::Cluster) -> ClusterState {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let issues = cluster.health().map(|health| health.issues());
    let issues = issues.unwrap_or_default().iter();
    ClusterState {
        arn: text(cluster.arn()),
        status: cluster.status().map_or_else(Status::none, Status::from),
        version: text(cluster.version()),
        role: text(cluster.role_arn()),
        endpoint: endpoint(name, cluster),
        settings: settings(cluster),
        tags: tags(cluster.tags()),
        issues: issues
            .map(|issue| {
                let code = issue.code().map(types::ClusterIssueCode::as_str);
                format!("{}: {}", text(code), text(issue.message()))
            })
            .collect(),
    }
}

fn endpoint(name: &ClusterName, cluster: &types::Cluster) -> Option<ClusterEndpoint> {
    let encoded = cluster.certificate_authority()?.data()?;
    let pem = BASE64_STANDARD.decode(encoded).ok()?;
    Some(ClusterEndpoint {
        name: name.to_string(),
        url: cluster.endpoint()?.to_owned(),
        certificate_authority: String::from_utf8(pem).ok()?,
    })
}

fn settings(cluster: &types::Cluster) -> Settings {
    let vpc = cluster.resources_vpc_config();
    let public = vpc.is_some_and(|vpc| vpc.endpoint_public_access());
    // EKS keeps the ranges of an endpoint that is not public any more; they
    // mean nothing then.
    let cidrs = vpc.filter(|_| public).map(|vpc| vpc.public_access_cidrs());
    let setups = cluster.logging().map(|logging| logging.cluster_logging());
    let enabled = setups.unwrap_or_default().iter();
    let enabled = enabled.filter(|setup| setup.enabled().unwrap_or_default());
    Settings {
        endpoint: EndpointAccess {
            private: vpc.is_some_and(|vpc| vpc.endpoint_private_access()),
            public,
            cidrs: cidrs.unwrap_or_default().iter().cloned().collect(),
        },
        logging: enabled
            .flat_map(|setup| setup.types())
            .map(|kind| kind.as_str().to_owned())
            .collect(),
        deletion_protection: cluster.deletion_protection().unwrap_or_default(),
    }
}

impl Status {
    fn none() -> Self {
        Self::Other("without a status".to_owned())
    }
}

impl From<&types::ClusterStatus> for Status {
    fn from(status: &types::ClusterStatus) -> Self {
        match status {
            types::ClusterStatus::Creating => Self::Creating,
            types::ClusterStatus::Active => Self::Active,
            types::ClusterStatus::Updating => Self::Updating,
            types::ClusterStatus::Deleting => Self::Deleting,
            types::ClusterStatus::Failed => Self::Failed,
            other => Self::Other(other.as_str().to_owned()),
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
            Self::Failed => "FAILED",
            Self::Other(status) => status,
        })
    }
}

async fn entries(
    eks: &Client,
    name: &ClusterName,
) -> Result<BTreeMap<String, Observed<Entry>>, Failure> {
    let list = eks.list_access_entries().cluster_name(name.as_str());
    let mut pages = list.into_paginator().send();
    let mut principals: Vec<String> = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| failure("EKS", "ListAccessEntries", &e))?;
        principals.extend_from_slice(page.access_entries());
    }
    let read = join_all(
        principals
            .iter()
            .map(|principal| entry(eks, name, principal)),
    )
    .await;
    let observed = read.into_iter().map(|read| match read {
        Ok(Some(entry)) => Observed::one(entry),
        Ok(None) => Observed::Absent,
        Err(failure) => Observed::Unknown(failure.to_string()),
    });
    Ok(principals.into_iter().zip(observed).collect())
}

/// The entry of a principal; none if it has none.
pub(crate) async fn entry(
    eks: &Client,
    name: &ClusterName,
    principal: &str,
) -> Result<Option<Entry>, Failure> {
    let described = async {
        let ask = eks.describe_access_entry().cluster_name(name.as_str());
        let answer = ask.principal_arn(principal).send().await;
        answer.map_err(|e| failure("EKS", "DescribeAccessEntry", &e))
    };
    let (described, policies) = match try_join!(described, policies(eks, name, principal)) {
        Ok(both) => both,
        Err(failure) if failure.kind == FailureKind::Gone => return Ok(None),
        Err(failure) => return Err(failure),
    };
    Ok(described.access_entry().map(|entry| Entry {
        arn: entry.access_entry_arn().unwrap_or_default().to_owned(),
        kind: entry.r#type().unwrap_or_default().to_owned(),
        policies,
        tags: tags(entry.tags()),
    }))
}

async fn policies(
    eks: &Client,
    name: &ClusterName,
    principal: &str,
) -> Result<BTreeSet<String>, Failure> {
    let list = eks.list_associated_access_policies();
    let list = list.cluster_name(name.as_str()).principal_arn(principal);
    let mut pages = list.into_paginator().send();
    let mut arns = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| failure("EKS", "ListAssociatedAccessPolicies", &e))?;
        let everywhere = page.associated_access_policies().iter().filter(|policy| {
            let scope = policy.access_scope().and_then(|scope| scope.r#type());
            scope == Some(&types::AccessScopeType::Cluster)
        });
        arns.extend(everywhere.filter_map(|policy| policy.policy_arn().map(str::to_owned)));
    }
    Ok(arns)
}

fn tags(tags: Option<&std::collections::HashMap<String, String>>) -> BTreeMap<String, String> {
    let tags = tags.into_iter().flatten();
    tags.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
