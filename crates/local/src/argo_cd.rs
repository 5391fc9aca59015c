//! Argo CD on a cluster of simulated nodes: once its application controller is
//! installed, the real controllers run as host processes with a cache server
//! of their own, and stop when it is gone. The pods that Helm made stay the
//! simulated ones.
//!
//! Not started: argocd-server (nobody signs in) and Dex. What argocd-server
//! and the chart's Job leave in the cluster when they first run is made here.

mod components;
mod installed;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::probe::Probe;
use crate::ready::ready;
use crate::supervise::{Running, Supervisor};
use installed::{Installed, Wanted};

/// The namespace that Trunkline installs Argo CD into.
const NAMESPACE: &str = "argocd";

/// How long the cache server may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Before a start that failed, or processes that ended, are tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// One cluster's Argo CD.
pub(crate) struct ArgoCd {
    /// The cluster's name.
    pub(crate) cluster: String,
    /// A client of its API server.
    pub(crate) client: Client,
    /// The kubeconfig that the controllers use: an administrator's, as is
    /// the service account that the chart gives the application controller.
    pub(crate) kubeconfig: PathBuf,
    /// A folder for checkouts, sockets and settings; made and removed here.
    pub(crate) folder: PathBuf,
    /// The folder of the logs.
    pub(crate) logs: PathBuf,
    /// The programs.
    pub(crate) programs: Programs,
    /// Starts them.
    pub(crate) supervisor: Supervisor,
}

/// What Argo CD is made of here.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// One binary for every component.
    pub(crate) argocd: PathBuf,
    /// valkey-server or redis-server.
    pub(crate) redis: PathBuf,
    /// Renders charts; git is taken from PATH.
    pub(crate) helm: PathBuf,
}

/// Follows the installation until it is cancelled; the processes end with it.
pub(crate) async fn run(argo_cd: ArgoCd, cancel: CancellationToken) {
    let installed = Installed::watch(&argo_cd.client, &cancel);
    let mut running: Option<(Wanted, Vec<Running>)> = None;
    loop {
        let wanted = installed.wanted();
        let stale = running.as_ref().is_some_and(|(started, parts)| {
            *started != wanted || parts.iter().any(|part| part.ended().is_some())
        });
        if stale && let Some((_, parts)) = running.take() {
            stop(parts).await;
            argo_cd.clear();
        }
        let mut again = None;
        if wanted.controller && running.is_none() {
            match argo_cd.start(wanted).await {
                Ok(parts) => running = Some((wanted, parts)),
                Err(error) => {
                    tracing::warn!(cluster = argo_cd.cluster, "Argo CD: {error:#}");
                    again = Some(tokio::time::Instant::now() + AGAIN);
                }
            }
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            () = installed.changed() => {}
            () = one_ended(running.as_ref()) => tokio::time::sleep(AGAIN).await,
            () = until(again) => {}
        }
    }
    if let Some((_, parts)) = running {
        stop(parts).await;
    }
    argo_cd.clear();
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Until one of the processes has ended by itself.
async fn one_ended(running: Option<&(Wanted, Vec<Running>)>) {
    let parts = running.map_or(&[][..], |(_, parts)| parts);
    if parts.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(parts.iter().map(|part| Box::pin(part.until_ended()))).await;
}

async fn stop(mut parts: Vec<Running>) {
    while let Some(part) = parts.pop() {
        part.stop().await;
    }
}

impl ArgoCd {
    async fn start(&self, wanted: Wanted) -> Result<Vec<Running>> {
        let password = self.first_run().await?;
        self.fill(&password)?;
        let redis = free_port()?;
        let repositories = free_port()?;
        let mut parts = Vec::new();
        parts.push(self.supervisor.start(&self.redis(redis)).await?);
        ready(&[&parts[0]], PATIENCE, Probe::Listens(redis)).await?;
        parts.push(
            self.supervisor
                .start(&self.repo_server(redis, repositories, &password))
                .await?,
        );
        let controller = self.controller(redis, repositories, &password);
        parts.push(self.supervisor.start(&controller).await?);
        if wanted.application_sets {
            let application_sets = self.application_sets(repositories);
            parts.push(self.supervisor.start(&application_sets).await?);
        }
        tracing::info!(cluster = self.cluster, "Argo CD: its controllers run");
        // Last: the API server holds back what is created of a kind that was
        // defined less than two seconds ago, and nothing waits for this.
        if let Err(error) = self.default_project().await {
            tracing::warn!(cluster = self.cluster, "Argo CD: {error:#}");
        }
        Ok(parts)
    }

    /// What argocd-server (signing key) and the chart's Job (password of the
    /// cache) make when they first run. The password.
    async fn first_run(&self) -> Result<String> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let signing = json!({"data": {"server.secretkey": ByteString(random().into_bytes())}});
        let has_key = |secret: &Secret| has(secret, "server.secretkey").is_some();
        let secret = secrets
            .get("argocd-secret")
            .await
            .context("Secret argocd-secret")?;
        if !has_key(&secret) {
            let patch = Patch::Merge(&signing);
            let params = PatchParams {
                field_manager: manager(),
                ..PatchParams::default()
            };
            secrets
                .patch("argocd-secret", &params, &patch)
                .await
                .context("argocd-secret")?;
        }
        self.cache_password(&secrets).await
    }

    async fn cache_password(&self, secrets: &Api<Secret>) -> Result<String> {
        if let Some(secret) = secrets.get_opt("argocd-redis").await?
            && let Some(password) = has(&secret, "auth")
        {
            return Ok(password);
        }
        let password = random();
        let mut secret = Secret {
            data: Some(BTreeMap::from([(
                "auth".to_owned(),
                ByteString(password.clone().into_bytes()),
            )])),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        };
        secret.metadata.name = Some("argocd-redis".to_owned());
        let params = PostParams {
            field_manager: manager(),
            ..PostParams::default()
        };
        secrets
            .create(&params, &secret)
            .await
            .context("Secret argocd-redis")?;
        Ok(password)
    }

    /// argocd-server makes it too.
    async fn default_project(&self) -> Result<()> {
        let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "AppProject");
        let kind = ApiResource::from_gvk(&kind);
        let projects: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), NAMESPACE, &kind);
        let project = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": "default"},
            "spec": {
                "sourceRepos": ["*"],
                "destinations": [{"server": "*", "namespace": "*"}],
                "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
            },
        }))?;
        let params = PostParams {
            field_manager: manager(),
            ..PostParams::default()
        };
        match projects.create(&params, &project).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            done => done.map(drop).context("AppProject default"),
        }
    }

    /// Makes the folders and files that the processes expect.
    fn fill(&self, password: &str) -> Result<()> {
        self.clear();
        for name in ["bin", "tls", "ssh", "gnupg", "plugins", "redis"] {
            let folder = self.folder.join(name);
            fs::create_dir_all(&folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        // Asked for with every commit; signatures are not checked locally.
        let verify = self.folder.join("bin/git-verify-wrapper.sh");
        fs::write(&verify, "#!/bin/sh\nexit 0\n")?;
        fs::set_permissions(&verify, fs::Permissions::from_mode(0o755))?;
        std::os::unix::fs::symlink(&self.programs.helm, self.folder.join("bin/helm"))?;
        // In a file: arguments are to be seen by everyone on the machine.
        let settings = self.folder.join("redis/redis.conf");
        fs::write(&settings, format!("requirepass {password}\n"))?;
        fs::set_permissions(&settings, fs::Permissions::from_mode(0o600))?;
        Ok(())
    }

    /// Removes the folder.
    fn clear(&self) {
        if let Err(error) = remove(&self.folder) {
            tracing::warn!("{} cannot be removed: {error}", self.folder.display());
        }
    }
}

/// Removes a folder that has, or may have, Argo CD's in it; one that is not
/// there is removed. The repo-server takes all rights off its checkouts, and a
/// folder that its owner cannot read cannot be removed by them either.
pub(crate) fn remove(folder: &Path) -> std::io::Result<()> {
    match unlock(folder).and_then(|()| fs::remove_dir_all(folder)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn unlock(folder: &Path) -> std::io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            unlock(&entry.path())?;
        }
    }
    Ok(())
}

fn manager() -> Option<String> {
    Some("trunkline-local".to_owned())
}

/// 160 random bits.
fn random() -> String {
    format!("{}{}", Ulid::generate(), Ulid::generate())
}

fn has(secret: &Secret, key: &str) -> Option<String> {
    let value = secret.data.as_ref()?.get(key)?;
    String::from_utf8(value.0.clone()).ok()
}

/// A port that was free a moment ago. When another program was quicker, the
/// process that got it ends and all are started again with other ports.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .context("there is no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_folders_can_be_removed() {
        let parent = tempfile::tempdir().unwrap();
        let locked = parent.path().join("a/_argocd-repo/checkout");
        fs::create_dir_all(locked.join("inner")).unwrap();
        for folder in [locked.clone(), parent.path().join("a/_argocd-repo")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove(&parent.path().join("a")).unwrap();
        assert!(!parent.path().join("a").exists());
        remove(&parent.path().join("a")).unwrap();
    }
}
