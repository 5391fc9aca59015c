//! Reads: one object, or all of some kinds by label. A read that failed is a
//! failure and never "not there".

use futures::{StreamExt, TryStreamExt, stream};
use kube::core::{
    Request as Requests,
    params::{GetParams, ListParams},
};
use serde_json::{Value, json};
use trunkline_engine::{Failure, FailureKind, Observed};

use crate::{
    Cluster, GroupKind, Kind, Lookup, Object, ObjectRef, Resource, discovery, failure::Access,
};

/// Objects per page of a list: large enough for one request in practice, small
/// enough for the API server's memory.
const PAGE: u32 = 500;
/// Lists at once: a client's fair share of the API server's seats.
const LISTS: usize = 8;

/// What a list asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// A label selector, `a=b,c`; empty for everything.
    pub labels: String,
    /// Names and labels without the rest: small even where objects are large.
    pub metadata_only: bool,
}

impl Selection {
    /// Everything with these labels, in all namespaces.
    #[must_use]
    pub fn labelled(labels: impl Into<String>) -> Self {
        Self {
            labels: labels.into(),
            ..Self::default()
        }
    }

    /// In one namespace.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Without spec, data and status.
    #[must_use]
    pub fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
        self
    }
}

impl Cluster {
    /// Reads one object; `None` when it is not there for certain, also because
    /// its kind is not served.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn get(&self, target: &ObjectRef) -> Result<Option<Object>, Failure> {
        let Some(resource) = self.resource_of(target).await? else {
            return Ok(None);
        };
        let path = resource.path(target.namespace.as_deref());
        let request = Requests::new(path).get(&target.name, &GetParams::default());
        match self
            .send(Access::Read, &format!("get {target}"), request)
            .await
        {
            Ok(body) => object(body).map(Some),
            Err(failure) if failure.kind == FailureKind::Gone => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Reads one object as an observation: what failed is unknown.
    pub async fn observe(&self, target: &ObjectRef) -> Observed<Object> {
        match self.get(target).await {
            Ok(Some(object)) => Observed::one(object),
            Ok(None) => Observed::Absent,
            Err(failure) => Observed::Unknown(failure.to_string()),
        }
    }

    /// Reads all objects of a kind that a selection holds; none when the kind is
    /// not served.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn list(&self, kind: &Kind, selection: &Selection) -> Result<Vec<Object>, Failure> {
        match self.resource(kind).await? {
            Some(resource) => self.list_resource(&resource, selection).await,
            None => Ok(Vec::new()),
        }
    }

    /// Reads all objects of many kinds, in whichever version the cluster
    /// prefers; kinds that it does not serve have none.
    ///
    /// # Errors
    /// When it cannot be told for one of them.
    pub async fn list_kinds(
        &self,
        kinds: impl IntoIterator<Item = GroupKind>,
        selection: &Selection,
    ) -> Result<Vec<Object>, Failure> {
        let lists =
            kinds
                .into_iter()
                .map(async |kind| match self.lookup_group_kind(&kind).await? {
                    Lookup::Served(resource) => self.list_resource(&resource, selection).await,
                    Lookup::NotServed => Ok(Vec::new()),
                    Lookup::Stale(group) => Err(discovery::stale(&group)),
                });
        let all: Vec<Vec<Object>> = stream::iter(lists).buffered(LISTS).try_collect().await?;
        Ok(all.into_iter().flatten().collect())
    }

    async fn list_resource(
        &self,
        resource: &Resource,
        selection: &Selection,
    ) -> Result<Vec<Object>, Failure> {
        let action = format!("list {}", resource.plural);
        let requests = Requests::new(resource.path(selection.namespace.as_deref()));
        let mut params = ListParams::default().limit(PAGE);
        if !selection.labels.is_empty() {
            params = params.labels(&selection.labels);
        }
        let mut all = Vec::new();
        loop {
            let request = if selection.metadata_only {
                requests.list_metadata(&params)
            } else {
                requests.list(&params)
            };
            let mut page = match self.send(Access::Read, &action, request).await {
                Ok(page) => page,
                // The CRD went away since the kinds were read.
                Err(failure) if failure.kind == FailureKind::Gone => return Ok(Vec::new()),
                Err(failure) => return Err(failure),
            };
            let items = items(&action, &mut page)?;
            for item in items {
                all.push(typed(&resource.kind, item)?);
            }
            match page["metadata"]["continue"]
                .as_str()
                .filter(|token| !token.is_empty())
            {
                Some(token) => params = params.continue_token(token),
                None => return Ok(all),
            }
        }
    }
}

/// The items of a list's answer.
fn items(action: &str, page: &mut Value) -> Result<Vec<Value>, Failure> {
    let is_list = page["kind"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("List"));
    match page["items"].take() {
        Value::Array(items) => Ok(items),
        // An empty list of metadata alone has `null` there.
        Value::Null if is_list => Ok(Vec::new()),
        _ => Err(Failure::bug(format!("{action}: the answer is no list"))),
    }
}

/// Items of a list name no kind, or that of the list's metadata form.
fn typed(kind: &Kind, mut item: Value) -> Result<Object, Failure> {
    item["apiVersion"] = json!(kind.api_version);
    item["kind"] = json!(kind.kind);
    object(item)
}

/// Takes an answer for an object.
pub(crate) fn object(body: Value) -> Result<Object, Failure> {
    Object::new(body).map_err(|e| Failure::bug(format!("the API server answered {e}")))
}
