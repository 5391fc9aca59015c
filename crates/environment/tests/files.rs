//! The files of the repository: they are valid, hold what they say, and the
//! schema beside them is the one of the types.

#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking, too

use std::path::Path;

use trunkline_environment::{Environment, Nat, RepositoryUrl, Tier, json_schema};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../environments")
}

fn load(name: &str) -> Environment {
    let path = folder().join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    Environment::parse(&format!("environments/{name}"), &text)
        .unwrap_or_else(|mistakes| panic!("{}", mistakes.render(80)))
}

const LEAST: &str = r#"
environment = "sandbox"
tier = "sandbox"
account = "111122223333"
region = "eu-central-1"
[network]
cidr = "10.20.0.0/16"
[workloads]
repository = "https://github.com/you/voice"
"#;

#[test]
fn sandbox_is_valid() {
    let sandbox = load("sandbox.toml");
    assert_eq!(sandbox.tier(), Tier::Sandbox);
    assert_eq!(sandbox.network().zones.len(), 2);
    assert_eq!(sandbox.network().nat, Nat::Single);
    assert!(!sandbox.cluster().deletion_protection);
    assert_eq!(sandbox.workloads().path, "gitops/sandbox");
}

#[test]
fn live_is_valid_and_disjoint_from_sandbox() {
    let (sandbox, live) = (load("sandbox.toml"), load("live.toml"));
    assert_eq!(live.tier(), Tier::Live);
    assert_eq!(live.network().zones.len(), 3);
    assert_eq!(live.network().nat, Nat::PerZone);
    assert!(live.cluster().deletion_protection);
    assert!(!live.network().cidr.contains(&sandbox.network().cidr));
    assert!(!sandbox.network().cidr.contains(&live.network().cidr));
}

#[test]
fn the_files_say_what_the_defaults_are() {
    let sandbox = load("sandbox.toml");
    let mut least = Environment::parse("sandbox.toml", LEAST).unwrap();
    least = least.with_repository(sandbox.workloads().repository.clone());
    assert_eq!(least, sandbox);
}

#[test]
fn live_has_defaults_of_its_own() {
    let text = LEAST
        .replace("\"sandbox\"", "\"live\"")
        .replace("[workloads]", "[cluster]\npublic_access = []\n[workloads]");
    let live = Environment::parse("live.toml", &text).unwrap();
    assert_eq!(live.network().nat, Nat::PerZone);
    assert_eq!(
        live.network()
            .zones
            .iter()
            .map(|zone| zone.as_str())
            .collect::<Vec<_>>(),
        ["euc1-az1", "euc1-az2", "euc1-az3"]
    );
    assert!(live.cluster().deletion_protection);
    assert!(live.cluster().public_access.is_empty());
    assert_eq!(live.redis().storage_gib, 32);
}

#[test]
fn names_follow_from_the_file() {
    let sandbox = load("sandbox.toml");
    assert_eq!(sandbox.cluster_name().as_str(), "trunkline-sandbox");
    assert_eq!(
        sandbox.ledger_bucket().as_str(),
        "trunkline-sandbox-111122223333-eu-central-1-ledger"
    );
    assert_eq!(
        sandbox.egress_bucket().as_str(),
        "trunkline-sandbox-111122223333-eu-central-1-egress"
    );
    assert_eq!(sandbox.role_name("node"), "trunkline-sandbox-node");
    assert_eq!(
        sandbox.role_arn("cluster").as_str(),
        "arn:aws:iam::111122223333:role/trunkline/sandbox/trunkline-sandbox-cluster"
    );
}

#[test]
fn repository_and_revision_can_be_replaced() {
    let sandbox = load("sandbox.toml");
    let checkout = RepositoryUrl::parse("file:///srv/checkout").unwrap();
    let changed = sandbox
        .with_repository(checkout.clone())
        .with_revision("v1.2.3")
        .unwrap();
    assert_eq!(changed.workloads().repository, checkout);
    assert_eq!(changed.workloads().revision, "v1.2.3");
    assert!(changed.with_revision("--upload-pack=x").is_err());
}

#[test]
fn admins_have_names_that_fit_addresses() {
    let text = format!(
        "{LEAST}[cluster]\nadmins = [\"arn:aws:iam::111122223333:role/team/Ops_Lead\", \
         \"arn:aws:iam::111122223333:user/alice@example.com\"]"
    );
    let environment = Environment::parse("sandbox.toml", &text).unwrap();
    let names: Vec<&str> = environment
        .cluster()
        .admins
        .iter()
        .map(|admin| admin.short_name())
        .collect();
    assert_eq!(names, ["role-ops-lead", "user-alice-example.com"]);
}

#[test]
fn the_schema_file_is_the_types() {
    let path = folder().join("schema.json");
    let schema = json_schema();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == schema,
        "environments/schema.json is not what the types say; \
         run this test with UPDATE_SCHEMA=1 and commit the file"
    );
}

/// The reader knows the fields it asks for, the schema those of the types:
/// each one of the schema must be known to the reader.
#[test]
fn the_reader_knows_every_field_of_the_schema() {
    let schema: serde_json::Value = serde_json::from_str(&json_schema()).unwrap();
    let properties = |of: &serde_json::Value| {
        let of = match of["$ref"].as_str() {
            Some(reference) => schema.pointer(&reference[1..]).unwrap(),
            None => of,
        };
        of["properties"].as_object().cloned()
    };
    let (mut fields, mut tables, mut names) = (String::new(), String::new(), Vec::new());
    for (name, of) in properties(&schema).unwrap() {
        let Some(inner) = properties(&of) else {
            fields.push_str(&format!("{name} = 1979-05-27\n"));
            names.push(name);
            continue;
        };
        tables.push_str(&format!("[{name}]\n"));
        for field in inner.keys() {
            tables.push_str(&format!("{field} = 1979-05-27\n"));
            names.push(format!("{name}.{field}"));
        }
    }
    assert!(names.contains(&"network.cidr".to_owned()) && names.len() > 12);
    // No field takes a date: each known one is of a wrong type, and none is
    // unknown.
    let mistakes = Environment::parse("sandbox.toml", &(fields + &tables)).unwrap_err();
    let mut found: Vec<String> = Vec::new();
    for mistake in mistakes.all() {
        assert!(mistake.problem.contains("datetime"), "{mistake}");
        found.push(mistake.field.clone());
    }
    found.sort();
    names.sort();
    assert_eq!(found, names);
}
