//! Waiting by watch: for a condition that is a pure function of one object.

use std::{pin::pin, time::Duration};

use futures::StreamExt;
use kube::{
    Api,
    core::{ApiResource, DynamicObject},
    runtime::{WatchStreamExt, watcher},
};
use tokio::time::Instant;
use trunkline_engine::{Failure, FailureKind};

use crate::{
    Cluster, Object, ObjectRef, Resource,
    failure::{Access, cause, failure},
};

/// What a condition says of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is as waited for.
    Done,
    /// Not yet; what is missing, in a few words: `argocd-repo-server 0/1 ready`.
    Waiting(String),
    /// It will never be: waiting longer is useless.
    Failed(Failure),
}

/// A pause between looks at what cannot be watched: a kind that is not served.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Cluster {
    /// Waits until `condition` is done with an object; `None` stands for "not
    /// there". `notify` hears what is waited for whenever that changes. Returns
    /// the object as it was then.
    ///
    /// Broken connections and time-outs on the way are waited out; dropping the
    /// future ends the watch.
    ///
    /// # Errors
    /// What the condition said; a refusal; or `Stopped` with the last words when
    /// the time is over.
    pub async fn wait(
        &self,
        target: &ObjectRef,
        within: Duration,
        condition: impl Fn(Option<&Object>) -> Verdict + Send + Sync,
        notify: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Option<Object>, Failure> {
        let mut waiting = Waiting {
            condition,
            notify,
            last: String::new(),
        };
        let end = Instant::now() + within;
        match tokio::time::timeout_at(end, self.until(target, &mut waiting)).await {
            Ok(found) => found,
            Err(_) => Err(too_late(target, within, &waiting.last)),
        }
    }

    async fn until<C>(
        &self,
        target: &ObjectRef,
        waiting: &mut Waiting<'_, C>,
    ) -> Result<Option<Object>, Failure>
    where
        C: Fn(Option<&Object>) -> Verdict + Send + Sync,
    {
        loop {
            match self.resource_of(target).await {
                Ok(Some(resource)) => return self.watch(target, &resource, waiting).await,
                Ok(None) if waiting.judge(None)? => return Ok(None),
                Ok(None) => {}
                Err(failure) if failure.is_passing() => waiting.say(&failure.to_string()),
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn watch<C>(
        &self,
        target: &ObjectRef,
        resource: &Resource,
        waiting: &mut Waiting<'_, C>,
    ) -> Result<Option<Object>, Failure>
    where
        C: Fn(Option<&Object>) -> Verdict + Send + Sync,
    {
        let api = dynamic(self, target, resource);
        // kube's own list, watch and resume, with pauses after errors.
        let events = kube::runtime::watcher::watch_object(api, &target.name).default_backoff();
        let mut events = pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(found) => {
                    let found = found.map(|one| from_dynamic(target, one)).transpose()?;
                    if waiting.judge(found.as_ref())? {
                        return Ok(found);
                    }
                }
                Err(error) => {
                    let failure = classify(target, error);
                    if !failure.is_passing() {
                        return Err(failure);
                    }
                    waiting.say(&failure.to_string());
                }
            }
        }
        Err(Failure::bug(format!(
            "the watch of {target} ended by itself"
        )))
    }
}

struct Waiting<'a, C> {
    condition: C,
    notify: &'a (dyn Fn(&str) + Send + Sync),
    last: String,
}

impl<C: Fn(Option<&Object>) -> Verdict> Waiting<'_, C> {
    /// Whether the wait is over.
    fn judge(&mut self, found: Option<&Object>) -> Result<bool, Failure> {
        match (self.condition)(found) {
            Verdict::Done => Ok(true),
            Verdict::Failed(failure) => Err(failure),
            Verdict::Waiting(words) => {
                self.say(&words);
                Ok(false)
            }
        }
    }

    fn say(&mut self, words: &str) {
        if self.last != words {
            words.clone_into(&mut self.last);
            (self.notify)(words);
        }
    }
}

fn dynamic(cluster: &Cluster, target: &ObjectRef, resource: &Resource) -> Api<DynamicObject> {
    let kind = &resource.kind;
    let version = kind.api_version.rsplit('/').next().unwrap_or_default();
    let described = ApiResource {
        group: kind.group().to_owned(),
        version: version.to_owned(),
        api_version: kind.api_version.clone(),
        kind: kind.kind.clone(),
        plural: resource.plural.clone(),
    };
    match target.namespace.as_deref().filter(|_| resource.namespaced) {
        Some(namespace) => Api::namespaced_with(cluster.client(), namespace, &described),
        None => Api::all_with(cluster.client(), &described),
    }
}

fn from_dynamic(target: &ObjectRef, found: DynamicObject) -> Result<Object, Failure> {
    let mut body = serde_json::to_value(found)
        .map_err(|e| Failure::bug(format!("{target} cannot be read: {e}")))?;
    // Items of a list do not name their kind.
    body["apiVersion"] = target.kind.api_version.clone().into();
    body["kind"] = target.kind.kind.clone().into();
    crate::read::object(body)
}

fn classify(target: &ObjectRef, error: watcher::Error) -> Failure {
    let action = format!("watch {target}");
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => failure(Access::Read, &action, error),
        watcher::Error::WatchError(status) => {
            failure(Access::Read, &action, kube::Error::Api(status))
        }
        other => {
            let cause = cause(&action, String::new(), other.to_string());
            Failure::new(FailureKind::Retry, cause).clear()
        }
    }
}

fn too_late(target: &ObjectRef, within: Duration, last: &str) -> Failure {
    let state = if last.is_empty() {
        "nothing was heard of it"
    } else {
        last
    };
    let text = format!("not done after {} s: {state}", within.as_secs());
    let cause = cause(&format!("wait for {target}"), "TimedOut".to_owned(), text);
    // A deadline of ours: not `Retry`, or the walk would wait all over again.
    Failure::new(FailureKind::Stopped, cause)
}
