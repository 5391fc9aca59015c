//! What roles there should be. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trunkline_ids::{AccountId, Address, Ref, RoleArn};

/// The name of this layer.
pub(crate) const LAYER: &str = "access";
const ROLE: &str = "role";

/// The roles of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSpec {
    environment: String,
    account: AccountId,
    partition: String,
}

/// What a role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// What the EKS control plane acts as, Auto Mode included.
    Cluster,
    /// What the nodes act as.
    Node,
}

/// One role as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoleWish {
    pub(crate) address: Address,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) description: String,
    pub(crate) trust: Value,
    pub(crate) policies: BTreeSet<String>,
    pub(crate) inline: BTreeMap<String, Value>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Cluster, Self::Node];

    fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Node => "node",
        }
    }
}

impl AccessSpec {
    /// The roles of `environment`. `partition` is that of its ARNs: `aws`.
    #[must_use]
    pub fn new(environment: &str, account: AccountId, partition: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            account,
            partition: partition.to_owned(),
        }
    }

    /// The path of all roles of the environment.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/trunkline/{}/", self.environment)
    }

    /// The ARN of a role: known before it is made.
    #[must_use]
    pub fn role_arn(&self, purpose: Purpose) -> RoleArn {
        RoleArn::new(format!(
            "arn:{}:iam::{}:role{}{}",
            self.partition,
            self.account,
            self.path(),
            self.role_name(purpose.name()),
        ))
    }

    /// The reference to a role: what uses it comes after the role.
    #[must_use]
    pub fn role(&self, purpose: Purpose) -> Ref<RoleArn> {
        Ref::new(Address::new(LAYER, ROLE, purpose.name()))
    }

    /// The address of a role by its name in IAM, if it is one of ours by name.
    pub(crate) fn address_of_name(&self, name: &str) -> Option<Address> {
        let purpose = name.strip_prefix(&self.role_name(""))?;
        format!("{LAYER}/{ROLE}/{purpose}").parse().ok()
    }

    /// The name in IAM of the role at `address`.
    pub(crate) fn name_of(&self, address: &Address) -> String {
        self.role_name(address.name())
    }

    /// The name of the cluster, by which Auto Mode marks what it makes.
    pub(crate) fn cluster_name(&self) -> String {
        format!("trunkline-{}", self.environment)
    }

    /// Every role as it should be; `marks` are the tags of an address.
    pub(crate) fn roles(&self, marks: impl Fn(&Address) -> Vec<(String, String)>) -> Vec<RoleWish> {
        let roles = Purpose::ALL.map(|purpose| {
            let address = self.role(purpose).address().clone();
            RoleWish {
                name: self.name_of(&address),
                path: self.path(),
                description: description(purpose, &self.environment),
                trust: trust(purpose),
                policies: self.policies(purpose),
                inline: self.inline(purpose),
                tags: marks(&address).into_iter().collect(),
                address,
            }
        });
        roles.into()
    }

    fn role_name(&self, purpose: &str) -> String {
        format!("trunkline-{}-{purpose}", self.environment)
    }

    /// The managed policies: Amazon EKS user guide, "Amazon EKS Auto Mode
    /// cluster IAM role" and "… node IAM role".
    fn policies(&self, purpose: Purpose) -> BTreeSet<String> {
        let names: &[&str] = match purpose {
            Purpose::Cluster => &[
                "AmazonEKSBlockStoragePolicy",
                "AmazonEKSClusterPolicy",
                "AmazonEKSComputePolicy",
                "AmazonEKSLoadBalancingPolicy",
                "AmazonEKSNetworkingPolicy",
            ],
            Purpose::Node => &[
                "AmazonEC2ContainerRegistryPullOnly",
                "AmazonEKSWorkerNodeMinimalPolicy",
            ],
        };
        let arn = |name: &&str| format!("arn:{}:iam::aws:policy/{name}", self.partition);
        names.iter().map(arn).collect()
    }

    fn inline(&self, purpose: Purpose) -> BTreeMap<String, Value> {
        match purpose {
            Purpose::Cluster => {
                BTreeMap::from([("auto-mode-tags".to_owned(), auto_mode_tags(&self.partition))])
            }
            Purpose::Node => BTreeMap::new(),
        }
    }
}

fn description(purpose: Purpose, environment: &str) -> String {
    match purpose {
        Purpose::Cluster => format!("EKS control plane of {environment}, made by Trunkline"),
        Purpose::Node => format!("EKS Auto Mode nodes of {environment}, made by Trunkline"),
    }
}

/// Who may take the role. Auto Mode tags its sessions, so the cluster role
/// needs `sts:TagSession` besides (Amazon EKS user guide, as above).
fn trust(purpose: Purpose) -> Value {
    let (service, actions) = match purpose {
        Purpose::Cluster => (
            "eks.amazonaws.com",
            json!(["sts:AssumeRole", "sts:TagSession"]),
        ),
        Purpose::Node => ("ec2.amazonaws.com", json!("sts:AssumeRole")),
    };
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": actions,
        }],
    })
}

/// Lets Auto Mode put our tags on what it makes, which the managed policies
/// do not: they allow its own tags only (Amazon EKS user guide, "Amazon EKS
/// Auto Mode cluster IAM role", "Custom AWS tags for EKS Auto resources").
/// Without it a NodeClass with `tags` makes no node.
fn auto_mode_tags(partition: &str) -> Value {
    let own_cluster = json!({
        "aws:RequestTag/eks:eks-cluster-name": "${aws:PrincipalTag/eks:eks-cluster-name}",
    });
    let allow = |sid: &str, actions: &[&str], resources: Value, like: Option<Value>| {
        let mut condition = json!({"StringEquals": own_cluster});
        if let Some(like) = like {
            condition["StringLike"] = like;
        }
        json!({
            "Sid": sid,
            "Effect": "Allow",
            "Action": actions,
            "Resource": resources,
            "Condition": condition,
        })
    };
    let any_node = json!({
        "aws:RequestTag/eks:kubernetes-node-class-name": "*",
        "aws:RequestTag/eks:kubernetes-node-pool-name": "*",
    });
    let any_interface = json!({"aws:RequestTag/eks:kubernetes-cni-node-name": "*"});
    let disks = json!([
        format!("arn:{partition}:ec2:*:*:volume/*"),
        format!("arn:{partition}:ec2:*:*:snapshot/*"),
    ]);
    let protections = json!(format!("arn:{partition}:shield::*:protection/*"));
    const COMPUTE: &[&str] = &[
        "ec2:CreateFleet",
        "ec2:RunInstances",
        "ec2:CreateLaunchTemplate",
    ];
    const STORAGE: &[&str] = &["ec2:CreateVolume", "ec2:CreateSnapshot"];
    const LOAD_BALANCER: &[&str] = &[
        "elasticloadbalancing:CreateLoadBalancer",
        "elasticloadbalancing:CreateTargetGroup",
        "elasticloadbalancing:CreateListener",
        "elasticloadbalancing:CreateRule",
        "ec2:CreateSecurityGroup",
    ];
    json!({
        "Version": "2012-10-17",
        "Statement": [
            allow("Compute", COMPUTE, json!("*"), Some(any_node)),
            allow("Storage", STORAGE, disks, None),
            allow("Networking", &["ec2:CreateNetworkInterface"], json!("*"), Some(any_interface)),
            allow("LoadBalancer", LOAD_BALANCER, json!("*"), None),
            allow("ShieldProtection", &["shield:CreateProtection"], json!("*"), None),
            allow("ShieldTagResource", &["shield:TagResource"], protections, None),
        ],
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn spec() -> AccessSpec {
        AccessSpec::new("sandbox", AccountId::new("111122223333"), "aws")
    }

    pub(crate) fn roles() -> Vec<RoleWish> {
        spec().roles(|address| {
            vec![
                ("trunkline:environment".to_owned(), "sandbox".to_owned()),
                ("trunkline:address".to_owned(), address.to_string()),
                (
                    "Name".to_owned(),
                    format!("sandbox-role-{}", address.name()),
                ),
            ]
        })
    }

    #[test]
    fn an_arn_is_known_before_its_role() {
        assert_eq!(
            spec().role_arn(Purpose::Node).as_str(),
            "arn:aws:iam::111122223333:role/trunkline/sandbox/trunkline-sandbox-node"
        );
    }

    #[test]
    fn names_and_addresses_are_one_to_one() {
        for role in roles() {
            assert_eq!(spec().address_of_name(&role.name), Some(role.address));
        }
        assert_eq!(spec().address_of_name("trunkline-live-node"), None);
    }

    #[test]
    fn names_fit_into_iam() {
        // The longest environment name; IAM takes 64 characters.
        let spec = AccessSpec::new(&"x".repeat(20), AccountId::new("1"), "aws");
        for purpose in Purpose::ALL {
            assert!(spec.role_name(purpose.name()).len() <= 64);
        }
    }

    #[test]
    fn the_roles_are_as_the_user_guide_says() {
        insta::assert_json_snapshot!(roles());
    }
}
