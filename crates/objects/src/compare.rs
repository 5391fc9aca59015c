//! When two values of a field mean the same to Kubernetes: quantities, numbers
//! written as text, zero values that the API server leaves out, and lists that
//! it merges by a key.

use serde_json::Value;

/// How the elements of a list belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// Owned as a whole: length and order count.
    Atomic,
    /// A set of plain values: others may add theirs.
    Set,
    /// Elements are matched by these fields: others may add theirs.
    Keyed(&'static [&'static str]),
}

/// How Kubernetes merges the list in this field, by the name of the field
/// (`x-kubernetes-list-type` and `-map-keys` of the API's OpenAPI document, for
/// the built-in kinds). A name that means different things in different kinds
/// (`ports`) is told apart by the elements.
pub(crate) fn list_kind(field: &str, desired: &[Value]) -> ListKind {
    let has = |name: &str| desired.iter().all(|one| one.get(name).is_some());
    match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims"
        | "webhooks"
        | "secrets"
            if has("name") =>
        {
            ListKind::Keyed(&["name"])
        }
        "ports" if has("containerPort") => ListKind::Keyed(&["containerPort", "protocol"]),
        "ports" if has("port") => ListKind::Keyed(&["port", "protocol"]),
        "volumeMounts" if has("mountPath") => ListKind::Keyed(&["mountPath"]),
        "volumeDevices" if has("devicePath") => ListKind::Keyed(&["devicePath"]),
        "hostAliases" if has("ip") => ListKind::Keyed(&["ip"]),
        "topologySpreadConstraints" if has("topologyKey") => {
            ListKind::Keyed(&["topologyKey", "whenUnsatisfiable"])
        }
        "conditions" if has("type") => ListKind::Keyed(&["type"]),
        "ownerReferences" if has("uid") => ListKind::Keyed(&["uid"]),
        "finalizers" => ListKind::Set,
        _ => ListKind::Atomic,
    }
}

/// The default of a key that was left out: a port is TCP.
pub(crate) fn key_of(element: &Value, keys: &[&str]) -> Vec<Value> {
    let default = |key: &str| match key {
        "protocol" => Value::from("TCP"),
        _ => Value::Null,
    };
    keys.iter()
        .map(|key| element.get(key).cloned().unwrap_or_else(|| default(key)))
        .collect()
}

/// Whether a value that we wish for reads the same as leaving it out: the API
/// server drops `false`, `0`, empty texts, maps and lists of optional fields.
pub(crate) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_zero),
    }
}

/// Whether two plain values mean the same in this place.
pub(crate) fn same(path: &[String], desired: &Value, live: &Value) -> bool {
    if desired == live {
        return true;
    }
    let (Some(left), Some(right)) = (plain(desired), plain(live)) else {
        return false;
    };
    // 80 and "80" (IntOrString), 1 and 1.0.
    if left == right && (desired.is_number() || live.is_number()) {
        return true;
    }
    let numbers = desired.as_f64().zip(live.as_f64());
    if let Some((left, right)) = numbers {
        return left == right;
    }
    holds_quantity(path)
        && quantity(&left)
            .zip(quantity(&right))
            .is_some_and(|(left, right)| left == right)
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whether the field is of the type `Quantity`. Only there do `1` and `1000m`
/// mean the same; in a label they do not.
fn holds_quantity(path: &[String]) -> bool {
    const PARENTS: [&str; 8] = [
        "requests",
        "limits",
        "capacity",
        "allocatable",
        "hard",
        "overhead",
        "max",
        "min",
    ];
    const FIELDS: [&str; 3] = ["sizeLimit", "divisor", "averageValue"];
    let last = path.last().map(String::as_str).unwrap_or_default();
    let parent = path
        .iter()
        .rev()
        .nth(1)
        .map(String::as_str)
        .unwrap_or_default();
    let inside_spec = path.iter().any(|part| part == "spec");
    inside_spec && (FIELDS.contains(&last) || PARENTS.contains(&parent))
}

/// A quantity in thousandths of a nano (10⁻¹²), so that whole numbers do.
fn quantity(text: &str) -> Option<i128> {
    const PICO: i128 = 1_000_000_000_000;
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c)))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let scale = match suffix {
        "n" => PICO / 1_000_000_000,
        "u" => PICO / 1_000_000,
        "m" => PICO / 1000,
        "" => PICO,
        "k" => PICO * 1000,
        "M" => PICO * 1_000_000,
        "G" => PICO * 1_000_000_000,
        "T" => PICO * 1_000_000_000_000,
        "P" => PICO * 1_000_000_000_000_000,
        "Ki" => PICO << 10,
        "Mi" => PICO << 20,
        "Gi" => PICO << 30,
        "Ti" => PICO << 40,
        "Pi" => PICO << 50,
        _ => return exponent(number, suffix),
    };
    decimal(number, scale)
}

/// `1e3`, `1E3`; a bare `E` is exa, `Ei` exbi.
fn exponent(number: &str, suffix: &str) -> Option<i128> {
    const PICO: i128 = 1_000_000_000_000;
    match suffix {
        "E" => decimal(number, PICO * 1_000_000_000_000_000_000),
        "Ei" => decimal(number, PICO << 60),
        _ => {
            let power: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            decimal(number, PICO.checked_mul(10_i128.checked_pow(power)?)?)
        }
    }
}

/// `number * scale`, exactly, or nothing when it is no number or too large.
fn decimal(number: &str, scale: i128) -> Option<i128> {
    let negative = number.starts_with('-');
    let digits = number.trim_start_matches(['-', '+']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let all: i128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let value = all.checked_mul(scale)? / divisor;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn quantities_are_compared_by_value() {
        let limits = path("spec.containers.resources.limits.cpu");
        for (left, right) in [
            (json!("1"), json!("1000m")),
            (json!(1), json!("1")),
            (json!("1Gi"), json!("1024Mi")),
            (json!("0.5"), json!("500m")),
            (json!("1e3"), json!("1k")),
            (json!("1.5Gi"), json!("1536Mi")),
        ] {
            assert!(same(&limits, &left, &right), "{left} {right}");
        }
        assert!(!same(&limits, &json!("1Gi"), &json!("1G")));
        assert!(!same(&limits, &json!("one"), &json!("two")));
    }

    #[test]
    fn a_label_is_no_quantity() {
        assert!(!same(
            &path("metadata.labels.size"),
            &json!("1"),
            &json!("1000m")
        ));
        assert!(!same(
            &path("spec.selector.size"),
            &json!("1"),
            &json!("1000m")
        ));
    }

    #[test]
    fn a_number_as_text_is_the_number() {
        assert!(same(
            &path("spec.ports.targetPort"),
            &json!("80"),
            &json!(80)
        ));
        assert!(!same(
            &path("spec.ports.targetPort"),
            &json!("http"),
            &json!(80)
        ));
    }

    #[test]
    fn the_same_name_can_be_another_list() {
        let requirements = [json!({"key": "a"})];
        assert_eq!(list_kind("requirements", &requirements), ListKind::Atomic);
        assert_eq!(
            list_kind("ports", &[json!({"port": 1})]),
            ListKind::Keyed(&["port", "protocol"])
        );
        assert_eq!(list_kind("env", &[json!({"key": 1})]), ListKind::Atomic);
    }
}
