//! Installing and upgrading, with recovery of what a killed helm left.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::{Either, select};
use tokio::process::Command;
use trunkline_engine::{Failure, FailureKind};
use trunkline_objects::{Cluster, GroupKind, Object, Propagation, Selection, Verdict, rollout};

use crate::{
    Helm, Release, Status,
    binary::check_values,
    child::Ended,
    failure::{Access, cause},
    private::Private,
    release::INPUTS_LABEL,
    revisions::installed_one,
};

/// Between two looks at what a release waits for.
const LOOK: Duration = Duration::from_secs(2);
/// Revisions that helm keeps; each is up to 1 MiB in etcd.
const HISTORY: &str = "3";

/// What to do with a revision that says that a helm is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// Take it for a helm that runs: fail with a conflict.
    Refuse,
    /// Take it for what a killed helm left, and remove it. **Only for whoever
    /// holds the environment's lease**: the words of a killed helm and of one at
    /// work are the same.
    Recover,
}

/// How a release is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installing {
    /// How long each hook, and the wait for readiness, may take.
    pub timeout: Duration,
    /// What to do with a revision that is pending.
    pub pending: Pending,
}

impl Helm {
    /// Installs or upgrades a release and waits until it is ready. Calling it for
    /// what is installed already makes a revision and runs hooks: ask
    /// [`Installed::is_settled`](crate::Installed::is_settled) first.
    ///
    /// Fields that others changed are taken back. Dropping the future kills helm;
    /// the next call with [`Pending::Recover`] goes on from there.
    ///
    /// # Errors
    /// helm's, with its last lines; `Stopped` when the time is over, with what
    /// was not ready.
    pub async fn upgrade_install(
        &self,
        cluster: &Cluster,
        release: &Release,
        how: Installing,
        notify: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<(), Failure> {
        let action = format!("upgrade {}", release.name);
        check_values(&action, &release.values)?;
        self.recover(cluster, release, how, notify).await?;
        let private = Private::new()?;
        private.kubeconfig(cluster).await?;
        let values = private.values(&release.values)?;
        let mut command = private.command(self);
        command
            .args(["upgrade", &release.name])
            .arg(&release.chart.path);
        command
            .args(["--install", "--namespace", &release.namespace, "--values"])
            .arg(values);
        command.args(["--labels", &format!("{INPUTS_LABEL}={}", release.inputs())]);
        command.args(["--history-max", HISTORY, "--hide-notes", "--wait=watcher"]);
        // Values are ours alone: what a user set by hand is not merged in.
        command.args(["--reset-values", "--server-side=true", "--force-conflicts"]);
        command.args(["--timeout", &seconds(how.timeout)]);
        // Hooks before, the wait, hooks after: each has the time-out of its own.
        let limit = how.timeout * 3 + Duration::from_secs(60);
        let last = Mutex::new(String::new());
        let say = |words: &str| {
            words.clone_into(&mut last.lock().unwrap_or_else(PoisonError::into_inner));
            notify(words);
        };
        let watched = watch_readiness(cluster, release, &say);
        let ended = self
            .with_cluster(&private, cluster, &action, command, limit, watched)
            .await;
        let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
        ended
            .map(|_| ())
            .map_err(|failure| explained(failure, &last))
    }

    /// Removes what a killed helm left in the way.
    async fn recover(
        &self,
        cluster: &Cluster,
        release: &Release,
        how: Installing,
        notify: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<(), Failure> {
        while let Some(found) = installed_one(cluster, &release.namespace, &release.name).await? {
            let stuck = match found.status {
                Status::Pending => "in the middle of an install or upgrade",
                Status::Uninstalling => "in the middle of an uninstall",
                _ => return Ok(()),
            };
            if how.pending == Pending::Refuse {
                let text = format!("{} revision {} is {stuck}", release.name, found.revision);
                let cause = cause("upgrade", "InProgress".to_owned(), text);
                return Err(Failure::new(FailureKind::Conflict, cause).clear());
            }
            notify(&format!("helm was killed {stuck}: going on from there"));
            if found.status == Status::Uninstalling {
                self.uninstall(
                    cluster,
                    &release.namespace,
                    &release.name,
                    how.timeout,
                    notify,
                )
                .await?;
            } else {
                // What it had made is adopted by the next install; the uid makes
                // sure that it is the revision that was looked at.
                let secret = found.secret();
                cluster
                    .delete(&secret, Propagation::Background, Some(&found.uid))
                    .await?;
            }
        }
        Ok(())
    }

    /// Runs a command that talks to the cluster; its token is kept fresh and
    /// `beside` is polled meanwhile.
    pub(crate) async fn with_cluster(
        &self,
        private: &Private,
        cluster: &Cluster,
        action: &str,
        command: Command,
        limit: Duration,
        beside: impl Future<Output = std::convert::Infallible>,
    ) -> Result<Ended, Failure> {
        let running = std::pin::pin!(self.run(Access::Write, action, command, limit));
        let beside = std::pin::pin!(async { tokio::join!(private.keep_fresh(cluster), beside).0 });
        match select(running, beside).await {
            Either::Left((ended, _)) => ended,
            Either::Right((never, _)) => match never {},
        }
    }
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs().max(1))
}

/// Adds what was not ready to a failure about time.
fn explained(mut failure: Failure, last: &str) -> Failure {
    if failure.kind == FailureKind::Stopped && !last.is_empty() {
        failure.cause.message = format!("{}\nnot ready: {last}", failure.cause.message);
    }
    failure
}

/// Says which workload of a release is not ready, while helm is silent.
async fn watch_readiness(
    cluster: &Cluster,
    release: &Release,
    notify: &(dyn Fn(&str) + Send + Sync),
) -> std::convert::Infallible {
    let labels = format!("app.kubernetes.io/instance={}", release.name);
    let selection = Selection::labelled(labels).within(&release.namespace);
    let mut last = String::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let kinds = ["Deployment", "StatefulSet", "DaemonSet"].map(|kind| GroupKind {
            group: "apps".to_owned(),
            kind: kind.to_owned(),
        });
        // A look that failed is no news: helm says what is wrong.
        let Ok(all) = cluster.list_kinds(kinds, &selection).await else {
            continue;
        };
        let mut words = unready(&all);
        if words.is_empty() {
            continue;
        }
        let troubles = cluster.pod_troubles(&selection).await.unwrap_or_default();
        if let Some(oldest) = troubles.first() {
            words = format!("{words}; {oldest}");
        }
        if words != last {
            notify(&words);
            last = words;
        }
    }
}

/// The workloads that are not ready, the first three of them.
fn unready(all: &[Object]) -> String {
    let mut words: Vec<String> = all
        .iter()
        .filter_map(|one| match rollout(one.reference(), Some(one)) {
            Verdict::Done => None,
            Verdict::Waiting(words) => Some(words),
            Verdict::Failed(failure) => Some(failure.to_string()),
        })
        .collect();
    words.truncate(3);
    words.join(", ")
}
