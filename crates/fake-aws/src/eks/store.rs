//! What the emulator holds: clusters with their access entries and updates.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::control_plane::Endpoint;

/// A cluster's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Creating,
    Active,
    Updating,
    Deleting,
    Failed,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
            Self::Failed => "FAILED",
        }
    }
}

/// One cluster.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) region: String,
    pub(super) status: Status,
    /// The request that made it, for the idempotency of its token.
    pub(super) request: Value,
    /// The fields of the answer that do not follow from the others here.
    pub(super) fields: Map<String, Value>,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) failure: Option<String>,
    pub(super) network: super::network::Made,
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) updates: Vec<Update>,
}

impl Cluster {
    /// The `cluster` of an answer.
    pub(super) fn view(&self) -> Value {
        let mut view = self.fields.clone();
        view.insert("status".into(), self.status.name().into());
        if let Some(group) = &self.network.security_group
            && let Some(vpc) = view.get_mut("resourcesVpcConfig")
        {
            vpc["clusterSecurityGroupId"] = group.as_str().into();
        }
        if let Some(endpoint) = &self.endpoint {
            view.insert("endpoint".into(), endpoint.url.as_str().into());
            let data = super::base64(endpoint.ca_pem.as_bytes());
            view.insert("certificateAuthority".into(), json!({ "data": data }));
        }
        let issues: Vec<Value> = self.failure.iter().map(|message| issue(message)).collect();
        view.insert("health".into(), json!({ "issues": issues }));
        Value::Object(view)
    }

    pub(super) fn arn(&self) -> &str {
        self.fields
            .get("arn")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

fn issue(message: &str) -> Value {
    json!({"code": "InternalFailure", "message": message, "resourceIds": []})
}

/// One access entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) arn: String,
    pub(super) kind: String,
    pub(super) username: String,
    pub(super) groups: Vec<String>,
    pub(super) tags: Value,
    pub(super) created: f64,
    pub(super) modified: f64,
    /// Policy ARN to its association.
    pub(super) policies: BTreeMap<String, Association>,
    /// The request that made it, for the idempotency of its token.
    pub(super) request: Value,
}

/// An access policy on an entry.
#[derive(Debug, Clone)]
pub(super) struct Association {
    pub(super) scope: Value,
    pub(super) associated: f64,
    pub(super) modified: f64,
}

impl Association {
    pub(super) fn view(&self, policy: &str) -> Value {
        json!({
            "policyArn": policy,
            "accessScope": self.scope,
            "associatedAt": self.associated,
            "modifiedAt": self.modified,
        })
    }

    /// The namespaces it is limited to; none for the whole cluster.
    pub(super) fn namespaces(&self) -> Option<Vec<String>> {
        (self.scope["type"] == "namespace").then(|| strings(&self.scope["namespaces"]))
    }
}

/// A change that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Update {
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) params: Vec<Value>,
    pub(super) created: f64,
    pub(super) done: bool,
    pub(super) request: Value,
}

impl Update {
    pub(super) fn view(&self) -> Value {
        json!({
            "id": self.id,
            "status": if self.done { "Successful" } else { "InProgress" },
            "type": self.kind,
            "params": self.params,
            "createdAt": self.created,
            "errors": [],
        })
    }
}

/// The strings of a JSON list.
pub(super) fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
