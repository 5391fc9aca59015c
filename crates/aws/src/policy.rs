//! Policies of IAM and S3 as data: when two of them say the same.

use serde_json::Value;

/// The one form of a policy: keys sorted, a list of one thing as the thing,
/// lists sorted and without repetition.
///
/// AWS gives policies back as they were written, or rearranged: a service
/// alone may come as a list, and orders of lists mean nothing in a policy.
#[must_use]
pub fn canonical_policy(policy: &Value) -> Value {
    match policy {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(canonical_policy).collect();
            items.sort_by_key(Value::to_string);
            items.dedup();
            if items.len() == 1 {
                items.remove(0)
            } else {
                Value::Array(items)
            }
        }
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields
                .iter()
                .map(|(key, value)| (key.clone(), canonical_policy(value)))
                .collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        // Conditions hold booleans as text or as they are.
        Value::Bool(_) | Value::Number(_) => Value::String(policy.to_string()),
        Value::Null | Value::String(_) => policy.clone(),
    }
}

/// Whether two policies say the same.
#[must_use]
pub fn same_policy(one: &Value, other: &Value) -> bool {
    canonical_policy(one) == canonical_policy(other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_means_the_same_is_the_same() {
        let ours = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Service": "eks.amazonaws.com"},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }],
        });
        let theirs = json!({
            "Statement": {
                "Action": ["sts:TagSession", "sts:AssumeRole"],
                "Principal": {"Service": ["eks.amazonaws.com"]},
                "Effect": "Allow",
                "Condition": {"Bool": {"aws:SecureTransport": false}},
            },
            "Version": "2012-10-17",
        });
        assert!(same_policy(&ours, &theirs));
    }

    #[test]
    fn what_means_something_else_is_not() {
        let ours = json!({"Action": ["sts:AssumeRole", "sts:TagSession"]});
        assert!(!same_policy(&ours, &json!({"Action": "sts:AssumeRole"})));
        assert!(!same_policy(
            &ours,
            &json!({"NotAction": ["sts:AssumeRole", "sts:TagSession"]})
        ));
    }
}
