//! Reads what is there of the workloads.

use jiff::Timestamp;
use trunkline_engine::{Health, Observed, Observing, Presence, Seen};
use trunkline_ids::Address;
use trunkline_objects::{Connections, Object, Reach, Verdict};

use crate::{
    spec::{WorkloadsSpec, namespace_address, project_address, secret_address, secret_ref},
    sync,
};

/// What is.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    pub(crate) namespace: Observed<Object>,
    /// Only that it is there: its data never leaves this function's callee.
    pub(crate) secret: Observed<()>,
    pub(crate) project: Observed<Object>,
    pub(crate) application: Observed<Object>,
    /// When it was read: what conditions are old against.
    pub(crate) at: Timestamp,
}

pub(crate) async fn observe(
    spec: &WorkloadsSpec,
    connections: &Connections,
    cx: &Observing,
) -> Observation {
    let cluster = match connections.reach(cx) {
        Reach::Cluster(cluster) => cluster,
        Reach::Absent => return Observation::all(&Observed::Absent),
        Reach::Unknown(why) => return Observation::all(&Observed::Unknown(why)),
    };
    let (namespace, project, application) = (spec.namespace(), spec.project(), spec.application());
    let secret_ref = secret_ref();
    let (namespace, secret, project, application) = futures::join!(
        cluster.observe(namespace.reference()),
        cluster.observe(&secret_ref),
        cluster.observe(project.reference()),
        cluster.observe(application.reference()),
    );
    let secret = match secret {
        Observed::Present { .. } => Observed::one(()),
        Observed::Absent => Observed::Absent,
        Observed::Unknown(why) => Observed::Unknown(why),
    };
    Observation {
        namespace,
        secret,
        project,
        application,
        at: Timestamp::now(),
    }
}

impl Observation {
    fn all(value: &Observed<Object>) -> Self {
        let secret = match value {
            Observed::Unknown(why) => Observed::Unknown(why.clone()),
            _ => Observed::Absent,
        };
        Self {
            namespace: value.clone(),
            secret,
            project: value.clone(),
            application: value.clone(),
            at: Timestamp::now(),
        }
    }

    /// Each address and whether it is there.
    fn presence(&self, spec: &WorkloadsSpec) -> [(Address, Presence); 4] {
        [
            (namespace_address(), self.namespace.presence()),
            (secret_address(), self.secret.presence()),
            (project_address(), self.project.presence()),
            (spec.redis(), self.application.presence()),
        ]
    }
}

pub(crate) fn seen(spec: &WorkloadsSpec, observation: &Observation) -> Seen {
    let mut seen = Seen {
        presence: observation.presence(spec).into(),
        ..Seen::default()
    };
    if let Some(application) = observation.application.value() {
        // Whoever only looks asks whether it is where it was last put.
        let put = application.text("/spec/source/targetRevision");
        let commit = spec.commit.as_deref().or(put).unwrap_or_default();
        let (well, words) = match sync::judge(Some(application), commit, None, observation.at) {
            Verdict::Done => (true, format!("Synced, Healthy at {}", sync::short(commit))),
            Verdict::Waiting(words) => (false, words),
            Verdict::Failed(failure) => (false, failure.to_string()),
        };
        seen.health.push(Health {
            address: spec.redis(),
            well,
            words,
        });
    }
    seen
}
