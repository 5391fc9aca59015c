//! From Kubernetes objects to what `plan` decides on. Pure but for the caches
//! it reads.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, Node, NodeSelector, NodeSelectorTerm, PersistentVolumeClaim, Pod, PodAffinityTerm,
    PodSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;
use kube::{Resource, ResourceExt};

use super::node_class::Classes;
use super::plan::{self, PlacedPod, Pool, Rule, Scene, Taint, Toleration};
use super::requirements::{AnyOf, Requirement};
use super::resources::Resources;
use super::state::{Memory, Stores};
use super::types::{NodeClaim, NodePool};
use super::{catalog, nodes};

/// Everything the plan rests on, or nothing if no pod waits.
pub(super) fn scene(stores: &Stores, classes: &Classes, memory: &Memory) -> Option<Scene> {
    let all = stores.pods.state();
    let waiting = all.iter().filter(|pod| is_unschedulable(pod));
    let pending: Vec<_> = waiting.filter_map(|pod| pending_pod(pod, stores)).collect();
    if pending.is_empty() {
        return None;
    }
    let mut claims: Vec<_> = stores.node_claims.state();
    claims.extend(memory.created.values().cloned().map(std::sync::Arc::new));
    let mut nodes: Vec<_> = stores
        .nodes
        .state()
        .iter()
        .filter_map(|n| node(n, &all))
        .collect();
    let on_the_way: Vec<_> = claims
        .iter()
        .filter(|claim| claim.metadata.deletion_timestamp.is_none())
        .filter_map(|claim| future_node(claim))
        .filter(|future| {
            stores
                .nodes
                .state()
                .iter()
                .all(|node| node.name_any() != future.name)
        })
        .collect();
    nodes.extend(on_the_way);
    let pools = stores.node_pools.state();
    Some(Scene {
        pending,
        placed: all.iter().filter_map(|pod| placed_pod(pod)).collect(),
        nodes,
        pools: pools
            .iter()
            .filter_map(|found| pool(found, classes))
            .collect(),
        types: catalog::instance_types(),
        nominated: memory.nominated.clone(),
    })
}

/// Whether the scheduler has said that no node takes the pod.
fn is_unschedulable(pod: &Pod) -> bool {
    let unbound = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.node_name.is_none());
    let said = pod
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_ref())
        .is_some_and(|conditions| {
            conditions.iter().any(|c| {
                c.type_ == "PodScheduled"
                    && c.status == "False"
                    && c.reason.as_deref() == Some("Unschedulable")
            })
        });
    unbound && said && pod.metadata.deletion_timestamp.is_none()
}

/// None while a volume claim of the pod is missing: no node would help.
fn pending_pod(pod: &Pod, stores: &Stores) -> Option<plan::Pod> {
    let spec = pod.spec.as_ref()?;
    let namespace = pod.namespace().unwrap_or_default();
    let volumes = claim_names(spec)
        .map(|name| volume_wish(&namespace, name, stores))
        .collect::<Option<Vec<_>>>()?;
    Some(plan::Pod {
        labels: pod.labels().clone(),
        requests: requests(spec),
        wants: node_wish(spec),
        volumes: volumes.into_iter().flatten().collect(),
        tolerations: spec.tolerations.iter().flatten().map(toleration).collect(),
        rules: rules(spec),
        name: pod.name_any(),
        namespace,
    })
}

fn claim_names(spec: &PodSpec) -> impl Iterator<Item = &str> {
    let volumes = spec.volumes.iter().flatten();
    volumes.filter_map(|v| Some(v.persistent_volume_claim.as_ref()?.claim_name.as_str()))
}

/// Where a claim's volume is or may come to be; None without the claim.
fn volume_wish(namespace: &str, name: &str, stores: &Stores) -> Option<Option<AnyOf>> {
    let claims = stores.claims.state();
    let is_it = |c: &PersistentVolumeClaim| {
        c.namespace().as_deref() == Some(namespace) && c.name_any() == name
    };
    let claim = claims.iter().find(|c| is_it(c))?;
    let spec = claim.spec.as_ref()?;
    if let Some(volume) = &spec.volume_name {
        let volumes = stores.volumes.state();
        let volume = volumes.iter().find(|v| v.name_any() == *volume)?;
        let affinity = volume.spec.as_ref().and_then(|s| s.node_affinity.as_ref());
        return Some(affinity.and_then(|a| a.required.as_ref()).map(any_of));
    }
    let classes = stores.storage_classes.state();
    let class = classes
        .iter()
        .find(|c| Some(c.name_any()) == spec.storage_class_name);
    let topologies = class.and_then(|c| c.allowed_topologies.clone());
    Some(topologies.map(|terms| {
        let term = |t: &k8s_openapi::api::core::v1::TopologySelectorTerm| {
            let wishes = t.match_label_expressions.iter().flatten();
            wishes
                .map(|e| Requirement::one_of(&e.key, e.values.clone()))
                .collect()
        };
        AnyOf(terms.iter().map(term).collect())
    }))
}

/// What a pod asks for: the larger of its containers together and of each
/// init container, as the scheduler counts.
pub(super) fn requests(spec: &PodSpec) -> Resources {
    let of = |c: &Container| {
        let requests = c.resources.as_ref().and_then(|r| r.requests.as_ref());
        requests.map(Resources::read).unwrap_or_default()
    };
    let mut sum = Resources::default();
    spec.containers.iter().for_each(|c| sum += of(c));
    let mut most = spec
        .init_containers
        .iter()
        .flatten()
        .map(of)
        .fold(sum, Resources::max);
    most.pods = 1;
    most
}

fn node_wish(spec: &PodSpec) -> AnyOf {
    let labels = spec.node_selector.iter().flatten();
    let always: Vec<_> = labels.map(|(k, v)| Requirement::equals(k, v)).collect();
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref());
    let required = affinity.and_then(|a| {
        a.required_during_scheduling_ignored_during_execution
            .as_ref()
    });
    match required.map(any_of) {
        None => AnyOf(vec![always]),
        Some(AnyOf(terms)) => AnyOf(
            terms
                .into_iter()
                .map(|term| [always.clone(), term].concat())
                .collect(),
        ),
    }
}

fn any_of(selector: &NodeSelector) -> AnyOf {
    let term = |t: &NodeSelectorTerm| {
        let wishes = t.match_expressions.iter().flatten();
        wishes
            .map(|e| Requirement {
                key: e.key.clone(),
                operator: e.operator.clone(),
                values: e.values.clone().unwrap_or_default(),
            })
            .collect()
    };
    AnyOf(selector.node_selector_terms.iter().map(term).collect())
}

fn rules(spec: &PodSpec) -> Vec<Rule> {
    let spread = spec.topology_spread_constraints.iter().flatten();
    let spread = spread
        .filter(|c| c.when_unsatisfiable == "DoNotSchedule")
        .map(|c| Rule::Spread {
            key: c.topology_key.clone(),
            max_skew: usize::try_from(c.max_skew).unwrap_or(1),
            selector: selector(c.label_selector.as_ref()),
        });
    let apart = spec
        .affinity
        .as_ref()
        .and_then(|a| a.pod_anti_affinity.as_ref());
    let apart = apart
        .and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_ref()
        })
        .into_iter()
        .flatten()
        .map(|term: &PodAffinityTerm| Rule::Apart {
            key: term.topology_key.clone(),
            selector: selector(term.label_selector.as_ref()),
        });
    spread.chain(apart).collect()
}

/// A selector that is not one selects everything: the stricter reading.
fn selector(of: Option<&LabelSelector>) -> Selector {
    of.cloned()
        .and_then(|s| Selector::try_from(s).ok())
        .unwrap_or_default()
}

fn toleration(of: &k8s_openapi::api::core::v1::Toleration) -> Toleration {
    Toleration {
        key: of.key.clone(),
        operator: of.operator.clone(),
        value: of.value.clone(),
        effect: of.effect.clone(),
    }
}

fn taint(of: &k8s_openapi::api::core::v1::Taint) -> Taint {
    Taint {
        key: of.key.clone(),
        value: of.value.clone().unwrap_or_default(),
        effect: of.effect.clone(),
    }
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn placed_pod(pod: &Pod) -> Option<PlacedPod> {
    let node = pod.spec.as_ref()?.node_name.clone()?;
    (!is_over(pod)).then(|| PlacedPod {
        namespace: pod.namespace().unwrap_or_default(),
        labels: pod.labels().clone(),
        node,
    })
}

/// None for a node that takes no more pods.
fn node(node: &Node, pods: &[std::sync::Arc<Pod>]) -> Option<plan::Node> {
    let spec = node.spec.clone().unwrap_or_default();
    if node.meta().deletion_timestamp.is_some() || spec.unschedulable == Some(true) {
        return None;
    }
    let name = node.name_any();
    let allocatable = node.status.as_ref().and_then(|s| s.allocatable.as_ref());
    let mut free = allocatable.map(Resources::read).unwrap_or_default();
    for pod in pods.iter().filter(|pod| !is_over(pod)) {
        if let Some(spec) = pod.spec.as_ref()
            && spec.node_name.as_deref() == Some(&name)
        {
            free -= requests(spec);
        }
    }
    // A node that is not ready yet will be: its passing taints do not count.
    let lasting = spec
        .taints
        .iter()
        .flatten()
        .filter(|t| !t.key.starts_with("node.kubernetes.io/"));
    Some(plan::Node {
        labels: node.labels().clone(),
        taints: lasting.map(taint).collect(),
        free,
        name,
    })
}

/// The node that a claim will become.
fn future_node(claim: &NodeClaim) -> Option<plan::Node> {
    let labels: BTreeMap<_, _> = claim.labels().clone();
    let kind = catalog::by_name(labels.get("node.kubernetes.io/instance-type")?)?;
    Some(plan::Node {
        name: nodes::node_name(claim),
        taints: claim.spec.taints.iter().flatten().map(taint).collect(),
        free: kind.allocatable(),
        labels,
    })
}

/// None for a pool that cannot start nodes now.
fn pool(found: &NodePool, classes: &Classes) -> Option<Pool> {
    if found.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let template = &found.spec.template;
    let zones = classes.zones.get(&template.spec.node_class_ref.name)?;
    Some(Pool {
        name: found.name_any(),
        labels: template.metadata.labels.clone(),
        taints: template.spec.taints.iter().flatten().map(taint).collect(),
        requirements: template.spec.requirements.clone(),
        zones: zones.clone(),
        weight: found.spec.weight.unwrap_or(0),
    })
}
