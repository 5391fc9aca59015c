//! What has to be done to the roles. Pure.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunkline_aws::{canonical_policy, same_policy};
use trunkline_engine::{Change, Draft, Observed, Step, Verb, Wish};
use trunkline_ids::{Address, Later};

use crate::{
    observe::{Observation, Role},
    spec::RoleWish,
};

/// IAM answers at once; a create is followed by an attachment per policy.
const TAKES: Duration = Duration::from_secs(3);

/// One way to change one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes it with all its parts.
    Create(Box<RoleWish>),
    /// Puts right what differs.
    Mend(Mend),
    /// Removes it with all its parts.
    Delete {
        /// Its name in IAM.
        name: String,
    },
}

/// What differs of a role, as it should be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mend {
    pub(crate) name: String,
    pub(crate) trust: Option<Value>,
    pub(crate) attach: Vec<String>,
    pub(crate) inline: BTreeMap<String, Value>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// The steps from what is to what is wished.
pub(crate) fn plan(wished: &[RoleWish], wish: Wish, seen: &Observation) -> Draft<Action> {
    let wanted: BTreeMap<&Address, &RoleWish> = match wish {
        Wish::Deployed => wished.iter().map(|role| (&role.address, role)).collect(),
        Wish::Destroyed { .. } => BTreeMap::new(),
    };
    let mut draft = Draft {
        foreign: seen.foreign.clone(),
        ..Draft::default()
    };
    for (address, observed) in &seen.roles {
        match (observed, wanted.get(address)) {
            (Observed::Unknown(why), _) => draft.unknown.push((address.clone(), why.clone())),
            (Observed::Absent, None) => {}
            (Observed::Absent, Some(wanted)) => draft.steps.push(create(wanted)),
            (Observed::Present { value, .. }, None) => {
                draft.steps.push(delete(address, value, wish));
            }
            (Observed::Present { value, .. }, Some(wanted)) => {
                draft.steps.extend(mend(wanted, value));
                draft.foreign.extend(extra(wanted, value));
            }
        }
    }
    draft
}

fn create(role: &RoleWish) -> Step<Action> {
    let about = format!("{}, {} policies", role.name, role.policies.len());
    let action = Action::Create(Box::new(role.clone()));
    Step::new(Verb::Create, role.address.clone(), "iam", action)
        .about(about)
        .because("it is not there")
        .takes(TAKES)
}

fn delete(address: &Address, role: &Role, wish: Wish) -> Step<Action> {
    let reason = match wish {
        Wish::Deployed => "it is no longer wished",
        Wish::Destroyed { .. } => "the environment is destroyed",
    };
    let name = role.name.clone();
    let about = name.clone();
    Step::new(
        Verb::Delete,
        address.clone(),
        "iam",
        Action::Delete { name },
    )
    .about(about)
    .because(reason)
    .takes(TAKES)
}

/// The step that puts right what differs, if anything does.
fn mend(wanted: &RoleWish, is: &Role) -> Option<Step<Action>> {
    let mut changes = Vec::new();
    let mut mend = Mend {
        name: wanted.name.clone(),
        ..Mend::default()
    };
    if !same_policy(&wanted.trust, &is.trust) {
        changes.push(change_of_policy("trust policy", &is.trust, &wanted.trust));
        mend.trust = Some(wanted.trust.clone());
    }
    for arn in wanted.policies.difference(&is.policies) {
        changes.push(appears("attached policy", short(arn)));
        mend.attach.push(arn.clone());
    }
    for (name, policy) in &wanted.inline {
        let field = format!("inline policy {name}");
        match is.inline.get(name) {
            Some(there) if same_policy(there, policy) => continue,
            Some(there) => changes.push(change_of_policy(&field, there, policy)),
            None => changes.push(appears(&field, &compact(policy))),
        }
        mend.inline.insert(name.clone(), policy.clone());
    }
    for (key, value) in &wanted.tags {
        let field = format!("tag {key}");
        match is.tags.get(key) {
            Some(there) if there == value => continue,
            Some(there) => changes.push(Change::new(&field, there, value)),
            None => changes.push(appears(&field, value)),
        }
        mend.tags.insert(key.clone(), value.clone());
    }
    if changes.is_empty() {
        return None;
    }
    let step = Step::new(
        Verb::Update,
        wanted.address.clone(),
        "iam",
        Action::Mend(mend),
    );
    Some(
        step.about(wanted.name.clone())
            .changes(changes)
            .because("it differs from what is wished")
            .takes(TAKES),
    )
}

/// What someone added to a role of ours: said, and left alone.
fn extra(wanted: &RoleWish, is: &Role) -> Vec<String> {
    let attached = is.policies.difference(&wanted.policies);
    let attached = attached.map(|arn| format!("policy {} attached to role {}", arn, is.name));
    let inline = is.inline.keys().filter(|n| !wanted.inline.contains_key(*n));
    let inline = inline.map(|name| format!("inline policy {name} in role {}", is.name));
    attached.chain(inline).collect()
}

fn change_of_policy(field: &str, from: &Value, to: &Value) -> Change {
    Change::new(field, compact(from), compact(to))
}

fn appears(field: &str, to: &str) -> Change {
    Change {
        field: field.to_owned(),
        from: None,
        to: Some(Later::Known(to.to_owned())),
    }
}

fn compact(policy: &Value) -> String {
    canonical_policy(policy).to_string()
}

fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use trunkline_ids::RoleArn;

    use super::*;
    use crate::spec::tests::roles;

    const ALL: Wish = Wish::Destroyed { with_data: false };

    fn as_wished(wanted: &RoleWish) -> Role {
        Role {
            name: wanted.name.clone(),
            arn: RoleArn::new(format!("arn:aws:iam::1:role/{}", wanted.name)),
            trust: wanted.trust.clone(),
            policies: wanted.policies.clone(),
            inline: wanted.inline.clone(),
            tags: wanted.tags.clone(),
        }
    }

    fn seen(change: impl Fn(&mut Role)) -> Observation {
        let there = roles().into_iter().map(|wanted| {
            let mut role = as_wished(&wanted);
            change(&mut role);
            (wanted.address, Observed::one(role))
        });
        Observation {
            roles: there.collect(),
            foreign: vec![],
        }
    }

    fn empty() -> Observation {
        let absent = roles().into_iter().map(|r| (r.address, Observed::Absent));
        Observation {
            roles: absent.collect(),
            foreign: vec![],
        }
    }

    #[test]
    fn from_nothing_both_are_made() {
        let draft = plan(&roles(), Wish::Deployed, &empty());
        let pairs: Vec<_> = draft
            .steps
            .iter()
            .map(|s| (s.verb, s.about.as_str()))
            .collect();
        insta::assert_debug_snapshot!(pairs, @r#"
        [
            (
                Create,
                "trunkline-sandbox-cluster, 5 policies",
            ),
            (
                Create,
                "trunkline-sandbox-node, 2 policies",
            ),
        ]
        "#);
    }

    #[test]
    fn what_is_as_wished_stays() {
        assert_eq!(
            plan(&roles(), Wish::Deployed, &seen(|_| {})),
            Draft::default()
        );
    }

    #[test]
    fn what_was_changed_is_put_right_and_what_was_added_is_said() {
        let seen = seen(|role| {
            if role.name.ends_with("node") {
                role.trust = json!({"Version": "2012-10-17", "Statement": []});
                role.policies.pop_first();
                role.policies
                    .insert("arn:aws:iam::aws:policy/ReadOnlyAccess".into());
                role.tags.insert("Name".into(), "other".into());
            }
        });
        let draft = plan(&roles(), Wish::Deployed, &seen);
        insta::assert_json_snapshot!((&draft.steps, &draft.foreign));
    }

    #[test]
    fn a_destroy_takes_all_of_ours() {
        let draft = plan(&roles(), ALL, &seen(|_| {}));
        assert_eq!(draft.steps.len(), 2);
        assert!(draft.steps.iter().all(|step| step.verb == Verb::Delete));
        assert_eq!(plan(&roles(), ALL, &empty()), Draft::default());
    }

    #[test]
    fn a_role_that_is_no_longer_wished_goes() {
        let draft = plan(&roles()[..1], Wish::Deployed, &seen(|_| {}));
        assert_eq!(draft.steps.len(), 1);
        assert_eq!(draft.steps[0].verb, Verb::Delete);
        assert_eq!(draft.steps[0].address.as_str(), "access/role/node");
    }

    proptest! {
        /// However a role was bent: one update per role at most, it names each
        /// difference, and once done nothing is left to do.
        #[test]
        fn mending_converges(
            trust in any::<bool>(),
            keep in prop::collection::vec(any::<bool>(), 8),
            drop_inline in any::<bool>(),
            tag in prop::option::of("[a-z]{0,5}"),
            deployed in any::<bool>(),
            unknown in any::<bool>(),
        ) {
            let mut seen = seen(|role| {
                if trust { role.trust = json!({}); }
                let mut n = 0;
                role.policies.retain(|_| { n += 1; keep[n] });
                if drop_inline { role.inline.clear(); }
                if let Some(tag) = &tag { role.tags.insert("Name".into(), tag.clone()); }
            });
            if unknown {
                let first = roles()[0].address.clone();
                seen.roles.insert(first, Observed::Unknown("no answer".into()));
            }
            let wish = if deployed { Wish::Deployed } else { ALL };
            let draft = plan(&roles(), wish, &seen);
            prop_assert_eq!(draft.unknown.len(), usize::from(unknown));
            for (address, _) in &draft.unknown {
                prop_assert!(draft.steps.iter().all(|step| step.address != *address));
            }
            for step in draft.steps {
                match step.action {
                    Action::Delete { .. } => { seen.roles.insert(step.address, Observed::Absent); }
                    Action::Mend(mend) => {
                        prop_assert!(!step.changes.is_empty());
                        let Some(Observed::Present { value, .. }) = seen.roles.get_mut(&step.address)
                        else { panic!("a mend of what is not there") };
                        if let Some(trust) = mend.trust { value.trust = trust; }
                        value.policies.extend(mend.attach);
                        value.inline.extend(mend.inline);
                        value.tags.extend(mend.tags);
                    }
                    Action::Create(_) => panic!("a create of what is there"),
                }
            }
            prop_assert!(plan(&roles(), wish, &seen).steps.is_empty());
        }
    }
}
