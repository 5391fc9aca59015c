//! Reads what roles there are: by path in one list, then each role's parts,
//! all at once, as IAM has no better.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::{Client, types};
use futures::{
    future::{join_all, try_join_all},
    try_join,
};
use serde_json::Value;
use trunkline_aws::{address_of, failure};
use trunkline_engine::{Failure, FailureKind, Health, Observed, Seen};
use trunkline_ids::{Address, RoleArn};

use crate::spec::{AccessSpec, RoleWish};

/// What roles there are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// Every role that carries our marks, and every one that is wished.
    pub(crate) roles: BTreeMap<Address, Observed<Role>>,
    /// Roles under our path that are not ours.
    pub(crate) foreign: Vec<String>,
}

/// One role as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) arn: RoleArn,
    pub(crate) trust: Value,
    pub(crate) policies: BTreeSet<String>,
    pub(crate) inline: BTreeMap<String, Value>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Role {
    /// The address the role is marked with.
    pub(crate) fn address(&self, environment: &str) -> Option<Address> {
        let tags = self.tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        address_of(tags, environment)
    }
}

/// Reads everything. A failed read is unknown, never absent.
pub(crate) async fn observe(
    iam: &Client,
    spec: &AccessSpec,
    environment: &str,
    wished: &[RoleWish],
) -> Observation {
    let mut seen = Observation::default();
    let names = match names(iam, &spec.path()).await {
        Ok(names) => names,
        Err(failure) => {
            let unknown = |role: &RoleWish| {
                let why = Observed::Unknown(failure.to_string());
                (role.address.clone(), why)
            };
            seen.roles = wished.iter().map(unknown).collect();
            return seen;
        }
    };
    let read = join_all(names.iter().map(|name| role(iam, name))).await;
    for (name, read) in names.iter().zip(read) {
        seen.add(spec, environment, name, read);
    }
    for role in wished {
        let address = role.address.clone();
        seen.roles.entry(address).or_insert(Observed::Absent);
    }
    seen
}

impl Observation {
    fn add(
        &mut self,
        spec: &AccessSpec,
        environment: &str,
        name: &str,
        read: Result<Option<Role>, Failure>,
    ) {
        let by_name = spec.address_of_name(name);
        match read {
            // Gone between the list and the look.
            Ok(None) => {}
            Ok(Some(role)) => match role.address(environment) {
                Some(address) if Some(&address) == by_name.as_ref() => {
                    self.roles.insert(address, Observed::one(role));
                }
                _ => {
                    let path = spec.path();
                    let text = format!("role {name} under {path}: it does not carry our marks");
                    self.foreign.push(text);
                }
            },
            Err(failure) => match by_name {
                Some(address) => {
                    let why = Observed::Unknown(failure.to_string());
                    self.roles.insert(address, why);
                }
                None => self.foreign.push(format!("role {name}: {failure}")),
            },
        }
    }

    /// The summary for the engine.
    pub(crate) fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        for (address, observed) in &self.roles {
            seen.presence.insert(address.clone(), observed.presence());
            if let Some(role) = observed.value() {
                seen.outputs.put(address, &role.arn);
                seen.health.push(Health {
                    address: address.clone(),
                    well: true,
                    words: format!("{}, {} policies", role.name, role.policies.len()),
                });
            }
        }
        seen
    }
}

/// The names of all roles under a path.
pub(crate) async fn names(iam: &Client, path: &str) -> Result<Vec<String>, Failure> {
    let mut pages = iam.list_roles().path_prefix(path).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| failure("IAM", "ListRoles", &e))?;
        names.extend(page.roles().iter().map(|role| role.role_name().to_owned()));
    }
    Ok(names)
}

/// One role with all its parts; none if there is no such role.
pub(crate) async fn role(iam: &Client, name: &str) -> Result<Option<Role>, Failure> {
    let read = try_join!(get(iam, name), attached(iam, name), inline(iam, name));
    match read {
        Ok((Some(role), policies, inline)) => Ok(Some(Role {
            policies,
            inline,
            ..role
        })),
        Ok((None, _, _)) => Ok(None),
        Err(failure) if failure.kind == FailureKind::Gone => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// A role without its policies; none if there is no such role.
pub(crate) async fn get(iam: &Client, name: &str) -> Result<Option<Role>, Failure> {
    let answer = match iam.get_role().role_name(name).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let failure = failure("IAM", "GetRole", &error);
            return match failure.kind {
                FailureKind::Gone => Ok(None),
                _ => Err(failure),
            };
        }
    };
    Ok(answer.role().map(|role| Role {
        name: role.role_name().to_owned(),
        arn: RoleArn::new(role.arn()),
        trust: document(role.assume_role_policy_document().unwrap_or_default()),
        policies: BTreeSet::new(),
        inline: BTreeMap::new(),
        tags: tags(role.tags()),
    }))
}

/// The ARNs of the policies attached to a role.
pub(crate) async fn attached(iam: &Client, name: &str) -> Result<BTreeSet<String>, Failure> {
    let list = iam.list_attached_role_policies().role_name(name);
    let mut pages = list.into_paginator().send();
    let mut arns = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| failure("IAM", "ListAttachedRolePolicies", &e))?;
        let found = page.attached_policies().iter();
        arns.extend(found.filter_map(|policy| policy.policy_arn().map(str::to_owned)));
    }
    Ok(arns)
}

/// The names of the policies written into a role.
pub(crate) async fn inline_names(iam: &Client, name: &str) -> Result<Vec<String>, Failure> {
    let mut pages = iam
        .list_role_policies()
        .role_name(name)
        .into_paginator()
        .send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| failure("IAM", "ListRolePolicies", &e))?;
        names.extend_from_slice(page.policy_names());
    }
    Ok(names)
}

async fn inline(iam: &Client, role: &str) -> Result<BTreeMap<String, Value>, Failure> {
    let read = inline_names(iam, role)
        .await?
        .into_iter()
        .map(|name| async {
            let ask = iam.get_role_policy().role_name(role).policy_name(&name);
            let answer = ask
                .send()
                .await
                .map_err(|e| failure("IAM", "GetRolePolicy", &e))?;
            Ok((name, document(answer.policy_document())))
        });
    Ok(try_join_all(read).await?.into_iter().collect())
}

pub(crate) fn tags(tags: &[types::Tag]) -> BTreeMap<String, String> {
    tags.iter()
        .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
        .collect()
}

/// A policy as IAM gives it back: JSON, percent-encoded as RFC 3986 says (IAM
/// API reference, "GetRole"). What is no JSON stays text, which differs from
/// every policy of ours.
fn document(text: &str) -> Value {
    let plain = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    serde_json::from_str(&plain).unwrap_or_else(|_| Value::String(plain.into_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies_are_read_whether_encoded_or_not() {
        let expected = json!({"Version": "2012-10-17", "Statement": []});
        let plain = expected.to_string();
        let encoded =
            percent_encoding::utf8_percent_encode(&plain, percent_encoding::NON_ALPHANUMERIC);
        assert_eq!(document(&encoded.to_string()), expected);
        assert_eq!(document(&plain), expected);
        assert_eq!(document("%7Bbroken"), json!("{broken"));
    }
}
