//! Which of Argo CD's components are installed, followed by watch.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::api::Api;
use kube::runtime::reflector::{Store, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::NAMESPACE;

/// The chart's labels; its objects' names depend on the release's name.
const CONTROLLER: &str = "app.kubernetes.io/part-of=argocd,\
                          app.kubernetes.io/component=application-controller";
const APPLICATION_SETS: &str = "app.kubernetes.io/part-of=argocd,\
                                app.kubernetes.io/component=applicationset-controller";

/// Which components are installed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The application controller, and the repo-server with it.
    pub(super) controller: bool,
    /// The controller of ApplicationSets.
    pub(super) application_sets: bool,
}

/// What is installed, followed by watch.
pub(super) struct Installed {
    controllers: Store<StatefulSet>,
    application_sets: Store<Deployment>,
    changed: Arc<Notify>,
}

impl Installed {
    /// Starts the watches; they end with the token.
    pub(super) fn watch(client: &Client, cancel: &CancellationToken) -> Self {
        let changed = Arc::new(Notify::new());
        Self {
            controllers: follow(client, CONTROLLER, &changed, cancel),
            application_sets: follow(client, APPLICATION_SETS, &changed, cancel),
            changed,
        }
    }

    /// Until something has changed since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is to run now.
    pub(super) fn wanted(&self) -> Wanted {
        let sets = self.controllers.state();
        let deployments = self.application_sets.state();
        let some = |replicas: Option<i32>| replicas != Some(0);
        Wanted {
            controller: sets
                .iter()
                .any(|set| some(set.spec.as_ref().and_then(|spec| spec.replicas))),
            application_sets: deployments
                .iter()
                .any(|one| some(one.spec.as_ref().and_then(|spec| spec.replicas))),
        }
    }
}

fn follow<K>(
    client: &Client,
    labels: &str,
    changed: &Arc<Notify>,
    cancel: &CancellationToken,
) -> Store<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let writer = Writer::new(());
    let store = writer.as_reader();
    let changed = changed.clone();
    let config = watcher::Config::default().labels(labels);
    let events = watcher(Api::<K>::namespaced(client.clone(), NAMESPACE), config);
    let events = events.default_backoff().reflect(writer);
    let cancelled = cancel.clone().cancelled_owned();
    let each = move |event: watcher::Result<_>| {
        match event {
            Ok(_) => changed.notify_one(),
            Err(error) => tracing::debug!("Argo CD: a watch is started again: {error}"),
        }
        std::future::ready(())
    };
    tokio::spawn(events.take_until(cancelled).for_each(each));
    store
}
