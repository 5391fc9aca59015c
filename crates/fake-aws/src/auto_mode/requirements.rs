//! What a pod, a pool or a volume asks of a node's labels, and whether a node
//! has it. Pure; the operators are those of Kubernetes node affinity plus
//! Karpenter's `Gte` and `Lte`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Labels of a node, or of a node that could be started.
pub(super) type Labels = BTreeMap<String, String>;

/// One demand on the labels of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Requirement {
    /// The label.
    pub key: String,
    /// In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte or Lte.
    pub operator: String,
    /// What the label is compared with.
    #[serde(default)]
    pub values: Vec<String>,
}

impl Requirement {
    /// The label has exactly this value.
    pub(super) fn equals(key: &str, value: &str) -> Self {
        Self {
            key: key.into(),
            operator: "In".into(),
            values: vec![value.into()],
        }
    }

    /// The label has one of these values.
    pub(super) fn one_of(key: &str, values: Vec<String>) -> Self {
        Self {
            key: key.into(),
            operator: "In".into(),
            values,
        }
    }

    /// Whether a node with these labels fulfils the demand. An operator that
    /// is not known fulfils nothing: a node in the wrong place is worse than
    /// a pod that stays pending.
    pub(super) fn admits(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator.as_str() {
            "In" => value.is_some_and(|v| self.values.contains(v)),
            "NotIn" => value.is_none_or(|v| !self.values.contains(v)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => self.compare(value, |a, b| a > b),
            "Lt" => self.compare(value, |a, b| a < b),
            "Gte" => self.compare(value, |a, b| a >= b),
            "Lte" => self.compare(value, |a, b| a <= b),
            _ => false,
        }
    }

    fn compare(&self, value: Option<&String>, holds: fn(i64, i64) -> bool) -> bool {
        let number = |text: &String| text.parse::<i64>().ok();
        match (value.and_then(number), self.values.first().and_then(number)) {
            (Some(have), Some(bound)) => holds(have, bound),
            _ => false,
        }
    }
}

/// Alternatives, of which one must hold whole. None at all means: anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AnyOf(pub Vec<Vec<Requirement>>);

impl AnyOf {
    /// Whether a node with these labels fulfils one alternative.
    pub(super) fn admits(&self, labels: &Labels) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|terms| terms.iter().all(|term| term.admits(labels)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn requirement(operator: &str, values: &[&str]) -> Requirement {
        Requirement {
            key: "k".into(),
            operator: operator.into(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        }
    }

    #[test]
    fn each_operator_decides_by_the_label() {
        let five = labels(&[("k", "5")]);
        let none = labels(&[]);
        for (operator, values, with_five, without) in [
            ("In", &["5", "6"][..], true, false),
            ("NotIn", &["5"][..], false, true),
            ("Exists", &[][..], true, false),
            ("DoesNotExist", &[][..], false, true),
            ("Gt", &["4"][..], true, false),
            ("Gt", &["5"][..], false, false),
            ("Lt", &["6"][..], true, false),
            ("Gte", &["5"][..], true, false),
            ("Lte", &["4"][..], false, false),
            ("Near", &["5"][..], false, false),
        ] {
            let requirement = requirement(operator, values);
            assert_eq!(
                requirement.admits(&five),
                with_five,
                "{operator} {values:?} on 5"
            );
            assert_eq!(
                requirement.admits(&none),
                without,
                "{operator} {values:?} on nothing"
            );
        }
    }

    #[test]
    fn one_whole_alternative_is_enough_and_none_means_anything() {
        let node = labels(&[("zone", "a"), ("arch", "amd64")]);
        assert!(AnyOf::default().admits(&node));
        let split = AnyOf(vec![
            vec![Requirement::equals("zone", "b")],
            vec![
                Requirement::equals("zone", "a"),
                Requirement::equals("arch", "arm64"),
            ],
        ]);
        assert!(!split.admits(&node));
        let whole = AnyOf(vec![
            vec![Requirement::equals("zone", "b")],
            vec![Requirement::equals("zone", "a")],
        ]);
        assert!(whole.admits(&node));
    }
}
