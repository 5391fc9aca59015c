//! Argo CD on a cluster of simulated nodes: once its application controller is
//! installed, the real controllers run as host processes with a cache server
//! of their own, and stop when it is gone. The pods that Helm made stay the
//! simulated ones.
//!
//! Not started: argocd-server (nobody signs in) and Dex. What argocd-server
//! and the chart's Job leave in the cluster when they first run is made here.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::reflector::{Store, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::probe::Probe;
use crate::ready::ready;
use crate::supervise::{Part, Running, Supervisor};

/// The namespace that Trunkline installs Argo CD into.
const NAMESPACE: &str = "argocd";

/// The chart's labels; its objects' names depend on the release's name.
const CONTROLLER: &str = "app.kubernetes.io/part-of=argocd,\
                          app.kubernetes.io/component=application-controller";
const APPLICATION_SETS: &str = "app.kubernetes.io/part-of=argocd,\
                                app.kubernetes.io/component=applicationset-controller";

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

/// Which components are installed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wanted {
    controller: bool,
    application_sets: bool,
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
            () = installed.changed.notified() => {}
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

/// What is installed, followed by watch.
struct Installed {
    controllers: Store<StatefulSet>,
    application_sets: Store<Deployment>,
    changed: Arc<Notify>,
}

impl Installed {
    fn watch(client: &Client, cancel: &CancellationToken) -> Self {
        let changed = Arc::new(Notify::new());
        Self {
            controllers: follow(client, CONTROLLER, &changed, cancel),
            application_sets: follow(client, APPLICATION_SETS, &changed, cancel),
            changed,
        }
    }

    fn wanted(&self) -> Wanted {
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
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
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
        if let Err(error) = unlock(&self.folder).and_then(|()| fs::remove_dir_all(&self.folder))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("{} cannot be removed: {error}", self.folder.display());
        }
    }

    fn part(&self, component: &str, program: &Path, folder: &str) -> Part {
        let name = format!("{component} of {}", self.cluster);
        let log = self.logs.join(format!("{component}.log"));
        Part::new(name, program, self.folder.join(folder), log)
    }

    fn redis(&self, port: u16) -> Part {
        let port = port.to_string();
        self.part("argocd-redis", &self.programs.redis, "redis")
            .args([
                "redis.conf",
                "--bind",
                "127.0.0.1",
                "--port",
                port.as_str(),
                "--save",
                "",
                "--appendonly",
                "no",
            ])
    }

    /// A component: one binary takes its role from a variable.
    fn component(&self, name: &str) -> Part {
        let folder = |name: &str| self.folder.join(name);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = std::iter::once(folder("bin")).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(own).unwrap_or(path.clone());
        self.part(name, &self.programs.argocd, name)
            .env("ARGOCD_BINARY_NAME", name)
            .env("PATH", path)
            .env("KUBECONFIG", &self.kubeconfig)
            // `https://kubernetes.default.svc` is the kubeconfig's server.
            .env("ARGOCD_FAKE_IN_CLUSTER", "true")
            .env("ARGOCD_GPG_ENABLED", "false")
            .env("ARGOCD_TLS_DATA_PATH", folder("tls"))
            .env("ARGOCD_SSH_DATA_PATH", folder("ssh"))
            .env("ARGOCD_GNUPGHOME", folder("gnupg"))
            .env("ARGOCD_PLUGINSOCKFILEPATH", folder("plugins"))
            // The repository is the checkout of whoever called: git refuses
            // those of other users otherwise.
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            // A revision that moves is seen after at most that long.
            .env("ARGOCD_RECONCILIATION_TIMEOUT", "20s")
            .env("ARGOCD_RECONCILIATION_JITTER", "0s")
    }

    fn with_redis(part: Part, port: u16, password: &str) -> Part {
        part.args(["--redis".to_owned(), format!("127.0.0.1:{port}")])
            .env("REDIS_PASSWORD", password)
    }

    fn repo_server(&self, redis: u16, port: u16, password: &str) -> Part {
        let port = port.to_string();
        let part = self.component("argocd-repo-server").args([
            "--address",
            "127.0.0.1",
            "--port",
            port.as_str(),
            "--metrics-address",
            "127.0.0.1",
            "--metrics-port",
            "0",
            "--disable-tls",
            // Its default names a file of the image, which contradicts the line above.
            "--client-ca-path=",
            "--logformat",
            "text",
        ]);
        Self::with_redis(part, redis, password)
    }

    /// Its metrics, on a free port, are the one thing here that listens on
    /// all addresses: Argo CD has no setting for it.
    fn controller(&self, redis: u16, repositories: u16, password: &str) -> Part {
        let repositories = format!("127.0.0.1:{repositories}");
        let part = self.component("argocd-application-controller").args([
            "--namespace",
            NAMESPACE,
            "--repo-server",
            repositories.as_str(),
            "--repo-server-plaintext",
            "--metrics-port",
            "0",
            // Few applications on a small machine; the defaults are 20, 10, 20.
            "--status-processors",
            "4",
            "--operation-processors",
            "2",
            "--kubectl-parallelism-limit",
            "4",
            "--logformat",
            "text",
        ]);
        Self::with_redis(part, redis, password)
    }

    fn application_sets(&self, repositories: u16) -> Part {
        let repositories = format!("127.0.0.1:{repositories}");
        self.component("argocd-applicationset-controller").args([
            "--namespace",
            NAMESPACE,
            "--argocd-repo-server",
            repositories.as_str(),
            "--repo-server-plaintext",
            "--metrics-addr",
            "127.0.0.1:0",
            "--probe-addr",
            "127.0.0.1:0",
            "--webhook-addr",
            "127.0.0.1:0",
            "--logformat",
            "text",
        ])
    }
}

/// Makes every folder below one readable to its owner: the repo-server takes
/// all rights off its checkouts, and a folder that cannot be read cannot be
/// removed.
pub(crate) fn unlock(folder: &Path) -> std::io::Result<()> {
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
        unlock(parent.path()).unwrap();
        for folder in [parent.path().join("a/_argocd-repo"), locked] {
            let mode = fs::metadata(folder).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        fs::remove_dir_all(parent.path().join("a")).unwrap();
    }
}
