//! The connection to one cluster: client, tokens, time-outs, error classes.

use std::{fmt, sync::Arc, time::Duration};

use http::Request;
use kube::{Client, Config, client::ClientBuilder};
use serde_json::Value;
use tokio::sync::RwLock;
use tower::{buffer::BufferLayer, filter::AsyncFilterLayer};
use trunkline_engine::{Failure, FailureKind};
use trunkline_ids::ClusterEndpoint;

use crate::{
    Token, TokenSource,
    auth::Tokens,
    discovery::Served,
    failure::{Access, cause, failure, timed_out},
};

/// How long one request may take. Watches have a time-out of their own.
const REQUEST: Duration = Duration::from_secs(30);
/// How long a TCP and TLS handshake may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Requests that may wait inside the client.
const QUEUE: usize = 1024;

/// A connection to one cluster's API server. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    pub(crate) served: Arc<RwLock<Option<Arc<Served>>>>,
    endpoint: Arc<ClusterEndpoint>,
    tokens: Tokens,
}

impl Cluster {
    /// Prepares a connection; nothing is sent yet. Must be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// When the URL or the certificate authority cannot be read.
    pub fn connect(
        endpoint: &ClusterEndpoint,
        source: Arc<dyn TokenSource>,
    ) -> Result<Self, Failure> {
        let tokens = Tokens::new(source);
        let signer = tokens.clone();
        let config = config(endpoint)?;
        let stack = ClientBuilder::try_from(config).map_err(|e| unusable(endpoint, e))?;
        let client = stack
            .with_layer(&BufferLayer::new(QUEUE))
            .with_layer(&AsyncFilterLayer::new(move |request| {
                signer.clone().sign(request)
            }))
            .build();
        Ok(Self {
            client,
            served: Arc::default(),
            endpoint: Arc::new(endpoint.clone()),
            tokens,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn endpoint(&self) -> &ClusterEndpoint {
        &self.endpoint
    }

    /// The client, for what this crate does not do. It signs every request.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A token that is good for some minutes, for a child that needs one in a
    /// file.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn token(&self) -> Result<Token, Failure> {
        self.tokens.get().await
    }

    /// The version the API server calls itself, `v1.35.4`.
    ///
    /// # Errors
    /// When it does not answer or refuses.
    pub async fn version(&self) -> Result<String, Failure> {
        let answer = self.get_path("version", "/version").await?;
        Ok(answer["gitVersion"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the API server answers us and is ready.
    ///
    /// Right after a cluster became ACTIVE its endpoint may refuse for a while,
    /// and a new access entry takes some seconds to be known: both are waited
    /// for here and nowhere else.
    ///
    /// # Errors
    /// The last answer, when the time is over.
    pub async fn reachable(
        &self,
        within: Duration,
        notify: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<(), Failure> {
        let end = tokio::time::Instant::now() + within;
        let mut pause = Duration::from_millis(50);
        loop {
            // Readiness alone may be open to everybody: the second one asks as us.
            let answer = match self.get_text("readyz", "/readyz").await {
                Ok(_) => self.get_path("api", "/api").await.map(|_| ()),
                Err(failure) => Err(failure),
            };
            let Err(failure) = answer else { return Ok(()) };
            let waits = failure.is_passing() || failure.kind == FailureKind::Denied;
            if !waits || tokio::time::Instant::now() + pause > end {
                return Err(failure);
            }
            notify(&format!("the API server does not answer us yet: {failure}"));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Sends one request and reads its answer as JSON.
    pub(crate) async fn send(
        &self,
        access: Access,
        action: &str,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, Failure> {
        let request = request
            .map_err(|e| Failure::bug(format!("{action}: the request cannot be built: {e}")))?;
        let answer = tokio::time::timeout(REQUEST, self.client.request::<Value>(request)).await;
        answer
            .map_err(|_| timed_out(access, action, REQUEST.as_secs()))?
            .map_err(|error| failure(access, action, error))
    }

    /// Reads one path as JSON.
    pub(crate) async fn get_path(&self, action: &str, path: &str) -> Result<Value, Failure> {
        let text = self.get_text(action, path).await?;
        serde_json::from_str(&text)
            .map_err(|e| Failure::bug(format!("{path} answered something that is no JSON: {e}")))
    }

    async fn get_text(&self, action: &str, path: &str) -> Result<String, Failure> {
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(|e| Failure::bug(format!("{path}: {e}")))?;
        self.read_text(action, request).await
    }

    /// Sends a reading request and returns its answer as text.
    pub(crate) async fn read_text(
        &self,
        action: &str,
        request: Request<Vec<u8>>,
    ) -> Result<String, Failure> {
        let answer = tokio::time::timeout(REQUEST, self.client.request_text(request)).await;
        answer
            .map_err(|_| timed_out(Access::Read, action, REQUEST.as_secs()))?
            .map_err(|error| failure(Access::Read, action, error))
    }
}

fn config(endpoint: &ClusterEndpoint) -> Result<Config, Failure> {
    let url = endpoint.url.parse().map_err(|e| unusable(endpoint, e))?;
    let mut config = Config::new(url);
    let certificates = pem_to_der(&endpoint.certificate_authority);
    if certificates.is_empty() {
        return Err(unusable(
            endpoint,
            "its certificate authority holds no certificate",
        ));
    }
    config.root_cert = Some(certificates);
    config.connect_timeout = Some(CONNECT);
    // The walk retries by kind of failure; kube's own policy would hide up to
    // 15 throttled answers inside one request.
    config.default_retry = false;
    Ok(config)
}

/// The certificates of a PEM text.
fn pem_to_der(text: &str) -> Vec<Vec<u8>> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    text.split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .filter_map(|rest| rest.split_once("-----END CERTIFICATE-----"))
        .filter_map(|(body, _)| {
            let compact: String = body.split_whitespace().collect();
            BASE64_STANDARD.decode(compact).ok()
        })
        .collect()
}

fn unusable(endpoint: &ClusterEndpoint, why: impl fmt::Display) -> Failure {
    let text = format!(
        "the connection to cluster {} cannot be made: {why}",
        endpoint.name
    );
    Failure::new(FailureKind::Invalid, cause("connect", String::new(), text)).clear()
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Cluster({} at {})",
            self.endpoint.name, self.endpoint.url
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FixedToken;

    #[tokio::test]
    async fn what_is_no_certificate_is_said() {
        let endpoint = ClusterEndpoint {
            name: "a".into(),
            url: "https://127.0.0.1:1".into(),
            certificate_authority: "nothing".into(),
        };
        let failure = Cluster::connect(&endpoint, Arc::new(FixedToken::new("x"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert!(failure.to_string().contains("holds no certificate"));
    }
}
