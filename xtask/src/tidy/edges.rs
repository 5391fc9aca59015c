//! Which crate may depend on which: the table of the design.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Problem;
use crate::test::ALONE;

/// A package of the workspace and what it depends on, tests apart.
pub(super) struct Package {
    name: String,
    /// Its folder, from the root of the checkout.
    folder: String,
    dependencies: BTreeSet<String>,
    /// Features that its product code switches on, as `dependency/feature`.
    features: BTreeSet<String>,
    /// Features that its tests switch on.
    test_features: BTreeSet<String>,
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
const TWICE: &str = "what depends on that would be compiled a second time for the tests, the AWS \
                     SDKs too: do without, or list the package in ALONE in xtask/src/test.rs";
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
        #[serde(default)]
        features: Vec<String>,
    }
    let metadata: Metadata =
        serde_json::from_str(metadata).context("cargo metadata cannot be read")?;
    let package = |raw: Raw| {
        let folder = raw.manifest_path.trim_end_matches("/Cargo.toml");
        let folder = folder
            .strip_prefix(&metadata.workspace_root)
            .unwrap_or(folder);
        let of = |tests: bool| {
            let is_of = move |one: &&Dependency| tests == (one.kind.as_deref() == Some("dev"));
            raw.dependencies.iter().filter(is_of)
        };
        let features = |one: &Dependency| {
            let name = one.name.clone();
            one.features
                .iter()
                .map(move |feature| format!("{name}/{feature}"))
                .collect::<Vec<_>>()
        };
        Package {
            folder: folder.trim_start_matches('/').to_owned(),
            dependencies: of(false).map(|one| one.name.clone()).collect(),
            features: of(false).flat_map(features).collect(),
            test_features: of(true).flat_map(features).collect(),
            name: raw.name.clone(),
        }
    };
    Ok(metadata.packages.into_iter().map(package).collect())
}

/// Checks the packages against the table.
pub(super) fn check(packages: &[Package]) -> Vec<Problem> {
    packages
        .iter()
        .flat_map(check_one)
        .chain(check_features(packages))
        .collect()
}

/// Finds features that only tests switch on, of dependencies that product code
/// has too.
fn check_features(packages: &[Package]) -> Vec<Problem> {
    let used: BTreeSet<_> = packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .collect();
    let known: BTreeSet<_> = packages
        .iter()
        .flat_map(|package| &package.features)
        .collect();
    let mut problems = Vec::new();
    for package in packages
        .iter()
        .filter(|package| !ALONE.contains(&package.name.as_str()))
    {
        for feature in package.test_features.difference(&package.features) {
            let dependency = feature.split('/').next().unwrap_or(feature).to_owned();
            if used.contains(&dependency) && !known.contains(feature) {
                let place = format!("{}/Cargo.toml", package.folder);
                let what = format!("only its tests switch on {feature}");
                problems.push(Problem {
                    place,
                    what,
                    reason: TWICE,
                });
            }
        }
    }
    problems
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
            features: BTreeSet::new(),
            test_features: BTreeSet::new(),
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
              {"name":"tokio","kind":null,"features":["net"]},{"name":"cc","kind":"build"},
              {"name":"tokio","kind":"dev","features":["net","test-util"]},
              {"name":"insta","kind":"dev","features":["json"]}]}]}"#;
        let packages = packages(metadata).unwrap();
        assert_eq!(packages[0].folder, "crates/net");
        let names: Vec<_> = packages[0].dependencies.iter().collect();
        assert_eq!(names, ["cc", "tokio", "trunkline-aws"]);
        let found: Vec<_> = check(&packages)
            .into_iter()
            .map(|problem| problem.what)
            .collect();
        assert_eq!(found, ["only its tests switch on tokio/test-util"]);
    }
}
