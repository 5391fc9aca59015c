//! The private folder of one run of helm: kubeconfig, token, values, and homes
//! that nothing else is in. Gone with the run.

use std::{
    convert::Infallible,
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use trunkline_engine::Failure;
use trunkline_objects::Cluster;

use crate::{Helm, failure::file};

/// How often the token file is looked after. helm reads it again once a minute;
/// the token handed out is good for at least three.
const REFRESH: Duration = Duration::from_secs(60);

/// A folder that only we can read.
pub(crate) struct Private(TempDir);

impl Private {
    pub(crate) fn new() -> Result<Self, Failure> {
        tempfile::Builder::new()
            .prefix("trunkline-helm-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map(Self)
            .map_err(|e| file("make a private folder", &e))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that only we can read. Replaces it as a whole: a reader sees
    /// the old or the new one.
    pub(crate) fn write(&self, name: &str, text: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        write_private(&path, text).map_err(|e| file(&format!("write {name}"), &e))?;
        Ok(path)
    }

    /// helm with nothing of our environment but what was passed on purpose: no
    /// AWS keys, no `HELM_*` or `KUBE*` of the user, no plugins.
    pub(crate) fn command(&self, helm: &Helm) -> Command {
        let mut command = Command::new(helm.binary());
        command
            .env_clear()
            .envs(helm.passed())
            .env("HOME", self.0.path())
            .env("TMPDIR", self.0.path())
            .env("HELM_CACHE_HOME", self.path("cache"))
            .env("HELM_CONFIG_HOME", self.path("config"))
            .env("HELM_DATA_HOME", self.path("data"))
            .env("HELM_PLUGINS", self.path("plugins"))
            .env("KUBECONFIG", self.path("kubeconfig"))
            .current_dir(self.0.path());
        command
    }

    /// Writes values; they never are arguments.
    pub(crate) fn values(&self, values: &Value) -> Result<PathBuf, Failure> {
        self.write("values.json", values.to_string().as_bytes())
    }

    /// Writes the kubeconfig and the token it names.
    pub(crate) async fn kubeconfig(&self, cluster: &Cluster) -> Result<PathBuf, Failure> {
        self.token(cluster).await?;
        let endpoint = cluster.endpoint();
        let authority = BASE64_STANDARD.encode(&endpoint.certificate_authority);
        // JSON is YAML.
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "this",
            "clusters": [{"name": "this", "cluster": {
                "server": endpoint.url, "certificate-authority-data": authority}}],
            "users": [{"name": "this", "user": {"tokenFile": self.path("token")}}],
            "contexts": [{"name": "this", "context": {"cluster": "this", "user": "this"}}],
        });
        self.write("kubeconfig", config.to_string().as_bytes())
    }

    async fn token(&self, cluster: &Cluster) -> Result<(), Failure> {
        let token = cluster.token().await?;
        self.write("token", token.secret.expose_secret().as_bytes())
            .map(|_| ())
    }

    /// Keeps the token file fresh for as long as it is polled.
    pub(crate) async fn keep_fresh(&self, cluster: &Cluster) -> Infallible {
        loop {
            tokio::time::sleep(REFRESH).await;
            // A token that cannot be had now is tried for again before the old
            // one ends; when it does end, helm says so.
            if let Err(failure) = self.token(cluster).await {
                tracing::warn!(%failure, "the token for helm could not be renewed");
            }
        }
    }
}

fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text)?;
    drop(file);
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_can_read_it() {
        let private = Private::new().unwrap();
        let file = private.write("token", b"secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().unwrap()), 0o700);
        private.write("token", b"next").unwrap();
        assert_eq!(
            (fs::read(&file).unwrap(), mode(&file)),
            (b"next".to_vec(), 0o600)
        );
        drop(private);
        assert!(!file.exists());
    }
}
