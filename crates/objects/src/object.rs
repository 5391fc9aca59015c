//! Objects as data: kind, reference, body, and the marks that say whose they are.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use trunkline_ids::Address;

/// The label that names the tool: `app.kubernetes.io/managed-by`.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`] on what is ours.
pub const MANAGED_BY: &str = "trunkline";
/// The label that names the environment.
pub const ENVIRONMENT_LABEL: &str = "trunkline.dev/environment";
/// The annotation that holds the address. No label: a `/` is not allowed in a
/// label's value.
pub const ADDRESS_ANNOTATION: &str = "trunkline.dev/address";

/// API version and kind, `apps/v1 StatefulSet`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// `Secret`, `StatefulSet`.
    pub kind: String,
}

/// Group and kind without a version: what stays the same when an API's version
/// moves on. Written as ApplySet writes it, `StatefulSet.apps` or `Secret`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind {
    /// `apps`, empty for the core group.
    pub group: String,
    /// `StatefulSet`.
    pub kind: String,
}

/// Which object: kind, namespace if it has one, name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// What kind it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// The namespace; none for kinds of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

/// One Kubernetes object: its reference, and its whole body as JSON.
///
/// `Debug` shows the reference only, so that a Secret's data cannot get into a
/// log by accident.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Object {
    reference: ObjectRef,
    body: Value,
}

/// Why a JSON value is no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a Kubernetes object: {0}")]
pub struct ObjectError(String);

impl Kind {
    /// Makes a kind.
    #[must_use]
    pub fn new(api_version: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            api_version: api_version.into(),
            kind: kind.into(),
        }
    }

    /// The group, empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version
            .rsplit_once('/')
            .map_or("", |(group, _)| group)
    }

    /// Group and kind, without the version.
    #[must_use]
    pub fn group_kind(&self) -> GroupKind {
        GroupKind {
            group: self.group().to_owned(),
            kind: self.kind.clone(),
        }
    }

    /// Refers to an object in a namespace.
    #[must_use]
    pub fn named(&self, namespace: &str, name: &str) -> ObjectRef {
        ObjectRef {
            kind: self.clone(),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        }
    }

    /// Refers to an object of the whole cluster.
    #[must_use]
    pub fn cluster_wide(&self, name: &str) -> ObjectRef {
        ObjectRef {
            kind: self.clone(),
            namespace: None,
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version, self.kind)
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.kind)
        } else {
            write!(f, "{}.{}", self.kind, self.group)
        }
    }
}

impl FromStr for GroupKind {
    type Err = ObjectError;

    fn from_str(text: &str) -> Result<Self, ObjectError> {
        let (kind, group) = text.split_once('.').unwrap_or((text, ""));
        if kind.is_empty() {
            return Err(ObjectError(format!("`{text}` names no kind")));
        }
        Ok(Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
        })
    }
}

impl ObjectRef {
    /// Refers to a Secret.
    #[must_use]
    pub fn secret(namespace: &str, name: &str) -> Self {
        Kind::new("v1", "Secret").named(namespace, name)
    }

    /// Refers to a ConfigMap.
    #[must_use]
    pub fn config_map(namespace: &str, name: &str) -> Self {
        Kind::new("v1", "ConfigMap").named(namespace, name)
    }

    /// Refers to a Namespace.
    #[must_use]
    pub fn namespace(name: &str) -> Self {
        Kind::new("v1", "Namespace").cluster_wide(name)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind.kind, self.name),
            None => write!(f, "{} {}", self.kind.kind, self.name),
        }
    }
}

impl Object {
    /// Takes a body apart: `apiVersion`, `kind` and `metadata.name` must be there.
    ///
    /// # Errors
    /// When one of them is missing or no text.
    pub fn new(body: Value) -> Result<Self, ObjectError> {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        let needed = |pointer: &str| {
            text(pointer)
                .filter(|found| !found.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| {
                    ObjectError(format!("{} is missing", &pointer[1..].replace('/', ".")))
                })
        };
        let reference = ObjectRef {
            kind: Kind::new(needed("/apiVersion")?, needed("/kind")?),
            namespace: text("/metadata/namespace")
                .filter(|namespace| !namespace.is_empty())
                .map(str::to_owned),
            name: needed("/metadata/name")?,
        };
        Ok(Self { reference, body })
    }

    /// Builds an object of a reference and the fields beside `metadata`
    /// (`{"spec": …}`).
    #[must_use]
    pub fn build(reference: ObjectRef, fields: Value) -> Self {
        let mut metadata = json!({ "name": reference.name });
        if let Some(namespace) = &reference.namespace {
            metadata["namespace"] = json!(namespace);
        }
        let mut body = json!({
            "apiVersion": reference.kind.api_version,
            "kind": reference.kind.kind,
            "metadata": metadata,
        });
        if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
            body.extend(fields);
        }
        Self { reference, body }
    }

    /// A Namespace.
    #[must_use]
    pub fn namespace_named(name: &str) -> Self {
        Self::build(ObjectRef::namespace(name), json!({}))
    }

    /// Which object it is.
    #[must_use]
    pub fn reference(&self) -> &ObjectRef {
        &self.reference
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.reference.kind
    }

    /// Its namespace, if it has one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.reference.namespace.as_deref()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.reference.name
    }

    /// The whole body.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The whole body, given away.
    #[must_use]
    pub fn into_body(self) -> Value {
        self.body
    }

    /// The value at a JSON pointer, `/spec/replicas`.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        self.body.pointer(pointer)
    }

    /// The text at a JSON pointer.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.at(pointer)?.as_str()
    }

    /// The whole number at a JSON pointer.
    #[must_use]
    pub fn number(&self, pointer: &str) -> Option<i64> {
        self.at(pointer)?.as_i64()
    }

    /// The `status` (`True`, `False`, `Unknown`) and message of a condition.
    #[must_use]
    pub fn condition(&self, name: &str) -> Option<(&str, &str)> {
        let all = self.at("/status/conditions")?.as_array()?;
        let found = all.iter().find(|one| one["type"] == name)?;
        Some((
            found["status"].as_str()?,
            found["message"].as_str().unwrap_or_default(),
        ))
    }

    /// A label's value.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.body["metadata"]["labels"][name].as_str()
    }

    /// An annotation's value.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.body["metadata"]["annotations"][name].as_str()
    }

    /// The identity the API server gave it.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.text("/metadata/uid")
    }

    /// Whether its deletion was asked for.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.text("/metadata/deletionTimestamp").is_some()
    }

    /// Whether another object owns it: garbage collection removes it then.
    #[must_use]
    pub fn has_owner(&self) -> bool {
        self.at("/metadata/ownerReferences")
            .and_then(Value::as_array)
            .is_some_and(|owners| !owners.is_empty())
    }

    /// Whether it is a Secret of the core group, whose data is never shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.reference.kind.kind == "Secret" && self.reference.kind.group().is_empty()
    }

    /// Puts it into a namespace, as `helm install -n` does with what names none.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.body["metadata"]["namespace"] = json!(namespace);
        self.reference.namespace = Some(namespace.to_owned());
        self
    }

    /// Sets a label.
    #[must_use]
    pub fn with_label(mut self, name: &str, value: &str) -> Self {
        entry(&mut self.body, "labels").insert(name.to_owned(), json!(value));
        self
    }

    /// Sets an annotation.
    #[must_use]
    pub fn with_annotation(mut self, name: &str, value: &str) -> Self {
        entry(&mut self.body, "annotations").insert(name.to_owned(), json!(value));
        self
    }

    /// Adds a finalizer: whoever it names must agree before the object goes.
    #[must_use]
    pub fn with_finalizer(mut self, name: &str) -> Self {
        match self.body["metadata"]["finalizers"].as_array_mut() {
            Some(all) => all.push(json!(name)),
            None => self.body["metadata"]["finalizers"] = json!([name]),
        }
        self
    }

    /// Marks it as ours: managed by Trunkline, of this environment, at this
    /// address. Marks travel in the create request itself.
    #[must_use]
    pub fn marked(self, environment: &str, address: &Address) -> Self {
        self.with_label(MANAGED_BY_LABEL, MANAGED_BY)
            .with_label(ENVIRONMENT_LABEL, environment)
            .with_annotation(ADDRESS_ANNOTATION, address.as_str())
    }

    /// Whether it carries the marks of this environment.
    #[must_use]
    pub fn is_marked(&self, environment: &str) -> bool {
        self.label(MANAGED_BY_LABEL) == Some(MANAGED_BY)
            && self.label(ENVIRONMENT_LABEL) == Some(environment)
    }

    /// The address in its mark, if there is one.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        self.annotation(ADDRESS_ANNOTATION)?.parse().ok()
    }
}

/// The selector of everything marked as this environment's.
#[must_use]
pub fn environment_selector(environment: &str) -> String {
    format!("{MANAGED_BY_LABEL}={MANAGED_BY},{ENVIRONMENT_LABEL}={environment}")
}

/// A map under `metadata`, made if it is missing or null.
fn entry<'a>(body: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    let found = &mut body["metadata"][name];
    if !found.is_object() {
        *found = json!({});
    }
    match found {
        Value::Object(map) => map,
        _ => unreachable!("was made an object above"),
    }
}

impl TryFrom<Value> for Object {
    type Error = ObjectError;

    fn try_from(body: Value) -> Result<Self, ObjectError> {
        Self::new(body)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        object.body
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({})", self.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_taken_apart() {
        let object = Object::new(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "redis", "namespace": "redis", "labels": null},
        }))
        .unwrap()
        .marked(
            "sandbox",
            &Address::new("workloads", "application", "redis"),
        );
        assert_eq!(object.reference().to_string(), "StatefulSet redis/redis");
        assert_eq!(object.kind().group_kind().to_string(), "StatefulSet.apps");
        assert!(object.is_marked("sandbox") && !object.is_marked("live"));
        assert_eq!(object.address().unwrap().name(), "redis");
    }

    #[test]
    fn what_lacks_a_name_is_refused_by_field() {
        let error = Object::new(json!({"apiVersion": "v1", "kind": "Secret"})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "not a Kubernetes object: metadata.name is missing"
        );
    }

    #[test]
    fn debug_shows_no_data() {
        let secret = Object::build(
            ObjectRef::secret("a", "b"),
            json!({"data": {"k": "c2VjcmV0"}}),
        );
        assert_eq!(format!("{secret:?}"), "Object(Secret a/b)");
    }

    #[test]
    fn group_kinds_round_trip() {
        for text in ["Secret", "NodeClass.eks.amazonaws.com"] {
            assert_eq!(text.parse::<GroupKind>().unwrap().to_string(), text);
        }
    }
}
