//! The guard: asked before every attempt of every AWS request, so that a run
//! that lost its lease stops within one request and not at its next step.

use std::sync::Arc;

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};

/// Says whether a request may leave.
pub trait Guard: Send + Sync + std::fmt::Debug {
    /// # Errors
    /// Why it may not, in words.
    fn check(&self) -> Result<(), String>;
}

/// Lets everything pass: for runs that only read, and for the ledger itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Guard for Open {
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What the guard said when it refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// Puts the guard in front of a client. It sits at the connector, below the
/// SDK's retries, so no service client can forget it.
pub(crate) fn guarded(client: SharedHttpClient, guard: Arc<dyn Guard>) -> SharedHttpClient {
    SharedHttpClient::new(GuardedClient { client, guard })
}

#[derive(Debug)]
struct GuardedClient {
    client: SharedHttpClient,
    guard: Arc<dyn Guard>,
}

impl HttpClient for GuardedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.client.http_connector(settings, components);
        SharedHttpConnector::new(GuardedConnector {
            connector,
            guard: Arc::clone(&self.guard),
        })
    }
}

#[derive(Debug)]
struct GuardedConnector {
    connector: SharedHttpConnector,
    guard: Arc<dyn Guard>,
}

impl HttpConnector for GuardedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match self.guard.check() {
            Ok(()) => self.connector.call(request),
            Err(why) => HttpConnectorFuture::ready(Err(ConnectorError::user(Refused(why).into()))),
        }
    }
}
