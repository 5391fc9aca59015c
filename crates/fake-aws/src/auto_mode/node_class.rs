//! NodeClasses: what their selectors find in EC2, whether their role may join,
//! and when they may go. NodePools: whether they can start nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::plan::ZONE;
use super::requirements::Labels;
use super::state::Memory;
use super::types::{
    GroupStatus, NodeClass, NodeClassStatus, NodePoolStatus, SubnetStatus, condition, is_true,
    node_class_resource, node_pool_resource,
};
use super::{Error, MANAGER, RETRY, StandIn};

/// Keeps a NodeClass until no node of it is left, as Auto Mode's does.
const FINALIZER: &str = "eks.amazonaws.com/termination";

/// How long what was found in EC2 is taken to hold.
const HOLDS: Duration = Duration::from_secs(30);

/// What a NodeClass came to.
#[derive(Clone)]
pub(super) struct Resolved {
    generation: Option<i64>,
    at: Instant,
    status: NodeClassStatus,
}

/// Every NodeClass that can start nodes, with the labels of its zones.
#[derive(Default)]
pub(super) struct Classes {
    pub zones: BTreeMap<String, Vec<Labels>>,
    /// When to look again.
    pub again: Option<Instant>,
}

impl StandIn {
    /// Brings the NodeClasses' statuses up to date.
    pub(super) async fn node_classes(&self, memory: &mut Memory) -> Result<Classes, Error> {
        let mut classes = Classes::default();
        for class in self.stores.node_classes.state() {
            if class.metadata.deletion_timestamp.is_some() {
                self.release_class(&class).await?;
                continue;
            }
            let status = self.resolve(&class, memory).await?;
            self.write_class(&class, &status).await?;
            if is_true(&status.conditions, "Ready") {
                classes.zones.insert(class.name_any(), self.zones(&status));
            } else {
                classes.again = Some(Instant::now() + RETRY);
            }
        }
        Ok(classes)
    }

    async fn resolve(
        &self,
        class: &NodeClass,
        memory: &mut Memory,
    ) -> Result<NodeClassStatus, Error> {
        let name = class.name_any();
        if let Some(known) = memory.resolved.get(&name) {
            let ready = is_true(&known.status.conditions, "Ready");
            if known.generation == class.metadata.generation && ready && known.at.elapsed() < HOLDS
            {
                return Ok(known.status.clone());
            }
        }
        let subnets = self.ec2.subnets(&class.spec.subnet_selector_terms).await?;
        let groups = self
            .ec2
            .groups(&class.spec.security_group_selector_terms)
            .await?;
        let subnet = |s: super::ec2::Subnet| SubnetStatus {
            id: s.id,
            zone: s.zone,
            zone_id: s.zone_id,
        };
        let group = |g: super::ec2::Group| GroupStatus {
            id: g.id,
            name: g.name,
        };
        let mut status = NodeClassStatus {
            subnets: subnets.into_iter().map(subnet).collect(),
            security_groups: groups.into_iter().map(group).collect(),
            ..NodeClassStatus::default()
        };
        self.judge(class, &mut status);
        let found = Resolved {
            generation: class.metadata.generation,
            at: Instant::now(),
            status: status.clone(),
        };
        memory.resolved.insert(name, found);
        Ok(status)
    }

    /// The conditions, with Auto Mode's own names and reasons.
    fn judge(&self, class: &NodeClass, status: &mut NodeClassStatus) {
        let before = class.status.as_ref().map_or(&[][..], |s| &s.conditions);
        let of = |kind: &str, verdict: &Result<(), (&str, String)>| match verdict {
            Ok(()) => condition(before, kind, true, kind, "", class.metadata.generation),
            Err((reason, why)) => {
                condition(before, kind, false, reason, why, class.metadata.generation)
            }
        };
        let subnets = some(
            !status.subnets.is_empty(),
            "SubnetsNotFound",
            "SubnetSelector",
        );
        let groups = some(
            !status.security_groups.is_empty(),
            "SecurityGroupsNotFound",
            "SecurityGroupSelector",
        );
        let profile = self.profile(class, status);
        let ready = [&subnets, &groups, &profile]
            .into_iter()
            .find_map(|v| v.clone().err());
        let ready = match ready {
            None => Ok(()),
            Some((_, why)) => Err(("UnhealthyDependents", why)),
        };
        status.conditions = vec![
            of("SubnetsReady", &subnets),
            of("SecurityGroupsReady", &groups),
            of("InstanceProfileReady", &profile),
            of("Ready", &ready),
        ];
    }

    fn profile(
        &self,
        class: &NodeClass,
        status: &mut NodeClassStatus,
    ) -> Result<(), (&'static str, String)> {
        if let Some(profile) = &class.spec.instance_profile {
            status.instance_profile = Some(profile.clone());
            return Ok(());
        }
        let role = class.spec.role.as_deref().unwrap_or_default();
        if !(self.config.may_join)(role) {
            let why = format!(
                "Role arn:aws:iam::{}:role/{role} is unauthorized to join nodes to the cluster",
                self.config.account,
            );
            return Err(("UnauthorizedNodeRole", why));
        }
        status.instance_profile = Some(format!(
            "eks-{}-{}-{role}",
            self.config.region, self.config.cluster
        ));
        Ok(())
    }

    fn zones(&self, status: &NodeClassStatus) -> Vec<Labels> {
        let label = |subnet: &SubnetStatus| {
            Labels::from([
                (ZONE.into(), subnet.zone.clone()),
                ("topology.k8s.aws/zone-id".into(), subnet.zone_id.clone()),
                (
                    "topology.kubernetes.io/region".into(),
                    self.config.region.clone(),
                ),
            ])
        };
        let mut zones: Vec<Labels> = status.subnets.iter().map(label).collect();
        zones.sort();
        zones.dedup();
        zones
    }

    async fn write_class(&self, class: &NodeClass, status: &NodeClassStatus) -> Result<(), Error> {
        let api = Api::all_with(self.config.client.clone(), &node_class_resource());
        let api: Api<NodeClass> = api;
        let name = class.name_any();
        if !class.finalizers().iter().any(|f| f == FINALIZER) {
            let mut finalizers = class.finalizers().to_vec();
            finalizers.push(FINALIZER.into());
            self.set_finalizers(&api, class, finalizers).await?;
        }
        if class.status.as_ref() != Some(status) {
            let patch = Patch::Merge(json!({"status": status}));
            gone_is_fine(
                api.patch_status(&name, &PatchParams::default(), &patch)
                    .await,
            )?;
        }
        Ok(())
    }

    /// Lets a NodeClass go once nothing refers to it.
    async fn release_class(&self, class: &NodeClass) -> Result<(), Error> {
        let name = class.name_any();
        let pools = self.stores.node_pools.state();
        let claims = self.stores.node_claims.state();
        let used = pools
            .iter()
            .any(|p| p.spec.template.spec.node_class_ref.name == name)
            || claims.iter().any(|c| c.spec.node_class_ref.name == name);
        if used {
            return Ok(());
        }
        let api: Api<NodeClass> = Api::all_with(self.config.client.clone(), &node_class_resource());
        let rest = class
            .finalizers()
            .iter()
            .filter(|f| *f != FINALIZER)
            .cloned()
            .collect();
        self.set_finalizers(&api, class, rest).await
    }

    /// Says of every NodePool whether it can start nodes.
    pub(super) async fn node_pools(&self, classes: &Classes) -> Result<(), Error> {
        let api: Api<super::types::NodePool> =
            Api::all_with(self.config.client.clone(), &node_pool_resource());
        for pool in self.stores.node_pools.state() {
            let class = &pool.spec.template.spec.node_class_ref.name;
            let before = pool.status.as_ref().map_or(&[][..], |s| &s.conditions);
            let ready = classes.zones.contains_key(class);
            let of = |kind: &str, holds: bool| -> Condition {
                let (reason, why) = match holds {
                    true => (kind, String::new()),
                    false => (
                        "NodeClassNotReady",
                        format!("NodeClass {class} is not ready"),
                    ),
                };
                condition(before, kind, holds, reason, &why, pool.metadata.generation)
            };
            let status = NodePoolStatus {
                nodes: self.claims_of(&pool.name_any()),
                conditions: vec![
                    of("ValidationSucceeded", true),
                    of("NodeClassReady", ready),
                    of("Ready", ready),
                ],
            };
            if pool.status.as_ref() != Some(&status) {
                let patch = Patch::Merge(json!({"status": status}));
                let params = PatchParams::default();
                gone_is_fine(api.patch_status(&pool.name_any(), &params, &patch).await)?;
            }
        }
        Ok(())
    }

    fn claims_of(&self, pool: &str) -> i64 {
        let claims = self.stores.node_claims.state();
        let own = claims.iter().filter(|c| {
            c.labels()
                .get("karpenter.sh/nodepool")
                .is_some_and(|p| p == pool)
        });
        own.count() as i64
    }

    /// Replaces an object's finalizers, if it still is as it was read.
    pub(super) async fn set_finalizers<K>(
        &self,
        api: &Api<K>,
        object: &K,
        finalizers: Vec<String>,
    ) -> Result<(), Error>
    where
        K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        // The version makes a write on top of a stale cache a conflict, which
        // the next pass settles, instead of an overwritten finalizer.
        let patch = Patch::Merge(json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": object.meta().resource_version,
        }}));
        let params = PatchParams {
            field_manager: Some(MANAGER.into()),
            ..PatchParams::default()
        };
        gone_is_fine(api.patch(&object.name_any(), &params, &patch).await)
    }
}

fn some(found: bool, reason: &'static str, selector: &str) -> Result<(), (&'static str, String)> {
    if found {
        Ok(())
    } else {
        Err((reason, format!("{selector} did not match any")))
    }
}

/// What has gone or changed meanwhile is looked at again in the next pass.
pub(super) fn gone_is_fine<T>(outcome: kube::Result<T>) -> Result<(), Error> {
    match outcome {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(why) => Err(why.into()),
    }
}
