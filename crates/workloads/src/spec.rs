//! What the workloads should be. Pure.

use serde_json::json;
use trunkline_ids::Address;
use trunkline_objects::{Kind, Object, ObjectRef};

/// The wishes for Argo CD's applications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadsSpec {
    /// The environment's name.
    pub environment: String,
    /// The Git repository that Argo CD reads.
    pub repository: String,
    /// The folder in it that holds this environment's values: `gitops/sandbox`.
    pub path: String,
    /// The commit, 40 hexadecimal digits. A branch cannot be waited for: it
    /// moves; so it was resolved before. Whoever only looks or destroys needs
    /// none.
    pub commit: Option<String>,
    /// The size of Redis' volume in GiB. Claim templates are immutable: growing
    /// it later is a procedure.
    pub redis_storage_gib: u32,
    /// What must be there before the first application: Argo CD, node pool,
    /// storage classes.
    pub after: Vec<Address>,
}

/// The namespace of Argo CD and its objects.
pub(crate) const ARGO_CD: &str = "argocd";
/// The namespace of Redis.
pub(crate) const REDIS: &str = "redis";
/// The project of all workloads.
const PROJECT: &str = "voice";
/// The Secret that charts/redis reads its password from.
const REDIS_AUTH: &str = "redis-auth";
/// The finalizer by which Argo CD deletes what an application made.
pub(crate) const CASCADE: &str = "resources-finalizer.argocd.argoproj.io";
/// This cluster, in Argo CD's terms.
const IN_CLUSTER: &str = "https://kubernetes.default.svc";

pub(crate) fn namespace_address() -> Address {
    Address::new("workloads", "namespace", REDIS)
}

pub(crate) fn secret_address() -> Address {
    Address::new("workloads", "secret", "redis")
}

pub(crate) fn project_address() -> Address {
    Address::new("workloads", "project", PROJECT)
}

pub(crate) fn secret_ref() -> ObjectRef {
    ObjectRef::secret(REDIS, REDIS_AUTH)
}

impl WorkloadsSpec {
    /// The address of Redis' application: what waits for Redis waits for this.
    #[must_use]
    pub fn redis(&self) -> Address {
        Address::new("workloads", "application", "redis")
    }

    /// The namespace of Redis; the pods in it must meet the strictest of the
    /// Pod Security Standards.
    pub(crate) fn namespace(&self) -> Object {
        Object::namespace_named(REDIS)
            .with_label("pod-security.kubernetes.io/enforce", "restricted")
            .marked(&self.environment, &namespace_address())
    }

    /// Limits what the applications may touch: one repository, one namespace,
    /// nothing of the whole cluster. A project that may deploy into Argo CD's
    /// own namespace would be an administrator.
    pub(crate) fn project(&self) -> Object {
        let fields = json!({"spec": {
            "description": "The voice platform's workloads, kept in step with Git",
            "sourceRepos": [self.repository],
            "destinations": [{"server": IN_CLUSTER, "namespace": REDIS}],
            "clusterResourceWhitelist": [],
        }});
        let reference = Kind::new("argoproj.io/v1alpha1", "AppProject").named(ARGO_CD, PROJECT);
        Object::build(reference, fields).marked(&self.environment, &project_address())
    }

    /// Redis: our chart at the pinned commit, with this environment's values.
    pub(crate) fn application(&self) -> Object {
        let chart = "charts/redis";
        let up = "../".repeat(chart.split('/').count());
        let fields = json!({"spec": {
            "project": PROJECT,
            "destination": {"server": IN_CLUSTER, "namespace": REDIS},
            "source": {
                "repoURL": self.repository,
                "path": chart,
                "targetRevision": self.commit.as_deref().unwrap_or("HEAD"),
                "helm": {
                    "releaseName": "redis",
                    "valueFiles": [format!("{up}{}/redis.yaml", self.path)],
                    "parameters": [{
                        "name": "storage.size",
                        "value": format!("{}Gi", self.redis_storage_gib),
                    }],
                },
            },
            "syncPolicy": {
                "automated": {"prune": true, "selfHeal": true},
                "retry": {
                    "limit": 5,
                    "backoff": {"duration": "5s", "factor": 2, "maxDuration": "3m"},
                },
                "syncOptions": ["ServerSideApply=true", "CreateNamespace=false"],
            },
        }});
        Object::build(application_ref(), fields)
            .with_finalizer(CASCADE)
            .marked(&self.environment, &self.redis())
    }
}

pub(crate) fn application_ref() -> ObjectRef {
    Kind::new("argoproj.io/v1alpha1", "Application").named(ARGO_CD, "redis")
}

#[cfg(test)]
pub(crate) fn example() -> WorkloadsSpec {
    WorkloadsSpec {
        environment: "sandbox".into(),
        repository: "https://example.com/voice.git".into(),
        path: "gitops/sandbox".into(),
        commit: Some("3f9c2e1".repeat(6)[..40].into()),
        redis_storage_gib: 8,
        after: vec![Address::new("addons", "release", "argo-cd")],
    }
}
