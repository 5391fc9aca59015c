//! The command lines of a control plane's five programs, each with the reason
//! for what is not a default.

use std::path::Path;

use anyhow::Result;
use trunkline_tools::Tool;

use super::files::{Folder, SERVICES};
use crate::supervise::Part;
use crate::toolbox::Toolbox;

/// The controllers that what we deploy needs. Every other one costs memory and
/// start-up time: those of cloud providers and signers, quota, attaching of
/// volumes (simulated nodes attach nothing).
const CONTROLLERS: [&str; 23] = [
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "ephemeral-volume-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "statefulset-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
];

/// The ports of one control plane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) etcd_peers: u16,
    pub(super) apiserver: u16,
    pub(super) controller_manager: u16,
    pub(super) scheduler: u16,
    pub(super) kwok: u16,
}

impl Ports {
    /// Six that are free now.
    pub(super) fn free() -> Result<Self> {
        let [
            etcd,
            etcd_peers,
            apiserver,
            controller_manager,
            scheduler,
            kwok,
        ] = super::ports::free()?;
        Ok(Self {
            etcd,
            etcd_peers,
            apiserver,
            controller_manager,
            scheduler,
            kwok,
        })
    }

    /// The URL of the API server.
    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver)
    }
}

/// Makes the parts of one cluster's control plane.
pub(super) struct Programs<'a> {
    pub(super) cluster: &'a str,
    pub(super) folder: &'a Folder,
    pub(super) ports: Ports,
    pub(super) tools: &'a Toolbox,
}

impl Programs<'_> {
    /// The store. Its data goes with the cluster, so it need not reach the disk.
    pub(super) fn etcd(&self) -> Result<Part> {
        let clients = format!("http://127.0.0.1:{}", self.ports.etcd);
        let peers = format!("http://127.0.0.1:{}", self.ports.etcd_peers);
        Ok(self.part("etcd", Tool::Etcd)?.args([
            "--data-dir=data".to_owned(),
            "--unsafe-no-fsync".to_owned(),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            "--log-level=warn".to_owned(),
        ]))
    }

    /// The API server. It asks the front about every token anew (no cache), so
    /// that a changed access entry counts at once.
    pub(super) fn apiserver(&self) -> Result<Part> {
        let Ports {
            etcd, apiserver, ..
        } = self.ports;
        let part = self.part("kube-apiserver", Tool::KubeApiserver)?.args([
            format!("--etcd-servers=http://127.0.0.1:{etcd}"),
            format!("--secure-port={apiserver}"),
            "--advertise-address=127.0.0.1".to_owned(),
            // An endpoint on loopback would be refused; nothing reads it here.
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--service-cluster-ip-range={SERVICES}"),
            "--authorization-mode=RBAC".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--authentication-token-webhook-version=v1".to_owned(),
            "--authentication-token-webhook-cache-ttl=0s".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            // Fairness among clients is of no use here and slows the start.
            "--enable-priority-and-fairness=false".to_owned(),
            "--profiling=false".to_owned(),
        ]);
        let part = self.serving(part);
        Ok(self.files(
            part,
            &[
                ("--authentication-config", "authentication.json"),
                (
                    "--authentication-token-webhook-config-file",
                    "token-webhook.kubeconfig",
                ),
                ("--token-auth-file", "tokens.csv"),
                ("--service-account-key-file", "service-accounts.pub"),
                ("--service-account-signing-key-file", "service-accounts.key"),
                ("--audit-policy-file", "audit-policy.json"),
                ("--audit-log-path", "audit.log"),
            ],
        ))
    }

    /// The controllers. Alone, so there is no leader to elect.
    pub(super) fn controller_manager(&self) -> Result<Part> {
        let part = self
            .part("kube-controller-manager", Tool::KubeControllerManager)?
            .args([
                format!("--secure-port={}", self.ports.controller_manager),
                "--leader-elect=false".to_owned(),
                format!("--controllers={}", CONTROLLERS.join(",")),
                // A busy machine must not make simulated nodes NotReady.
                "--node-monitor-grace-period=5m".to_owned(),
                "--profiling=false".to_owned(),
            ]);
        let part = self.serving(part);
        Ok(self.files(
            part,
            &[
                ("--kubeconfig", "controller-manager.kubeconfig"),
                ("--root-ca-file", "ca.pem"),
            ],
        ))
    }

    /// The scheduler.
    pub(super) fn scheduler(&self) -> Result<Part> {
        let part = self.part("kube-scheduler", Tool::KubeScheduler)?.args([
            format!("--secure-port={}", self.ports.scheduler),
            "--leader-elect=false".to_owned(),
            "--profiling=false".to_owned(),
        ]);
        let part = self.serving(part);
        Ok(self.files(part, &[("--config", "scheduler.json")]))
    }

    /// KWOK: plays the kubelets of the nodes that say they are fake.
    pub(super) fn kwok(&self) -> Result<Part> {
        let part = self.part("kwok", Tool::Kwok)?.args([
            format!("--server-address=127.0.0.1:{}", self.ports.kwok),
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake".to_owned(),
            "--node-lease-duration-seconds=40".to_owned(),
            "--node-ip=127.0.0.1".to_owned(),
            "--cidr=10.244.0.0/16".to_owned(),
        ]);
        Ok(self.files(
            part,
            &[
                ("--kubeconfig", "kwok.kubeconfig"),
                ("--config", "stages.yaml"),
            ],
        ))
    }

    fn part(&self, name: &str, tool: Tool) -> Result<Part> {
        let program = self.tools.path(tool)?;
        let folder = self.folder.path(&format!("run/{name}"));
        Ok(Part::new(
            part_name(self.cluster, name),
            program,
            folder,
            self.folder.log(name),
        ))
    }

    /// Where and with which certificate a server listens.
    fn serving(&self, part: Part) -> Part {
        let part = part.args(["--bind-address=127.0.0.1"]);
        self.files(
            part,
            &[
                ("--tls-cert-file", "server.pem"),
                ("--tls-private-key-file", "server.key"),
            ],
        )
    }

    fn files(&self, part: Part, files: &[(&str, &str)]) -> Part {
        let argument = |(flag, file): &(&str, &str)| {
            let mut argument = std::ffi::OsString::from(format!("{flag}="));
            argument.push(AsRef::<Path>::as_ref(&self.folder.path(file)));
            argument
        };
        part.args(files.iter().map(argument))
    }
}

/// The name of a cluster's process in the state and in messages.
fn part_name(cluster: &str, program: &str) -> String {
    format!("{cluster}/{program}")
}
