//! The Auto Mode stand-in: what EKS Auto Mode does inside a cluster and to EC2
//! on its behalf, run against the cluster's API server with an administrator's
//! client. Nodes are simulated (KWOK gives them their heartbeat); NodePools,
//! NodeClasses, NodeClaims, volumes and their rules are real objects.
//!
//! One level-triggered loop: every watched change, and a timer where something
//! outside of Kubernetes is waited for, leads to one pass over everything.

mod catalog;
mod crds;
mod ec2;
mod node_class;
mod nodes;
mod plan;
mod read;
mod requirements;
mod resources;
mod state;
mod types;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::storage::v1::CSIDriver;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, ResourceExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use state::{Memory, Stores};

/// The field manager of everything that the stand-in applies.
const MANAGER: &str = "eks-auto-mode";

/// The provisioner of Auto Mode's volumes.
pub const PROVISIONER: &str = "ebs.csi.eks.amazonaws.com";

/// How long to wait before trying again what has just failed, or what waits
/// for something that Kubernetes does not tell of (EC2, access entries).
const RETRY: Duration = Duration::from_millis(500);

/// Whether nodes with that IAM role (its name, without path) may join the
/// cluster: an access entry of type EC2 with AmazonEKSAutoNodePolicy.
pub type NodeRoleCheck = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What the stand-in needs to know of its cluster.
#[derive(Clone)]
pub struct AutoModeConfig {
    /// The cluster's name.
    pub cluster: String,
    /// Its region.
    pub region: String,
    /// Its account.
    pub account: String,
    /// An administrator's client of its API server.
    pub client: Client,
    /// The address of the backend that emulates EC2, not of the front.
    pub ec2_endpoint: String,
    /// Asked before a NodeClass becomes Ready.
    pub may_join: NodeRoleCheck,
    /// How long a node takes from its claim to joining.
    pub node_delay: Duration,
}

/// Why the stand-in could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("Kubernetes: {0}")]
    Kubernetes(#[from] kube::Error),
    /// A definition was not established.
    #[error("waiting for {0}: {1}")]
    Established(String, kube::runtime::wait::Error),
    /// A definition of ours is not one.
    #[error("a definition cannot be read: {0}")]
    Definition(#[from] serde_json::Error),
    /// The address of EC2 is not one.
    #[error("EC2's address: {0}")]
    Endpoint(String),
    /// EC2 answered something else.
    #[error("{action}: EC2's answer cannot be read: {why}")]
    Answer {
        /// The call.
        action: &'static str,
        /// Why.
        why: String,
    },
    /// EC2 refused, or did not answer.
    #[error("{action}: {code}: {message}")]
    Ec2 {
        /// The call.
        action: &'static str,
        /// The code.
        code: String,
        /// The message.
        message: String,
    },
}

/// Installs what a cluster with Auto Mode has from the start: the definitions
/// of its custom resources, waited for, and the CSI driver object. Meant to be
/// done before the cluster is ACTIVE; `run` does it again.
pub async fn install(client: &Client) -> Result<(), Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let apply = PatchParams::apply(MANAGER).force();
    for crd in crds::definitions()? {
        api.patch(&crd.name_any(), &apply, &Patch::Apply(&crd))
            .await?;
    }
    for crd in crds::definitions()? {
        let name = crd.name_any();
        let established = conditions::is_crd_established();
        await_condition(api.clone(), &name, established)
            .await
            .map_err(|why| Error::Established(name, why))?;
    }
    // Attaching is left out: simulated nodes mount nothing, and nobody would
    // answer the attach-detach controller.
    let driver = serde_json::json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": PROVISIONER},
        "spec": {"attachRequired": false},
    });
    let drivers: Api<CSIDriver> = Api::all(client.clone());
    drivers
        .patch(PROVISIONER, &apply, &Patch::Apply(&driver))
        .await?;
    Ok(())
}

/// Runs the stand-in until it is cancelled. Failures of single passes are
/// logged and tried again.
pub async fn run(config: AutoModeConfig, cancel: CancellationToken) -> Result<(), Error> {
    install(&config.client).await?;
    let stores = Stores::watch(&config.client, &cancel);
    tokio::select! {
        () = cancel.cancelled() => return Ok(()),
        () = stores.ready() => {}
    }
    let stand_in = StandIn {
        ec2: ec2::Ec2::new(&config)?,
        config,
        stores,
    };
    let mut memory = Memory::default();
    loop {
        let again = match stand_in.pass(&mut memory).await {
            Ok(again) => again,
            Err(why) => {
                tracing::warn!(cluster = stand_in.config.cluster, %why, "Auto Mode: trying again");
                Some(Instant::now() + RETRY)
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = stand_in.stores.changed() => {}
            () = until(again) => {}
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The parts that every room works with.
struct StandIn {
    config: AutoModeConfig,
    ec2: ec2::Ec2,
    stores: Stores,
}

impl StandIn {
    /// One pass over everything; when to look again although nothing changed.
    async fn pass(&self, memory: &mut Memory) -> Result<Option<Instant>, Error> {
        memory.forget_seen(&self.stores);
        let classes = self.node_classes(memory).await?;
        self.node_pools(&classes).await?;
        let starting = self.start_nodes(&classes, memory).await?;
        let joining = self.node_claims(memory).await?;
        let draining = self.leaving_nodes().await?;
        self.volumes().await?;
        Ok([classes.again, starting, joining, draining]
            .into_iter()
            .flatten()
            .min())
    }
}
