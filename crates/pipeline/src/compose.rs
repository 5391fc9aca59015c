//! Composes layers: an environment becomes their specs, and what one layer
//! makes becomes the references of others.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use trunkline_access::{Access, AccessSpec, Purpose};
use trunkline_addons::{Addons, AddonsSpec, Charts};
use trunkline_cluster::{Cluster, ClusterSpec};
use trunkline_engine::{AnyLayer, Failure};
use trunkline_environment::{Environment, Nat, Reach, SERVICE_CIDR, Tier};
use trunkline_helm_wrapper::{ChartSource, Helm};
use trunkline_ids::{Address, BucketName, ClusterEndpoint, Ref, SubnetId, VpcId};
use trunkline_net::{Net, NetSpec, ZoneRanges};
use trunkline_objects::Connections;
use trunkline_storage::{Storage, StorageSpec};
use trunkline_workloads::{Workloads, WorkloadsSpec};

use crate::{Connection, PipelineError, tokens::EksTokens};

/// What a pipeline needs besides the environment.
#[derive(Debug, Clone)]
pub struct Settings {
    charts: Charts,
    commit: Option<String>,
}

/// References to what the layers make, for layers of embedders.
#[derive(Debug, Clone)]
pub struct References {
    /// The VPC.
    pub vpc: Ref<VpcId>,
    /// The private subnets, in the order of the zones.
    pub private_subnets: Vec<Ref<SubnetId>>,
    /// The bucket of recordings.
    pub egress: Ref<BucketName>,
    /// The cluster.
    pub cluster: Ref<ClusterEndpoint>,
    /// Argo CD.
    pub argo_cd: Address,
    /// The application of Redis.
    pub redis: Address,
}

pub(crate) struct Composed {
    pub(crate) layers: Vec<AnyLayer>,
    pub(crate) references: References,
}

impl Settings {
    /// Charts by the helm at this path, downloads kept in the folder `cache`;
    /// applications at no commit yet.
    ///
    /// # Errors
    /// No helm, or not Helm 4; or the folder cannot be made.
    pub async fn new(helm: impl Into<PathBuf>, cache: impl Into<PathBuf>) -> Result<Self, Failure> {
        let helm = Helm::at(helm).await?;
        // helm runs in a folder of its own, so the path must not depend on ours.
        let cache = std::path::absolute(cache.into())
            .map_err(|error| Failure::bug(format!("the cache of charts has no path: {error}")))?;
        let charts = Charts {
            helm,
            source: None,
            cache,
        };
        Ok(Self {
            charts,
            commit: None,
        })
    }

    /// All charts from this source, instead of each from its makers.
    #[must_use]
    pub fn with_charts(mut self, source: ChartSource) -> Self {
        self.charts.source = Some(source);
        self
    }

    /// Passes one variable of the environment on to helm: proxies,
    /// certificates of registries.
    #[must_use]
    pub fn passing_to_helm(
        mut self,
        name: impl Into<OsString>,
        value: impl Into<OsString>,
    ) -> Self {
        self.charts.helm = self.charts.helm.passing(name, value);
        self
    }

    /// Pins the applications to this commit, 40 hexadecimal digits.
    #[must_use]
    pub fn at_commit(mut self, commit: &str) -> Self {
        self.commit = Some(commit.to_owned());
        self
    }
}

/// The cluster's layer alone: for whoever only wants to reach it.
pub(crate) fn cluster_layer(
    connection: &Connection,
) -> Result<(AnyLayer, Ref<ClusterEndpoint>), PipelineError> {
    let environment = connection.environment();
    let spec = cluster(connection, &net(environment)?, &access(environment));
    let endpoint = spec.endpoint();
    Ok((
        AnyLayer::new(Cluster::new(spec, Arc::clone(connection.aws()))),
        endpoint,
    ))
}

pub(crate) fn compose(
    connection: &Connection,
    settings: Settings,
) -> Result<Composed, PipelineError> {
    let environment = connection.environment();
    let aws = || Arc::clone(connection.aws());
    let net = net(environment)?;
    let storage = storage(environment);
    let access = access(environment);
    let cluster = cluster(connection, &net, &access);
    let addons = addons(environment, &cluster, &net);
    let workloads = workloads(environment, &addons, settings.commit);
    let references = References {
        vpc: net.vpc(),
        private_subnets: net.private_subnets(),
        egress: storage.egress(),
        cluster: cluster.endpoint(),
        argo_cd: addons.argo_cd(),
        redis: workloads.redis(),
    };
    let tokens = EksTokens {
        sdk: connection.sdk().clone(),
        cluster: environment.cluster_name().to_string(),
    };
    let connections = Connections::new(
        cluster.endpoint(),
        cluster.deployer_entry(),
        Arc::new(tokens),
    );
    let layers = vec![
        AnyLayer::new(Net::new(net, aws())),
        AnyLayer::new(Storage::new(storage, aws())),
        AnyLayer::new(Access::new(access, aws())),
        AnyLayer::new(Cluster::new(cluster, aws())),
        AnyLayer::new(Addons::new(addons, settings.charts, connections.clone())),
        AnyLayer::new(Workloads::new(workloads, connections)),
    ];
    Ok(Composed { layers, references })
}

fn net(environment: &Environment) -> Result<NetSpec, PipelineError> {
    let network = environment.network();
    let places = network.subnets();
    let range = |zone: &trunkline_ids::ZoneId, reach: Reach| {
        let mut found = places
            .iter()
            .filter(|p| p.zone == *zone && p.reach == reach);
        found.next().map(|place| place.cidr).unwrap_or(network.cidr)
    };
    let zones = network.zones.iter().map(|zone| ZoneRanges {
        zone: zone.clone(),
        public: range(zone, Reach::Public),
        private: range(zone, Reach::Private),
    });
    let nat = match network.nat {
        Nat::None => trunkline_net::Nat::None,
        Nat::Single => trunkline_net::Nat::Single,
        Nat::PerZone => trunkline_net::Nat::PerZone,
    };
    let (name, cluster) = (environment.name().as_str(), environment.cluster_name());
    NetSpec::new(name, cluster, network.cidr, zones.collect(), nat)
        .map_err(|error| PipelineError::Spec(error.to_string()))
}

fn storage(environment: &Environment) -> StorageSpec {
    let (account, region) = (environment.account().clone(), environment.region().clone());
    StorageSpec::new(
        environment.name().as_str(),
        account,
        region,
        environment.partition(),
    )
}

fn access(environment: &Environment) -> AccessSpec {
    let account = environment.account().clone();
    AccessSpec::new(
        environment.name().as_str(),
        account,
        environment.partition(),
    )
}

pub(crate) fn cluster(connection: &Connection, net: &NetSpec, access: &AccessSpec) -> ClusterSpec {
    let environment = connection.environment();
    let cluster = environment.cluster();
    // The audit log is what an incident is read from; the sandbox saves it.
    let logging: &[&str] = match environment.tier() {
        Tier::Sandbox => &[],
        Tier::Live => &["api", "audit", "authenticator"],
    };
    ClusterSpec {
        name: environment.cluster_name(),
        version: cluster.version.to_string(),
        role: access.role(Purpose::Cluster),
        node_role: access.role_arn(Purpose::Node),
        node_role_from: access.role(Purpose::Node),
        subnets: net.private_subnets(),
        service_cidr: SERVICE_CIDR.to_string(),
        public_access: cluster
            .public_access
            .iter()
            .map(ToString::to_string)
            .collect(),
        logging: logging.iter().map(|&kind| kind.to_owned()).collect(),
        deletion_protection: cluster.deletion_protection,
        partition: environment.partition().to_owned(),
        deployer: connection.principal().to_owned(),
        admins: cluster
            .admins
            .iter()
            .map(|admin| admin.arn().to_owned())
            .collect(),
    }
}

fn addons(environment: &Environment, cluster: &ClusterSpec, net: &NetSpec) -> AddonsSpec {
    AddonsSpec {
        environment: environment.name().to_string(),
        cluster: environment.cluster_name().to_string(),
        node_role: environment.role_name("node"),
        kubernetes: environment.cluster().version.to_string(),
        argo_cd: environment.argo_cd().version.clone(),
        spread: environment.tier() == Tier::Live,
        after: entrance(cluster),
        before_nodes: net.needed_by_nodes(),
    }
}

/// What must be there before anything in the cluster: the cluster, and the
/// entries of whoever deploys and of the nodes.
fn entrance(cluster: &ClusterSpec) -> Vec<Address> {
    let mut all = cluster.admin_entries();
    all.push(cluster.endpoint().address().clone());
    all.push(cluster.node_entry());
    all
}

fn workloads(
    environment: &Environment,
    addons: &AddonsSpec,
    commit: Option<String>,
) -> WorkloadsSpec {
    let mut after = addons.node_pool_and_storage();
    after.push(addons.argo_cd());
    WorkloadsSpec {
        environment: environment.name().to_string(),
        repository: environment.workloads().repository.as_str().to_owned(),
        path: environment.workloads().path.clone(),
        commit,
        redis_storage_gib: environment.redis().storage_gib,
        after,
    }
}
