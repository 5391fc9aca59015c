//! The platform's own objects: where pods run and where their data lies.
//!
//! EKS's built-in node pools are not used: their node class copies the subnets
//! at creation and never follows a change (containers-roadmap #2793).

use serde_json::{Map, json};
use trunkline_ids::Address;
use trunkline_objects::{Kind, Object, ObjectRef};

use crate::spec::AddonsSpec;

/// The name of the node class; never `default`, which is EKS's own.
const NODE_CLASS: &str = "trunkline";
/// The pool of everything but media.
pub(crate) const NODE_POOL: &str = "general";
/// Auto Mode's storage driver (EKS user guide, "Create a storage class").
const EBS: &str = "ebs.csi.eks.amazonaws.com";

fn address(kind: &str, name: &str) -> Address {
    Address::new("addons", kind, name)
}

/// All of them, in no order.
pub(crate) fn objects(spec: &AddonsSpec) -> Vec<Object> {
    let mut all = storage_classes(spec);
    all.extend([argo_cd_namespace(spec), node_class(spec), node_pool(spec)]);
    all
}

pub(crate) fn node_class_address() -> Address {
    address("node-class", NODE_CLASS)
}

pub(crate) fn node_pool_address() -> Address {
    address("node-pool", NODE_POOL)
}

pub(crate) fn argo_cd_namespace_address() -> Address {
    address("namespace", "argocd")
}

fn argo_cd_namespace(spec: &AddonsSpec) -> Object {
    Object::build(ObjectRef::namespace("argocd"), json!({}))
        .with_label("pod-security.kubernetes.io/enforce", "baseline")
        .with_label("pod-security.kubernetes.io/warn", "restricted")
        .marked(&spec.environment, &argo_cd_namespace_address())
}

/// Nodes in our private subnets and in two security groups: the cluster's own,
/// by which nodes and control plane talk, and ours.
fn node_class(spec: &AddonsSpec) -> Object {
    let ours = json!({"tags": {
        "trunkline:environment": spec.environment,
        "trunkline:role": "nodes",
    }});
    let cluster_tag = format!("kubernetes.io/cluster/{}", spec.cluster);
    let mut of_cluster = Map::new();
    of_cluster.insert(cluster_tag, json!("owned"));
    let fields = json!({"spec": {
        "role": spec.node_role,
        "subnetSelectorTerms": [ours],
        "securityGroupSelectorTerms": [{"tags": of_cluster}, ours],
        "snatPolicy": "Random",
        "networkPolicy": "DefaultAllow",
        "ephemeralStorage": {"size": "80Gi"},
        "tags": {"trunkline:environment": spec.environment},
    }});
    Object::build(
        Kind::new("eks.amazonaws.com/v1", "NodeClass").cluster_wide(NODE_CLASS),
        fields,
    )
    .marked(&spec.environment, &node_class_address())
}

/// General-purpose nodes of recent generations, at most 14 days old. The
/// consolidation policy is said: its default changes with EKS 1.37.
pub(crate) fn node_pool(spec: &AddonsSpec) -> Object {
    let capacity = if spec.spread {
        json!(["on-demand"])
    } else {
        json!(["spot", "on-demand"])
    };
    let fields = json!({"spec": {
        "template": {"spec": {
            "nodeClassRef": {"group": "eks.amazonaws.com", "kind": "NodeClass", "name": NODE_CLASS},
            "requirements": [
                {"key": "karpenter.sh/capacity-type", "operator": "In", "values": capacity},
                {"key": "eks.amazonaws.com/instance-category", "operator": "In", "values": ["c", "m", "r"]},
                {"key": "eks.amazonaws.com/instance-generation", "operator": "Gt", "values": ["4"]},
                {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
            ],
            "expireAfter": "336h",
            "terminationGracePeriod": "24h",
        }},
        "disruption": {
            "consolidationPolicy": "WhenEmptyOrUnderutilized",
            "consolidateAfter": "5m",
            "budgets": [{"nodes": "10%"}],
        },
        "limits": {"cpu": if spec.spread { "200" } else { "40" }},
    }});
    Object::build(
        Kind::new("karpenter.sh/v1", "NodePool").cluster_wide(NODE_POOL),
        fields,
    )
    .marked(&spec.environment, &node_pool_address())
}

/// `gp3` for what may go, `gp3-retain` for what must outlive its claim. The
/// volumes carry our mark, or a destroy could not tell whose they are.
pub(crate) fn storage_classes(spec: &AddonsSpec) -> Vec<Object> {
    let class = |name: &str, reclaim: &str, default: bool| {
        let fields = json!({
            "provisioner": EBS,
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": true,
            "reclaimPolicy": reclaim,
            "parameters": {
                "type": "gp3",
                "encrypted": "true",
                "tagSpecification_1": format!("trunkline:environment={}", spec.environment),
            },
        });
        let default = if default { "true" } else { "false" };
        Object::build(
            Kind::new("storage.k8s.io/v1", "StorageClass").cluster_wide(name),
            fields,
        )
        .with_annotation("storageclass.kubernetes.io/is-default-class", default)
        .marked(&spec.environment, &address("storage-class", name))
    };
    vec![
        class("gp3", "Delete", true),
        class("gp3-retain", "Retain", false),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::example;

    #[test]
    fn platform_objects() {
        let all: Vec<_> = objects(&example())
            .into_iter()
            .map(Object::into_body)
            .collect();
        insta::assert_json_snapshot!(all);
    }

    /// Contract 7: nothing in the cluster holds an id that AWS assigns.
    #[test]
    fn no_object_holds_an_id_of_aws() {
        for object in objects(&example()) {
            let text = object.body().to_string();
            for id in ["subnet-", "sg-", "vpc-", "arn:aws"] {
                assert!(!text.contains(id), "{} holds {id}", object.reference());
            }
        }
    }
}
