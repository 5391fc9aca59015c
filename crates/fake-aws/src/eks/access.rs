//! Access entries and the access policies associated with them
//! (EKS User Guide, "Create access entries" and "Associate access policies").

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::error::{in_use, invalid_parameter, invalid_request, not_found};
use super::store::{Association, Cluster, Entry, Status, strings};
use super::{Ask, Emulator, iam, now, paging};
use crate::front::AwsError;

/// What an ARN of an access policy begins with.
const POLICY: &str = "arn:aws:eks::aws:cluster-access-policy/";

/// The access policies that exist for people and nodes
/// (EKS User Guide, "Review access policy permissions").
const POLICIES: [&str; 9] = [
    "AmazonEKSAdminPolicy",
    "AmazonEKSAdminViewPolicy",
    "AmazonEKSAutoNodePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSClusterAdminPolicy",
    "AmazonEKSComputePolicy",
    "AmazonEKSEditPolicy",
    "AmazonEKSHybridPolicy",
    "AmazonEKSViewPolicy",
];

const KINDS: [&str; 7] = [
    "STANDARD",
    "FARGATE_LINUX",
    "EC2_LINUX",
    "EC2_WINDOWS",
    "EC2",
    "HYBRID_LINUX",
    "HYPERPOD_LINUX",
];

/// An entry as an answer shows it.
fn view(cluster: &str, principal: &str, entry: &Entry) -> Value {
    json!({
        "clusterName": cluster,
        "principalArn": principal,
        "kubernetesGroups": entry.groups,
        "accessEntryArn": entry.arn,
        "createdAt": entry.created,
        "modifiedAt": entry.modified,
        "tags": entry.tags,
        "username": entry.username,
        "type": entry.kind,
    })
}

/// The state in which access entries can be worked with.
fn ready(cluster: &Cluster) -> Result<(), AwsError> {
    if cluster.fields["accessConfig"]["authenticationMode"] == "CONFIG_MAP" {
        return Err(invalid_request(
            "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to \
             perform this operation.",
        ));
    }
    match cluster.status {
        Status::Active | Status::Updating => Ok(()),
        other => Err(invalid_request(format!(
            "The cluster is in status {}, which does not allow this operation.",
            other.name()
        ))),
    }
}

/// CreateAccessEntry.
pub(super) async fn create(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    let principal = ask.body["principalArn"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    emulator.with(ask, |cluster| ready(cluster))?;
    let entry = wanted(emulator, ask, &principal)?;
    iam::require_principal(&emulator.iam(&ask.scope), &principal, &emulator.account).await?;
    emulator.with(ask, |cluster| {
        if let Some(there) = cluster.entries.get(&principal) {
            let token = &ask.body["clientRequestToken"];
            if token.is_null() || there.request != ask.body {
                // terraform-aws-modules/terraform-aws-eks #3293
                return Err(in_use(
                    "The specified access entry resource is already in use on this cluster.",
                ));
            }
            return Ok(json!({ "accessEntry": view(ask.name(0), &principal, there) }));
        }
        let answer = json!({ "accessEntry": view(ask.name(0), &principal, &entry) });
        cluster.entries.insert(principal.clone(), entry.clone());
        Ok(answer)
    })
}

/// The entry that a request describes.
fn wanted(emulator: &Emulator, ask: &Ask, principal: &str) -> Result<Entry, AwsError> {
    let kind = ask.body["type"].as_str().unwrap_or("STANDARD");
    if !KINDS.contains(&kind) {
        return Err(invalid_parameter(format!(
            "The type {kind} is not one of {KINDS:?}"
        )));
    }
    let mut groups = strings(&ask.body["kubernetesGroups"]);
    let username = ask.body["username"].as_str();
    if kind != "STANDARD" && (!groups.is_empty() || username.is_some()) {
        return Err(invalid_parameter(format!(
            "kubernetesGroups and username cannot be set for an access entry of type {kind}."
        )));
    }
    groups_allowed(&groups)?;
    if kind.starts_with("EC2") || kind == "HYBRID_LINUX" {
        groups.push("system:nodes".to_owned());
    }
    let cluster = ask.name(0);
    Ok(Entry {
        arn: arn(emulator, &ask.scope.region, cluster, principal),
        username: username.map_or_else(|| username_of(kind, principal), str::to_owned),
        kind: kind.to_owned(),
        groups,
        tags: if ask.body["tags"].is_object() {
            ask.body["tags"].clone()
        } else {
            json!({})
        },
        created: now(),
        modified: now(),
        policies: BTreeMap::new(),
        request: ask.body.clone(),
    })
}

/// Group names that only Kubernetes and AWS themselves may give.
fn groups_allowed(groups: &[String]) -> Result<(), AwsError> {
    const TAKEN: [&str; 5] = ["system:", "eks:", "aws:", "amazon:", "iam:"];
    for group in groups {
        if let Some(start) = TAKEN.iter().find(|start| group.starts_with(*start)) {
            return Err(invalid_parameter(format!(
                "The kubernetes group name {group} is invalid, it cannot start with {start}"
            )));
        }
    }
    Ok(())
}

fn arn(emulator: &Emulator, region: &str, cluster: &str, principal: &str) -> String {
    let (kind, name) = iam::kind_and_name(principal);
    let account = principal.split(':').nth(4).unwrap_or_default();
    let own = &emulator.account;
    format!(
        "arn:aws:eks:{region}:{own}:access-entry/{cluster}/{kind}/{account}/{name}/{}",
        super::uuid()
    )
}

/// The username that EKS chooses, with the placeholder of the session.
fn username_of(kind: &str, principal: &str) -> String {
    if kind != "STANDARD" {
        return "system:node:{{EC2PrivateDNSName}}".to_owned();
    }
    match iam::kind_and_name(principal) {
        ("role", name) => {
            let account = principal.split(':').nth(4).unwrap_or_default();
            format!("arn:aws:sts::{account}:assumed-role/{name}/{{{{SessionName}}}}")
        }
        _ => principal.to_owned(),
    }
}

/// An entry of EKS's own making, with one policy for the whole cluster.
pub(super) fn bootstrap(
    emulator: &Emulator,
    ask: &Ask,
    cluster: &Cluster,
    principal: &str,
    kind: &str,
    policy: &str,
) -> Entry {
    let name = cluster.fields["name"].as_str().unwrap_or_default();
    let association = Association {
        scope: json!({"type": "cluster"}),
        associated: now(),
        modified: now(),
    };
    Entry {
        arn: arn(emulator, &ask.scope.region, name, principal),
        kind: kind.to_owned(),
        username: username_of(kind, principal),
        groups: if kind == "EC2" {
            vec!["system:nodes".to_owned()]
        } else {
            Vec::new()
        },
        tags: json!({}),
        created: now(),
        modified: now(),
        policies: BTreeMap::from([(format!("{POLICY}{policy}"), association)]),
        request: Value::Null,
    }
}

/// Finds the entry that the path names.
fn entry<'a>(cluster: &'a mut Cluster, ask: &Ask) -> Result<&'a mut Entry, AwsError> {
    ready(cluster)?;
    // terraform-aws-modules/terraform-aws-eks #3024
    cluster.entries.get_mut(ask.name(1)).ok_or_else(|| {
        not_found(
            "The specified principalArn could not be found. You can view your available access \
             entries with 'list-access-entries'.",
        )
    })
}

/// DescribeAccessEntry.
pub(super) fn describe(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    emulator.with(ask, |cluster| {
        let entry = entry(cluster, ask)?;
        Ok(json!({ "accessEntry": view(ask.name(0), ask.name(1), entry) }))
    })
}

/// ListAccessEntries.
pub(super) fn list(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    let policy = ask.query.get("associatedPolicyArn");
    let entries = emulator.with(ask, |cluster| {
        ready(cluster)?;
        let with = |entry: &Entry| policy.is_none_or(|arn| entry.policies.contains_key(arn));
        let entries = cluster.entries.iter().filter(|(_, entry)| with(entry));
        Ok(entries
            .map(|(principal, _)| (principal.clone(), json!(principal)))
            .collect())
    })?;
    paging::page("accessEntries", entries, &ask.query)
}

/// UpdateAccessEntry.
pub(super) fn update(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    let groups = ask.body.get("kubernetesGroups").map(strings);
    groups_allowed(groups.as_deref().unwrap_or_default())?;
    emulator.with(ask, |cluster| {
        let entry = entry(cluster, ask)?;
        if entry.kind != "STANDARD" {
            // aws-controllers-k8s/community #2144
            return Err(invalid_parameter(
                "This operation can only be performed on Access Entries with a type of \"STANDARD\".",
            ));
        }
        if let Some(groups) = groups.clone() {
            entry.groups = groups;
        }
        if let Some(username) = ask.body["username"].as_str() {
            entry.username = username.to_owned();
        }
        entry.modified = now();
        Ok(json!({ "accessEntry": view(ask.name(0), ask.name(1), entry) }))
    })
}

/// DeleteAccessEntry.
pub(super) fn delete(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    emulator.with(ask, |cluster| {
        entry(cluster, ask)?;
        cluster.entries.remove(ask.name(1));
        Ok(json!({}))
    })
}

/// AssociateAccessPolicy; a second time it changes the scope.
pub(super) fn associate(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    let policy = ask.body["policyArn"].as_str().unwrap_or_default();
    let Some(name) = policy
        .strip_prefix(POLICY)
        .filter(|name| POLICIES.contains(name))
    else {
        return Err(invalid_parameter(format!(
            "The policyArn parameter {policy} is not valid"
        )));
    };
    let scope = scope(&ask.body["accessScope"])?;
    emulator.with(ask, |cluster| {
        let entry = entry(cluster, ask)?;
        let for_nodes = name == "AmazonEKSAutoNodePolicy";
        if for_nodes != (entry.kind == "EC2") {
            return Err(invalid_parameter(format!(
                "The access policy {name} cannot be associated with an access entry of type {}.",
                entry.kind
            )));
        }
        let before = entry
            .policies
            .get(policy)
            .map(|association| association.associated);
        let association = Association {
            scope: scope.clone(),
            associated: before.unwrap_or_else(now),
            modified: now(),
        };
        let answer = json!({
            "clusterName": ask.name(0),
            "principalArn": ask.name(1),
            "associatedAccessPolicy": association.view(policy),
        });
        entry.policies.insert(policy.to_owned(), association);
        Ok(answer)
    })
}

fn scope(scope: &Value) -> Result<Value, AwsError> {
    let namespaces = strings(&scope["namespaces"]);
    match scope["type"].as_str() {
        Some("cluster") if namespaces.is_empty() => {
            Ok(json!({"type": "cluster", "namespaces": []}))
        }
        Some("namespace") if !namespaces.is_empty() => {
            Ok(json!({"type": "namespace", "namespaces": namespaces}))
        }
        Some("cluster" | "namespace") => Err(invalid_parameter(
            "namespaces must be given with the access scope type namespace, and only with it",
        )),
        _ => Err(invalid_parameter(
            "accessScope.type must be one of [cluster, namespace]",
        )),
    }
}

/// DisassociateAccessPolicy.
pub(super) fn disassociate(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    emulator.with(ask, |cluster| {
        let removed = entry(cluster, ask)?.policies.remove(ask.name(2));
        removed.map(|_| json!({})).ok_or_else(|| {
            not_found(format!(
                "The access policy {} is not associated",
                ask.name(2)
            ))
        })
    })
}

/// ListAssociatedAccessPolicies.
pub(super) fn list_associated(emulator: &Emulator, ask: &Ask) -> Result<Value, AwsError> {
    let policies = emulator.with(ask, |cluster| {
        let policies = &entry(cluster, ask)?.policies;
        Ok(policies
            .iter()
            .map(|(arn, it)| (arn.clone(), it.view(arn)))
            .collect())
    })?;
    let mut answer = paging::page("associatedAccessPolicies", policies, &ask.query)?;
    answer["clusterName"] = ask.name(0).into();
    answer["principalArn"] = ask.name(1).into();
    Ok(answer)
}

/// ListAccessPolicies.
pub(super) fn list_policies(ask: &Ask) -> Result<Value, AwsError> {
    let policy = |name: &&str| {
        (
            (*name).to_owned(),
            json!({"name": name, "arn": format!("{POLICY}{name}")}),
        )
    };
    paging::page(
        "accessPolicies",
        POLICIES.iter().map(policy).collect(),
        &ask.query,
    )
}

/// The Kubernetes groups that stand for an entry's rights: its own, and one
/// per associated policy, which the control plane has role bindings for.
pub(super) fn kubernetes_groups(entry: &Entry) -> Vec<String> {
    let mut groups = entry.groups.clone();
    for (policy, association) in &entry.policies {
        let name = policy.strip_prefix(POLICY).unwrap_or(policy);
        let group = format!("eks-access-policy:{name}");
        match association.namespaces() {
            None => groups.push(group),
            Some(namespaces) => {
                groups.extend(
                    namespaces
                        .iter()
                        .map(|namespace| format!("{group}:{namespace}")),
                );
            }
        }
    }
    groups
}
