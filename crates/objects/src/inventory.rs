//! Which kinds we ever applied, so that what is no longer wished can be found.
//!
//! As ApplySet does it: a recorded kind is listed by label at every observation.
//! Without the record a kind that no wish names any more would never be listed,
//! and its objects would stay for ever. Kinds are added before the first object
//! of theirs is applied and never taken out.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use trunkline_engine::Failure;

use crate::{
    Cluster, Conflicts, Created, GroupKind, MANAGED_BY, MANAGED_BY_LABEL, Object, ObjectRef,
    Selection, environment_selector,
};

/// The record of one environment in its cluster: a ConfigMap with one key per
/// kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    record: ObjectRef,
    environment: String,
}

impl Inventory {
    /// The record of an environment. It lives in `kube-system`, which is there in
    /// every cluster and goes with it.
    #[must_use]
    pub fn of(environment: &str) -> Self {
        Self {
            record: ObjectRef::config_map("kube-system", "trunkline-inventory"),
            environment: environment.to_owned(),
        }
    }

    /// The ConfigMap.
    #[must_use]
    pub fn record(&self) -> &ObjectRef {
        &self.record
    }

    /// The kinds recorded so far.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn kinds(&self, cluster: &Cluster) -> Result<BTreeSet<GroupKind>, Failure> {
        Ok(cluster
            .get(&self.record)
            .await?
            .as_ref()
            .map(recorded)
            .unwrap_or_default())
    }

    /// Adds kinds; writes nothing when all of them are there. Comes before the
    /// first apply of a kind.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub async fn add(
        &self,
        cluster: &Cluster,
        kinds: impl IntoIterator<Item = GroupKind> + Send,
    ) -> Result<(), Failure> {
        let kinds: BTreeSet<GroupKind> = kinds.into_iter().collect();
        let found = cluster.get(&self.record).await?;
        let known = found.as_ref().map(recorded).unwrap_or_default();
        let new: Vec<_> = kinds.difference(&known).collect();
        if new.is_empty() {
            return Ok(());
        }
        let data: Value = new
            .iter()
            .map(|kind| (kind.to_string(), json!("")))
            .collect();
        if found.is_none() {
            let fields = json!({ "data": data });
            let record =
                Object::build(self.record.clone(), fields).with_label(MANAGED_BY_LABEL, MANAGED_BY);
            if let Created::New(_) = cluster.create(&record).await? {
                return Ok(());
            }
        }
        // A merge adds keys and takes none away, whoever else is adding.
        cluster
            .patch(&self.record, &json!({ "data": data }))
            .await
            .map(|_| ())
    }

    /// Every object with the marks of the environment, of all recorded kinds and
    /// of `also`. Objects that others own are left out: they go with their owner.
    ///
    /// # Errors
    /// When one of the kinds cannot be listed.
    pub async fn owned(
        &self,
        cluster: &Cluster,
        also: impl IntoIterator<Item = GroupKind>,
    ) -> Result<Vec<Object>, Failure> {
        let mut kinds = self.kinds(cluster).await?;
        kinds.extend(also);
        let selection = Selection::labelled(environment_selector(&self.environment));
        let mut all = cluster.list_kinds(kinds, &selection).await?;
        all.retain(|object| !object.has_owner());
        Ok(all)
    }

    /// Applies an object, its kind recorded first.
    ///
    /// # Errors
    /// Those of [`Cluster::apply`].
    pub async fn apply(
        &self,
        cluster: &Cluster,
        wished: &Object,
        conflicts: Conflicts,
    ) -> Result<Object, Failure> {
        self.add(cluster, [wished.kind().group_kind()]).await?;
        cluster.apply(wished, conflicts).await
    }
}

/// What is found, is of `layer`, and no longer wished: to be pruned.
///
/// Objects without a readable address are nobody's and left alone.
#[must_use]
pub fn surplus<'a>(layer: &str, wished: &[Object], found: &'a [Object]) -> Vec<&'a Object> {
    let wished: BTreeSet<_> = wished
        .iter()
        .map(|object| identity(object.reference()))
        .collect();
    found
        .iter()
        .filter(|object| {
            object
                .address()
                .is_some_and(|address| address.layer() == layer)
        })
        .filter(|object| !wished.contains(&identity(object.reference())))
        .collect()
}

/// What an object is, whichever version it was read in.
fn identity(of: &ObjectRef) -> (GroupKind, Option<&str>, &str) {
    (of.kind.group_kind(), of.namespace.as_deref(), &of.name)
}

fn recorded(record: &Object) -> BTreeSet<GroupKind> {
    let data = record.at("/data").and_then(Value::as_object);
    data.into_iter()
        .flat_map(|data| data.keys())
        .filter_map(|key| key.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use trunkline_ids::Address;

    use super::*;
    use crate::Kind;

    fn class(version: &str, name: &str, layer: &str) -> Object {
        let kind = Kind::new(format!("storage.k8s.io/{version}"), "StorageClass");
        Object::build(kind.cluster_wide(name), json!({}))
            .marked("sandbox", &Address::new(layer, "storage-class", name))
    }

    #[test]
    fn surplus_is_of_the_layer_and_not_wished_in_any_version() {
        let wished = [class("v1", "gp3", "addons")];
        let found = [
            class("v1beta1", "gp3", "addons"),
            class("v1", "gp2", "addons"),
            class("v1", "other", "workloads"),
        ];
        let names: Vec<&str> = surplus("addons", &wished, &found)
            .into_iter()
            .map(Object::name)
            .collect();
        assert_eq!(names, ["gp2"]);
    }

    #[test]
    fn the_record_is_read_as_kinds() {
        let data = json!({"data": {"Secret": "", "StorageClass.storage.k8s.io": ""}});
        let record = Object::build(ObjectRef::config_map("a", "b"), data);
        let kinds: Vec<String> = recorded(&record).iter().map(ToString::to_string).collect();
        assert_eq!(kinds, ["Secret", "StorageClass.storage.k8s.io"]);
    }
}
