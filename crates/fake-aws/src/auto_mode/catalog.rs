//! The instance types that simulated nodes can have: a choice of those that
//! Auto Mode starts, with their published sizes, as labels to choose by.

use super::requirements::Labels;
use super::resources::Resources;

/// One instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InstanceType {
    /// Name, `m7a.large`.
    pub name: String,
    /// `amd64` or `arm64`.
    pub arch: &'static str,
    family: &'static str,
    category: &'static str,
    generation: &'static str,
    manufacturer: &'static str,
    size: &'static str,
    vcpu: i64,
    memory_mib: i64,
}

/// family, category, generation, architecture, CPU manufacturer, GiB per vCPU.
const FAMILIES: [(&str, &str, &str, &str, &str, i64); 6] = [
    ("c7a", "c", "7", "amd64", "amd", 2),
    ("m7a", "m", "7", "amd64", "amd", 4),
    ("r7a", "r", "7", "amd64", "amd", 8),
    ("c7g", "c", "7", "arm64", "aws", 2),
    ("m7g", "m", "7", "arm64", "aws", 4),
    ("r7g", "r", "7", "arm64", "aws", 8),
];

const SIZES: [(&str, i64); 6] = [
    ("medium", 1),
    ("large", 2),
    ("xlarge", 4),
    ("2xlarge", 8),
    ("4xlarge", 16),
    ("8xlarge", 32),
];

/// Every type, cheapest first: by vCPUs, then memory, then name, which puts
/// amd64 before arm64 where a pool asks for neither.
pub(super) fn instance_types() -> Vec<InstanceType> {
    let mut types: Vec<_> = FAMILIES
        .into_iter()
        .flat_map(|family| {
            SIZES
                .into_iter()
                .map(move |size| instance_type(family, size))
        })
        .collect();
    types.sort_by(|a, b| (a.vcpu, a.memory_mib, &a.name).cmp(&(b.vcpu, b.memory_mib, &b.name)));
    types
}

fn instance_type(
    (family, category, generation, arch, manufacturer, ratio): (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        i64,
    ),
    (size, vcpu): (&'static str, i64),
) -> InstanceType {
    InstanceType {
        name: format!("{family}.{size}"),
        arch,
        family,
        category,
        generation,
        manufacturer,
        size,
        vcpu,
        memory_mib: vcpu * ratio * 1024,
    }
}

impl InstanceType {
    /// The labels that Auto Mode gives a node of this type
    /// (docs.aws.amazon.com, "Auto Mode well-known labels").
    pub(super) fn labels(&self) -> Labels {
        [
            ("node.kubernetes.io/instance-type", self.name.clone()),
            ("kubernetes.io/arch", self.arch.into()),
            ("kubernetes.io/os", "linux".into()),
            ("eks.amazonaws.com/compute-type", "auto".into()),
            ("eks.amazonaws.com/instance-category", self.category.into()),
            ("eks.amazonaws.com/instance-family", self.family.into()),
            (
                "eks.amazonaws.com/instance-generation",
                self.generation.into(),
            ),
            ("eks.amazonaws.com/instance-size", self.size.into()),
            ("eks.amazonaws.com/instance-cpu", self.vcpu.to_string()),
            (
                "eks.amazonaws.com/instance-cpu-manufacturer",
                self.manufacturer.into(),
            ),
            (
                "eks.amazonaws.com/instance-memory",
                self.memory_mib.to_string(),
            ),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// What the type has.
    pub(super) fn capacity(&self) -> Resources {
        Resources {
            cpu_millis: self.vcpu * 1000,
            memory: self.memory_mib << 20,
            // An Auto Mode node takes at most 110 pods.
            pods: 110,
        }
    }

    /// What pods can have of it: the rest is for the system, roughly as on a
    /// real node.
    pub(super) fn allocatable(&self) -> Resources {
        let capacity = self.capacity();
        Resources {
            cpu_millis: capacity.cpu_millis - 80,
            memory: capacity.memory - (600 << 20),
            ..capacity
        }
    }
}

/// The type of that name.
pub(super) fn by_name(name: &str) -> Option<InstanceType> {
    instance_types().into_iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_published_ones() {
        let kind = by_name("m7a.xlarge").unwrap();
        assert_eq!(kind.capacity().cpu_millis, 4000);
        assert_eq!(kind.capacity().memory, 16 << 30);
        assert_eq!(kind.labels()["eks.amazonaws.com/instance-memory"], "16384");
        assert_eq!(kind.labels()["eks.amazonaws.com/instance-category"], "m");
    }

    #[test]
    fn the_cheapest_comes_first() {
        let names: Vec<_> = instance_types()
            .into_iter()
            .take(4)
            .map(|kind| kind.name)
            .collect();
        assert_eq!(
            names,
            ["c7a.medium", "c7g.medium", "m7a.medium", "m7g.medium"]
        );
    }
}
