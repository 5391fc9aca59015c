//! What differs between an object as wished and as it is: pure.
//!
//! Subset semantics: every field that is wished must be there with that value;
//! fields of others (defaults, controllers, people) do not count. Fields that
//! *we* applied once and no longer wish do count: the API server remembers them
//! in `managedFields`, and the next server-side apply takes them away.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};
use trunkline_engine::Change;
use trunkline_ids::Later;

use crate::{
    Object,
    compare::{ListKind, is_zero, key_of, list_kind, same},
    owned,
};

/// What stands for a value that is never shown.
const HIDDEN: &str = "(hidden)";
/// Longer values are cut in a change: it is read by people.
const LONGEST: usize = 120;

/// Field by field what an apply of `desired` would change in `live`.
///
/// Empty when there is nothing to do. Secret data is compared and never shown.
#[must_use]
pub fn diff(desired: &Object, live: &Object) -> Vec<Change> {
    let secret = desired.is_secret();
    let wished = normalised(desired);
    let mut differ = Differ {
        secret,
        path: Vec::new(),
        changes: Vec::new(),
    };
    differ.map(&wished, live.body().as_object().unwrap_or(&Map::new()));
    let mut changes = differ.changes;
    for path in owned::no_longer_wished(&wished, live.body()) {
        let shown = owned::value_at(live.body(), &path).map(|value| show(value, secret, &path));
        let field = path.join(".");
        if !changes.iter().any(|change| change.field == field) {
            changes.push(Change {
                field,
                from: shown.or(Some(String::new())),
                to: None,
            });
        }
    }
    changes
}

/// The body without what no apply changes, and with a Secret's `stringData`
/// written as `data`, the way the API server keeps it.
fn normalised(object: &Object) -> Map<String, Value> {
    let mut body = object.body().as_object().cloned().unwrap_or_default();
    body.remove("status");
    if object.is_secret()
        && let Some(Value::Object(plain)) = body.remove("stringData")
    {
        let data = body
            .entry("data")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(data) = data {
            data.extend(plain.into_iter().map(|(key, value)| {
                let text = value.as_str().unwrap_or_default();
                (key, Value::from(BASE64_STANDARD.encode(text)))
            }));
        }
    }
    body
}

struct Differ {
    secret: bool,
    path: Vec<String>,
    changes: Vec<Change>,
}

impl Differ {
    fn map(&mut self, desired: &Map<String, Value>, live: &Map<String, Value>) {
        for (key, wished) in desired {
            self.path.push(key.clone());
            match live.get(key) {
                Some(found) => self.value(wished, found),
                None if is_zero(wished) => {}
                None => self.change(None, Some(wished)),
            }
            self.path.pop();
        }
    }

    fn value(&mut self, desired: &Value, live: &Value) {
        match (desired, live) {
            (Value::Object(wished), Value::Object(found)) => self.map(wished, found),
            (Value::Array(wished), Value::Array(found)) => self.list(wished, found),
            // In an apply `null` means: not mine, as if it were left out.
            (Value::Null, _) => {}
            _ if same(&self.path, desired, live) => {}
            _ => self.change(Some(live), Some(desired)),
        }
    }

    fn list(&mut self, desired: &[Value], live: &[Value]) {
        let field = self.path.last().cloned().unwrap_or_default();
        match list_kind(&field, desired) {
            ListKind::Keyed(keys) => self.keyed(keys, desired, live),
            ListKind::Set => {
                for missing in desired.iter().filter(|wished| !live.contains(wished)) {
                    self.change(None, Some(missing));
                }
            }
            ListKind::Atomic if desired.len() == live.len() => {
                for (index, (wished, found)) in desired.iter().zip(live).enumerate() {
                    self.element(index.to_string(), |differ| differ.value(wished, found));
                }
            }
            ListKind::Atomic => {
                let (from, to) = (Value::from(live), Value::from(desired));
                self.change(Some(&from), Some(&to));
            }
        }
    }

    fn keyed(&mut self, keys: &[&str], desired: &[Value], live: &[Value]) {
        for wished in desired {
            let key = key_of(wished, keys);
            let found = live.iter().find(|one| key_of(one, keys) == key);
            self.element(owned::key_text(&key), |differ| match found {
                Some(found) => differ.value(wished, found),
                None => differ.change(None, Some(wished)),
            });
        }
    }

    /// Compares inside one element; its place is the last part of the path.
    fn element(&mut self, place: String, compare: impl FnOnce(&mut Self)) {
        self.path.push(place);
        compare(self);
        self.path.pop();
    }

    fn change(&mut self, from: Option<&Value>, to: Option<&Value>) {
        let text = |value: &Value| show(value, self.secret, &self.path);
        self.changes.push(Change {
            field: self.path.join("."),
            from: from.map(text),
            to: to.map(|value| Later::Known(text(value))),
        });
    }
}

/// A value as a person reads it. Data of a Secret is not shown, nor is a whole
/// Secret's map that holds it.
fn show(value: &Value, secret: bool, path: &[String]) -> String {
    let inside = path
        .first()
        .is_some_and(|first| first == "data" || first == "stringData");
    // `kubectl apply` keeps a copy of the whole Secret in an annotation.
    let copy = path
        .iter()
        .any(|part| part == "kubectl.kubernetes.io/last-applied-configuration");
    if secret && (inside || copy) {
        return HIDDEN.to_owned();
    }
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{Kind, ObjectRef};

    fn object(fields: Value) -> Object {
        Object::build(Kind::new("apps/v1", "StatefulSet").named("a", "b"), fields)
    }

    fn changes(desired: Value, live: Value) -> Vec<String> {
        diff(&object(desired), &object(live))
            .iter()
            .map(words)
            .collect()
    }

    fn words(change: &Change) -> String {
        let from = change.from.as_deref().unwrap_or("-");
        let to = change
            .to
            .as_ref()
            .map_or("-".to_owned(), ToString::to_string);
        format!("{}: {from} → {to}", change.field)
    }

    #[test]
    fn defaults_of_the_server_are_no_change() {
        let desired = json!({"spec": {
            "replicas": 1, "hostNetwork": false, "nodeSelector": {},
            "template": {"spec": {"containers": [{
                "name": "redis", "resources": {"limits": {"cpu": "1"}},
                "ports": [{"containerPort": 6379}],
            }]}},
        }});
        let live = json!({"spec": {
            "replicas": 1, "podManagementPolicy": "OrderedReady",
            "template": {"spec": {"dnsPolicy": "ClusterFirst", "containers": [{
                "name": "redis", "resources": {"limits": {"cpu": "1000m"}},
                "ports": [{"containerPort": 6379, "protocol": "TCP"}],
                "terminationMessagePath": "/dev/termination-log",
            }]}},
        }, "status": {"replicas": 1}});
        assert_eq!(changes(desired, live), Vec::<String>::new());
    }

    #[test]
    fn changes_name_their_field() {
        let desired = json!({"spec": {"replicas": 2, "paused": true, "containers": [
            {"name": "a", "image": "x:2"}, {"name": "c"}]}});
        let live = json!({"spec": {"replicas": 1, "containers": [
            {"name": "b"}, {"name": "a", "image": "x:1"}]}});
        assert_eq!(
            changes(desired, live),
            [
                "spec.replicas: 1 → 2",
                "spec.paused: - → true",
                "spec.containers.[a].image: x:1 → x:2",
                "spec.containers.[c]: - → {\"name\":\"c\"}",
            ]
        );
    }

    #[test]
    fn atomic_lists_count_length_and_order() {
        let desired = json!({"spec": {"args": ["a", "b"]}});
        for live in [json!(["b", "a"]), json!(["a"]), json!(["a", "b", "c"])] {
            assert!(!changes(desired.clone(), json!({"spec": {"args": live}})).is_empty());
        }
    }

    #[test]
    fn what_we_applied_and_no_longer_wish_is_a_change() {
        let managed = json!([
            {"manager": "trunkline", "operation": "Apply", "fieldsV1": {
                "f:metadata": {"f:labels": {"f:old": {}, "f:kept": {}}},
                "f:spec": {"f:ports": {
                    "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}},
                    "k:{\"port\":81,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}}},
            {"manager": "other", "operation": "Update", "fieldsV1": {
                "f:spec": {"f:externalName": {}}}},
        ]);
        let live = json!({
            "metadata": {"name": "b", "namespace": "a", "managedFields": managed,
                "labels": {"old": "1", "kept": "2", "foreign": "3"}},
            "spec": {"externalName": "x", "ports": [
                {"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]},
        });
        let desired = json!({
            "metadata": {"name": "b", "namespace": "a", "labels": {"kept": "2"}},
            "spec": {"ports": [{"port": 80}]},
        });
        assert_eq!(
            changes(desired, live),
            ["metadata.labels.old: 1 → -", "spec.ports.[81,TCP]:  → -"]
        );
    }

    #[test]
    fn a_secret_is_compared_and_not_shown() {
        let reference = ObjectRef::secret("a", "b");
        let wished = |value: &str| {
            Object::build(
                reference.clone(),
                json!({"stringData": {"password": value}}),
            )
        };
        let live = Object::build(reference.clone(), json!({"data": {"password": "cDE="}}));
        assert!(diff(&wished("p1"), &live).is_empty());
        let shown: Vec<String> = diff(&wished("p2"), &live).iter().map(words).collect();
        assert_eq!(shown, ["data.password: (hidden) → (hidden)"]);
        let whole = Object::build(reference.clone(), json!({}));
        let shown: Vec<String> = diff(&wished("p2"), &whole).iter().map(words).collect();
        assert_eq!(shown, ["data: - → (hidden)"]);
    }

    /// A body like those we write: maps, plain values, keyed and atomic lists.
    fn body() -> impl Strategy<Value = Value> {
        let plain = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (-3_i64..3).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        plain.prop_recursive(4, 32, 4, |inner| {
            let name = "[a-d]";
            prop_oneof![
                prop::collection::btree_map(name, inner.clone(), 0..4)
                    .prop_map(|map| map.into_iter().collect::<Value>()),
                prop::collection::vec(inner.clone(), 0..3).prop_map(|list| json!({ "list": list })),
                prop::collection::btree_map(name, inner, 0..3).prop_map(|map| {
                    let elements = map.into_iter().map(|(k, v)| json!({"name": k, "v": v}));
                    json!({ "containers": elements.collect::<Vec<_>>() })
                }),
            ]
        })
    }

    /// What an API server may add: fields, and elements of keyed lists.
    fn superset(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut all: Map<String, Value> = Map::new();
                for (key, value) in map {
                    let mut more = superset(value);
                    if key == "containers"
                        && let Value::Array(list) = &mut more
                    {
                        list.insert(0, json!({"name": "injected"}));
                    }
                    all.insert(key.clone(), more);
                }
                all.insert("defaulted".to_owned(), json!("x"));
                Value::Object(all)
            }
            Value::Array(list) => list.iter().map(superset).collect(),
            plain => plain.clone(),
        }
    }

    /// Changes the first plain value that is found, in any map or list.
    fn disturb(value: &mut Value) -> bool {
        match value {
            Value::Object(map) => map
                .iter_mut()
                .any(|(key, value)| key != "name" && disturb(value)),
            Value::Array(list) => list.iter_mut().any(disturb),
            plain => {
                *plain = json!("disturbed");
                true
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself(spec in body()) {
            let same = object(json!({ "spec": spec }));
            prop_assert_eq!(diff(&same, &same), vec![]);
        }

        #[test]
        fn what_others_add_is_no_change(spec in body()) {
            let live = object(superset(&json!({ "spec": spec })));
            prop_assert_eq!(diff(&object(json!({ "spec": spec })), &live), vec![]);
        }

        #[test]
        fn what_is_disturbed_is_seen_once(spec in body()) {
            let mut live = superset(&json!({ "spec": spec }));
            let mut wished = json!({ "spec": spec });
            // The same place in both: extras come last in maps, first in keyed lists.
            prop_assume!(disturb(&mut wished));
            let seen = diff(&object(wished.clone()), &object(live.clone()));
            prop_assert_eq!(seen.len(), 1);
            live = superset(&wished);
            prop_assert_eq!(diff(&object(wished), &object(live)), vec![]);
        }
    }
}
