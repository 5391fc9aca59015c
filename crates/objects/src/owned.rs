//! What we applied before and no longer wish, read from `managedFields`.
//!
//! Without this a field that was taken out of a wish would stay for ever unseen:
//! all that is still wished is there, so nothing would be planned, and the apply
//! that would remove it would never run.

use serde_json::{Map, Value};

use crate::{FIELD_MANAGER, compare::key_of};

/// Paths that the manager `trunkline` owns by an apply and that `desired` does
/// not have.
pub(crate) fn no_longer_wished(desired: &Map<String, Value>, live: &Value) -> Vec<Vec<String>> {
    let entries = live
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let ours = entries.into_iter().flatten().filter(|entry| {
        entry["manager"] == FIELD_MANAGER
            && entry["operation"] == "Apply"
            && entry["subresource"].is_null()
    });
    let desired = Value::Object(desired.clone());
    let mut found = Vec::new();
    for entry in ours {
        if let Some(fields) = entry["fieldsV1"].as_object() {
            walk(
                fields,
                Some(&desired),
                Some(live),
                &mut Vec::new(),
                &mut found,
            );
        }
    }
    found
}

/// Walks one level of `fieldsV1`: `f:NAME` is a field, `k:{…}` an element of a
/// keyed list, `v:…` one of a set, `.` the thing itself.
fn walk(
    fields: &Map<String, Value>,
    desired: Option<&Value>,
    live: Option<&Value>,
    path: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    for (part, below) in fields {
        let Some((place, wished, present)) = step(part, desired, live) else {
            continue;
        };
        path.push(place);
        match (wished, present) {
            // Gone already: somebody else removed it, there is nothing to take away.
            (_, None) => {}
            (None, Some(_)) => found.push(path.clone()),
            (Some(wished), Some(present)) => {
                // `null` in a wish is the same as leaving the field out.
                if wished.is_null() {
                    found.push(path.clone());
                } else if let Some(below) = below.as_object() {
                    walk(below, Some(wished), Some(present), path, found);
                }
            }
        }
        path.pop();
    }
}

type Place<'a> = (String, Option<&'a Value>, Option<&'a Value>);

/// Follows one part of `fieldsV1` into both values.
fn step<'a>(part: &str, desired: Option<&'a Value>, live: Option<&'a Value>) -> Option<Place<'a>> {
    if let Some(name) = part.strip_prefix("f:") {
        let at = |value: Option<&'a Value>| value.and_then(|value| value.get(name));
        return Some((name.to_owned(), at(desired), at(live)));
    }
    if let Some(key) = part.strip_prefix("k:") {
        let key: Map<String, Value> = serde_json::from_str(key).ok()?;
        let names: Vec<&str> = key.keys().map(String::as_str).collect();
        let wanted: Vec<Value> = key.values().cloned().collect();
        let at = |value: Option<&'a Value>| {
            let list = value.and_then(Value::as_array)?;
            list.iter().find(|one| key_of(one, &names) == wanted)
        };
        return Some((key_text(&wanted), at(desired), at(live)));
    }
    let wanted: Value = serde_json::from_str(part.strip_prefix("v:")?).ok()?;
    let at = |value: Option<&'a Value>| {
        value
            .and_then(Value::as_array)?
            .iter()
            .find(|one| **one == wanted)
    };
    Some((
        key_text(std::slice::from_ref(&wanted)),
        at(desired),
        at(live),
    ))
}

/// An element's key as one part of a path: `[redis]`, `[6379,TCP]`.
pub(crate) fn key_text(key: &[Value]) -> String {
    let parts: Vec<String> = key
        .iter()
        .map(|part| {
            part.as_str()
                .map_or_else(|| part.to_string(), str::to_owned)
        })
        .collect();
    format!("[{}]", parts.join(","))
}

/// The live value at a path without list elements; enough to show what goes.
pub(crate) fn value_at<'a>(live: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(live, |value, part| value.get(part))
}
