//! From wishes and what is to steps. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkline_engine::{Change, Draft, Observed, Step, Verb, Wish};
use trunkline_ids::{Address, Later};
use trunkline_objects::{Verdict, Wished, wished};

use crate::{
    observe::Observation,
    spec::{WorkloadsSpec, namespace_address, project_address, secret_address},
    sync,
};

/// One way to change one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Apply the namespace.
    ApplyNamespace,
    /// Make the password, once.
    CreateSecret,
    /// Apply the project.
    ApplyProject,
    /// Apply the application and wait until it is in step.
    ApplyApplication,
    /// Delete the application and wait until Argo CD has deleted what it made.
    DeleteApplication,
    /// Delete the project.
    DeleteProject,
}

/// What a first sync takes: rendering, applying, a volume, a pod.
const SYNC: Duration = Duration::from_secs(60);
/// What Argo CD takes to delete what an application made.
const CASCADE: Duration = Duration::from_secs(30);

pub(crate) fn plan(spec: &WorkloadsSpec, wish: Wish, now: &Observation) -> Draft<Action> {
    match wish {
        Wish::Deployed => deployed(spec, now),
        Wish::Destroyed { .. } => destroyed(spec, now),
    }
}

fn deployed(spec: &WorkloadsSpec, now: &Observation) -> Draft<Action> {
    let mut draft = Draft::default();
    let Some(commit) = &spec.commit else {
        let why = "no commit was given for it".to_owned();
        draft.unknown.push((spec.redis(), why));
        return draft;
    };
    let ready = spec.after.iter().cloned();
    object(
        &mut draft,
        namespace_address(),
        wished(&spec.namespace(), &now.namespace),
        Action::ApplyNamespace,
        |step| step.after(ready.clone()),
    );
    match &now.secret {
        Observed::Present { .. } => {}
        Observed::Unknown(why) => draft.unknown.push((secret_address(), why.clone())),
        Observed::Absent => draft.steps.push(
            Step::new(
                Verb::Create,
                secret_address(),
                "kubernetes",
                Action::CreateSecret,
            )
            .about("a password, generated once")
            .after([namespace_address()]),
        ),
    }
    object(
        &mut draft,
        project_address(),
        wished(&spec.project(), &now.project),
        Action::ApplyProject,
        |step| step.after(ready.clone()),
    );
    let application = application(spec, commit, now);
    object(
        &mut draft,
        spec.redis(),
        application,
        Action::ApplyApplication,
        |step| {
            let before = [namespace_address(), secret_address(), project_address()];
            step.about(format!("at {}", sync::short(commit)))
                .after(before)
                .after(ready.clone())
                .takes(SYNC)
        },
    );
    draft
}

/// An application that is as wished and not in step yet is waited for: a run
/// that was killed while it waited goes on here.
fn application(spec: &WorkloadsSpec, commit: &str, now: &Observation) -> Wished {
    let by_fields = wished(&spec.application(), &now.application);
    if by_fields != Wished::AsWished {
        return by_fields;
    }
    let status = |words: String| {
        let change = Change {
            field: "status".to_owned(),
            from: Some(words),
            to: Some(Later::Known(format!(
                "Synced, Healthy at {}",
                sync::short(commit)
            ))),
        };
        Wished::Step(Verb::Update, vec![change])
    };
    match sync::judge(now.application.value(), commit, None, now.at) {
        Verdict::Done => Wished::AsWished,
        Verdict::Waiting(words) => status(words),
        Verdict::Failed(failure) => status(failure.to_string()),
    }
}

fn object(
    draft: &mut Draft<Action>,
    address: Address,
    wished: Wished,
    action: Action,
    finish: impl FnOnce(Step<Action>) -> Step<Action>,
) {
    match wished {
        Wished::AsWished => {}
        Wished::Unknown(why) | Wished::Foreign(why) => draft.unknown.push((address, why)),
        Wished::Step(verb, changes) => {
            let step = Step::new(verb, address, "kubernetes", action).changes(changes);
            draft.steps.push(finish(step));
        }
    }
}

/// Namespace and password go with the cluster; only what would block or
/// outlive it is deleted by itself.
fn destroyed(spec: &WorkloadsSpec, now: &Observation) -> Draft<Action> {
    let mut draft = Draft::default();
    let deletes = [
        (
            spec.redis(),
            &now.application,
            Action::DeleteApplication,
            CASCADE,
        ),
        (
            project_address(),
            &now.project,
            Action::DeleteProject,
            Duration::from_secs(1),
        ),
    ];
    for (address, observed, action, takes) in deletes {
        match observed {
            Observed::Absent => {}
            Observed::Unknown(why) => draft.unknown.push((address, why.clone())),
            Observed::Present { value, .. } if !value.is_marked(&spec.environment) => {
                draft
                    .foreign
                    .push(format!("{} is not ours", value.reference()));
            }
            Observed::Present { .. } => draft.steps.push(
                Step::new(Verb::Delete, address, "kubernetes", action)
                    .because("the environment goes")
                    .takes(takes),
            ),
        }
    }
    draft
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::spec::example;

    fn absent() -> Observation {
        Observation {
            namespace: Observed::Absent,
            secret: Observed::Absent,
            project: Observed::Absent,
            application: Observed::Absent,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn present() -> Observation {
        let spec = example();
        Observation {
            namespace: Observed::one(spec.namespace()),
            secret: Observed::one(()),
            project: Observed::one(spec.project()),
            application: Observed::one(spec.application()),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn steps(wish: Wish, now: &Observation) -> Vec<String> {
        let draft = plan(&example(), wish, now);
        draft
            .steps
            .iter()
            .map(|step| format!("{} {}", step.verb, step.address))
            .collect()
    }

    #[test]
    fn everything_is_made_where_nothing_is() {
        assert_eq!(
            steps(Wish::Deployed, &absent()),
            [
                "create workloads/namespace/redis",
                "create workloads/secret/redis",
                "create workloads/project/voice",
                "create workloads/application/redis",
            ]
        );
        assert!(steps(Wish::Destroyed { with_data: true }, &absent()).is_empty());
    }

    #[test]
    fn an_application_as_wished_and_not_in_step_is_waited_for() {
        assert_eq!(
            steps(Wish::Deployed, &present()),
            ["update workloads/application/redis"]
        );
    }

    #[test]
    fn unknown_plans_nothing() {
        let mut now = present();
        now.secret = Observed::Unknown("no answer".into());
        now.application = Observed::Unknown("no answer".into());
        for wish in [Wish::Deployed, Wish::Destroyed { with_data: true }] {
            let draft = plan(&example(), wish, &now);
            assert!(
                draft
                    .steps
                    .iter()
                    .all(|step| step.address == project_address())
            );
            assert!(!draft.unknown.is_empty());
        }
    }

    #[test]
    fn only_what_is_ours_is_deleted() {
        let mut now = present();
        assert_eq!(
            steps(Wish::Destroyed { with_data: false }, &now),
            [
                "delete workloads/application/redis",
                "delete workloads/project/voice"
            ]
        );
        let mut live = example();
        live.environment = "live".into();
        now.application = Observed::one(live.application());
        assert_eq!(
            steps(Wish::Destroyed { with_data: false }, &now),
            ["delete workloads/project/voice"]
        );
    }

    #[test]
    fn the_application_is_pinned_cascades_and_is_limited() {
        insta::assert_json_snapshot!(example().application().body());
        insta::assert_json_snapshot!(example().project().body());
    }
}
