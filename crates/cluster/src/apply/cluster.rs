//! The cluster itself: made, changed one thing at a time, deleted.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_eks::types;
use trunkline_aws::failure;
use trunkline_engine::{Applying, Create, Failure, FailureKind};
use trunkline_ids::{ClusterName, Outputs, Ref, RoleArn, SubnetId};

use super::{is_not_seen_yet, said};
use crate::{
    Cluster,
    observe::{self, ClusterState, Status},
    plan::{Logging, Update},
    spec::{self, ClusterWish, EndpointAccess, Settings},
    wait::until,
};

/// Public logs say 8 to 16 minutes.
const ACTIVE_AT_MOST: Duration = Duration::from_secs(40 * 60);
const GONE_AT_MOST: Duration = Duration::from_secs(30 * 60);
const UPDATED_AT_MOST: Duration = Duration::from_secs(30 * 60);
/// IAM shows what it has made within some seconds, mostly.
const SEEN_AT_MOST: Duration = Duration::from_secs(120);

impl Cluster {
    pub(super) async fn create(
        &self,
        wish: &ClusterWish,
        cx: &Applying,
    ) -> Result<Outputs, Failure> {
        let there = self.owned(&wish.name).await?;
        if there
            .as_ref()
            .is_some_and(|there| there.status == Status::Deleting)
        {
            self.await_gone(&wish.name, false, cx).await?;
        }
        if there.is_none_or(|there| there.status == Status::Deleting) {
            let request = Request::new(wish, cx)?;
            let send = |token| self.create_once_role_is_seen(&request, token, cx);
            Create::new(cx, &wish.address).with_token(send).await?;
        }
        self.await_active(&wish.name, cx).await
    }

    async fn create_once_role_is_seen(
        &self,
        request: &Request<'_>,
        token: String,
        cx: &Applying,
    ) -> Result<(), Failure> {
        match self.create_cluster(request, &token).await {
            Err(failure) if is_not_seen_yet(&failure) => {}
            ended => return ended,
        }
        until(cx, "EKS to see the cluster role", SEEN_AT_MOST, || async {
            match self.create_cluster(request, &token).await {
                Ok(()) => Ok(Some(())),
                Err(failure) if is_not_seen_yet(&failure) => Ok(None),
                Err(failure) => Err(failure),
            }
        })
        .await
    }

    async fn create_cluster(&self, request: &Request<'_>, token: &str) -> Result<(), Failure> {
        let wish = request.wish;
        let sent = self
            .eks
            .create_cluster()
            .name(wish.name.as_str())
            .version(&wish.version)
            .role_arn(request.role.as_str())
            .resources_vpc_config(request.vpc())
            .kubernetes_network_config(request.network())
            .compute_config(auto_mode_compute())
            .storage_config(block_storage())
            .access_config(access_by_entries())
            .logging(logging(&wish.settings))
            // Auto Mode brings its own networking, DNS and proxy.
            .bootstrap_self_managed_addons(false)
            .upgrade_policy(standard_support())
            .deletion_protection(wish.settings.deletion_protection)
            .set_tags(Some(wish.tags.clone().into_iter().collect()))
            .client_request_token(token)
            .send()
            .await;
        let Err(error) = sent else { return Ok(()) };
        let failure = failure("EKS", "CreateCluster", &error);
        // Names are unique: what is there already is ours or a conflict.
        if failure.cause.code == "ResourceInUseException" && self.owned(&wish.name).await?.is_some()
        {
            return Ok(());
        }
        Err(failure)
    }

    pub(super) async fn await_active(
        &self,
        name: &ClusterName,
        cx: &Applying,
    ) -> Result<Outputs, Failure> {
        let cluster = until(cx, "the cluster to be ACTIVE", ACTIVE_AT_MOST, || async {
            match observe::cluster(&self.eks, name).await? {
                // A new cluster may not be shown at once.
                None => Ok(None),
                Some(cluster) => match cluster.status {
                    Status::Active if cluster.endpoint.is_some() => Ok(Some(cluster)),
                    Status::Failed | Status::Deleting => Err(ended(name, &cluster)),
                    _ => Ok(None),
                },
            }
        });
        outputs(name, &cluster.await?)
    }

    pub(super) async fn update(&self, update: &Update, cx: &Applying) -> Result<Outputs, Failure> {
        let name = &update.name;
        let Some(cluster) = self.owned(name).await? else {
            let gone = said(FailureKind::Gone, format!("there is no cluster {name}"));
            return Err(gone.clear().next("plan again"));
        };
        if !update.tags.is_empty() {
            self.tag(&cluster.arn, &update.tags).await?;
        }
        // EKS makes one change at a time and takes one kind per request.
        if let Some(endpoint) = &update.endpoint {
            let vpc = vpc_access(endpoint).build();
            let change = |ask: Config| ask.resources_vpc_config(vpc.clone());
            self.change(name, "its endpoint", change, cx).await?;
        }
        if let Some(kinds) = &update.logging {
            let logging = switched(kinds);
            let change = |ask: Config| ask.logging(logging.clone());
            self.change(name, "its logs", change, cx).await?;
        }
        if let Some(on) = update.deletion_protection {
            self.protect(name, on, cx).await?;
        }
        self.await_active(name, cx).await
    }

    async fn protect(&self, name: &ClusterName, on: bool, cx: &Applying) -> Result<(), Failure> {
        let change = |ask: Config| ask.deletion_protection(on);
        self.change(name, "its deletion protection", change, cx)
            .await
    }

    /// One change of the configuration, waited for. EKS refuses a second one
    /// while the first is under way (ResourceInUseException): that passes.
    async fn change(
        &self,
        name: &ClusterName,
        what: &str,
        with: impl Fn(Config) -> Config,
        cx: &Applying,
    ) -> Result<(), Failure> {
        self.await_settled(name, cx).await?;
        let ask = with(self.eks.update_cluster_config().name(name.as_str()));
        let answer = match ask.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let failure = failure("EKS", "UpdateClusterConfig", &error);
                // The first answer was lost and the work was done.
                let done = failure
                    .cause
                    .message
                    .contains("already at the desired configuration");
                return if done { Ok(()) } else { Err(failure) };
            }
        };
        let id = answer.update().and_then(|update| update.id());
        let id = id.ok_or_else(|| Failure::bug("EKS answered an update without id"))?;
        let what = format!("{what} to change");
        until(cx, &what, UPDATED_AT_MOST, || self.updated(name, id)).await
    }

    async fn updated(&self, name: &ClusterName, id: &str) -> Result<Option<()>, Failure> {
        let ask = self.eks.describe_update().name(name.as_str()).update_id(id);
        let answer = ask.send().await;
        let answer = answer.map_err(|e| failure("EKS", "DescribeUpdate", &e))?;
        let Some(update) = answer.update() else {
            return Ok(None);
        };
        match update.status() {
            Some(types::UpdateStatus::Successful) => Ok(Some(())),
            Some(types::UpdateStatus::Failed | types::UpdateStatus::Cancelled) => {
                let errors = update.errors().iter();
                let errors: Vec<_> = errors.filter_map(|error| error.error_message()).collect();
                let text = format!("update {id} of {name} failed: {}", errors.join("; "));
                Err(said(FailureKind::Conflict, text).clear())
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn delete(
        &self,
        name: &ClusterName,
        unprotect: bool,
        cx: &Applying,
    ) -> Result<(), Failure> {
        if self.await_settled(name, cx).await?.is_none() {
            return Ok(());
        }
        let Some(cluster) = self.owned(name).await? else {
            return Ok(());
        };
        if cluster.status != Status::Deleting {
            if unprotect && cluster.settings.deletion_protection {
                self.protect(name, false, cx).await?;
            }
            let sent = self.eks.delete_cluster().name(name.as_str()).send().await;
            match sent.map_err(|e| failure("EKS", "DeleteCluster", &e)) {
                Err(failure) if failure.kind == FailureKind::Gone => return Ok(()),
                Err(failure) if failure.kind == FailureKind::Conflict => {
                    return Err(failure.next("plan again: the cluster was protected meanwhile"));
                }
                Err(failure) => return Err(failure),
                Ok(_) => {}
            }
        }
        self.await_gone(name, cluster.status == Status::Failed, cx)
            .await
    }

    /// EKS neither changes nor deletes a cluster that it is making or changing.
    async fn await_settled(
        &self,
        name: &ClusterName,
        cx: &Applying,
    ) -> Result<Option<()>, Failure> {
        let settled = || async {
            match observe::cluster(&self.eks, name).await? {
                None => Ok(Some(None)),
                Some(cluster) => match cluster.status {
                    Status::Creating | Status::Updating => Ok(None),
                    _ => Ok(Some(Some(()))),
                },
            }
        };
        match settled().await? {
            Some(settled) => Ok(settled),
            None => until(cx, "EKS to end what it does", ACTIVE_AT_MOST, settled).await,
        }
    }

    /// A deletion that fails leaves the cluster FAILED; one that was FAILED
    /// before may show so for a moment longer.
    async fn await_gone(
        &self,
        name: &ClusterName,
        was_failed: bool,
        cx: &Applying,
    ) -> Result<(), Failure> {
        until(cx, "the cluster to be gone", GONE_AT_MOST, || async {
            match observe::cluster(&self.eks, name).await? {
                None => Ok(Some(())),
                Some(cluster) if cluster.status == Status::Failed && !was_failed => {
                    Err(ended(name, &cluster))
                }
                Some(_) => Ok(None),
            }
        })
        .await
    }

    pub(super) async fn tag(
        &self,
        arn: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let ask = self.eks.tag_resource().resource_arn(arn);
        let sent = ask
            .set_tags(Some(tags.clone().into_iter().collect()))
            .send()
            .await;
        sent.map_err(|e| failure("EKS", "TagResource", &e))?;
        Ok(())
    }
}

type Config =
    aws_sdk_eks::operation::update_cluster_config::builders::UpdateClusterConfigFluentBuilder;

/// A create with what other steps have made.
struct Request<'a> {
    wish: &'a ClusterWish,
    role: RoleArn,
    subnets: Vec<SubnetId>,
}

impl<'a> Request<'a> {
    fn new(wish: &'a ClusterWish, cx: &Applying) -> Result<Self, Failure> {
        let subnet = |address: &trunkline_ids::Address| cx.get(&Ref::new(address.clone()));
        Ok(Self {
            wish,
            role: cx.get(&Ref::new(wish.role.clone()))?,
            subnets: wish.subnets.iter().map(subnet).collect::<Result<_, _>>()?,
        })
    }

    fn vpc(&self) -> types::VpcConfigRequest {
        let subnets = self.subnets.iter().map(ToString::to_string).collect();
        vpc_access(&self.wish.settings.endpoint)
            .set_subnet_ids(Some(subnets))
            .build()
    }

    fn network(&self) -> types::KubernetesNetworkConfigRequest {
        types::KubernetesNetworkConfigRequest::builder()
            .service_ipv4_cidr(&self.wish.service_cidr)
            .elastic_load_balancing(types::ElasticLoadBalancing::builder().enabled(true).build())
            .build()
    }
}

/// Auto Mode without built-in node pools. EKS refuses a node role then ("When
/// Compute Config nodeRoleArn is not null or empty, nodePool value(s) must be
/// provided", terraform-aws-eks #3483).
fn auto_mode_compute() -> types::ComputeConfigRequest {
    types::ComputeConfigRequest::builder()
        .enabled(true)
        .set_node_pools(Some(Vec::new()))
        .build()
}

fn block_storage() -> types::StorageConfigRequest {
    types::StorageConfigRequest::builder()
        .block_storage(types::BlockStorage::builder().enabled(true).build())
        .build()
}

/// Who made the cluster gets nothing by that: every access is an entry that a
/// plan shows.
fn access_by_entries() -> types::CreateAccessConfigRequest {
    types::CreateAccessConfigRequest::builder()
        .authentication_mode(types::AuthenticationMode::Api)
        .bootstrap_cluster_creator_admin_permissions(false)
        .build()
}

/// Extended support costs six times as much and is never entered silently.
fn standard_support() -> types::UpgradePolicyRequest {
    types::UpgradePolicyRequest::builder()
        .support_type(types::SupportType::Standard)
        .build()
}

fn vpc_access(endpoint: &EndpointAccess) -> types::builders::VpcConfigRequestBuilder {
    let access = types::VpcConfigRequest::builder()
        .endpoint_private_access(endpoint.private)
        .endpoint_public_access(endpoint.public);
    if endpoint.public {
        access.set_public_access_cidrs(Some(endpoint.cidrs.iter().cloned().collect()))
    } else {
        access
    }
}

fn logging(settings: &Settings) -> types::Logging {
    switched(&Logging {
        on: settings.logging.clone(),
        off: std::collections::BTreeSet::new(),
    })
}

fn switched(kinds: &Logging) -> types::Logging {
    let setup = |kinds: &std::collections::BTreeSet<String>, on| {
        let types = kinds.iter().map(|kind| types::LogType::from(kind.as_str()));
        types::LogSetup::builder()
            .set_types(Some(types.collect()))
            .enabled(on)
            .build()
    };
    let all = [(&kinds.on, true), (&kinds.off, false)];
    let setups = all.into_iter().filter(|(kinds, _)| !kinds.is_empty());
    let setups: Vec<_> = setups.map(|(kinds, on)| setup(kinds, on)).collect();
    types::Logging::builder()
        .set_cluster_logging(Some(setups))
        .build()
}

fn outputs(name: &ClusterName, cluster: &ClusterState) -> Result<Outputs, Failure> {
    let endpoint = cluster.endpoint.as_ref();
    let endpoint = endpoint.ok_or_else(|| Failure::bug("an ACTIVE cluster without endpoint"))?;
    let address = spec::address();
    Ok(Outputs::new().with(&address, name).with(&address, endpoint))
}

/// The cluster came to an end that no waiting changes.
fn ended(name: &ClusterName, cluster: &ClusterState) -> Failure {
    let issues = match cluster.issues.as_slice() {
        [] => "AWS says no more".to_owned(),
        issues => issues.join("; "),
    };
    let text = format!("the cluster {name} is {}: {issues}", cluster.status);
    let failure = said(FailureKind::Conflict, text).remains(format!("cluster {name}"));
    failure.next("see the reason, then deploy again: a cluster that never was ACTIVE is replaced")
}
