//! Which crate may depend on which: the table of the design.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Problem;

/// A package of the workspace and what it depends on, tests apart.
pub(super) struct Package {
    name: String,
    /// Its folder, from the root of the checkout.
    folder: String,
    dependencies: BTreeSet<String>,
}

/// What a crate may depend on of ours.
struct Edges {
    name: &'static str,
    on: &'static [&'static str],
}

const LAYER: &str = "no layer depends on another, so that one is changed, tested and embedded \
                     without the others; the pipeline wires them";
const SDK: &str = "one crate per heavy SDK: it compiles once, and what calls that service is known";
const NAME: &str = "folder name = crate name, packages are trunkline-<name>: a path says it all";
const UNKNOWN: &str = "a new crate says in xtask/src/tidy/edges.rs and in ARCHITECTURE.md what it \
                       may depend on";

const TABLE: &[Edges] = &[
    Edges {
        name: "ids",
        on: &[],
    },
    Edges {
        name: "engine",
        on: &["ids"],
    },
    Edges {
        name: "aws",
        on: &["engine", "ids"],
    },
    Edges {
        name: "objects",
        on: &["engine", "ids"],
    },
    Edges {
        name: "helm-wrapper",
        on: &["engine", "ids", "objects"],
    },
    Edges {
        name: "environment",
        on: &["ids"],
    },
    Edges {
        name: "net",
        on: &["aws", "engine", "ids"],
    },
    Edges {
        name: "storage",
        on: &["aws", "engine", "ids"],
    },
    Edges {
        name: "access",
        on: &["aws", "engine", "ids"],
    },
    Edges {
        name: "cluster",
        on: &["aws", "engine", "ids"],
    },
    Edges {
        name: "addons",
        on: &["engine", "helm-wrapper", "ids", "objects"],
    },
    Edges {
        name: "workloads",
        on: &["engine", "helm-wrapper", "ids", "objects"],
    },
    Edges {
        name: "ledger",
        on: &["aws", "engine", "ids"],
    },
    Edges {
        name: "pipeline",
        on: ABOVE_PIPELINE,
    },
    // The library and the types that its functions give.
    Edges {
        name: "cli",
        on: &["engine", "environment", "ids", "pipeline"],
    },
    Edges {
        name: "fake-aws",
        on: &["ids", "tools"],
    },
    Edges {
        name: "local",
        on: &["fake-aws", "tools"],
    },
    Edges {
        name: "tools",
        on: &[],
    },
    Edges {
        name: "xtask",
        on: &["tools"],
    },
];

const ABOVE_PIPELINE: &[&str] = &[
    "access",
    "addons",
    "aws",
    "cluster",
    "engine",
    "environment",
    "helm-wrapper",
    "ids",
    "ledger",
    "net",
    "objects",
    "storage",
    "workloads",
];

/// The crates that may use a service's client.
const CLIENTS: &[(&str, &[&str])] = &[
    ("aws-sdk-ec2", &["net"]),
    ("aws-sdk-eks", &["cluster"]),
    ("aws-sdk-iam", &["access"]),
    ("aws-sdk-s3", &["ledger", "storage"]),
    ("aws-sdk-sts", &["pipeline"]),
];

/// Reads what `cargo metadata --no-deps` prints.
pub(super) fn packages(metadata: &str) -> Result<Vec<Package>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Raw>,
        workspace_root: String,
    }
    #[derive(Deserialize)]
    struct Raw {
        name: String,
        manifest_path: String,
        dependencies: Vec<Dependency>,
    }
    #[derive(Deserialize)]
    struct Dependency {
        name: String,
        kind: Option<String>,
    }
    let metadata: Metadata =
        serde_json::from_str(metadata).context("cargo metadata cannot be read")?;
    let package = |raw: Raw| {
        let folder = raw.manifest_path.trim_end_matches("/Cargo.toml");
        let folder = folder
            .strip_prefix(&metadata.workspace_root)
            .unwrap_or(folder);
        let of_product = |one: &Dependency| one.kind.as_deref() != Some("dev");
        Package {
            folder: folder.trim_start_matches('/').to_owned(),
            dependencies: raw
                .dependencies
                .into_iter()
                .filter(of_product)
                .map(|d| d.name)
                .collect(),
            name: raw.name,
        }
    };
    Ok(metadata.packages.into_iter().map(package).collect())
}

/// Checks the packages against the table.
pub(super) fn check(packages: &[Package]) -> Vec<Problem> {
    packages.iter().flat_map(check_one).collect()
}

fn check_one(package: &Package) -> Vec<Problem> {
    let place = format!("{}/Cargo.toml", package.folder);
    let problem = |what: String, reason: &'static str| Problem {
        place: place.clone(),
        what,
        reason,
    };
    let short = package
        .name
        .strip_prefix("trunkline-")
        .unwrap_or(&package.name);
    let folder = if short == "xtask" {
        "xtask".to_owned()
    } else {
        format!("crates/{short}")
    };
    let mut problems = Vec::new();
    if package.folder != folder {
        problems.push(problem(
            format!("package `{}` belongs to {folder}", package.name),
            NAME,
        ));
    }
    let Some(edges) = TABLE.iter().find(|edges| edges.name == short) else {
        problems.push(problem(
            format!("crate `{short}` is not in the table"),
            UNKNOWN,
        ));
        return problems;
    };
    for name in &package.dependencies {
        if let Some(other) = name.strip_prefix("trunkline-")
            && !edges.on.contains(&other)
        {
            problems.push(problem(
                format!("{short} may not depend on {other}"),
                reason(other),
            ));
        }
        if name.starts_with("aws-sdk-")
            && !CLIENTS
                .iter()
                .any(|(client, users)| client == name && users.contains(&short))
        {
            problems.push(problem(format!("{short} may not use {name}"), SDK));
        }
    }
    problems
}

/// Why a crate is not for everyone.
fn reason(of: &str) -> &'static str {
    match of {
        "fake-aws" | "local" | "tools" => {
            "production crates know no rehearsal: the same code runs against AWS and against the \
             local stack, by endpoints alone"
        }
        "pipeline" | "cli" => "the composition stands on the layers, not they on it",
        "net" | "storage" | "access" | "cluster" | "addons" | "workloads" => LAYER,
        _ => {
            "the table in xtask/src/tidy/edges.rs says what may depend on what: below stands what \
              is shared, and it stays small"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, folder: &str, dependencies: &[&str]) -> Vec<String> {
        let dependencies = dependencies.iter().map(|name| (*name).to_owned()).collect();
        let package = Package {
            name: name.into(),
            folder: folder.into(),
            dependencies,
        };
        check(&[package])
            .into_iter()
            .map(|problem| problem.what)
            .collect()
    }

    #[test]
    fn edges_that_the_table_lacks_are_found() {
        let net = |on: &[&str]| found("trunkline-net", "crates/net", on);
        assert_eq!(net(&["trunkline-aws", "aws-sdk-ec2", "serde"]), [""; 0]);
        assert_eq!(
            net(&["trunkline-storage"]),
            ["net may not depend on storage"]
        );
        assert_eq!(
            net(&["trunkline-fake-aws"]),
            ["net may not depend on fake-aws"]
        );
        assert_eq!(net(&["aws-sdk-s3"]), ["net may not use aws-sdk-s3"]);
        assert_eq!(
            net(&["aws-sdk-route53"]),
            ["net may not use aws-sdk-route53"]
        );
        let engine = found("trunkline-engine", "crates/engine", &["trunkline-pipeline"]);
        assert_eq!(engine, ["engine may not depend on pipeline"]);
    }

    #[test]
    fn names_follow_folders() {
        let wrong = found("trunkline-net", "crates/network", &[]);
        assert_eq!(wrong, ["package `trunkline-net` belongs to crates/net"]);
        assert_eq!(found("xtask", "xtask", &["trunkline-tools"]), [""; 0]);
        assert_eq!(
            found("trunkline-new", "crates/new", &[]),
            ["crate `new` is not in the table"]
        );
    }

    #[test]
    fn the_table_has_no_way_round() {
        // A crate stands below what may depend on it, so the order of the table
        // shows that no two can come to depend on each other.
        let rank = |name: &str| TABLE.iter().position(|edges| edges.name == name);
        let product = TABLE
            .iter()
            .filter(|edges| !["fake-aws", "local"].contains(&edges.name));
        for edges in product.filter(|edges| edges.name != "xtask") {
            for on in edges.on {
                assert!(rank(on) < rank(edges.name), "{} → {on}", edges.name);
            }
        }
        for edges in TABLE.iter().filter(|edges| edges.on.contains(&"fake-aws")) {
            assert_eq!(edges.name, "local");
        }
    }

    #[test]
    fn metadata_is_read_without_the_dependencies_of_tests() {
        let metadata = r#"{"workspace_root":"/w","packages":[{
            "name":"trunkline-net","manifest_path":"/w/crates/net/Cargo.toml","dependencies":[
              {"name":"trunkline-aws","kind":null},{"name":"trunkline-fake-aws","kind":"dev"},
              {"name":"cc","kind":"build"}]}]}"#;
        let packages = packages(metadata).unwrap();
        assert_eq!(packages[0].folder, "crates/net");
        let names: Vec<_> = packages[0].dependencies.iter().collect();
        assert_eq!(names, ["cc", "trunkline-aws"]);
    }
}
