//! Writes: server-side apply, create, patch, delete.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use kube::core::{
    Request as Requests,
    params::{
        DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
        ValidationDirective,
    },
};
use serde_json::{Value, json};
use trunkline_engine::{Failure, FailureKind};

use crate::{
    Cluster, FIELD_MANAGER, Object, ObjectRef, Resource, Verdict,
    failure::{Access, cause},
    read::object,
};

/// What an apply does with fields that somebody else set to another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    /// Fails, naming who owns them.
    Refuse,
    /// Takes them over.
    Force,
}

/// What a create found.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// It was made.
    New(Object),
    /// Something of that name is there already; it was left as it is.
    AlreadyThere,
}

/// When dependents are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// The object first, what it owns afterwards.
    Background,
    /// What it owns first.
    Foreground,
    /// What it owns stays.
    Orphan,
}

impl Cluster {
    /// Server-side apply as the field manager `trunkline`: makes the object or
    /// changes the fields that differ. Repeating it changes nothing.
    ///
    /// # Errors
    /// `Conflict` when others own a field and they are not forced.
    pub async fn apply(&self, wished: &Object, conflicts: Conflicts) -> Result<Object, Failure> {
        let resource = self.must_serve(wished.reference()).await?;
        let params = PatchParams {
            force: conflicts == Conflicts::Force,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            // A misspelt field is dropped silently otherwise.
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        let body = Patch::Apply(secret_data(wished.body().clone()));
        let path = resource.path(wished.namespace());
        let request = Requests::new(path).patch(wished.name(), &params, &body);
        let action = format!("apply {}", wished.reference());
        object(self.send(Access::Write, &action, request).await?)
    }

    /// Makes the object, and leaves it alone if it is there: for what is made
    /// once and then belongs to others (a generated password).
    ///
    /// # Errors
    /// Those of the API server, but for "already exists".
    pub async fn create(&self, wished: &Object) -> Result<Created, Failure> {
        let resource = self.must_serve(wished.reference()).await?;
        let action = format!("create {}", wished.reference());
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let body = serde_json::to_vec(&secret_data(wished.body().clone()))
            .map_err(|e| Failure::bug(format!("{action}: {e}")))?;
        let request = Requests::new(resource.path(wished.namespace())).create(&params, body);
        match self.send(Access::Write, &action, request).await {
            Ok(body) => object(body).map(Created::New),
            Err(failure) if failure.cause.code == "AlreadyExists" => Ok(Created::AlreadyThere),
            Err(failure) => Err(failure),
        }
    }

    /// A JSON merge patch: fields with `null` are removed.
    ///
    /// # Errors
    /// `Gone` when the object is not there.
    pub async fn patch(&self, target: &ObjectRef, patch: &Value) -> Result<Object, Failure> {
        let resource = self.must_serve(target).await?;
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let path = resource.path(target.namespace.as_deref());
        let request = Requests::new(path).patch(&target.name, &params, &Patch::Merge(patch));
        object(
            self.send(Access::Write, &format!("patch {target}"), request)
                .await?,
        )
    }

    /// Asks for the deletion of an object. `false` when it was not there. With a
    /// `uid` only that very object is deleted, not a new one of its name.
    ///
    /// # Errors
    /// `Conflict` when another object has its name by now.
    pub async fn delete(
        &self,
        target: &ObjectRef,
        propagation: Propagation,
        uid: Option<&str>,
    ) -> Result<bool, Failure> {
        let Some(resource) = self.resource_of(target).await? else {
            return Ok(false);
        };
        let params = DeleteParams {
            propagation_policy: Some(match propagation {
                Propagation::Background => PropagationPolicy::Background,
                Propagation::Foreground => PropagationPolicy::Foreground,
                Propagation::Orphan => PropagationPolicy::Orphan,
            }),
            preconditions: uid.map(|uid| Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let path = resource.path(target.namespace.as_deref());
        let request = Requests::new(path).delete(&target.name, &params);
        match self
            .send(Access::Write, &format!("delete {target}"), request)
            .await
        {
            Ok(_) => Ok(true),
            Err(failure) if failure.kind == FailureKind::Gone => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Deletes an object and waits until it is gone, finalizers and all. `false`
    /// when it was not there.
    ///
    /// # Errors
    /// Those of the delete; `Stopped` when it is still there at the end, naming
    /// what holds it.
    pub async fn delete_and_wait(
        &self,
        target: &ObjectRef,
        propagation: Propagation,
        within: Duration,
        notify: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<bool, Failure> {
        let Some(found) = self.get(target).await? else {
            return Ok(false);
        };
        let uid = found.uid().map(str::to_owned);
        if !found.is_deleting() {
            self.delete(target, propagation, uid.as_deref()).await?;
        }
        self.wait(target, within, gone(uid), notify).await?;
        Ok(true)
    }

    async fn must_serve(&self, target: &ObjectRef) -> Result<Resource, Failure> {
        match self.resource_of(target).await? {
            Some(resource) => Ok(resource),
            // Passing: on a new cluster Auto Mode's CRDs come a little after ACTIVE.
            None => {
                let text = format!("the cluster does not serve {} (yet)", target.kind);
                let cause = cause("discover kinds", "NotServed".to_owned(), text);
                Err(Failure::new(FailureKind::Retry, cause).clear())
            }
        }
    }
}

/// Gone, or another one of the same name. Says which finalizers hold it.
fn gone(uid: Option<String>) -> impl Fn(Option<&Object>) -> Verdict + Send + Sync {
    move |found| match found {
        None => Verdict::Done,
        Some(found) if found.uid() != uid.as_deref() => Verdict::Done,
        Some(found) => {
            let finalizers = found.at("/metadata/finalizers").and_then(Value::as_array);
            let names: Vec<&str> = finalizers
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            Verdict::Waiting(if names.is_empty() {
                format!("{} is going", found.reference())
            } else {
                format!("{} is held by {}", found.reference(), names.join(", "))
            })
        }
    }
}

/// A Secret's `stringData` as `data`: server-side apply does not track the
/// former, so a changed value would not be seen again.
fn secret_data(mut body: Value) -> Value {
    if body["kind"] != "Secret" || body["apiVersion"] != "v1" {
        return body;
    }
    let Some(plain) = body
        .as_object_mut()
        .and_then(|body| body.remove("stringData"))
    else {
        return body;
    };
    for (key, value) in plain.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        if !body["data"].is_object() {
            body["data"] = json!({});
        }
        body["data"][key] = json!(BASE64_STANDARD.encode(text));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_data_becomes_data() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "b"}});
        let expected = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "Yg=="}});
        assert_eq!(secret_data(secret), expected);
    }
}
