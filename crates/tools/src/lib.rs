//! Finds, downloads or builds the programs that the local stack runs: helm, a
//! Kubernetes control plane, KWOK, Argo CD, moto and a Redis.
//!
//! A tool is taken from `PATH` if its version is the pinned one, else from the
//! cache, else its release is downloaded and checked, else it is built by Go or
//! installed by pip from the pinned manifests in the folder `tools/`. An entry
//! of the cache appears by one rename, so an interrupted run leaves none that
//! is broken.
//!
//! The crate is synchronous and light on purpose: xtask links it and has to
//! compile in seconds. Transfers are made by `curl`, archives are opened by
//! `tar` and Python, all as child processes.

mod cache;
mod download;
mod ensure;
mod go;
mod pins;
mod pip;
mod probe;
mod run;
mod surroundings;

pub use ensure::{Progress, ensure, ensure_in, lookup, lookup_in};
pub use surroundings::{Downloads, Surroundings, cache_dir};

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A program that the local stack runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// Helm, which installs the charts, in the real world as well.
    Helm,
    /// kubectl, for a person's own look at the cluster.
    Kubectl,
    /// etcd, one per emulated cluster.
    Etcd,
    /// The Kubernetes API server.
    KubeApiserver,
    /// The Kubernetes controller manager.
    KubeControllerManager,
    /// The Kubernetes scheduler.
    KubeScheduler,
    /// KWOK, which plays the kubelets of simulated nodes.
    Kwok,
    /// Argo CD: one binary, every component by `ARGOCD_BINARY_NAME`.
    ArgoCd,
    /// moto's server, the AWS behind the front.
    Moto,
    /// A Redis (valkey-server), Argo CD's cache.
    Redis,
}

impl Tool {
    /// Every tool, in the order in which lists show them.
    pub const ALL: [Self; 10] = [
        Self::Helm,
        Self::Kubectl,
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kwok,
        Self::ArgoCd,
        Self::Moto,
        Self::Redis,
    ];

    /// The name in lists, in the cache and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        pins::pin(self).name
    }

    /// The pinned version, without a leading `v`.
    #[must_use]
    pub fn version(self) -> &'static str {
        pins::pin(self).version
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Tool {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|tool| tool.name() == name)
            .ok_or_else(|| {
                let known: Vec<_> = Self::ALL.iter().map(|tool| tool.name()).collect();
                anyhow::anyhow!("no tool is called `{name}`; there are {}", known.join(", "))
            })
    }
}

/// Where a tool came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It was on `PATH` in the right version.
    Path,
    /// It was in the cache before.
    Cache,
    /// This call downloaded its release.
    Downloaded,
    /// This call built it, or installed it by pip.
    Built,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Path => "path",
            Self::Cache => "cache",
            Self::Downloaded => "downloaded",
            Self::Built => "built",
        })
    }
}

/// A tool that can be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Which tool.
    pub tool: Tool,
    /// The version it gave of itself.
    pub version: String,
    /// Where it came from.
    pub origin: Origin,
    /// The program.
    pub path: PathBuf,
}
