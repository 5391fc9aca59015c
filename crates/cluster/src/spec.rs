//! What cluster there should be, and who reaches it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trunkline_ids::{Address, ClusterEndpoint, ClusterName, Ref, RoleArn, SubnetId};

use crate::principal::short_name;

/// The name of this layer.
pub(crate) const LAYER: &str = "cluster";
/// The kind of clusters.
pub(crate) const CLUSTER: &str = "cluster";
/// The kind of access entries.
pub(crate) const ACCESS_ENTRY: &str = "access-entry";

/// The cluster of one environment.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// Its name, by which everything else finds it.
    pub name: ClusterName,
    /// The Kubernetes version, `1.35`.
    pub version: String,
    /// What the control plane acts as.
    pub role: Ref<RoleArn>,
    /// What the nodes act as: the ARN, which is known before the role is.
    pub node_role: RoleArn,
    /// The resource that makes it.
    pub node_role_from: Ref<RoleArn>,
    /// Where the control plane's interfaces are: private subnets only, in two
    /// zones at least.
    pub subnets: Vec<Ref<SubnetId>>,
    /// The range of Services.
    pub service_cidr: String,
    /// Ranges that reach the public endpoint; empty means private only.
    pub public_access: Vec<String>,
    /// The kinds of control plane logs: `api`, `audit`, `authenticator`,
    /// `controllerManager`, `scheduler`.
    pub logging: BTreeSet<String>,
    /// Whether AWS refuses to delete it.
    pub deletion_protection: bool,
    /// The partition of ARNs: `aws`.
    pub partition: String,
    /// The principal that deploys: see [`principal_of`](crate::principal_of).
    pub deployer: String,
    /// The principals that administer the cluster besides.
    pub admins: Vec<String>,
}

/// The cluster as it should be, with everything a create needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterWish {
    pub(crate) address: Address,
    pub(crate) name: ClusterName,
    pub(crate) version: String,
    pub(crate) role: Address,
    pub(crate) subnets: Vec<Address>,
    pub(crate) service_cidr: String,
    pub(crate) settings: Settings,
    pub(crate) tags: BTreeMap<String, String>,
}

/// What of a cluster can be changed in place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) endpoint: EndpointAccess,
    pub(crate) logging: BTreeSet<String>,
    pub(crate) deletion_protection: bool,
}

/// From where the API server is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointAccess {
    pub(crate) private: bool,
    pub(crate) public: bool,
    /// Ranges; empty unless public.
    pub(crate) cidrs: BTreeSet<String>,
}

/// One access entry as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntryWish {
    pub(crate) address: Address,
    pub(crate) cluster: ClusterName,
    pub(crate) principal: String,
    /// `EC2` for Auto Mode's nodes, `STANDARD` for people.
    pub(crate) kind: String,
    /// The ARN of the policy, over the whole cluster.
    pub(crate) policy: String,
    /// What makes the principal, if we do.
    pub(crate) made_by: Option<Address>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl ClusterSpec {
    /// How the cluster's API server is reached, once it is there.
    #[must_use]
    pub fn endpoint(&self) -> Ref<ClusterEndpoint> {
        Ref::new(address())
    }

    /// The access entry of the nodes: without it no node joins.
    #[must_use]
    pub fn node_entry(&self) -> Address {
        entry_address("node")
    }

    /// The access entries of everyone who administers: the deploying identity
    /// must have its own before it can use the API server.
    #[must_use]
    pub fn admin_entries(&self) -> Vec<Address> {
        self.admin_names().into_values().collect()
    }

    /// The access entry of the deploying identity: until it is there, nothing
    /// inside of the cluster can be seen.
    #[must_use]
    pub fn deployer_entry(&self) -> Address {
        let mut names = self.admin_names();
        let own = names.remove(self.deployer.as_str());
        own.unwrap_or_else(|| entry_address(&short_name(&self.deployer)))
    }

    pub(crate) fn wish(&self, marks: impl Fn(&Address) -> Vec<(String, String)>) -> ClusterWish {
        let address = address();
        ClusterWish {
            name: self.name.clone(),
            version: self.version.clone(),
            role: self.role.address().clone(),
            subnets: self.subnets.iter().map(|s| s.address().clone()).collect(),
            service_cidr: self.service_cidr.clone(),
            settings: Settings {
                endpoint: EndpointAccess {
                    private: true,
                    public: !self.public_access.is_empty(),
                    cidrs: self.public_access.iter().cloned().collect(),
                },
                logging: self.logging.clone(),
                deletion_protection: self.deletion_protection,
            },
            tags: marks(&address).into_iter().collect(),
            address,
        }
    }

    pub(crate) fn entries(
        &self,
        marks: impl Fn(&Address) -> Vec<(String, String)>,
    ) -> Vec<EntryWish> {
        let entry = |address: Address, principal: &str, kind: &str, policy: &str| EntryWish {
            cluster: self.name.clone(),
            principal: principal.to_owned(),
            kind: kind.to_owned(),
            policy: format!(
                "arn:{}:eks::aws:cluster-access-policy/{policy}",
                self.partition
            ),
            made_by: None,
            tags: marks(&address).into_iter().collect(),
            address,
        };
        // Node pools of our own name a role that EKS does not know: it must be
        // told (terraform-aws-eks #3241, #3578).
        let node = EntryWish {
            made_by: Some(self.node_role_from.address().clone()),
            ..entry(
                self.node_entry(),
                self.node_role.as_str(),
                "EC2",
                "AmazonEKSAutoNodePolicy",
            )
        };
        let admins = self.admin_names().into_iter().map(|(principal, address)| {
            entry(
                address,
                principal,
                "STANDARD",
                "AmazonEKSClusterAdminPolicy",
            )
        });
        std::iter::once(node).chain(admins).collect()
    }

    /// Each administrator once, EKS takes no principal twice, under a name
    /// that follows from the principal and not from why it is there: whoever
    /// deploys today may be named in the file tomorrow.
    fn admin_names(&self) -> BTreeMap<&str, Address> {
        let all = self.admins.iter().chain([&self.deployer]);
        let principals: BTreeSet<&str> = all.map(String::as_str).collect();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let named = principals.into_iter().map(|principal| {
            let base = short_name(principal);
            let more = (2..).map(|n| format!("{base}-{n}"));
            let free = std::iter::once(base.clone()).chain(more);
            let mut free = free.filter(|name| !taken.contains(name));
            let name = free.next().unwrap_or(base);
            taken.insert(name.clone());
            (principal, entry_address(&name))
        });
        named.collect()
    }
}

/// The cluster's address.
pub(crate) fn address() -> Address {
    Address::new(LAYER, CLUSTER, "main")
}

fn entry_address(name: &str) -> Address {
    Address::new(LAYER, ACCESS_ENTRY, name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn spec() -> ClusterSpec {
        let subnet = |zone: &str| Ref::new(Address::new("net", "subnet", zone));
        let role = |name: &str| Ref::new(Address::new("access", "role", name));
        ClusterSpec {
            name: ClusterName::new("trunkline-sandbox"),
            version: "1.35".into(),
            role: role("cluster"),
            node_role: RoleArn::new("arn:aws:iam::111122223333:role/t/node"),
            node_role_from: role("node"),
            subnets: vec![subnet("private-euc1-az1"), subnet("private-euc1-az2")],
            service_cidr: "172.20.0.0/16".into(),
            public_access: vec!["203.0.113.0/24".into()],
            logging: ["audit".to_owned()].into(),
            deletion_protection: false,
            partition: "aws".into(),
            deployer: "arn:aws:iam::111122223333:role/Deploy".into(),
            admins: vec!["arn:aws:iam::111122223333:role/team/Ops".into()],
        }
    }

    pub(crate) fn marks(address: &Address) -> Vec<(String, String)> {
        vec![
            ("trunkline:environment".to_owned(), "sandbox".to_owned()),
            ("trunkline:address".to_owned(), address.to_string()),
            ("Name".to_owned(), format!("sandbox-{}", address.name())),
        ]
    }

    #[test]
    fn the_wishes_are_these() {
        insta::assert_json_snapshot!((spec().wish(marks), spec().entries(marks)));
    }

    #[test]
    fn nobody_is_entered_twice_and_names_do_not_clash() {
        let mut spec = spec();
        spec.deployer = spec.admins[0].clone();
        spec.admins
            .push("arn:aws:iam::111122223333:role/other/Ops".into());
        let names: Vec<String> = spec
            .admin_entries()
            .iter()
            .map(|a| a.name().into())
            .collect();
        assert_eq!(names, ["role-ops", "role-ops-2"]);
    }

    #[test]
    fn without_ranges_the_endpoint_is_private() {
        let mut spec = spec();
        spec.public_access.clear();
        let endpoint = spec.wish(marks).settings.endpoint;
        assert!(endpoint.private && !endpoint.public && endpoint.cidrs.is_empty());
    }
}
