//! Kubernetes objects as data: connection with fresh tokens, server-side apply,
//! diff, prune by recorded kinds, wait by watch.
//!
//! # In short
//! ```text
//! Cluster::connect(&ClusterEndpoint, Arc<dyn TokenSource>) -> Result<Cluster, Failure>
//!   .reachable(within, &notify)                  after ACTIVE: until the API server answers us
//!   .get(&ObjectRef) -> Option<Object>           None only when it is absent for certain
//!   .observe(&ObjectRef) -> Observed<Object>     the same, a failed read is Unknown
//!   .list(&Kind, &Selection) -> Vec<Object>      one kind;  .list_kinds(kinds, &Selection) many
//!   .apply(&Object, Conflicts) -> Object         server-side apply as `trunkline`
//!   .create(&Object) -> Created                  New | AlreadyThere (left alone)
//!   .patch(&ObjectRef, &Value) -> Object         JSON merge patch
//!   .delete(&ObjectRef, Propagation, uid) -> bool     false: was not there
//!   .delete_and_wait(&ObjectRef, Propagation, within, &notify) -> bool
//!   .wait(&ObjectRef, within, |Option<&Object>| -> Verdict, &notify) -> Option<Object>
//!   .rolled_out(&ObjectRef, within, &notify)     Deployment, StatefulSet, DaemonSet
//!   .pod_troubles(&Selection) -> Vec<String>   pods that are not ready, and why
//!   .lookup(&Kind) -> Lookup                     Served | NotServed | Stale
//!   .api_versions() -> Vec<String>, .version() -> String, .token() -> Token, .client()
//!
//! Object::new(json)?  Object::build(reference, json!({"spec": …})).marked("sandbox", &address)
//! Kind::new("apps/v1", "StatefulSet").named("redis", "redis") -> ObjectRef   / .cluster_wide(name)
//! ObjectRef::{secret, config_map}(namespace, name), ObjectRef::namespace(name)
//! diff(&desired, &live) -> Vec<engine::Change>   pure; empty: nothing to do
//! Inventory::of("sandbox").{apply, add, kinds, owned}   kinds ever applied (contract 9)
//! surplus(layer, &wished, &found) -> Vec<&Object>       pure: what to prune
//! ```
//! `notify` is `&(dyn Fn(&str) + Send + Sync)` and hears what is waited for, in a
//! few words, whenever that changes. Everything that fails is an
//! [`engine::Failure`](trunkline_engine::Failure), classified; nothing is retried
//! in here but inside waits. Dropping a future cancels what it does.

mod auth;
mod cluster;
mod compare;
mod connections;
mod diff;
mod discovery;
mod failure;
mod inventory;
mod object;
mod owned;
mod pods;
mod read;
mod rollout;
mod wait;
mod wish;
mod write;

pub use auth::{FixedToken, Token, TokenSource};
pub use cluster::Cluster;
pub use connections::{Connections, Reach};
pub use diff::diff;
pub use discovery::{Lookup, Resource};
pub use inventory::{Inventory, surplus};
pub use object::{
    ADDRESS_ANNOTATION, ENVIRONMENT_LABEL, GroupKind, Kind, MANAGED_BY, MANAGED_BY_LABEL, Object,
    ObjectError, ObjectRef, environment_selector,
};
pub use read::Selection;
pub use rollout::rollout;
pub use wait::Verdict;
pub use wish::{Wished, wished};
pub use write::{Conflicts, Created, Propagation};

/// The field manager of every apply of ours.
pub const FIELD_MANAGER: &str = "trunkline";
