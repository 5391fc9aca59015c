//! The network of an environment: VPC, subnets, routing, NAT, the nodes'
//! security group, the S3 endpoint; and left-over volumes that nobody but the
//! network's zones holds any more.
//!
//! Rooms: `spec` (what should be), `observe` (what is), `plan` (what to do;
//! pure), `apply` (doing it), `leaks` (what AWS left behind).

mod action;
mod apply;
mod error;
mod leaks;
mod observe;
mod plan;
mod spec;
mod tags;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use aws_sdk_ec2::Client;
use trunkline_aws::Aws;
use trunkline_engine::{Applying, Draft, Failure, Layer, Observing, Seen, Wish};
use trunkline_ids::{Kind, Outputs};

pub use action::{Make, Mend, NetAction, Via};
pub use error::SpecError;
pub use observe::Observation;
pub use spec::{Direction, Nat, NetSpec, Peer, Rule, ZoneRanges};

/// The layer.
#[derive(Debug, Clone)]
pub struct Net {
    spec: NetSpec,
    aws: Arc<Aws>,
    /// For everything that may be sent twice.
    ec2: Client,
    /// For creates without client token: never tried again by the SDK.
    once: Client,
}

impl Net {
    /// The network that `spec` wishes, at `aws`.
    #[must_use]
    pub fn new(spec: NetSpec, aws: Arc<Aws>) -> Self {
        let ec2 = Client::new(aws.sdk());
        let once = Client::new(aws.once());
        Self {
            spec,
            aws,
            ec2,
            once,
        }
    }

    /// What is wished.
    #[must_use]
    pub fn spec(&self) -> &NetSpec {
        &self.spec
    }
}

#[async_trait]
impl Layer for Net {
    type Observation = Observation;
    type Action = NetAction;

    fn name(&self) -> &'static str {
        spec::LAYER
    }

    fn delete_order(&self) -> Vec<(Kind, Kind)> {
        apply::order()
    }

    fn api_actions(&self) -> &'static [&'static str] {
        API_ACTIONS
    }

    async fn observe(&self, _: &Observing) -> Observation {
        observe::observe(&self.ec2, &self.spec).await
    }

    fn seen(&self, observation: &Observation) -> Seen {
        observation.seen(&self.spec)
    }

    fn plan(&self, wish: Wish, observation: &Observation) -> Draft<NetAction> {
        plan::plan(wish, &self.spec, observation, &self.aws)
    }

    async fn preflight(&self) -> Result<Vec<String>, Failure> {
        let answer = self.ec2.describe_availability_zones().send().await;
        let answer = answer.map_err(observe::why("DescribeAvailabilityZones"))?;
        let zones = answer.availability_zones().iter();
        let there: BTreeSet<&str> = zones.filter_map(|zone| zone.zone_id()).collect();
        let missing = self
            .spec
            .zones()
            .filter(|zone| !there.contains(zone.as_str()));
        let region = self.aws.region();
        let known = there.iter().copied().collect::<Vec<_>>().join(", ");
        Ok(missing
            .map(|zone| format!("{region} has no zone {zone} in this account: choose of {known}"))
            .collect())
    }

    async fn apply(&self, action: NetAction, cx: &Applying) -> Result<Outputs, Failure> {
        apply::apply(self, action, cx).await
    }

    async fn leaks(&self) -> Result<Vec<String>, Failure> {
        leaks::leaks(&self.ec2, &self.spec).await
    }
}

/// Every call this layer makes.
const API_ACTIONS: &[&str] = &[
    "ec2:AllocateAddress",
    "ec2:AssociateRouteTable",
    "ec2:AttachInternetGateway",
    "ec2:AuthorizeSecurityGroupEgress",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:CreateInternetGateway",
    "ec2:CreateNatGateway",
    "ec2:CreateRoute",
    "ec2:CreateRouteTable",
    "ec2:CreateSecurityGroup",
    "ec2:CreateSubnet",
    "ec2:CreateTags",
    "ec2:CreateVpc",
    "ec2:CreateVpcEndpoint",
    "ec2:DeleteInternetGateway",
    "ec2:DeleteNatGateway",
    "ec2:DeleteRoute",
    "ec2:DeleteRouteTable",
    "ec2:DeleteSecurityGroup",
    "ec2:DeleteSubnet",
    "ec2:DeleteVolume",
    "ec2:DeleteVpc",
    "ec2:DeleteVpcEndpoints",
    "ec2:DescribeAddresses",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeInstances",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeNatGateways",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroupRules",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
    "ec2:DescribeVpcAttribute",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeVpcs",
    "ec2:DetachInternetGateway",
    "ec2:DisassociateRouteTable",
    "ec2:ModifySubnetAttribute",
    "ec2:ModifyVpcAttribute",
    "ec2:ModifyVpcEndpoint",
    "ec2:ReleaseAddress",
    "ec2:ReplaceRoute",
    "ec2:ReplaceRouteTableAssociation",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
];
