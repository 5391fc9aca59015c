//! The custom resources of Auto Mode as far as the stand-in reads and writes
//! them. Their full schemas are in `crds`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::{ApiResource, GroupVersionKind, Object};
use serde::{Deserialize, Serialize};

use super::requirements::Requirement;

/// NodeClass, eks.amazonaws.com/v1.
pub(super) type NodeClass = Object<NodeClassSpec, NodeClassStatus>;
/// NodePool, karpenter.sh/v1.
pub(super) type NodePool = Object<NodePoolSpec, NodePoolStatus>;
/// NodeClaim, karpenter.sh/v1.
pub(super) type NodeClaim = Object<NodeClaimSpec, NodeClaimStatus>;

/// How to address NodeClasses.
pub(super) fn node_class_resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("eks.amazonaws.com", "v1", "NodeClass");
    ApiResource::from_gvk_with_plural(&kind, "nodeclasses")
}

/// How to address NodePools.
pub(super) fn node_pool_resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("karpenter.sh", "v1", "NodePool");
    ApiResource::from_gvk_with_plural(&kind, "nodepools")
}

/// How to address NodeClaims.
pub(super) fn node_claim_resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("karpenter.sh", "v1", "NodeClaim");
    ApiResource::from_gvk_with_plural(&kind, "nodeclaims")
}

/// What nodes of a class have in common.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeClassSpec {
    /// Name of the nodes' IAM role.
    pub role: Option<String>,
    /// Or of an instance profile.
    pub instance_profile: Option<String>,
    /// Which subnets.
    pub subnet_selector_terms: Vec<SelectorTerm>,
    /// Which security groups.
    pub security_group_selector_terms: Vec<SelectorTerm>,
}

/// One way to choose subnets or security groups.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SelectorTerm {
    /// By id.
    pub id: Option<String>,
    /// By name (security groups only).
    pub name: Option<String>,
    /// By tags; `*` as a value means any.
    pub tags: BTreeMap<String, String>,
}

/// What the stand-in found for a class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeClassStatus {
    /// The selected subnets.
    pub subnets: Vec<SubnetStatus>,
    /// The selected security groups.
    pub security_groups: Vec<GroupStatus>,
    /// The profile that the nodes run under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_profile: Option<String>,
    /// SubnetsReady, SecurityGroupsReady, InstanceProfileReady, Ready.
    pub conditions: Vec<Condition>,
}

/// A selected subnet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SubnetStatus {
    /// Its id.
    pub id: String,
    /// Its zone's name.
    pub zone: String,
    /// Its zone's id.
    #[serde(rename = "zoneID", default)]
    pub zone_id: String,
}

/// A selected security group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct GroupStatus {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// A pool of nodes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct NodePoolSpec {
    /// What its nodes are like.
    pub template: Template,
    /// The heavier pool is asked first.
    pub weight: Option<i32>,
}

/// What the nodes of a pool are like.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Template {
    /// Labels and annotations of its nodes.
    pub metadata: TemplateMetadata,
    /// The rest.
    pub spec: NodeClaimSpec,
}

/// Labels and annotations of a pool's nodes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TemplateMetadata {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What the stand-in says of a pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodePoolStatus {
    /// How many nodes it has.
    pub nodes: i64,
    /// ValidationSucceeded, NodeClassReady, Ready.
    pub conditions: Vec<Condition>,
}

/// A node that was asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeClaimSpec {
    /// Its class.
    pub node_class_ref: NodeClassRef,
    /// What it must be.
    pub requirements: Vec<Requirement>,
    /// Its taints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taints: Option<Vec<Taint>>,
    /// Taints that something else takes away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_taints: Option<Vec<Taint>>,
    /// How long it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<String>,
    /// How long pods may take to leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period: Option<String>,
}

/// The class of a pool or node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct NodeClassRef {
    /// eks.amazonaws.com.
    pub group: String,
    /// NodeClass.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// How far a node has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeClaimStatus {
    /// The node's name, once it has joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// aws:///ZONE/INSTANCE.
    #[serde(rename = "providerID", skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Launched, Registered, Initialized, Ready.
    pub conditions: Vec<Condition>,
}

/// A condition as it should be now: what it was, if nothing has changed, so
/// that its time of transition stays.
pub(super) fn condition(
    old: &[Condition],
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
) -> Condition {
    let status = if holds { "True" } else { "False" };
    let before = old.iter().find(|c| c.type_ == kind && c.status == status);
    let since = before.map(|c| c.last_transition_time.clone());
    Condition {
        type_: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: since.unwrap_or_else(now),
    }
}

fn now() -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
    let now = k8s_openapi::jiff::Timestamp::now();
    // Kubernetes keeps whole seconds; a finer one would differ from what is
    // read back and be written again.
    let whole = k8s_openapi::jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(whole)
}

/// Whether a condition of that kind is True.
pub(super) fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions
        .iter()
        .any(|c| c.type_ == kind && c.status == "True")
}
