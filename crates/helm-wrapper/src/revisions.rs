//! Releases as they are: read from the labels of helm's Secrets, in one list call
//! of metadata alone.

use std::{collections::BTreeMap, io::Read};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunkline_engine::Failure;
use trunkline_objects::{Cluster, Kind, Object, ObjectRef, Selection};

use crate::{failure::invalid, release::INPUTS_LABEL};

/// What helm says of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Installed, and nothing went wrong.
    Deployed,
    /// Ended badly; the next upgrade repairs it.
    Failed,
    /// Replaced by a newer one.
    Superseded,
    /// helm was killed in the middle, or is running now.
    Pending,
    /// An uninstall was killed in the middle, or is running now.
    Uninstalling,
    /// Gone, with its history kept.
    Uninstalled,
    /// Another word.
    Unknown,
}

/// The newest revision of one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The release's namespace.
    pub namespace: String,
    /// The release's name.
    pub name: String,
    /// The number of the revision.
    pub revision: u32,
    /// Its status.
    pub status: Status,
    /// What it was made from; none when somebody else's helm made it.
    pub inputs: Option<String>,
    /// The uid of its Secret, so that exactly this one can be deleted.
    pub uid: String,
}

impl Installed {
    /// Whether nothing is to be done for these inputs.
    #[must_use]
    pub fn is_settled(&self, inputs: &str) -> bool {
        self.status == Status::Deployed && self.inputs.as_deref() == Some(inputs)
    }

    /// The Secret that holds it.
    #[must_use]
    pub fn secret(&self) -> ObjectRef {
        let name = format!("sh.helm.release.v1.{}.v{}", self.name, self.revision);
        ObjectRef::secret(&self.namespace, &name)
    }
}

/// The newest revision of every release of the cluster. Reads no payload: 8 MB
/// with payloads are 20 kB without.
///
/// # Errors
/// When they cannot be listed.
pub async fn installed(cluster: &Cluster) -> Result<Vec<Installed>, Failure> {
    let selection = Selection::labelled("owner=helm").metadata_only();
    newest_of(cluster, &selection).await
}

/// The newest revision of one release.
///
/// # Errors
/// When it cannot be read.
pub async fn installed_one(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<Installed>, Failure> {
    let labels = format!("owner=helm,name={name}");
    let selection = Selection::labelled(labels)
        .within(namespace)
        .metadata_only();
    Ok(newest_of(cluster, &selection).await?.pop())
}

async fn newest_of(cluster: &Cluster, selection: &Selection) -> Result<Vec<Installed>, Failure> {
    let secrets = cluster.list(&Kind::new("v1", "Secret"), selection).await?;
    Ok(newest(secrets.iter().filter_map(revision)))
}

fn newest(all: impl Iterator<Item = Installed>) -> Vec<Installed> {
    let mut newest: BTreeMap<(String, String), Installed> = BTreeMap::new();
    for one in all {
        let key = (one.namespace.clone(), one.name.clone());
        if newest
            .get(&key)
            .is_none_or(|known| known.revision < one.revision)
        {
            newest.insert(key, one);
        }
    }
    newest.into_values().collect()
}

fn revision(secret: &Object) -> Option<Installed> {
    let status = match secret.label("status")? {
        "deployed" => Status::Deployed,
        "failed" => Status::Failed,
        "superseded" => Status::Superseded,
        "uninstalling" => Status::Uninstalling,
        "uninstalled" => Status::Uninstalled,
        pending if pending.starts_with("pending-") => Status::Pending,
        _ => Status::Unknown,
    };
    Some(Installed {
        namespace: secret.namespace()?.to_owned(),
        name: secret.label("name")?.to_owned(),
        revision: secret.label("version")?.parse().ok()?,
        status,
        inputs: secret.label(INPUTS_LABEL).map(str::to_owned),
        uid: secret.uid()?.to_owned(),
    })
}

/// The manifest and hooks of a release, out of its Secret.
pub(crate) fn manifest(secret: &Object) -> Result<String, Failure> {
    let text = || -> Option<String> {
        let outer = BASE64_STANDARD.decode(secret.text("/data/release")?).ok()?;
        let inner = BASE64_STANDARD.decode(outer).ok()?;
        let mut text = String::new();
        GzDecoder::new(inner.as_slice())
            .read_to_string(&mut text)
            .ok()?;
        let release: Value = serde_json::from_str(&text).ok()?;
        Some(release["manifest"].as_str()?.to_owned())
    };
    text().ok_or_else(|| {
        invalid(
            "read a release",
            format!("{} holds no release", secret.reference()),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(name: &str, version: u32, status: &str) -> Object {
        let reference =
            ObjectRef::secret("argocd", &format!("sh.helm.release.v1.{name}.v{version}"));
        let mut body = Object::build(reference, json!({})).into_body();
        body["metadata"]["uid"] = json!(format!("uid-{version}"));
        body["metadata"]["labels"] = json!({"owner": "helm", "name": name, "status": status,
            "version": version.to_string(), "inputs": "abc"});
        Object::new(body).unwrap()
    }

    #[test]
    fn the_newest_revision_counts_by_number() {
        let all = [
            secret("a", 9, "superseded"),
            secret("a", 10, "pending-upgrade"),
            secret("b", 1, "deployed"),
        ];
        let newest = newest(all.iter().filter_map(revision));
        let short: Vec<_> = newest
            .iter()
            .map(|one| (one.revision, one.status))
            .collect();
        assert_eq!(short, [(10, Status::Pending), (1, Status::Deployed)]);
        assert_eq!(newest[0].secret().name, "sh.helm.release.v1.a.v10");
        assert!(!newest[0].is_settled("abc"));
        assert!(newest[1].is_settled("abc") && !newest[1].is_settled("abd"));
    }
}
