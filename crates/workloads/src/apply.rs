//! Does one action.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rand::RngCore;
use serde_json::json;
use trunkline_engine::{Applying, Failure, FailureKind};
use trunkline_ids::Outputs;
use trunkline_objects::{Cluster, Conflicts, Created, Inventory, Kind, Object, Propagation};

use crate::{
    plan::Action,
    spec::{CASCADE, REDIS, WorkloadsSpec, application_ref, secret_address, secret_ref},
    sync,
};

/// A first sync may have to wait for a node and a volume.
const SYNC_AT_MOST: Duration = Duration::from_secs(15 * 60);
/// Argo CD deletes within seconds unless it cannot delete at all.
const CASCADE_AT_MOST: Duration = Duration::from_secs(120);

pub(crate) async fn apply(
    spec: &WorkloadsSpec,
    cluster: &Cluster,
    inventory: &Inventory,
    action: Action,
    cx: &Applying,
) -> Result<Outputs, Failure> {
    match action {
        Action::ApplyNamespace => put(cluster, inventory, &spec.namespace()).await?,
        Action::CreateSecret => create_secret(spec, cluster).await?,
        Action::ApplyProject => put(cluster, inventory, &spec.project()).await?,
        Action::ApplyApplication => {
            let written = Timestamp::now();
            put(cluster, inventory, &spec.application()).await?;
            in_step(spec, cluster, written, cx).await?;
        }
        Action::DeleteApplication => delete_application(cluster, cx).await?,
        Action::DeleteProject => {
            let project = spec.project();
            cluster
                .delete(project.reference(), Propagation::Background, None)
                .await?;
        }
    }
    Ok(Outputs::new())
}

async fn put(cluster: &Cluster, inventory: &Inventory, object: &Object) -> Result<(), Failure> {
    inventory
        .apply(cluster, object, Conflicts::Force)
        .await
        .map(|_| ())
}

/// 32 random bytes as text. Made once: a second run finds it and leaves it.
async fn create_secret(spec: &WorkloadsSpec, cluster: &Cluster) -> Result<(), Failure> {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    let password = BASE64_STANDARD.encode(BASE64_URL_SAFE_NO_PAD.encode(bytes));
    let fields = json!({"type": "Opaque", "data": {"password": password}});
    let secret = Object::build(secret_ref(), fields).marked(&spec.environment, &secret_address());
    match cluster.create(&secret).await? {
        Created::New(_) | Created::AlreadyThere => Ok(()),
    }
}

async fn in_step(
    spec: &WorkloadsSpec,
    cluster: &Cluster,
    written: Timestamp,
    cx: &Applying,
) -> Result<(), Failure> {
    let target = application_ref();
    let commit = spec
        .commit
        .as_deref()
        .ok_or_else(|| Failure::bug("an application without a commit"))?;
    sync_again(cluster, commit).await?;
    let judge =
        |found: Option<&Object>| sync::judge(found, commit, Some(written), Timestamp::now());
    let notify = |words: &str| cx.waiting_for(words);
    let waiting = cluster.wait(&target, SYNC_AT_MOST, judge, &notify);
    cx.wait("Argo CD", waiting).await.map(|_| ())
}

/// Argo CD leaves a commit alone whose sync has failed once, whatever the
/// reason was: a deploy of the same commit starts the sync itself.
async fn sync_again(cluster: &Cluster, commit: &str) -> Result<(), Failure> {
    let target = application_ref();
    let Some(live) = cluster.get(&target).await? else {
        return Ok(());
    };
    if live.at("/operation").is_some() || sync::failed_operation(&live, commit).is_none() {
        return Ok(());
    }
    let policy = live.at("/spec/syncPolicy");
    let of_policy = |name: &str| policy.and_then(|policy| policy.get(name)).cloned();
    let operation = json!({"operation": {
        "initiatedBy": {"username": "trunkline"},
        "sync": {"revision": commit, "prune": true, "syncOptions": of_policy("syncOptions")},
        "retry": of_policy("retry"),
    }});
    cluster.patch(&target, &operation).await.map(|_| ())
}

/// Argo CD deletes what the application made, by its finalizer. When it
/// cannot (its controller is gone, its project is missing) a destroy must not
/// hang: the finalizer is taken off, Redis is stopped, and the rest goes with
/// the cluster. A pod that nobody stops could keep its node for a day: it may
/// not be disrupted.
async fn delete_application(cluster: &Cluster, cx: &Applying) -> Result<(), Failure> {
    let target = application_ref();
    let notify = |words: &str| cx.waiting_for(words);
    // Argo CD's finalizer is the cascade. Kubernetes' own would wait until its
    // garbage collector has heard of this kind, which takes up to 30 s.
    let background = Propagation::Background;
    let deleting = cluster.delete_and_wait(&target, background, CASCADE_AT_MOST, &notify);
    match cx.wait("Argo CD to delete what it made", deleting).await {
        Err(failure) if failure.kind == FailureKind::Stopped && !cx.is_stopping() => {
            cx.events().note(format!(
                "{} did not go within {} s: {CASCADE} is taken off, its objects go with the cluster",
                cx.address(),
                CASCADE_AT_MOST.as_secs(),
            ));
            let bare = json!({"metadata": {"finalizers": null}});
            cluster.patch(&target, &bare).await?;
            let redis = Kind::new("apps/v1", "StatefulSet").named(REDIS, "redis");
            let foreground = Propagation::Foreground;
            let stopping = cluster.delete_and_wait(&redis, foreground, CASCADE_AT_MOST, &notify);
            cx.wait("Redis to stop", stopping).await.map(|_| ())
        }
        ended => ended.map(|_| ()),
    }
}
