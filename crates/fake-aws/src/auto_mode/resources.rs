//! Amounts of CPU, memory and pods, and how Kubernetes writes them.

use std::collections::BTreeMap;
use std::ops::{AddAssign, SubAssign};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What a pod asks for or a node has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Resources {
    /// Thousandths of a CPU.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory: i64,
    /// Number of pods.
    pub pods: i64,
}

impl Resources {
    /// Whether these requests fit into what is free.
    pub(super) fn fit(&self, free: &Self) -> bool {
        self.cpu_millis <= free.cpu_millis && self.memory <= free.memory && self.pods <= free.pods
    }

    /// The larger of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.max(other.cpu_millis),
            memory: self.memory.max(other.memory),
            pods: self.pods.max(other.pods),
        }
    }

    /// Reads a map of Kubernetes quantities; what it does not name is zero.
    pub(super) fn read(quantities: &BTreeMap<String, Quantity>) -> Self {
        let amount = |key: &str, unit: f64| {
            quantities
                .get(key)
                .and_then(|q| parse(&q.0))
                .map_or(0, |n| (n * unit).ceil() as i64)
        };
        Self {
            cpu_millis: amount("cpu", 1000.0),
            memory: amount("memory", 1.0),
            pods: amount("pods", 1.0),
        }
    }

    /// As Kubernetes quantities.
    pub(super) fn quantities(&self) -> BTreeMap<String, Quantity> {
        [
            ("cpu", format!("{}m", self.cpu_millis)),
            ("memory", format!("{}Ki", self.memory >> 10)),
            ("pods", self.pods.to_string()),
            // The data volume of an Auto Mode node is 80 GiB unless its
            // NodeClass says otherwise.
            ("ephemeral-storage", "80Gi".to_owned()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Quantity(value)))
        .collect()
    }
}

impl AddAssign for Resources {
    fn add_assign(&mut self, other: Self) {
        self.cpu_millis += other.cpu_millis;
        self.memory += other.memory;
        self.pods += other.pods;
    }
}

impl SubAssign for Resources {
    fn sub_assign(&mut self, other: Self) {
        self.cpu_millis -= other.cpu_millis;
        self.memory -= other.memory;
        self.pods -= other.pods;
    }
}

/// The suffixes of quantities; the two-letter ones first, so that `Mi` is not
/// read as `i`.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The number that a Kubernetes quantity stands for.
pub(super) fn parse(text: &str) -> Option<f64> {
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1.0));
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, number) in [
            ("100m", Some(0.1)),
            ("2", Some(2.0)),
            ("1.5", Some(1.5)),
            ("128Mi", Some(134_217_728.0)),
            ("8Gi", Some(8_589_934_592.0)),
            ("1G", Some(1e9)),
            ("1e3", Some(1000.0)),
            ("12E", Some(12e18)),
            ("1Ei", Some(1_152_921_504_606_846_976.0)),
            ("many", None),
            ("", None),
        ] {
            assert_eq!(parse(text), number, "{text}");
        }
    }

    #[test]
    fn what_is_not_named_is_zero() {
        let read = Resources::read(&BTreeMap::from([("cpu".into(), Quantity("250m".into()))]));
        assert_eq!(
            read,
            Resources {
                cpu_millis: 250,
                memory: 0,
                pods: 0
            }
        );
    }
}
