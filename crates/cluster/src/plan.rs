//! What has to be done to the cluster and to who reaches it. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use trunkline_engine::{Change, Draft, Observed, Step, Verb, Wish};
use trunkline_ids::{Address, ClusterName, Later};

use crate::{
    observe::{ClusterState, Entry, Observation, Status},
    spec::{ClusterWish, EndpointAccess, EntryWish, Settings},
};

/// A control plane takes 8 to 16 minutes, about 10 (public logs).
const CREATE_TAKES: Duration = Duration::from_secs(600);
const DELETE_TAKES: Duration = Duration::from_secs(480);
/// Changing how the endpoint is reached rolls the API servers.
const ENDPOINT_TAKES: Duration = Duration::from_secs(300);
const SETTING_TAKES: Duration = Duration::from_secs(60);
const ENTRY_TAKES: Duration = Duration::from_secs(3);

/// One way to change the cluster or one access entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes the cluster, after one of its name that is being deleted is gone,
    /// and waits until it is `ACTIVE`.
    Create(Box<ClusterWish>),
    /// Waits until a cluster of ours that is being made is `ACTIVE`.
    Await(ClusterName),
    /// Changes the cluster in place.
    Update(Box<Update>),
    /// Removes the cluster, its access entries with it.
    Delete {
        /// Its name.
        name: ClusterName,
        /// Whether its deletion protection is taken off first.
        unprotect: bool,
    },
    /// Lets a principal in.
    Enter(Box<EntryWish>),
    /// Takes a principal's access away.
    Leave {
        /// The cluster.
        cluster: ClusterName,
        /// The principal's ARN.
        principal: String,
    },
}

/// What changes of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    pub(crate) name: ClusterName,
    pub(crate) endpoint: Option<EndpointAccess>,
    /// The kinds of logs to switch on and off.
    pub(crate) logging: Option<Logging>,
    pub(crate) deletion_protection: Option<bool>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// Kinds of control plane logs to switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logging {
    pub(crate) on: BTreeSet<String>,
    pub(crate) off: BTreeSet<String>,
}

/// The steps from what is to what is wished.
pub(crate) fn plan(
    environment: &str,
    wanted: &ClusterWish,
    entries: &[EntryWish],
    deployer: &str,
    wish: Wish,
    seen: &Observation,
) -> Draft<Action> {
    let mut draft = Draft {
        foreign: seen.foreign.clone(),
        ..Draft::default()
    };
    match (&seen.cluster, wish) {
        (Observed::Unknown(why), _) => draft.unknown.push((wanted.address.clone(), why.clone())),
        (Observed::Absent, Wish::Destroyed { .. }) => {}
        // Its access entries go with it: taking our own away first would lock
        // us out of what is still to be removed inside.
        (Observed::Present { value, .. }, Wish::Destroyed { .. }) => {
            let reason = "the environment is destroyed";
            let entering = entering(wanted, entries, deployer, value, seen);
            let first = entering.iter().map(|step| step.address.clone());
            let delete = delete(wanted, value, reason).after(first);
            draft.steps.extend(entering);
            draft.steps.push(delete);
        }
        (Observed::Absent, Wish::Deployed) => {
            draft.steps.push(create(wanted, "it is not there"));
            draft.steps.extend(entries.iter().map(|e| enter(e, wanted)));
        }
        (Observed::Present { value, .. }, Wish::Deployed) => {
            deployed(environment, wanted, entries, value, seen, &mut draft);
        }
    }
    draft
}

/// A destroy looks inside first, so it may have to enter: a run may have ended
/// between the cluster and its entries, or between an entry and its policy.
fn entering(
    wanted: &ClusterWish,
    entries: &[EntryWish],
    deployer: &str,
    is: &ClusterState,
    seen: &Observation,
) -> Option<Step<Action>> {
    let open = matches!(is.status, Status::Active | Status::Updating);
    let own = entries.iter().find(|entry| entry.principal == deployer)?;
    let verb = match seen.entry(deployer) {
        Observed::Absent => Verb::Create,
        Observed::Present { value, .. } if !value.policies.contains(&own.policy) => Verb::Update,
        Observed::Present { .. } | Observed::Unknown(_) => return None,
    };
    open.then(|| entry_step(verb, own, wanted).because("to look inside"))
}

fn deployed(
    environment: &str,
    wanted: &ClusterWish,
    entries: &[EntryWish],
    is: &ClusterState,
    seen: &Observation,
    draft: &mut Draft<Action>,
) {
    match &is.status {
        Status::Active | Status::Updating => {
            draft.steps.extend(update(wanted, is));
            draft.foreign.extend(not_changed_here(wanted, is));
            plan_entries(environment, wanted, entries, is, seen, draft);
            return;
        }
        Status::Creating => draft.steps.push(wait(wanted)),
        Status::Deleting => draft
            .steps
            .push(create(wanted, "one of its name is being deleted")),
        Status::Failed if is.is_stillborn() => {
            draft
                .steps
                .push(delete(wanted, is, "it failed while it was made"));
            draft
                .steps
                .push(create(wanted, "it failed while it was made"));
        }
        Status::Failed | Status::Other(_) => {
            let issues = is.issues.join("; ");
            let why = format!("the cluster is {}; {issues}", is.status);
            draft.unknown.push((wanted.address.clone(), why));
            return;
        }
    }
    draft.steps.extend(entries.iter().map(|e| enter(e, wanted)));
}

fn create(wanted: &ClusterWish, reason: &str) -> Step<Action> {
    let action = Action::Create(Box::new(wanted.clone()));
    Step::new(Verb::Create, wanted.address.clone(), "eks", action)
        .about(format!(
            "{}, Auto Mode, Kubernetes {}",
            wanted.name, wanted.version
        ))
        .after([wanted.role.clone()])
        .after(wanted.subnets.iter().cloned())
        .because(reason)
        .takes(CREATE_TAKES)
}

fn wait(wanted: &ClusterWish) -> Step<Action> {
    let action = Action::Await(wanted.name.clone());
    Step::new(Verb::Create, wanted.address.clone(), "eks", action)
        .about(format!(
            "{}, Auto Mode, Kubernetes {}",
            wanted.name, wanted.version
        ))
        .because("it is being made already")
        .takes(CREATE_TAKES)
}

fn delete(wanted: &ClusterWish, is: &ClusterState, reason: &str) -> Step<Action> {
    let unprotect = is.settings.deletion_protection;
    let name = wanted.name.clone();
    let about = if unprotect {
        format!("{name}; its deletion protection is taken off first")
    } else {
        name.to_string()
    };
    let action = Action::Delete { name, unprotect };
    let step = Step::new(Verb::Delete, wanted.address.clone(), "eks", action)
        .about(about)
        .because(reason)
        .takes(DELETE_TAKES);
    if unprotect {
        step.loses(format!(
            "everything that is in the protected cluster {} only",
            wanted.name
        ))
    } else {
        step
    }
}

/// The step that puts right what differs and can be changed in place.
fn update(wanted: &ClusterWish, is: &ClusterState) -> Option<Step<Action>> {
    let (to, from) = (&wanted.settings, &is.settings);
    let mut changes = settings_changes(to, from);
    let mut takes = SETTING_TAKES * u32::try_from(changes.len()).unwrap_or(1);
    if to.endpoint != from.endpoint {
        takes += ENDPOINT_TAKES;
    }
    let mut tags = BTreeMap::new();
    for (key, value) in &wanted.tags {
        let before = is.tags.get(key);
        if before != Some(value) {
            changes.push(change(&format!("tag {key}"), before.cloned(), value));
            tags.insert(key.clone(), value.clone());
        }
    }
    if changes.is_empty() {
        return None;
    }
    let protection = to.deletion_protection;
    let action = Action::Update(Box::new(Update {
        name: wanted.name.clone(),
        endpoint: (to.endpoint != from.endpoint).then(|| to.endpoint.clone()),
        logging: (to.logging != from.logging).then(|| Logging {
            on: to.logging.clone(),
            off: from.logging.difference(&to.logging).cloned().collect(),
        }),
        deletion_protection: (protection != from.deletion_protection).then_some(protection),
        tags,
    }));
    let step = Step::new(Verb::Update, wanted.address.clone(), "eks", action);
    Some(
        step.about(wanted.name.as_str())
            .changes(changes)
            .because("it differs from what is wished")
            .takes(takes.max(ENTRY_TAKES)),
    )
}

fn settings_changes(to: &Settings, from: &Settings) -> Vec<Change> {
    let list = |all: &BTreeSet<String>| match all.is_empty() {
        true => "none".to_owned(),
        false => all
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", "),
    };
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let fields = [
        (
            "private endpoint",
            on(from.endpoint.private),
            on(to.endpoint.private),
        ),
        (
            "public endpoint",
            on(from.endpoint.public),
            on(to.endpoint.public),
        ),
        (
            "public access",
            list(&from.endpoint.cidrs),
            list(&to.endpoint.cidrs),
        ),
        ("control plane logs", list(&from.logging), list(&to.logging)),
        (
            "deletion protection",
            on(from.deletion_protection),
            on(to.deletion_protection),
        ),
    ];
    let differ = fields.into_iter().filter(|(_, from, to)| from != to);
    differ
        .map(|(field, from, to)| Change::new(field, from, to))
        .collect()
}

/// What differs and is not changed by a deploy.
fn not_changed_here(wanted: &ClusterWish, is: &ClusterState) -> Vec<String> {
    let mut said = Vec::new();
    if wanted.version != is.version {
        said.push(format!(
            "cluster {} runs Kubernetes {}, wished is {}: an upgrade is not made by a deploy",
            wanted.name, is.version, wanted.version
        ));
    }
    said
}

fn plan_entries(
    environment: &str,
    wanted: &ClusterWish,
    entries: &[EntryWish],
    is: &ClusterState,
    seen: &Observation,
    draft: &mut Draft<Action>,
) {
    for entry in entries {
        match seen.entry(&entry.principal) {
            Observed::Unknown(why) => draft.unknown.push((entry.address.clone(), why)),
            Observed::Absent => draft.steps.push(enter(entry, wanted)),
            Observed::Present { value, .. } => {
                draft.steps.extend(mend_entry(entry, &value, wanted));
            }
        }
    }
    let known = |principal: &str| entries.iter().any(|entry| entry.principal == principal);
    let addresses: BTreeSet<&Address> = entries.iter().map(|entry| &entry.address).collect();
    for (principal, observed) in seen.entries.iter().flatten() {
        let Some(entry) = observed.value().filter(|_| !known(principal)) else {
            continue;
        };
        match entry.address(environment) {
            // One address cannot be left twice: a second one waits for the
            // next plan. It may be entered anew for somebody else, though.
            Some(address) if !has_delete(draft, &address) => {
                let reason = if addresses.contains(&address) {
                    "the principal is another one now"
                } else {
                    "it is no longer wished"
                };
                draft.steps.push(leave(address, principal, wanted, reason));
            }
            Some(_) => {}
            None if is_of_eks(principal, is) => {}
            None => draft.foreign.push(format!("access entry of {principal}")),
        }
    }
}

fn has_delete(draft: &Draft<Action>, address: &Address) -> bool {
    let mut deletes = draft.steps.iter().filter(|step| step.verb == Verb::Delete);
    deletes.any(|step| step.address == *address)
}

/// EKS enters its own: the cluster role, for Auto Mode, and service-linked
/// roles.
fn is_of_eks(principal: &str, is: &ClusterState) -> bool {
    principal == is.role || principal.contains(":role/aws-service-role/")
}

fn enter(entry: &EntryWish, wanted: &ClusterWish) -> Step<Action> {
    entry_step(Verb::Create, entry, wanted).because("it is not there")
}

fn entry_step(verb: Verb, entry: &EntryWish, wanted: &ClusterWish) -> Step<Action> {
    let action = Action::Enter(Box::new(entry.clone()));
    Step::new(verb, entry.address.clone(), "eks", action)
        .about(format!("{} for {}", short(&entry.policy), entry.principal))
        .after([wanted.address.clone()])
        .after(entry.made_by.clone())
        .takes(ENTRY_TAKES)
}

fn leave(address: Address, principal: &str, wanted: &ClusterWish, reason: &str) -> Step<Action> {
    let action = Action::Leave {
        cluster: wanted.name.clone(),
        principal: principal.to_owned(),
    };
    Step::new(Verb::Delete, address, "eks", action)
        .about(principal)
        .because(reason)
        .takes(ENTRY_TAKES)
}

/// The steps that put an entry right. Its type cannot be changed, but it
/// holds nothing, so that another type means a new entry.
fn mend_entry(entry: &EntryWish, is: &Entry, wanted: &ClusterWish) -> Vec<Step<Action>> {
    if is.kind != entry.kind {
        let reason = format!("its type is {}, wished is {}", is.kind, entry.kind);
        let address = entry.address.clone();
        return vec![
            leave(address, &entry.principal, wanted, &reason),
            entry_step(Verb::Create, entry, wanted).because(reason),
        ];
    }
    let mut changes = Vec::new();
    if !is.policies.contains(&entry.policy) {
        let there = is.policies.iter().map(|arn| short(arn)).collect::<Vec<_>>();
        let there = (!there.is_empty()).then(|| there.join(", "));
        changes.push(change("access policy", there, short(&entry.policy)));
    }
    for (key, value) in &entry.tags {
        let before = is.tags.get(key);
        if before != Some(value) {
            changes.push(change(&format!("tag {key}"), before.cloned(), value));
        }
    }
    if changes.is_empty() {
        return Vec::new();
    }
    let step = entry_step(Verb::Update, entry, wanted);
    vec![
        step.changes(changes)
            .because("it differs from what is wished"),
    ]
}

fn change(field: &str, from: Option<String>, to: &str) -> Change {
    Change {
        field: field.to_owned(),
        from,
        to: Some(Later::Known(to.to_owned())),
    }
}

fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests;
