//! The validated environment: the only form that other crates ever hold.

use std::fmt;

use ipnet::Ipv4Net;
use serde::{Serialize, Serializer};
use trunkline_ids::{AccountId, Region, ZoneId};

use crate::{Nat, Tier, mistake::Mistakes, repository::RepositoryUrl};

/// The range of the cluster's Services.
///
/// EKS takes 10.100.0.0/16 or 172.20.0.0/16 by itself (Amazon EKS API,
/// `KubernetesNetworkConfigRequest.serviceIpv4Cidr`), depending on the VPC; it
/// is said explicitly, so that what is checked here is what is created.
pub const SERVICE_CIDR: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(172, 20, 0, 0), 16);

/// A parsed and validated environment. There is no other way to one than
/// [`Environment::parse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Environment {
    pub(crate) name: EnvironmentName,
    pub(crate) tier: Tier,
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) network: Network,
    pub(crate) cluster: Cluster,
    pub(crate) argo_cd: ArgoCd,
    pub(crate) workloads: Workloads,
    pub(crate) redis: Redis,
}

/// An environment's name: lowercase letters, digits and hyphens, at most 20.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EnvironmentName(pub(crate) String);

/// The network wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Network {
    /// The VPC's range.
    pub cidr: Ipv4Net,
    /// 2 to 6 different zones of the region, in the order of the file.
    pub zones: Vec<ZoneId>,
    /// How private subnets reach the internet.
    pub nat: Nat,
}

/// The cluster wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cluster {
    /// The Kubernetes version.
    pub version: KubernetesVersion,
    /// Ranges that reach the public endpoint; empty means private only.
    pub public_access: Vec<Ipv4Net>,
    /// Who administers the cluster, besides the identity that deploys.
    pub admins: Vec<Principal>,
    /// Whether AWS refuses to delete it.
    pub deletion_protection: bool,
}

/// A Kubernetes version, `1.35`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
}

/// An IAM role or user, by its ARN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Principal {
    pub(crate) arn: String,
    #[serde(skip)]
    pub(crate) short_name: String,
}

/// Argo CD wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ArgoCd {
    /// The version of its chart.
    pub version: String,
}

/// The workloads wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Workloads {
    /// The repository that Argo CD reads.
    pub repository: RepositoryUrl,
    /// The environment's folder in it, without slashes at its ends.
    pub path: String,
    /// A branch, tag or commit.
    pub revision: String,
}

/// Redis wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Redis {
    /// The size of its volume in GiB.
    pub storage_gib: u32,
}

impl Environment {
    /// Parses and validates the text of a file.
    ///
    /// `label` is how the file is called in reports, usually its path; the
    /// file's name in it must be the environment's, `sandbox.toml`. The caller
    /// has read the file: nothing here touches the file system.
    ///
    /// # Errors
    /// All mistakes of the file at once.
    pub fn parse(label: &str, text: &str) -> Result<Self, Mistakes> {
        crate::validate::parse(label, text)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &EnvironmentName {
        &self.name
    }

    /// Its tier, out of which the defaults came.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The account it lives in.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The region it lives in.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The network wished.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The cluster wished.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Argo CD wished.
    #[must_use]
    pub fn argo_cd(&self) -> &ArgoCd {
        &self.argo_cd
    }

    /// The workloads wished.
    #[must_use]
    pub fn workloads(&self) -> &Workloads {
        &self.workloads
    }

    /// Redis wished.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// The same environment with its workloads out of another repository: a
    /// checkout that is rehearsed, a fork that is tried.
    #[must_use]
    pub fn with_repository(mut self, repository: RepositoryUrl) -> Self {
        self.workloads.repository = repository;
        self
    }

    /// The same environment at another branch, tag or commit.
    ///
    /// # Errors
    /// Why the text cannot be a revision.
    pub fn with_revision(mut self, revision: &str) -> Result<Self, &'static str> {
        crate::repository::check_revision(revision)?;
        self.workloads.revision = revision.to_owned();
        Ok(self)
    }
}

impl EnvironmentName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sandbox => "sandbox",
            Self::Live => "live",
        })
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for KubernetesVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Principal {
    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// A name that fits an address: `role-ops` for
    /// `arn:aws:iam::111122223333:role/team/Ops`. No two admins of an
    /// environment share one.
    #[must_use]
    pub fn short_name(&self) -> &str {
        &self.short_name
    }
}
