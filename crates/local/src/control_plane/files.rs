//! The files that a control plane is configured by.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use ulid::Ulid;

use super::pki::Pki;

/// How KWOK plays nodes and pods.
const STAGES: &str = include_str!("stages.yaml");

/// The range of service addresses, EKS's own default, and its first address.
pub(super) const SERVICES: &str = "172.20.0.0/16";
const FIRST_SERVICE: Ipv4Addr = Ipv4Addr::new(172, 20, 0, 1);

/// Who speaks to the API server from inside of the stack. Names of their own,
/// so that the audit log tells them from the deployer.
const USERS: [(&str, &str); 5] = [
    ("admin", "trunkline-local:admin"),
    ("argo-cd", "trunkline-local:argo-cd"),
    ("controller-manager", "system:kube-controller-manager"),
    ("scheduler", "system:kube-scheduler"),
    ("kwok", "trunkline-local:kwok"),
];

/// The folder of one control plane.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder, wherever it is.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// A file or folder in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The kubeconfig of one of the stack's own users.
    pub(super) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.path(&format!("{user}.kubeconfig"))
    }

    /// Where writes to the API server are recorded.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.path("audit.log")
    }

    /// The log of one of its processes.
    pub(super) fn log(&self, part: &str) -> PathBuf {
        self.path(&format!("logs/{part}.log"))
    }

    /// Writes everything for an API server at `url`; gives its CA.
    pub(super) fn fill(&self, url: &str, token_webhook: &str) -> Result<String> {
        self.clear()?;
        fs::create_dir_all(self.path("logs"))
            .with_context(|| format!("{} cannot be made", self.root.display()))?;
        let pki = Pki::new(FIRST_SERVICE)?;
        self.write("ca.pem", &pki.ca)?;
        self.write("server.pem", &pki.certificate)?;
        self.write("server.key", &pki.key)?;
        self.write("service-accounts.key", &pki.signing_key)?;
        self.write("service-accounts.pub", &pki.signing_public_key)?;
        let mut tokens = String::new();
        for (user, name) in USERS {
            // Two: 160 random bits.
            let token = format!("{}{}", Ulid::generate(), Ulid::generate());
            tokens.push_str(&format!("{token},{name},{user},system:masters\n"));
            self.write_json(
                &format!("{user}.kubeconfig"),
                &kubeconfig(url, &pki.ca, Some(&token)),
            )?;
        }
        self.write("tokens.csv", &tokens)?;
        self.write_json(
            "token-webhook.kubeconfig",
            &kubeconfig(token_webhook, "", None),
        )?;
        self.write_json("authentication.json", &authentication())?;
        self.write_json("audit-policy.json", &audit_policy())?;
        self.write_json("scheduler.json", &scheduler(&self.kubeconfig("scheduler")))?;
        self.write("stages.yaml", STAGES)?;
        Ok(pki.ca)
    }

    /// Removes it with all that is in it.
    pub(super) fn clear(&self) -> Result<()> {
        match crate::argo_cd::remove(&self.root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", self.root.display()))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.path(name);
        let mut options = fs::File::options();
        options.create(true).truncate(true).write(true).mode(0o600);
        options
            .open(&file)
            .and_then(|mut open| open.write_all(text.as_bytes()))
            .with_context(|| format!("{} cannot be written", file.display()))
    }

    fn write_json(&self, name: &str, value: &Value) -> Result<()> {
        self.write(name, &format!("{value:#}"))
    }
}

/// A kubeconfig of one cluster and one user; JSON, which is YAML.
pub(super) fn kubeconfig(server: &str, ca: &str, token: Option<&str>) -> Value {
    use base64::Engine;
    let mut cluster = json!({ "server": server });
    if !ca.is_empty() {
        let encoded = base64::engine::general_purpose::STANDARD.encode(ca);
        cluster["certificate-authority-data"] = encoded.into();
    }
    let user = token.map_or(json!({}), |token| json!({ "token": token }));
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "local", "cluster": cluster }],
        "users": [{ "name": "local", "user": user }],
        "contexts": [{ "name": "local", "context": { "cluster": "local", "user": "local" } }],
        "current-context": "local",
    })
}

/// Anonymous requests reach the health checks alone, as at EKS since 1.32
/// (docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions-standard.html).
fn authentication() -> Value {
    let paths = ["/livez", "/readyz", "/healthz"].map(|path| json!({ "path": path }));
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1beta1",
        "kind": "AuthenticationConfiguration",
        "anonymous": { "enabled": true, "conditions": paths },
    })
}

/// Alone, so there is no leader to elect. A pod that waits for its node is
/// tried again soon: the node comes within a second here, not within minutes.
fn scheduler(kubeconfig: &Path) -> Value {
    json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": { "kubeconfig": kubeconfig },
        "leaderElection": { "leaderElect": false },
        "podInitialBackoffSeconds": 1,
        "podMaxBackoffSeconds": 1,
    })
}

/// Who wrote what, without bodies; not the writes that happen by themselves
/// all the time and say nothing about a deployment.
fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "None", "verbs": ["get", "list", "watch"] },
            { "level": "None", "resources": [
                { "group": "coordination.k8s.io", "resources": ["leases"] },
                { "group": "", "resources": ["events"] },
                { "group": "events.k8s.io", "resources": ["events"] },
                { "group": "authentication.k8s.io" },
                { "group": "authorization.k8s.io" },
            ] },
            { "level": "Metadata" },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_filled_and_cleared() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::new(parent.path().join("sandbox"));
        let ca = folder
            .fill("https://127.0.0.1:1", "http://127.0.0.1:2/token")
            .unwrap();
        assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"));
        let tokens = fs::read_to_string(folder.path("tokens.csv")).unwrap();
        assert_eq!(tokens.lines().count(), USERS.len());
        let admin = kube::config::Kubeconfig::read_from(folder.kubeconfig("admin")).unwrap();
        let server = admin.clusters[0]
            .cluster
            .as_ref()
            .unwrap()
            .server
            .as_deref();
        assert_eq!(server, Some("https://127.0.0.1:1"));
        assert_ne!(
            ca,
            folder
                .fill("https://127.0.0.1:1", "http://127.0.0.1:2/token")
                .unwrap()
        );
        folder.clear().unwrap();
        folder.clear().unwrap();
        assert!(!folder.path("ca.pem").exists());
    }
}
