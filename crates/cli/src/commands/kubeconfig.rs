//! `trunkline kubeconfig` and `trunkline token`.

use std::{env, fs, process::ExitCode};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use super::print_json;
use crate::{
    args::{Global, Target},
    context::{self, hint},
    exit::{self, Wrong},
};

/// A kubeconfig without any secret: its tokens are made when they are asked
/// for. JSON is YAML, so kubectl reads it.
pub(crate) async fn run(target: &Target, global: &Global) -> anyhow::Result<ExitCode> {
    let connection = context::connection(target, global).await?;
    let name = connection.environment().name().to_string();
    let Some(endpoint) = connection.cluster_endpoint().await? else {
        let deploy = hint(&format!("deploy {}", target.environment));
        return Err(Wrong(format!("{name} has no cluster yet\n  do: {deploy}")).into());
    };
    let file = fs::canonicalize(context::find(&target.environment)?)?;
    let program = env::current_exe().context("this program's own path cannot be read")?;
    // Where AWS is, when it is not where it always is; never a credential.
    let variables: Vec<_> = ["AWS_ENDPOINT_URL", "AWS_PROFILE"]
        .iter()
        .filter_map(|name| Some(json!({"name": name, "value": env::var(name).ok()?})))
        .collect();
    let context = format!("trunkline-{name}");
    print_json(&json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": {
            "server": endpoint.url,
            "certificate-authority-data": BASE64_STANDARD.encode(&endpoint.certificate_authority),
        }}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "users": [{"name": context, "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": program,
            "args": ["token", file],
            "env": variables,
            "interactiveMode": "Never",
            "provideClusterInfo": false,
        }}}],
    }))?;
    Ok(ExitCode::from(exit::DONE))
}

/// An ExecCredential, as kubectl's exec plugins print it.
pub(crate) async fn token(target: &Target, global: &Global) -> anyhow::Result<ExitCode> {
    let environment = context::environment(target, global)?;
    let token = trunkline_pipeline::token(&environment).await?;
    print_json(&json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {
            "token": token.secret,
            // A minute early, so that none ends on its way.
            "expirationTimestamp": (token.expires - jiff::SignedDuration::from_secs(60)).to_string(),
        },
    }))?;
    Ok(ExitCode::from(exit::DONE))
}
