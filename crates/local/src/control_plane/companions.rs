//! What goes with a cluster beside its control plane: the Auto Mode stand-in,
//! a task of this process, and Argo CD, which comes once it is installed.

use std::time::Duration;

use anyhow::Result;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use trunkline_fake_aws::auto_mode::{self, AutoModeConfig, NodeRoleCheck};
use trunkline_fake_aws::eks::ControlPlane;
use trunkline_fake_aws::faults::Pace;
use trunkline_tools::Tool;

use super::files::Folder;
use crate::argo_cd::{self, ArgoCd};
use crate::supervise::Supervisor;
use crate::toolbox::Toolbox;

/// How long a node of Auto Mode takes until it joins: 1 to 2 minutes in public
/// logs.
const NODE: Duration = Duration::from_secs(90);

/// What the companions of one cluster need.
pub(super) struct Needs<'a> {
    pub(super) wanted: &'a ControlPlane,
    pub(super) folder: &'a Folder,
    /// An administrator's client.
    pub(super) admin: Client,
    pub(super) moto: &'a str,
    pub(super) pace: Pace,
    pub(super) may_join: NodeRoleCheck,
    pub(super) tools: &'a Toolbox,
    pub(super) supervisor: &'a Supervisor,
}

/// The running companions of one cluster. They end when it is dropped.
pub(super) struct Companions {
    tasks: JoinSet<()>,
    cancel: CancellationToken,
    _guard: DropGuard,
}

impl Companions {
    /// Starts them. What the stand-in installs is there already.
    pub(super) fn start(needs: Needs<'_>) -> Result<Self> {
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (auto_mode, cluster) = (needs.auto_mode(), needs.wanted.cluster.clone());
        let cancelled = cancel.clone();
        tasks.spawn(async move {
            if let Err(error) = auto_mode::run(auto_mode, cancelled).await {
                tracing::error!("Auto Mode of {cluster} ended: {error}");
            }
        });
        tasks.spawn(argo_cd::run(needs.argo_cd()?, cancel.clone()));
        Ok(Self {
            tasks,
            _guard: cancel.clone().drop_guard(),
            cancel,
        })
    }

    /// Ends them, Argo CD's processes too.
    pub(super) async fn stop(mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Needs<'_> {
    fn auto_mode(&self) -> AutoModeConfig {
        AutoModeConfig {
            cluster: self.wanted.cluster.clone(),
            region: self.wanted.region.clone(),
            account: self.wanted.account.clone(),
            client: self.admin.clone(),
            ec2_endpoint: self.moto.to_owned(),
            may_join: self.may_join.clone(),
            node_delay: self.pace.of(NODE),
        }
    }

    fn argo_cd(&self) -> Result<ArgoCd> {
        let program = |tool| self.tools.path(tool).map(std::path::Path::to_path_buf);
        Ok(ArgoCd {
            cluster: self.wanted.cluster.clone(),
            client: self.admin.clone(),
            kubeconfig: self.folder.kubeconfig("argo-cd"),
            folder: self.folder.path("argo-cd"),
            logs: self.folder.path("logs"),
            programs: argo_cd::Programs {
                argocd: program(Tool::ArgoCd)?,
                redis: program(Tool::Redis)?,
                helm: program(Tool::Helm)?,
            },
            supervisor: self.supervisor.clone(),
        })
    }
}
