//! Which kinds a cluster serves: read in two requests, kept, and read again when
//! an unknown kind is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::{Request, header::ACCEPT};
use serde_json::Value;
use trunkline_engine::Failure;

use crate::{Cluster, GroupKind, Kind, ObjectRef};

/// Aggregated discovery: every group in one answer (Kubernetes 1.30 and later).
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// How the API server serves one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The kind, in the version it is served in.
    pub kind: Kind,
    /// Its name in paths, `statefulsets`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What it can be asked: `list`, `watch`, `delete`, …
    pub verbs: BTreeSet<String>,
}

/// All kinds of one cluster at one moment.
#[derive(Debug, Default)]
pub(crate) struct Served {
    resources: BTreeMap<Kind, Resource>,
    /// Group and kind to the versions, the preferred one first.
    versions: BTreeMap<GroupKind, Vec<Kind>>,
    /// Groups whose API server does not answer: what they hold is not known.
    stale: BTreeSet<String>,
}

/// Whether a cluster serves a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// It does.
    Served(Resource),
    /// It does not, for certain: there can be no object of the kind.
    NotServed,
    /// The API server behind the group does not answer.
    Stale(String),
}

impl Resource {
    /// The path of the collection, in a namespace or over all of them.
    #[must_use]
    pub fn path(&self, namespace: Option<&str>) -> String {
        let version = &self.kind.api_version;
        let root = if self.kind.group().is_empty() {
            "api"
        } else {
            "apis"
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{}", self.plural),
            None => format!("/{root}/{version}/{}", self.plural),
        }
    }
}

impl Cluster {
    /// Whether and how the cluster serves a kind. A kind that is not known is
    /// looked for again: its CRD may just have been installed.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn lookup(&self, kind: &Kind) -> Result<Lookup, Failure> {
        self.look(|served| served.lookup(kind)).await
    }

    /// Like [`lookup`](Self::lookup), in whichever version the cluster prefers.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn lookup_group_kind(&self, kind: &GroupKind) -> Result<Lookup, Failure> {
        self.look(|served| served.lookup_group_kind(kind)).await
    }

    /// Every `group/version` and `group/version/Kind` served: what
    /// `helm template --api-versions` takes.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn api_versions(&self) -> Result<Vec<String>, Failure> {
        let served = self.read_served().await?;
        let mut all: BTreeSet<String> = BTreeSet::new();
        for kind in served.resources.keys() {
            all.insert(kind.api_version.clone());
            all.insert(format!("{}/{}", kind.api_version, kind.kind));
        }
        Ok(all.into_iter().collect())
    }

    async fn look(&self, find: impl Fn(&Served) -> Lookup) -> Result<Lookup, Failure> {
        let kept = self.served.read().await.clone();
        if let Some(found) = kept.as_deref().map(&find)
            && matches!(found, Lookup::Served(_))
        {
            return Ok(found);
        }
        Ok(find(&*self.read_served().await?))
    }

    async fn read_served(&self) -> Result<Arc<Served>, Failure> {
        let (groups, core) = futures::try_join!(self.aggregated("/apis"), self.aggregated("/api"))?;
        let served = Arc::new(Served::parse([&core, &groups]));
        *self.served.write().await = Some(served.clone());
        Ok(served)
    }

    async fn aggregated(&self, path: &str) -> Result<Value, Failure> {
        let request = Request::get(path)
            .header(ACCEPT, AGGREGATED)
            .body(Vec::new());
        let request = request.map_err(|e| Failure::bug(format!("{path}: {e}")))?;
        let text = self.read_text("discover kinds", request).await?;
        let answer: Value = serde_json::from_str(&text)
            .map_err(|e| Failure::bug(format!("{path} answered something that is no JSON: {e}")))?;
        if answer["kind"] == "APIGroupDiscoveryList" {
            return Ok(answer);
        }
        // Reading this as "serves nothing" would make everything absent.
        Err(Failure::bug(format!(
            "{path}: the API server has no aggregated discovery"
        )))
    }

    /// The path parts of one object, or nothing when its kind is not served.
    pub(crate) async fn resource_of(&self, of: &ObjectRef) -> Result<Option<Resource>, Failure> {
        self.resource(&of.kind).await
    }

    /// How a kind is served, or nothing when it is not; a stale group is a failure.
    pub(crate) async fn resource(&self, kind: &Kind) -> Result<Option<Resource>, Failure> {
        match self.lookup(kind).await? {
            Lookup::Served(resource) => Ok(Some(resource)),
            Lookup::NotServed => Ok(None),
            Lookup::Stale(group) => Err(stale(&group)),
        }
    }
}

/// The failure of asking a group whose API server does not answer.
pub(crate) fn stale(group: &str) -> Failure {
    let text = format!("the API server behind {group} does not answer");
    let cause = crate::failure::cause("discover kinds", "ServiceUnavailable".to_owned(), text);
    Failure::new(trunkline_engine::FailureKind::Retry, cause).clear()
}

impl Served {
    fn parse<'a>(answers: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut served = Self::default();
        for answer in answers {
            for group in list(&answer["items"]) {
                let name = group["metadata"]["name"].as_str().unwrap_or_default();
                // Versions come in order of preference.
                for version in list(&group["versions"]) {
                    served.add_version(name, version);
                }
            }
        }
        served
    }

    fn add_version(&mut self, group: &str, version: &Value) {
        if version["freshness"] == "Stale" {
            self.stale.insert(group.to_owned());
        }
        let name = version["version"].as_str().unwrap_or_default();
        let api_version = if group.is_empty() {
            name.to_owned()
        } else {
            format!("{group}/{name}")
        };
        for resource in list(&version["resources"]) {
            let Some(kind) = resource["responseKind"]["kind"].as_str() else {
                continue;
            };
            let kind = Kind::new(api_version.clone(), kind);
            let verbs = list(&resource["verbs"]).iter().filter_map(Value::as_str);
            let found = Resource {
                kind: kind.clone(),
                plural: resource["resource"].as_str().unwrap_or_default().to_owned(),
                namespaced: resource["scope"] == "Namespaced",
                verbs: verbs.map(str::to_owned).collect(),
            };
            self.versions
                .entry(kind.group_kind())
                .or_default()
                .push(kind.clone());
            self.resources.insert(kind, found);
        }
    }

    fn lookup(&self, kind: &Kind) -> Lookup {
        match self.resources.get(kind) {
            Some(resource) => Lookup::Served(resource.clone()),
            None => self.missing(kind.group()),
        }
    }

    fn lookup_group_kind(&self, kind: &GroupKind) -> Lookup {
        let preferred = self
            .versions
            .get(kind)
            .and_then(|versions| versions.first());
        match preferred {
            Some(kind) => self.lookup(kind),
            None => self.missing(&kind.group),
        }
    }

    fn missing(&self, group: &str) -> Lookup {
        if self.stale.contains(group) {
            Lookup::Stale(group.to_owned())
        } else {
            Lookup::NotServed
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn served() -> Served {
        let resource = |plural: &str, kind: &str, scope: &str| {
            json!({"resource": plural, "scope": scope, "verbs": ["list"],
                   "responseKind": {"kind": kind}})
        };
        let core = json!({"items": [{"metadata": {}, "versions": [
            {"version": "v1", "resources": [resource("secrets", "Secret", "Namespaced")]}]}]});
        let groups = json!({"items": [
            {"metadata": {"name": "karpenter.sh"}, "versions": [
                {"version": "v1", "resources": [resource("nodepools", "NodePool", "Cluster")]},
                {"version": "v1beta1", "resources": [resource("nodepools", "NodePool", "Cluster")]},
            ]},
            {"metadata": {"name": "metrics.k8s.io"}, "versions": [
                {"version": "v1beta1", "freshness": "Stale"}]},
        ]});
        Served::parse([&core, &groups])
    }

    #[test]
    fn kinds_become_paths() {
        let Lookup::Served(secret) = served().lookup(&Kind::new("v1", "Secret")) else {
            panic!("not served")
        };
        assert_eq!(secret.path(Some("a")), "/api/v1/namespaces/a/secrets");
        assert_eq!(secret.path(None), "/api/v1/secrets");
        let pool = "NodePool.karpenter.sh".parse().unwrap();
        let Lookup::Served(pool) = served().lookup_group_kind(&pool) else {
            panic!("not served")
        };
        assert_eq!(
            pool.path(Some("ignored")),
            "/apis/karpenter.sh/v1/nodepools"
        );
    }

    #[test]
    fn a_group_that_does_not_answer_is_not_absent() {
        let metrics = Kind::new("metrics.k8s.io/v1beta1", "NodeMetrics");
        assert_eq!(
            served().lookup(&metrics),
            Lookup::Stale("metrics.k8s.io".into())
        );
        assert_eq!(served().lookup(&Kind::new("a/v1", "B")), Lookup::NotServed);
    }
}
