//! What the stand-in knows between two passes: caches that follow the API
//! server by watch, and what it did that they may not show yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::Api;
use kube::runtime::reflector::{Lookup, Store, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::node_class::Resolved;
use super::types::{
    NodeClaim, NodeClass, NodePool, node_claim_resource, node_class_resource, node_pool_resource,
};

/// The caches.
pub(super) struct Stores {
    pub node_classes: Store<NodeClass>,
    pub node_pools: Store<NodePool>,
    pub node_claims: Store<NodeClaim>,
    pub nodes: Store<Node>,
    pub pods: Store<Pod>,
    pub claims: Store<PersistentVolumeClaim>,
    pub volumes: Store<PersistentVolume>,
    pub storage_classes: Store<StorageClass>,
    changed: Arc<Notify>,
}

impl Stores {
    /// Starts the watches; they end with the token.
    pub(super) fn watch(client: &Client, cancel: &CancellationToken) -> Self {
        let changed = Arc::new(Notify::new());
        let watch = Watch {
            cancel: cancel.clone(),
            changed: changed.clone(),
        };
        let (class, pool, claim) = (
            node_class_resource(),
            node_pool_resource(),
            node_claim_resource(),
        );
        Self {
            node_classes: watch.follow(Api::all_with(client.clone(), &class), class),
            node_pools: watch.follow(Api::all_with(client.clone(), &pool), pool),
            node_claims: watch.follow(Api::all_with(client.clone(), &claim), claim),
            nodes: watch.follow(Api::all(client.clone()), ()),
            pods: watch.follow(Api::all(client.clone()), ()),
            claims: watch.follow(Api::all(client.clone()), ()),
            volumes: watch.follow(Api::all(client.clone()), ()),
            storage_classes: watch.follow(Api::all(client.clone()), ()),
            changed,
        }
    }

    /// Until every cache has been filled once.
    pub(super) async fn ready(&self) {
        // A dropped writer means that the watches were cancelled, which the
        // caller sees by itself.
        let _ = tokio::join!(
            self.node_classes.wait_until_ready(),
            self.node_pools.wait_until_ready(),
            self.node_claims.wait_until_ready(),
            self.nodes.wait_until_ready(),
            self.pods.wait_until_ready(),
            self.claims.wait_until_ready(),
            self.volumes.wait_until_ready(),
            self.storage_classes.wait_until_ready(),
        );
    }

    /// Until something has changed since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

struct Watch {
    cancel: CancellationToken,
    changed: Arc<Notify>,
}

impl Watch {
    fn follow<K>(&self, api: Api<K>, kind: <K as Resource>::DynamicType) -> Store<K>
    where
        K: Resource + Lookup<DynamicType = <K as Resource>::DynamicType>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        <K as Resource>::DynamicType: Eq + Hash + Clone + Send + Sync,
    {
        let writer = Writer::new(kind);
        let store = writer.as_reader();
        let changed = self.changed.clone();
        let events = watcher(api, watcher::Config::default())
            .default_backoff()
            .reflect(writer);
        let cancelled = self.cancel.clone().cancelled_owned();
        tokio::spawn(events.take_until(cancelled).for_each(move |event| {
            match event {
                Ok(_) => changed.notify_one(),
                Err(why) => tracing::debug!(%why, "Auto Mode: a watch is started again"),
            }
            std::future::ready(())
        }));
        store
    }
}

/// What was done and may not be in the caches yet, and what was found out and
/// holds for a while.
#[derive(Default)]
pub(super) struct Memory {
    /// Claims that were created, by name.
    pub created: BTreeMap<String, NodeClaim>,
    /// When a claim's node joins.
    pub joins_at: BTreeMap<String, Instant>,
    /// Where the last plan put pods that wait, by `namespace/name`.
    pub nominated: BTreeMap<String, String>,
    /// The pods that waited at the last look, and since when it is they.
    pub waiting: Option<(BTreeSet<String>, Instant)>,
    /// What the selectors of NodeClasses found, by name.
    pub resolved: BTreeMap<String, Resolved>,
}

impl Memory {
    /// Drops what the caches show by now.
    pub(super) fn forget_seen(&mut self, stores: &Stores) {
        let seen: Vec<String> = stores
            .node_claims
            .state()
            .iter()
            .map(|claim| claim.name_any())
            .collect();
        self.created.retain(|name, _| !seen.contains(name));
        let created = &self.created;
        self.joins_at
            .retain(|name, _| seen.contains(name) || created.contains_key(name));
    }
}
