//! From plan to nodes and back: NodeClaims for pending pods, a simulated Node
//! for each claim, and the drain of what is deleted. Owners and finalizers are
//! Karpenter's: a NodePool owns its claims, a claim owns its node.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{self as core, Node};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, EvictParams, Patch, PatchParams, PostParams};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::node_class::{Classes, gone_is_fine};
use super::plan::{self, HOSTNAME, NewNode, Pod, ZONE};
use super::requirements::Requirement;
use super::state::Memory;
use super::types::{NodeClaim, NodeClaimStatus, NodePool, condition, node_claim_resource};
use super::{Error, RETRY, StandIn, catalog, read};

const FINALIZER: &str = "karpenter.sh/termination";
const DISRUPTED: &str = "karpenter.sh/disrupted";
/// How long the set of waiting pods must stay the same before it is planned
/// for (Karpenter's batch idle duration, which is a second there).
const BATCH: Duration = Duration::from_millis(150);
const POOL: &str = "karpenter.sh/nodepool";

/// The name of a claim's node: as on Auto Mode, the id of its instance.
pub(super) fn node_name(claim: &NodeClaim) -> String {
    let uid = claim.metadata.uid.as_deref().unwrap_or_default();
    format!("i-0{}", &hex::encode(Sha256::digest(uid))[..16])
}

impl StandIn {
    /// Claims nodes for the pods that wait for one, once no more of them come:
    /// planned one by one they would get a node each. When to look again.
    pub(super) async fn start_nodes(
        &self,
        classes: &Classes,
        memory: &mut Memory,
    ) -> Result<Option<Instant>, Error> {
        let Some(scene) = read::scene(&self.stores, classes, memory) else {
            memory.waiting = None;
            memory.nominated.clear();
            return Ok(None);
        };
        let pods: BTreeSet<String> = scene.pending.iter().map(Pod::id).collect();
        let since = match &memory.waiting {
            Some((same, since)) if *same == pods => *since,
            _ => Instant::now(),
        };
        memory.waiting = Some((pods, since));
        if since.elapsed() < BATCH {
            return Ok(Some(since + BATCH));
        }
        let plan = plan::plan(&scene);
        memory.nominated = plan.places;
        for new in plan.start {
            self.claim_node(&new, memory).await?;
        }
        Ok(None)
    }

    async fn claim_node(&self, new: &NewNode, memory: &mut Memory) -> Result<(), Error> {
        let pools = self.stores.node_pools.state();
        let Some(pool) = pools.iter().find(|pool| pool.name_any() == new.pool) else {
            return Ok(());
        };
        let claim = serde_json::from_value(claim(pool, new))?;
        let claim = self
            .claims_api()
            .create(&PostParams::default(), &claim)
            .await?;
        tracing::info!(
            cluster = self.config.cluster,
            claim = claim.name_any(),
            instance_type = new.instance_type,
            zone = new.labels.get(ZONE),
            pods = ?new.pods,
            "Auto Mode: claims a node",
        );
        let places = new.pods.iter().map(|pod| (pod.clone(), node_name(&claim)));
        memory.nominated.extend(places);
        memory
            .joins_at
            .insert(claim.name_any(), Instant::now() + self.config.node_delay);
        memory.created.insert(claim.name_any(), claim);
        Ok(())
    }

    /// Brings every claim on its way: node, status, end. When the next joins.
    pub(super) async fn node_claims(&self, memory: &mut Memory) -> Result<Option<Instant>, Error> {
        let mut again: Option<Instant> = None;
        let nodes = self.stores.nodes.state();
        let mut claims: Vec<_> = self
            .stores
            .node_claims
            .state()
            .iter()
            .map(|c| c.as_ref().clone())
            .collect();
        claims.extend(memory.created.values().cloned());
        for claim in claims {
            let name = node_name(&claim);
            let node = nodes.iter().find(|node| node.name_any() == name);
            if claim.metadata.deletion_timestamp.is_some() {
                self.end_claim(&claim, node.map(AsRef::as_ref)).await?;
                continue;
            }
            let joins = *memory
                .joins_at
                .entry(claim.name_any())
                .or_insert_with(Instant::now);
            if node.is_none() && joins <= Instant::now() {
                self.join(&claim).await?;
            } else if node.is_none() {
                again = Some(again.map_or(joins, |at| at.min(joins)));
            }
            self.write_claim(&claim, node.map(AsRef::as_ref)).await?;
        }
        Ok(again)
    }

    /// Drains nodes that are being deleted, and lets go of the empty ones.
    /// When to try again what a disruption budget refused.
    pub(super) async fn leaving_nodes(&self) -> Result<Option<Instant>, Error> {
        let mut again = None;
        let api: Api<Node> = Api::all(self.config.client.clone());
        for node in self.stores.nodes.state() {
            let ours = node.finalizers().iter().any(|f| f == FINALIZER);
            if node.metadata.deletion_timestamp.is_none() || !ours {
                continue;
            }
            self.delete_claim_of(&node).await?;
            self.mark_disrupted(&api, &node).await?;
            match self.drain(&node.name_any()).await? {
                Drained::Empty => {
                    let others = node.finalizers().iter().filter(|f| *f != FINALIZER);
                    self.set_finalizers(&api, node.as_ref(), others.cloned().collect())
                        .await?;
                }
                Drained::Waits => {}
                Drained::Refused => again = Some(Instant::now() + RETRY),
            }
        }
        Ok(again)
    }

    fn claims_api(&self) -> Api<NodeClaim> {
        Api::all_with(self.config.client.clone(), &node_claim_resource())
    }

    async fn join(&self, claim: &NodeClaim) -> Result<(), Error> {
        let Some(node) = node(claim) else {
            return Ok(());
        };
        let api: Api<Node> = Api::all(self.config.client.clone());
        let node = serde_json::from_value(node)?;
        gone_is_fine(api.create(&PostParams::default(), &node).await)
    }

    async fn write_claim(&self, claim: &NodeClaim, node: Option<&Node>) -> Result<(), Error> {
        let status = claim_status(claim, node);
        if claim.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let patch = Patch::Merge(json!({"status": status}));
        let api = self.claims_api();
        let done = api
            .patch_status(&claim.name_any(), &PatchParams::default(), &patch)
            .await;
        gone_is_fine(done)
    }

    async fn end_claim(&self, claim: &NodeClaim, node: Option<&Node>) -> Result<(), Error> {
        match node {
            Some(node) if node.metadata.deletion_timestamp.is_some() => Ok(()),
            Some(node) => {
                let api: Api<Node> = Api::all(self.config.client.clone());
                gone_is_fine(api.delete(&node.name_any(), &DeleteParams::default()).await)
            }
            None => {
                let others = claim.finalizers().iter().filter(|f| *f != FINALIZER);
                self.set_finalizers(&self.claims_api(), claim, others.cloned().collect())
                    .await
            }
        }
    }

    /// A node that was deleted by hand takes its claim with it.
    async fn delete_claim_of(&self, node: &Node) -> Result<(), Error> {
        let claims = self.stores.node_claims.state();
        let of = claims
            .iter()
            .find(|claim| node_name(claim) == node.name_any());
        match of {
            Some(claim) if claim.metadata.deletion_timestamp.is_none() => {
                let api = self.claims_api();
                gone_is_fine(
                    api.delete(&claim.name_any(), &DeleteParams::default())
                        .await,
                )
            }
            _ => Ok(()),
        }
    }

    /// Keeps new pods off, or what is evicted would come back.
    async fn mark_disrupted(&self, api: &Api<Node>, node: &Node) -> Result<(), Error> {
        let mut taints = node
            .spec
            .clone()
            .unwrap_or_default()
            .taints
            .unwrap_or_default();
        if taints.iter().any(|taint| taint.key == DISRUPTED) {
            return Ok(());
        }
        taints.push(k8s_openapi::api::core::v1::Taint {
            key: DISRUPTED.into(),
            effect: "NoSchedule".into(),
            ..Default::default()
        });
        let patch = Patch::Merge(json!({"spec": {"taints": taints}}));
        gone_is_fine(
            api.patch(&node.name_any(), &PatchParams::default(), &patch)
                .await,
        )
    }

    async fn drain(&self, node: &str) -> Result<Drained, Error> {
        let mut drained = Drained::Empty;
        for pod in self.stores.pods.state() {
            if !must_leave(&pod, node) {
                continue;
            }
            if drained == Drained::Empty {
                drained = Drained::Waits;
            }
            if pod.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let namespace = pod.namespace().unwrap_or_default();
            let api: Api<core::Pod> = Api::namespaced(self.config.client.clone(), &namespace);
            match api.evict(&pod.name_any(), &EvictParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 429 => drained = Drained::Refused,
                other => gone_is_fine(other)?,
            }
        }
        Ok(drained)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    Empty,
    Waits,
    Refused,
}

/// Pods of daemon sets and those that are over do not hold a node.
fn must_leave(pod: &core::Pod, node: &str) -> bool {
    let here = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()) == Some(node);
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    let over = matches!(phase, Some("Succeeded" | "Failed"));
    let daemon = pod
        .owner_references()
        .iter()
        .any(|owner| owner.kind == "DaemonSet");
    here && !over && !daemon
}

/// The claim for a new node, owned by its pool.
fn claim(pool: &NodePool, new: &NewNode) -> serde_json::Value {
    let template = &pool.spec.template;
    let mut requirements = template.spec.requirements.clone();
    for key in ["node.kubernetes.io/instance-type", ZONE, POOL] {
        if let Some(value) = new.labels.get(key) {
            requirements.retain(|wish| wish.key != key);
            requirements.push(Requirement::equals(key, value));
        }
    }
    let mut spec = template.spec.clone();
    spec.requirements = requirements;
    json!({
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {
            "generateName": format!("{}-", new.pool),
            "labels": new.labels,
            "annotations": template.metadata.annotations,
            "finalizers": [FINALIZER],
            "ownerReferences": [{
                "apiVersion": "karpenter.sh/v1",
                "kind": "NodePool",
                "name": pool.name_any(),
                "uid": pool.metadata.uid,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": spec,
    })
}

/// The node of a claim as it joins; KWOK makes it Ready.
fn node(claim: &NodeClaim) -> Option<serde_json::Value> {
    let name = node_name(claim);
    let mut labels = claim.labels().clone();
    let kind = catalog::by_name(labels.get("node.kubernetes.io/instance-type")?)?;
    labels.insert(HOSTNAME.into(), name.clone());
    let mut annotations = claim.annotations().clone();
    annotations.insert("kwok.x-k8s.io/node".into(), "fake".into());
    annotations.insert("node.alpha.kubernetes.io/ttl".into(), "0".into());
    let spec = &claim.spec;
    let taints: Vec<_> = spec
        .taints
        .iter()
        .flatten()
        .chain(spec.startup_taints.iter().flatten())
        .collect();
    Some(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": annotations,
            "finalizers": [FINALIZER],
            "ownerReferences": [{
                "apiVersion": "karpenter.sh/v1",
                "kind": "NodeClaim",
                "name": claim.name_any(),
                "uid": claim.metadata.uid,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {"providerID": provider_id(claim), "taints": taints},
        "status": {
            "capacity": kind.capacity().quantities(),
            "allocatable": kind.allocatable().quantities(),
            "nodeInfo": {
                "architecture": kind.arch,
                "operatingSystem": "linux",
                "osImage": "Simulated node (KWOK)",
                "bootID": "",
                "containerRuntimeVersion": "",
                "kernelVersion": "",
                "kubeProxyVersion": "",
                "kubeletVersion": "",
                "machineID": "",
                "systemUUID": "",
            },
        },
    }))
}

fn provider_id(claim: &NodeClaim) -> String {
    let zone = claim
        .labels()
        .get(ZONE)
        .map(String::as_str)
        .unwrap_or_default();
    format!("aws:///{zone}/{}", node_name(claim))
}

fn claim_status(claim: &NodeClaim, node: Option<&Node>) -> NodeClaimStatus {
    let before = claim.status.as_ref().map_or(&[][..], |s| &s.conditions);
    let conditions = node.and_then(|node| node.status.as_ref()?.conditions.as_ref());
    let ready =
        conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
    let joined = node.is_some();
    let of = |kind: &str, holds: bool, missing: &str| {
        let reason = if holds { kind } else { missing };
        condition(before, kind, holds, reason, "", claim.metadata.generation)
    };
    NodeClaimStatus {
        node_name: node.map(ResourceExt::name_any),
        provider_id: Some(provider_id(claim)),
        conditions: vec![
            of("Launched", true, "NotLaunched"),
            of("Registered", joined, "NodeNotFound"),
            of("Initialized", ready, "NodeNotReady"),
            of("Ready", ready, "NodeNotReady"),
        ],
    }
}
