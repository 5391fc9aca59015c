//! From wishes and what is to steps. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkline_engine::{Change, Draft, Observed, Step, Verb, Wish};
use trunkline_ids::{Address, Later};
use trunkline_objects::{Object, ObjectRef, Wished, wished};

use crate::{
    catalog::{Entry, catalog},
    observe::{Observation, ReleaseSeen, Rendered},
    platform,
    spec::AddonsSpec,
};

/// One way to change one thing in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Apply the platform's object of the step's address.
    Apply,
    /// Delete an object that is no longer wished.
    Prune(ObjectRef),
    /// Install or upgrade the release of the step's address.
    Install,
    /// Delete the node pool and wait until it has no nodes.
    DeleteNodePool,
    /// Delete the node class.
    DeleteNodeClass,
}

pub(crate) fn plan(spec: &AddonsSpec, wish: Wish, now: &Observation) -> Draft<Action> {
    match wish {
        Wish::Deployed => deployed(spec, now),
        Wish::Destroyed { .. } => destroyed(spec, now),
    }
}

fn deployed(spec: &AddonsSpec, now: &Observation) -> Draft<Action> {
    let mut draft = Draft::default();
    for object in platform::objects(spec) {
        apply(spec, &mut draft, &object, now);
    }
    for entry in catalog(spec) {
        if let Some(seen) = now.releases.get(&entry.address) {
            install(spec, &mut draft, &entry, seen);
        }
    }
    prune(&mut draft, now);
    draft
}

fn apply(spec: &AddonsSpec, draft: &mut Draft<Action>, object: &Object, now: &Observation) {
    let Some(address) = object.address() else {
        return;
    };
    let Some(observed) = now.objects.get(&address) else {
        return;
    };
    match wished(object, observed) {
        Wished::AsWished => {}
        Wished::Unknown(why) | Wished::Foreign(why) => draft.unknown.push((address, why)),
        Wished::Step(verb, changes) => {
            let mut step = Step::new(verb, address.clone(), "kubernetes", Action::Apply)
                .changes(changes)
                .after(spec.after.iter().cloned());
            if address == platform::node_pool_address() {
                step = step
                    .after([platform::node_class_address()])
                    .after(spec.before_nodes.iter().cloned());
            }
            draft.steps.push(step);
        }
    }
}

fn install(spec: &AddonsSpec, draft: &mut Draft<Action>, entry: &Entry, seen: &ReleaseSeen) {
    let address = entry.address.clone();
    let wished = match (&seen.installed, &seen.wished) {
        (Observed::Unknown(why), _) | (_, Err(why)) => {
            draft.unknown.push((address, why.clone()));
            return;
        }
        (_, Ok(wished)) => wished,
    };
    let (verb, reason) = match seen.installed.value() {
        None => (Verb::Create, String::new()),
        Some(installed) if installed.is_settled(&wished.inputs) => return,
        Some(installed) => {
            let status = format!("{:?}", installed.status).to_lowercase();
            (
                Verb::Update,
                format!("revision {} is {status}", installed.revision),
            )
        }
    };
    draft.steps.push(
        Step::new(verb, address, "helm", Action::Install)
            .about(about(entry, wished))
            .because(reason)
            .changes(
                wished
                    .objects
                    .iter()
                    .map(|object| rendered(object))
                    .collect(),
            )
            .after(spec.after.iter().cloned())
            .after(entry.after.iter().cloned())
            .takes(Duration::from_secs(entry.seconds)),
    );
}

fn about(entry: &Entry, wished: &Rendered) -> String {
    let app = wished.app_version.as_deref().unwrap_or("unknown version");
    format!(
        "chart {} {} ({app}), {} objects",
        entry.chart,
        entry.version,
        wished.objects.len()
    )
}

fn rendered(object: &str) -> Change {
    Change {
        field: object.to_owned(),
        from: None,
        to: Some(Later::Known("as the chart renders it".to_owned())),
    }
}

fn prune(draft: &mut Draft<Action>, now: &Observation) {
    let surplus = match &now.surplus {
        Ok(surplus) => surplus,
        Err(why) => {
            // Each wished object said so already; one line more for the rest.
            let inventory = Address::new("addons", "inventory", "main");
            draft.unknown.push((inventory, why.clone()));
            return;
        }
    };
    for object in surplus {
        let Some(address) = object.address() else {
            continue;
        };
        let action = Action::Prune(object.reference().clone());
        let step = Step::new(Verb::Delete, address, "kubernetes", action);
        draft.steps.push(step.because("no longer wished"));
    }
}

/// Releases, namespaces and storage classes go with the cluster. Nodes do not:
/// when DeleteCluster removes them itself, the cluster's security group can
/// stay behind (aws-k8s-tester #541).
fn destroyed(spec: &AddonsSpec, now: &Observation) -> Draft<Action> {
    let mut draft = Draft::default();
    let deletes = [
        (platform::node_pool_address(), Action::DeleteNodePool, 120),
        (platform::node_class_address(), Action::DeleteNodeClass, 5),
    ];
    for (address, action, seconds) in deletes {
        match now.objects.get(&address) {
            None | Some(Observed::Absent) => {}
            Some(Observed::Unknown(why)) => draft.unknown.push((address, why.clone())),
            Some(Observed::Present { value, .. }) if !value.is_marked(&spec.environment) => {
                draft
                    .foreign
                    .push(format!("{} is not ours", value.reference()));
            }
            Some(Observed::Present { .. }) => draft.steps.push(
                Step::new(Verb::Delete, address, "kubernetes", action)
                    .because("the environment goes")
                    .takes(Duration::from_secs(seconds)),
            ),
        }
    }
    draft
}

#[cfg(test)]
mod tests {
    use trunkline_helm_wrapper::{Installed, Status};

    use super::*;
    use crate::spec::example;

    fn now(
        objects: impl Fn(Object) -> Observed<Object>,
        release: Observed<Installed>,
    ) -> Observation {
        let all = platform::objects(&example()).into_iter();
        let wished = Ok(Rendered {
            inputs: "abc".into(),
            app_version: None,
            objects: vec!["Service x".into()],
        });
        let seen = ReleaseSeen {
            installed: release,
            wished,
        };
        Observation {
            objects: all
                .map(|object| (object.address().unwrap(), objects(object)))
                .collect(),
            surplus: Ok(vec![]),
            releases: [(crate::catalog::argo_cd::address(), seen)].into(),
        }
    }

    fn release(status: Status, inputs: &str) -> Observed<Installed> {
        Observed::one(Installed {
            namespace: "argocd".into(),
            name: "argocd".into(),
            revision: 1,
            status,
            inputs: Some(inputs.into()),
            uid: "u".into(),
        })
    }

    fn steps(wish: Wish, now: &Observation) -> Vec<String> {
        let draft = plan(&example(), wish, now);
        draft
            .steps
            .iter()
            .map(|step| format!("{} {}", step.verb, step.address))
            .collect()
    }

    const GONE: Wish = Wish::Destroyed { with_data: false };

    #[test]
    fn everything_is_made_where_nothing_is_and_previewed() {
        let now = now(|_| Observed::Absent, Observed::Absent);
        insta::assert_json_snapshot!(plan(&example(), Wish::Deployed, &now));
        assert!(steps(GONE, &now).is_empty());
    }

    #[test]
    fn nothing_is_done_where_everything_is() {
        let now = now(Observed::one, release(Status::Deployed, "abc"));
        assert!(steps(Wish::Deployed, &now).is_empty());
        assert_eq!(
            steps(GONE, &now),
            [
                "delete addons/node-pool/general",
                "delete addons/node-class/trunkline"
            ]
        );
    }

    #[test]
    fn a_release_that_is_not_settled_is_installed_again() {
        for release in [
            release(Status::Pending, "abc"),
            release(Status::Deployed, "old"),
        ] {
            let now = now(Observed::one, release);
            assert_eq!(
                steps(Wish::Deployed, &now),
                ["update addons/release/argo-cd"]
            );
        }
    }

    #[test]
    fn unknown_plans_nothing() {
        let mut now = now(
            |_| Observed::Unknown("x".into()),
            Observed::Unknown("x".into()),
        );
        now.surplus = Err("x".into());
        for wish in [Wish::Deployed, GONE] {
            let draft = plan(&example(), wish, &now);
            assert!(draft.steps.is_empty());
            assert!(!draft.unknown.is_empty());
        }
    }

    #[test]
    fn what_is_no_longer_wished_goes_and_what_is_not_ours_stays() {
        let mut seen = now(Observed::one, release(Status::Deployed, "abc"));
        let old = Address::new("addons", "storage-class", "old");
        let class = platform::storage_classes(&example())
            .remove(0)
            .marked("sandbox", &old);
        seen.surplus = Ok(vec![class]);
        assert_eq!(
            steps(Wish::Deployed, &seen),
            ["delete addons/storage-class/old"]
        );

        let foreign = now(
            |object| Observed::one(object.with_label("trunkline.dev/environment", "live")),
            release(Status::Deployed, "abc"),
        );
        assert!(steps(Wish::Deployed, &foreign).is_empty());
        assert!(steps(GONE, &foreign).is_empty());
    }
}
