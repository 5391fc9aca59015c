//! A real Kubernetes control plane per emulated cluster: etcd, API server,
//! controller manager, scheduler and KWOK, as processes on 127.0.0.1, with
//! certificates, tokens and an audit log of their own, all in one folder that
//! goes when the cluster is deleted.

mod access;
mod companions;
mod files;
mod pki;
mod ports;
mod programs;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use kube::Client;
use kube::config::Kubeconfig;
use tokio::sync::Mutex;
use trunkline_fake_aws::auto_mode;
use trunkline_fake_aws::eks::{ControlPlane, ControlPlanes, Endpoint};
use trunkline_fake_aws::front::Front;
use trunkline_tools::Tool;

use crate::board::Board;
use crate::failure::PartFailed;
use crate::options::Options;
use crate::paths::Paths;
use crate::probe::{self, Probe};
use crate::ready::ready;
use crate::state::ClusterState;
use crate::supervise::{Part, Running, Supervisor};
use companions::{Companions, Needs};
use files::Folder;
use programs::{Ports, Programs};

/// How long one program may take until it is ready: a start takes 4 s on two
/// idle cores, and the first one may run beside a Rust build.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a control plane is started anew because another process was
/// quicker in taking one of its ports.
const TRIES: usize = 3;

/// Makes the control planes of one stack.
pub(crate) struct LocalControlPlanes {
    paths: Paths,
    options: Options,
    /// moto's URL.
    moto: String,
    supervisor: Supervisor,
    board: Arc<Board>,
    /// Known once it runs: it is started with these control planes.
    front: OnceLock<Weak<Front>>,
    running: Mutex<HashMap<String, Cluster>>,
}

/// A cluster that runs.
struct Cluster {
    companions: Companions,
    parts: Vec<Running>,
}

impl Cluster {
    async fn stop(self) {
        self.companions.stop().await;
        stop(self.parts).await;
    }
}

impl LocalControlPlanes {
    /// None runs yet.
    pub(crate) fn new(
        paths: Paths,
        options: Options,
        moto: String,
        supervisor: Supervisor,
        board: Arc<Board>,
    ) -> Self {
        let (front, running) = (OnceLock::new(), Mutex::default());
        Self {
            paths,
            options,
            moto,
            supervisor,
            board,
            front,
            running,
        }
    }

    /// Makes the front known, whose access entries say which nodes may join.
    pub(crate) fn know(&self, front: &Arc<Front>) {
        // Once is enough: a stack has one front.
        let _ = self.front.set(Arc::downgrade(front));
    }

    /// Stops every control plane.
    pub(crate) async fn stop_all(&self) {
        let all: Vec<_> = self.running.lock().await.drain().collect();
        for (_, cluster) in all {
            cluster.stop().await;
        }
    }

    async fn start_one(&self, wanted: &ControlPlane) -> Result<Endpoint> {
        check_version(&wanted.version)?;
        if self.running.lock().await.contains_key(&wanted.cluster) {
            bail!("the control plane of {} runs already", wanted.cluster);
        }
        let folder = self.folder(&wanted.cluster)?;
        let started = self.start_with_free_ports(wanted, &folder).await?;
        let companions = self.companions(wanted, &folder, started.admin)?;
        let state = ClusterState {
            url: started.url.clone(),
            kubeconfig: folder.kubeconfig("admin"),
            audit_log: folder.audit_log(),
        };
        self.board
            .update(|all| drop(all.clusters.insert(wanted.cluster.clone(), state)));
        let cluster = Cluster {
            companions,
            parts: started.parts,
        };
        self.running
            .lock()
            .await
            .insert(wanted.cluster.clone(), cluster);
        Ok(Endpoint {
            url: started.url,
            ca_pem: started.ca,
        })
    }

    fn companions(
        &self,
        wanted: &ControlPlane,
        folder: &Folder,
        admin: Client,
    ) -> Result<Companions> {
        let front = self
            .front
            .get()
            .and_then(Weak::upgrade)
            .context("the front has gone")?;
        Companions::start(Needs {
            wanted,
            folder,
            admin,
            moto: &self.moto,
            pace: self.options.pace,
            may_join: front.nodes_may_join(&wanted.cluster),
            tools: &self.options.tools,
            supervisor: &self.supervisor,
        })
    }

    async fn start_with_free_ports(
        &self,
        wanted: &ControlPlane,
        folder: &Folder,
    ) -> Result<Started> {
        for _ in 0..TRIES {
            match self.start_once(wanted, folder).await {
                Err(error) if port_was_taken(&error) => tracing::warn!("{error:#}"),
                done => return done,
            }
        }
        bail!(
            "the control plane of {} found its ports taken {TRIES} times: other programs take \
             ports of 127.0.0.1 faster than it can bind them",
            wanted.cluster
        )
    }

    async fn start_once(&self, wanted: &ControlPlane, folder: &Folder) -> Result<Started> {
        let ports = Ports::free()?;
        let url = ports.url();
        let ca = folder.fill(&url, &wanted.token_webhook)?;
        let programs = Programs {
            cluster: &wanted.cluster,
            folder,
            ports,
            tools: &self.options.tools,
        };
        let mut start = Start {
            supervisor: &self.supervisor,
            parts: Vec::new(),
        };
        match start.all(&programs).await {
            Ok(admin) => Ok(Started {
                url,
                ca,
                admin,
                parts: start.parts,
            }),
            Err(error) => {
                stop(start.parts).await;
                Err(error)
            }
        }
    }

    fn folder(&self, cluster: &str) -> Result<Folder> {
        // AWS's own rule for names (CreateCluster, `name`); it also keeps the
        // folder inside of its parent.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if cluster.is_empty() || !cluster.chars().all(plain) {
            bail!("`{cluster}` cannot be the name of a cluster");
        }
        Ok(Folder::new(self.paths.clusters().join(cluster)))
    }

    async fn stop_one(&self, cluster: &str) -> Result<()> {
        let running = self.running.lock().await.remove(cluster);
        if let Some(running) = running {
            running.stop().await;
        }
        self.board.update(|all| drop(all.clusters.remove(cluster)));
        let folder = self.folder(cluster)?;
        let kept: PathBuf = self.paths.logs().join(format!("{cluster}.audit.log"));
        // Who looks at what a destroy did finds the record after the cluster.
        match std::fs::rename(folder.audit_log(), &kept) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("{} is not kept: {error}", kept.display());
            }
            _ => {}
        }
        folder.clear()
    }
}

#[async_trait]
impl ControlPlanes for LocalControlPlanes {
    async fn start(&self, wanted: &ControlPlane) -> Result<Endpoint, String> {
        self.start_one(wanted).await.map_err(|error| {
            tracing::error!("{error:#}");
            format!("{error:#}")
        })
    }

    async fn stop(&self, cluster: &str) -> Result<(), String> {
        self.stop_one(cluster)
            .await
            .map_err(|error| format!("{error:#}"))
    }
}

/// A control plane that is ready.
struct Started {
    url: String,
    ca: String,
    admin: Client,
    parts: Vec<Running>,
}

/// A control plane that is being started: what was started stays here, so that
/// it can be stopped whatever fails.
struct Start<'a> {
    supervisor: &'a Supervisor,
    parts: Vec<Running>,
}

impl Start<'_> {
    /// etcd and the API server together, as the one waits for the other by
    /// itself; the rest when there is something to talk to, for a controller
    /// manager that finds no API server ends. Gives an administrator's client.
    async fn all(&mut self, programs: &Programs<'_>) -> Result<Client> {
        self.start(programs.etcd()?).await?;
        self.start(programs.apiserver()?).await?;
        let admin = Kubeconfig::read_from(programs.folder.kubeconfig("admin"))?;
        let admin = probe::client(admin).await?;
        let [etcd, apiserver] = &self.parts[..] else {
            bail!("a control plane begins with two parts");
        };
        ready(
            &[apiserver, etcd],
            PATIENCE,
            Probe::Healthy(&admin, "/readyz"),
        )
        .await?;
        // Before the controllers: the garbage collector looks for new kinds only
        // every 30 s, and until it knows NodePools it does not let them go.
        auto_mode::install(&admin).await?;
        self.start(programs.controller_manager()?).await?;
        self.start(programs.scheduler()?).await?;
        self.start(programs.kwok()?).await?;
        tokio::try_join!(access::bind(&admin), self.rest_is_ready(programs, &admin))?;
        Ok(admin)
    }

    async fn rest_is_ready(&self, programs: &Programs<'_>, admin: &Client) -> Result<()> {
        let [_, _, controllers, scheduler, kwok] = &self.parts[..] else {
            bail!("a control plane has five parts");
        };
        let scheduler_client = self
            .unnamed_client(programs, programs.ports.scheduler)
            .await?;
        let (controllers, scheduler, kwok) = ([controllers], [scheduler], [kwok]);
        tokio::try_join!(
            ready(&controllers, PATIENCE, Probe::ControllersWork(admin)),
            ready(
                &scheduler,
                PATIENCE,
                Probe::Healthy(&scheduler_client, "/readyz")
            ),
            ready(&kwok, PATIENCE, Probe::Listens(programs.ports.kwok)),
        )?;
        Ok(())
    }

    /// A client of a server that answers its health checks to anyone.
    async fn unnamed_client(&self, programs: &Programs<'_>, port: u16) -> Result<Client> {
        let ca = std::fs::read_to_string(programs.folder.path("ca.pem"))?;
        let config = files::kubeconfig(&format!("https://127.0.0.1:{port}"), &ca, None);
        probe::client(serde_json::from_value(config)?).await
    }

    async fn start(&mut self, part: Part) -> Result<()> {
        self.parts.push(self.supervisor.start(&part).await?);
        Ok(())
    }
}

/// Stops parts, last started first.
async fn stop(mut parts: Vec<Running>) {
    while let Some(part) = parts.pop() {
        part.stop().await;
    }
}

fn port_was_taken(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<PartFailed>()
        .is_some_and(PartFailed::port_was_taken)
}

/// There is one version of Kubernetes here; to answer as another would make a
/// rehearsal say what is not so.
fn check_version(wanted: &str) -> Result<()> {
    let have = Tool::KubeApiserver.version();
    let minor = have.rsplit_once('.').map_or(have, |(minor, _)| minor);
    if wanted == minor {
        return Ok(());
    }
    Err(anyhow!(
        "the local control plane is Kubernetes {have}: a cluster of version {wanted} cannot be \
         rehearsed on this machine; set version {minor}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_that_is_here_is_rehearsed() {
        check_version("1.35").unwrap();
        let error = check_version("1.34").unwrap_err().to_string();
        assert!(error.contains("Kubernetes 1.35.4") && error.contains("set version 1.35"));
        assert!(check_version("").is_err());
    }
}
