//! The plan's rules, shown on observations made by hand.

use proptest::prelude::*;
use trunkline_engine::{Plan, Presence};
use trunkline_ids::ClusterEndpoint;

use super::*;
use crate::spec::tests::{marks, spec};

const DESTROYED: Wish = Wish::Destroyed { with_data: false };

fn as_wished() -> ClusterState {
    let wanted = spec().wish(marks);
    ClusterState {
        arn: "arn:aws:eks:eu-central-1:111122223333:cluster/trunkline-sandbox".into(),
        status: Status::Active,
        version: wanted.version,
        role: "arn:aws:iam::111122223333:role/t/cluster".into(),
        endpoint: Some(ClusterEndpoint {
            name: wanted.name.to_string(),
            url: "https://1.example".into(),
            certificate_authority: "PEM".into(),
        }),
        settings: wanted.settings,
        tags: wanted.tags,
        issues: vec![],
    }
}

fn entry_as_wished(wish: &EntryWish) -> Entry {
    Entry {
        arn: format!("arn of {}", wish.principal),
        kind: wish.kind.clone(),
        policies: [wish.policy.clone()].into(),
        tags: wish.tags.clone(),
    }
}

fn all() -> Observation {
    let entries = spec().entries(marks).into_iter().map(|wish| {
        let entry = Observed::one(entry_as_wished(&wish));
        (wish.principal, entry)
    });
    Observation {
        cluster: Observed::one(as_wished()),
        entries: Ok(entries.collect()),
        foreign: vec![],
    }
}

fn with(change: impl FnOnce(&mut ClusterState)) -> Observation {
    let mut cluster = as_wished();
    change(&mut cluster);
    let lives = cluster.lives();
    Observation {
        cluster: Observed::one(cluster),
        entries: if lives {
            all().entries
        } else {
            Ok(BTreeMap::new())
        },
        foreign: vec![],
    }
}

fn nothing() -> Observation {
    Observation {
        cluster: Observed::Absent,
        entries: Ok(BTreeMap::new()),
        foreign: vec![],
    }
}

fn cluster_of(seen: &Observation) -> ClusterState {
    seen.cluster.value().unwrap().clone()
}

fn planned(wish: Wish, seen: &Observation) -> Draft<Action> {
    plan(
        "sandbox",
        &spec().wish(marks),
        &spec().entries(marks),
        &spec().deployer,
        wish,
        seen,
    )
}

fn presence(seen: &Observation) -> Presence {
    let wish = spec().wish(marks);
    let seen = seen.seen(&wish, &spec().entries(marks));
    seen.presence[&wish.address].clone()
}

/// Verb, name and reason of each step, for snapshots.
fn lines(draft: &Draft<Action>) -> Vec<String> {
    let line = |s: &Step<Action>| format!("{} {}: {}", s.verb, s.address, s.reason);
    draft.steps.iter().map(line).collect()
}

#[test]
fn from_nothing_the_cluster_is_made_and_then_entered() {
    let draft = planned(Wish::Deployed, &nothing());
    insta::assert_json_snapshot!(lines(&draft), @r#"
    [
      "create cluster/cluster/main: it is not there",
      "create cluster/access-entry/node: it is not there",
      "create cluster/access-entry/role-deploy: it is not there",
      "create cluster/access-entry/role-ops: it is not there"
    ]
    "#);
    insta::assert_json_snapshot!(draft.steps[..2]);
}

#[test]
fn what_is_as_wished_stays() {
    assert_eq!(planned(Wish::Deployed, &all()), Draft::default());
    assert_eq!(presence(&all()), Presence::Present);
}

#[test]
fn a_cluster_that_is_being_made_is_waited_for_and_holds_nothing_yet() {
    let seen = with(|c| {
        c.status = Status::Creating;
        c.endpoint = None;
    });
    assert_eq!(presence(&seen), Presence::Absent);
    let draft = planned(Wish::Deployed, &seen);
    assert_eq!(draft.steps[0].verb, Verb::Create);
    assert!(matches!(draft.steps[0].action, Action::Await(_)));
    assert_eq!(draft.steps.len(), 4);
    assert_eq!(lines(&planned(DESTROYED, &seen)).len(), 1);
}

#[test]
fn a_stillborn_cluster_is_replaced_and_any_other_failed_one_is_not() {
    let stillborn = with(|c| {
        c.status = Status::Failed;
        c.endpoint = None;
    });
    assert_eq!(presence(&stillborn), Presence::Absent);
    let verbs: Vec<_> = planned(Wish::Deployed, &stillborn)
        .steps
        .iter()
        .map(|s| s.verb)
        .collect();
    assert_eq!(verbs[..2], [Verb::Delete, Verb::Create]);
    let failed = with(|c| c.status = Status::Failed);
    assert!(matches!(presence(&failed), Presence::Unknown(_)));
    let draft = planned(Wish::Deployed, &failed);
    assert_eq!((draft.steps.len(), draft.unknown.len()), (0, 1));
}

#[test]
fn one_that_is_being_deleted_is_waited_out() {
    let seen = with(|c| c.status = Status::Deleting);
    assert_eq!(presence(&seen), Presence::Absent);
    assert!(matches!(
        planned(Wish::Deployed, &seen).steps[0].action,
        Action::Create(_)
    ));
    assert!(matches!(
        planned(DESTROYED, &seen).steps[0].action,
        Action::Delete { .. }
    ));
}

#[test]
fn what_was_changed_is_put_right() {
    let seen = with(|c| {
        c.settings.endpoint.cidrs = ["0.0.0.0/0".to_owned()].into();
        c.settings.logging = ["api".to_owned()].into();
        c.settings.deletion_protection = true;
        c.tags.remove("Name");
    });
    let draft = planned(Wish::Deployed, &seen);
    assert_eq!(draft.steps.len(), 1);
    insta::assert_json_snapshot!(draft.steps[0]);
}

#[test]
fn another_version_is_said_and_left() {
    let draft = planned(Wish::Deployed, &with(|c| c.version = "1.34".into()));
    assert_eq!(draft.steps, []);
    insta::assert_json_snapshot!(draft.foreign, @r#"
    [
      "cluster trunkline-sandbox runs Kubernetes 1.34, wished is 1.35: an upgrade is not made by a deploy"
    ]
    "#);
}

#[test]
fn a_protected_cluster_says_what_is_lost() {
    let draft = planned(DESTROYED, &with(|c| c.settings.deletion_protection = true));
    let step = &draft.steps[0];
    assert!(step.loses.is_some() && step.about.contains("taken off"));
    assert!(matches!(
        step.action,
        Action::Delete {
            unprotect: true,
            ..
        }
    ));
    // Entries go with the cluster: ours first would lock us out.
    assert_eq!(draft.steps.len(), 1);
    let plain = planned(DESTROYED, &all());
    assert_eq!(plain.steps[0].loses, None);
}

#[test]
fn entries_are_mended_pruned_and_foreign_ones_said() {
    let mut seen = all();
    let entries = seen.entries.as_mut().unwrap();
    let ops = "arn:aws:iam::111122223333:role/team/Ops";
    let mut bare = entries[ops].value().unwrap().clone();
    bare.policies.clear();
    entries.insert(ops.into(), Observed::one(bare.clone()));
    let node = spec().node_role.to_string();
    let mut standard = entries[&node].value().unwrap().clone();
    standard.kind = "STANDARD".into();
    entries.insert(node, Observed::one(standard));
    bare.tags.insert(
        "trunkline:address".into(),
        "cluster/access-entry/role-old".into(),
    );
    entries.insert(
        "arn:aws:iam::111122223333:role/Old".into(),
        Observed::one(bare.clone()),
    );
    bare.tags.clear();
    for foreign in [
        "Stranger",
        "t/cluster",
        "aws-service-role/eks.amazonaws.com/X",
    ] {
        let principal = format!("arn:aws:iam::111122223333:role/{foreign}");
        entries.insert(principal, Observed::one(bare.clone()));
    }
    let draft = planned(Wish::Deployed, &seen);
    insta::assert_json_snapshot!((lines(&draft), &draft.foreign), @r#"
    [
      [
        "delete cluster/access-entry/node: its type is STANDARD, wished is EC2",
        "create cluster/access-entry/node: its type is STANDARD, wished is EC2",
        "update cluster/access-entry/role-ops: it differs from what is wished",
        "delete cluster/access-entry/role-old: it is no longer wished"
      ],
      [
        "access entry of arn:aws:iam::111122223333:role/Stranger"
      ]
    ]
    "#);
}

#[test]
fn what_cannot_be_read_is_left_alone() {
    let mut unread = all();
    unread.entries = Err("no answer".into());
    let draft = planned(Wish::Deployed, &unread);
    assert_eq!((draft.steps.len(), draft.unknown.len()), (0, 3));
    unread.cluster = Observed::Unknown("no answer".into());
    for wish in [Wish::Deployed, DESTROYED] {
        let draft = planned(wish, &unread);
        assert_eq!((draft.steps.len(), draft.unknown.len()), (0, 1));
    }
    let wish = spec().wish(marks);
    let seen = unread.seen(&wish, &spec().entries(marks));
    assert!(
        seen.presence
            .values()
            .all(|p| matches!(p, Presence::Unknown(_)))
    );
}

fn status() -> impl Strategy<Value = Status> {
    prop::sample::select(vec![
        Status::Creating,
        Status::Active,
        Status::Updating,
        Status::Deleting,
        Status::Failed,
        Status::Other("PENDING".into()),
    ])
}

#[test]
fn a_destroy_enters_first_where_nobody_has_entered() {
    let mut seen = with(|_| {});
    seen.entries = Ok(BTreeMap::new());
    let draft = planned(DESTROYED, &seen);
    let own = spec().deployer_entry();
    assert_eq!(draft.steps[0].address, own);
    assert_eq!(draft.steps[0].verb, Verb::Create);
    assert!(
        draft.steps[1].after.contains(&own),
        "and the cluster goes after it"
    );
    // One that lets us do nothing yet.
    let wish = spec().entries(marks).into_iter();
    let mut wish = wish.filter(|wish| wish.principal == spec().deployer);
    let entry = Entry {
        policies: BTreeSet::new(),
        ..entry_as_wished(&wish.next().unwrap())
    };
    seen.entries = Ok([(spec().deployer, Observed::one(entry))].into());
    let draft = planned(DESTROYED, &seen);
    assert_eq!(draft.steps[0].address, own);
    assert_eq!(draft.steps[0].verb, Verb::Update);
    // A cluster that is still being made holds nothing to look at.
    seen.entries = Ok(BTreeMap::new());
    seen.cluster = Observed::one(ClusterState {
        status: Status::Creating,
        ..cluster_of(&seen)
    });
    assert_eq!(planned(DESTROYED, &seen).steps.len(), 1);
}

proptest! {
    /// Whatever is seen: the steps make a plan, no step is about what cannot
    /// be read, entries are deleted alone never on a destroy, and children see
    /// the cluster exactly when it lives.
    #[test]
    fn any_observation_gives_a_sound_plan(
        status in status(),
        endpoint in any::<bool>(),
        public in any::<bool>(),
        protected in any::<bool>(),
        there in prop::collection::vec(0..4u8, 3),
        deployed in any::<bool>(),
    ) {
        let mut seen = with(|c| {
            c.status = status.clone();
            if !endpoint { c.endpoint = None; }
            c.settings.endpoint.public = public;
            c.settings.deletion_protection = protected;
        });
        if let Ok(entries) = &mut seen.entries {
            let keys: Vec<String> = entries.keys().cloned().collect();
            for (key, what) in keys.into_iter().zip(there) {
                match what {
                    0 => { entries.remove(&key); }
                    1 => { entries.insert(key, Observed::Unknown("no answer".into())); }
                    2 => if let Some(Observed::Present { value, .. }) = entries.get_mut(&key) {
                        value.policies.clear();
                    },
                    _ => {}
                }
            }
        }
        let wish = if deployed { Wish::Deployed } else { DESTROYED };
        let draft = planned(wish, &seen);
        for (address, _) in &draft.unknown {
            prop_assert!(draft.steps.iter().all(|step| step.address != *address));
        }
        if !deployed {
            // The cluster goes as a whole; all that is made is our way in.
            let own = spec().deployer_entry();
            let goes_or_enters = |s: &Step<Action>| match s.action {
                Action::Delete { .. } => true,
                Action::Enter(_) => s.verb != Verb::Delete && s.address == own,
                _ => false,
            };
            prop_assert!(draft.steps.iter().all(goes_or_enters));
        }
        let lives = matches!(status, Status::Active | Status::Updating);
        prop_assert_eq!(presence(&seen) == Presence::Present, lives);
        let steps = draft.steps.into_iter().map(erased).collect();
        let order = trunkline_engine::DeleteOrder::default();
        let plan = Plan::assemble([Draft { steps, ..Draft::default() }], &order, 0);
        prop_assert!(plan.is_ok());
    }

    /// Once an update is done, nothing is left to do.
    #[test]
    fn updates_converge(
        private in any::<bool>(),
        public in any::<bool>(),
        logs in prop::collection::btree_set("api|audit|scheduler", 0..3),
        protected in any::<bool>(),
    ) {
        let mut seen = with(|c| {
            c.settings.endpoint.private = private;
            c.settings.endpoint.public = public;
            c.settings.logging = logs.clone();
            c.settings.deletion_protection = protected;
        });
        for step in planned(Wish::Deployed, &seen).steps {
            let Action::Update(update) = step.action else { panic!("only updates") };
            let Observed::Present { value, .. } = &mut seen.cluster else { unreachable!() };
            if let Some(endpoint) = update.endpoint { value.settings.endpoint = endpoint; }
            if let Some(logging) = update.logging {
                value.settings.logging.extend(logging.on);
                value.settings.logging.retain(|kind| !logging.off.contains(kind));
            }
            if let Some(on) = update.deletion_protection { value.settings.deletion_protection = on; }
        }
        prop_assert_eq!(planned(Wish::Deployed, &seen), Draft::default());
    }
}

fn erased(step: Step<Action>) -> Step {
    let action = trunkline_engine::Action {
        layer: "cluster".into(),
        version: 1,
        body: serde_json::to_value(&step.action).unwrap(),
    };
    let erased = Step::new(step.verb, step.address, "eks", action);
    erased.after(step.after)
}
