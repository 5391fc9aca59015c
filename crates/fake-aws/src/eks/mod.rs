//! The EKS emulator: the whole surface of EKS Auto Mode that Trunkline calls,
//! with AWS's states, errors and client-token idempotency. A cluster's
//! control plane is a real one, made by whoever embeds this crate.

mod access;
mod clusters;
mod control_plane;
mod error;
mod iam;
mod joining;
mod network;
mod paging;
mod route;
mod sigv4;
mod store;
mod token;
mod updates;
mod validate;
mod versions;
mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

pub use control_plane::{ControlPlane, ControlPlanes, Endpoint, NoControlPlane};
pub(crate) use route::{operation, subjects};

use crate::front::{Answer, AwsError, Form, Keys, Scope, SharedSettings, Upstream};
use error::no_cluster;
use store::Cluster;

/// EKS in one account.
pub(crate) struct Emulator {
    account: String,
    upstream: Upstream,
    settings: Arc<SharedSettings>,
    keys: Arc<Keys>,
    control_planes: Arc<dyn ControlPlanes>,
    /// URL of the token webhook less the cluster's name.
    webhook_base: String,
    clusters: Mutex<BTreeMap<String, Cluster>>,
}

/// One request, taken apart.
struct Ask {
    scope: Scope,
    query: Form,
    names: Vec<String>,
    body: Value,
}

impl Ask {
    /// The nth parameter of the path.
    fn name(&self, n: usize) -> &str {
        self.names.get(n).map(String::as_str).unwrap_or_default()
    }
}

impl Emulator {
    pub(crate) fn new(
        account: String,
        upstream: Upstream,
        settings: Arc<SharedSettings>,
        keys: Arc<Keys>,
        control_planes: Arc<dyn ControlPlanes>,
        webhook_base: String,
    ) -> Self {
        let clusters = Mutex::default();
        Self {
            account,
            upstream,
            settings,
            keys,
            control_planes,
            webhook_base,
            clusters,
        }
    }

    /// The URL that a cluster's API server asks about tokens.
    pub(crate) fn token_webhook(&self, cluster: &str) -> String {
        format!("{}{cluster}", self.webhook_base)
    }

    /// Answers one request.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        scope: &Scope,
        operation: &str,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Answer, AwsError> {
        let body = match body {
            [] => Value::Null,
            body => serde_json::from_slice(body)
                .map_err(|error| AwsError::new(400, "SerializationException", error.to_string()))?,
        };
        let query = Form::parse(query.as_bytes());
        let ask = Ask {
            scope: scope.clone(),
            query,
            names: route::parameters(path),
            body,
        };
        let value = self.perform(operation, &ask).await?;
        let mut answer = Answer::json(200, &value);
        answer.set("x-amzn-requestid", &uuid());
        Ok(answer)
    }

    async fn perform(self: &Arc<Self>, operation: &str, ask: &Ask) -> Result<Value, AwsError> {
        match operation {
            "CreateCluster" => clusters::create(self, ask).await,
            "DescribeCluster" => clusters::describe(self, ask),
            "ListClusters" => clusters::list(self, ask),
            "DeleteCluster" => clusters::delete(self, ask),
            "TagResource" | "UntagResource" | "ListTagsForResource" => {
                clusters::tags(self, ask, operation)
            }
            "UpdateClusterConfig" => updates::config(self, ask),
            "DescribeUpdate" => updates::describe(self, ask),
            "ListUpdates" => updates::list(self, ask),
            "DescribeClusterVersions" => versions::describe(&ask.query),
            "CreateAccessEntry" => access::create(self, ask).await,
            "DescribeAccessEntry" => access::describe(self, ask),
            "ListAccessEntries" => access::list(self, ask),
            "UpdateAccessEntry" => access::update(self, ask),
            "DeleteAccessEntry" => access::delete(self, ask),
            "AssociateAccessPolicy" => access::associate(self, ask),
            "DisassociateAccessPolicy" => access::disassociate(self, ask),
            "ListAssociatedAccessPolicies" => access::list_associated(self, ask),
            "ListAccessPolicies" => access::list_policies(ask),
            other => Err(AwsError::new(
                404,
                "UnknownOperationException",
                format!("{other} is not emulated"),
            )),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Cluster>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the cluster that the path names.
    fn with<T>(
        &self,
        ask: &Ask,
        work: impl FnOnce(&mut Cluster) -> Result<T, AwsError>,
    ) -> Result<T, AwsError> {
        let mut clusters = self.lock();
        let cluster = clusters.get_mut(ask.name(0));
        let cluster = cluster.filter(|cluster| cluster.region == ask.scope.region);
        work(cluster.ok_or_else(|| no_cluster(ask.name(0)))?)
    }

    fn pace(&self, published: Duration) -> Duration {
        self.settings.get().pace.of(published)
    }

    fn scope(&self, scope: &Scope, service: &str) -> Scope {
        Scope {
            service: service.to_owned(),
            ..scope.clone()
        }
    }

    fn ec2(&self, scope: &Scope) -> network::Ec2 {
        network::Ec2 {
            upstream: self.upstream.clone(),
            scope: self.scope(scope, "ec2"),
        }
    }

    fn iam(&self, scope: &Scope) -> iam::Service {
        iam::Service {
            upstream: self.upstream.clone(),
            scope: self.scope(scope, "iam"),
        }
    }

    fn sts(&self, scope: &Scope) -> iam::Service {
        iam::Service {
            upstream: self.upstream.clone(),
            scope: self.scope(scope, "sts"),
        }
    }
}

/// Seconds since 1970, as restJson1 writes times.
fn now() -> f64 {
    let millis = jiff::Timestamp::now().as_millisecond();
    // Exact: below 2^53.
    millis as f64 / 1000.0
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn uuid() -> String {
    crate::front::uuid(rand::random())
}

/// 32 hexadecimal digits, as in an OIDC issuer.
fn hex32() -> String {
    format!("{:032X}", rand::random::<u128>())
}
