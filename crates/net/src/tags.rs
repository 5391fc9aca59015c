//! The tags of what we make: ownership marks, and those by which EKS, Auto
//! Mode and our own NodeClass choose.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use trunkline_aws::Aws;
use trunkline_ids::Address;

/// Tags by key.
pub(crate) type Tags = BTreeMap<String, String>;

/// What the NodeClass selects subnets and the security group by, together
/// with the mark of the environment.
const ROLE: (&str, &str) = ("trunkline:role", "nodes");

/// The tags that AWS puts on what EKS and Auto Mode make for a cluster.
const OF_CLUSTER: [&str; 2] = ["eks:eks-cluster-name", "aws:eks:cluster-name"];

/// All tags of the resource at `address`.
pub(crate) fn wished(aws: &Aws, address: &Address) -> Tags {
    let mut tags: Tags = aws.marks(address).into_iter().collect();
    let mut add = |(key, value): (&str, &str)| tags.insert(key.into(), value.into());
    let kind = address.kind();
    // Where load balancers go (EKS user guide, "Tag subnets for EKS Auto Mode").
    match (kind.as_str(), address.name()) {
        ("net/subnet", name) if name.starts_with("public-") => {
            add(("kubernetes.io/role/elb", "1"));
        }
        ("net/subnet", _) => {
            add(("kubernetes.io/role/internal-elb", "1"));
            add(ROLE);
        }
        ("net/security-group", name) => {
            add(ROLE);
            // AmazonEKSLoadBalancingPolicy lets Auto Mode admit the traffic of
            // load balancers only into groups with such a Name.
            let shown = format!("eks-cluster-sg-{}-{name}", aws.environment());
            add(("Name", &shown));
        }
        _ => {}
    }
    tags
}

/// Whether EKS or Auto Mode made it for `cluster`.
pub(crate) fn is_of_cluster(tags: &Tags, cluster: &str) -> bool {
    OF_CLUSTER
        .iter()
        .any(|key| tags.get(*key).is_some_and(|name| name == cluster))
        || tags.contains_key(&format!("kubernetes.io/cluster/{cluster}"))
}

/// The keys that [`is_of_cluster`] looks at.
pub(crate) fn keys_of_cluster(cluster: &str) -> Vec<String> {
    let owned = format!("kubernetes.io/cluster/{cluster}");
    OF_CLUSTER
        .iter()
        .map(|key| (*key).to_owned())
        .chain([owned])
        .collect()
}

pub(crate) fn read(tags: &[Tag]) -> Tags {
    let pair = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or("").to_owned()));
    tags.iter().filter_map(pair).collect()
}

pub(crate) fn write(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect()
}

pub(crate) fn specification(of: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder()
        .resource_type(of)
        .set_tags(Some(write(tags)))
        .build()
}
