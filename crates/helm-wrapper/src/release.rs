//! A release as wished, what it is made from, and what it renders to.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use trunkline_engine::Failure;
use trunkline_objects::Object;

use crate::{
    Chart, Helm,
    binary::check_values,
    failure::{Access, invalid},
    private::Private,
    yaml,
};

/// The label on helm's Secrets that holds [`Release::inputs`].
pub const INPUTS_LABEL: &str = "inputs";
/// Length of the hash: a label's value has at most 63 characters.
const INPUTS: usize = 48;
/// How long rendering may take.
const RENDER: Duration = Duration::from_secs(60);

/// A release as wished.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// The namespace it lives in; it must exist before the install.
    pub namespace: String,
    /// The chart.
    pub chart: Chart,
    /// Its values, a map. No secrets: helm keeps them in clear.
    pub values: Value,
}

/// What a cluster can do, as far as charts ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The version of Kubernetes, `1.35`.
    pub kube_version: String,
    /// API versions beyond the built-in ones: `monitoring.coreos.com/v1`.
    pub api_versions: Vec<String>,
}

impl Release {
    /// A hash over everything that decides what the release installs. Kept as
    /// label [`INPUTS_LABEL`]: when it is the same, helm need not be called.
    #[must_use]
    pub fn inputs(&self) -> String {
        let all = json!({
            // Raised when this crate would install the same inputs differently.
            "format": 1,
            "chart": [self.chart.name, self.chart.version, self.chart.digest],
            "values": sorted(&self.values),
        });
        let hash = hex::encode(Sha256::digest(all.to_string()));
        hash[..INPUTS].to_owned()
    }
}

/// The same value with its keys in order: the order of a map means nothing.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            keys.into_iter()
                .map(|key| (key.clone(), sorted(&map[key])))
                .collect()
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        plain => plain.clone(),
    }
}

impl Helm {
    /// The objects a release consists of, with CRDs and hooks
    /// ([`is_hook`]), in helm's order. Asks no cluster.
    ///
    /// Objects whose manifest names no namespace have none here; helm puts those
    /// that need one into the release's.
    ///
    /// # Errors
    /// `Invalid` when chart and values do not fit.
    pub async fn render(
        &self,
        release: &Release,
        capabilities: &Capabilities,
    ) -> Result<Vec<Object>, Failure> {
        let action = format!("template {}", release.name);
        check_values(&action, &release.values)?;
        let private = Private::new()?;
        let values = private.values(&release.values)?;
        let mut command = private.command(self);
        command
            .args(["template", &release.name])
            .arg(&release.chart.path);
        command.args([
            "--namespace",
            &release.namespace,
            "--include-crds",
            "--skip-tests",
        ]);
        command.args(["--kube-version", &capabilities.kube_version]);
        if !capabilities.api_versions.is_empty() {
            command.args(["--api-versions", &capabilities.api_versions.join(",")]);
        }
        command.arg("--values").arg(values);
        let ended = self.run(Access::Read, &action, command, RENDER).await?;
        // Megabytes of CRDs: some 100 ms that other tasks need not wait for.
        let parse = move || objects(&action, &String::from_utf8_lossy(&ended.stdout));
        tokio::task::spawn_blocking(parse)
            .await
            .map_err(|e| Failure::bug(format!("reading what helm wrote: {e}")))?
    }
}

/// The objects of a manifest.
pub(crate) fn objects(action: &str, manifest: &str) -> Result<Vec<Object>, Failure> {
    let documents = yaml::documents(action, manifest)?;
    let mut all = Vec::new();
    for document in documents {
        // A List is how some templates write several objects at once.
        let items = match document["kind"].as_str() {
            Some(kind) if kind.ends_with("List") && document["items"].is_array() => {
                document["items"].as_array().cloned().unwrap_or_default()
            }
            _ => vec![document],
        };
        for item in items {
            all.push(Object::new(item).map_err(|e| invalid(action, e.to_string()))?);
        }
    }
    Ok(all)
}

/// Whether helm runs this object at a moment of the release instead of keeping it.
#[must_use]
pub fn is_hook(object: &Object) -> bool {
    object.annotation("helm.sh/hook").is_some()
}

/// Whether the object stays when the release is uninstalled.
#[must_use]
pub fn is_kept(object: &Object) -> bool {
    object
        .annotation("helm.sh/resource-policy")
        .is_some_and(|policy| policy.trim() == "keep")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(values: Value) -> Release {
        Release {
            name: "argo-cd".into(),
            namespace: "argocd".into(),
            chart: Chart {
                name: "argo-cd".into(),
                version: "10.1.1".into(),
                app_version: None,
                path: "/nowhere".into(),
                digest: "d".into(),
            },
            values,
        }
    }

    #[test]
    fn inputs_fit_a_label_and_do_not_depend_on_order_or_place() {
        let one = release(json!({"a": {"x": 1, "y": [1, 2]}, "b": 2}));
        let mut other = release(json!({"b": 2, "a": {"y": [1, 2], "x": 1}}));
        other.chart.path = "/elsewhere".into();
        assert_eq!(one.inputs(), other.inputs());
        assert!(one.inputs().len() <= 63);
        assert_ne!(
            one.inputs(),
            release(json!({"a": {"x": 1, "y": [2, 1]}, "b": 2})).inputs()
        );
        other.chart.digest = "e".into();
        assert_ne!(one.inputs(), other.inputs());
    }

    #[test]
    fn lists_are_taken_apart() {
        let text = "apiVersion: v1\nkind: ConfigMapList\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n\
                    ---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: b, annotations: {helm.sh/hook: pre-install}}\n";
        let all = objects("template", text).unwrap();
        assert_eq!(all.iter().map(Object::name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(all.iter().map(is_hook).collect::<Vec<_>>(), [false, true]);
    }
}
