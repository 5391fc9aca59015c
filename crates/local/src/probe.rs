//! Asking a part whether it is ready.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::net::TcpStream;

/// A question whose answer says whether a part is ready.
pub(crate) enum Probe<'a> {
    /// A health check over HTTPS, by its path.
    Healthy(&'a Client, &'static str),
    /// Whether pods could be made: the controllers have given the namespace
    /// `default` its service account, without which every pod is refused.
    ControllersWork(&'a Client),
    /// Whether something listens on a port of 127.0.0.1.
    Listens(u16),
}

impl Probe<'_> {
    /// Asks once; the error says what is missing.
    pub(crate) async fn ask(&self) -> Result<(), String> {
        match self {
            Self::Healthy(client, path) => {
                let request = http::Request::get(*path).body(Vec::new());
                let request = request.map_err(|error| error.to_string())?;
                let answer = client.request_text(request).await;
                answer.map(drop).map_err(|error| chain(&error))
            }
            Self::ControllersWork(client) => {
                let accounts: Api<ServiceAccount> = Api::namespaced((*client).clone(), "default");
                let account = accounts.get("default").await;
                account.map(drop).map_err(|error| chain(&error))
            }
            Self::Listens(port) => {
                let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await;
                connected
                    .map(drop)
                    .map_err(|error| format!("port {port}: {error}"))
            }
        }
    }
}

/// A client by a kubeconfig.
pub(crate) async fn client(kubeconfig: Kubeconfig) -> Result<Client> {
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("the control plane's own kubeconfig is not accepted")?;
    config.connect_timeout = Some(Duration::from_secs(2));
    // A proxy of the user's must not stand between parts of one machine.
    config.proxy_url = None;
    Client::try_from(config).context("no client for the control plane")
}

/// The error with its causes, less those that only repeat it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
