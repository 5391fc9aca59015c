//! The seam to the Kubernetes control planes behind clusters.

use async_trait::async_trait;

/// A control plane that a created cluster needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlPlane {
    /// Name of the cluster.
    pub cluster: String,
    /// Kubernetes version of the cluster: `1.35`.
    pub version: String,
    /// The AWS account.
    pub account: String,
    /// The region.
    pub region: String,
    /// URL that the API server has to ask about tokens (TokenReview, plain http).
    pub token_webhook: String,
}

/// Where a control plane answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// URL of the API server.
    pub url: String,
    /// Certificate authority of its serving certificate, PEM.
    pub ca_pem: String,
}

/// Starts and stops control planes.
#[async_trait]
pub trait ControlPlanes: Send + Sync {
    /// Starts one and returns once it answers. An error leaves the cluster FAILED.
    async fn start(&self, wanted: &ControlPlane) -> Result<Endpoint, String>;

    /// Stops the one of a cluster and forgets its data; one that does not run is no error.
    async fn stop(&self, cluster: &str) -> Result<(), String>;
}

/// No control plane at all: clusters get an endpoint at which nothing answers.
/// For tests that stop at the EKS API.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoControlPlane;

#[async_trait]
impl ControlPlanes for NoControlPlane {
    async fn start(&self, _wanted: &ControlPlane) -> Result<Endpoint, String> {
        // Port 1 (tcpmux) has no listener on any machine of this century.
        Ok(Endpoint {
            url: "https://127.0.0.1:1".into(),
            ca_pem: String::new(),
        })
    }

    async fn stop(&self, _cluster: &str) -> Result<(), String> {
        Ok(())
    }
}
