//! The kinds of things, with the fields that are compared.

use std::collections::BTreeSet;

use trunkline_ids::{
    Address, AllocationId, InternetGatewayId, Kind, NatGatewayId, Outputs, RouteTableId,
    SecurityGroupId, SubnetId, VolumeId, VpcEndpointId, VpcId, ZoneId,
};

use crate::{
    Rule,
    spec::{LAYER, address},
    tags::Tags,
};

/// What all kinds have in common.
pub(crate) trait Thing {
    /// The second part of its address.
    const KIND: &'static str;

    fn id(&self) -> &str;
    fn tags(&self) -> &Tags;

    /// The VPC it lies in.
    fn vpc(&self) -> Option<&VpcId> {
        None
    }

    /// The ids of ours that it needs to be there.
    fn refers_to(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether something that is not ours may be using it.
    fn is_used(&self) -> bool {
        false
    }

    /// Whether it is there to stay: not failed, not on its way out.
    fn is_alive(&self) -> bool {
        true
    }

    /// What it gives to others.
    fn put(&self, address: &Address, outputs: &mut Outputs);

    fn kind() -> Kind {
        Kind::new(LAYER, Self::KIND)
    }
}

/// Where something is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Life {
    Coming,
    Well,
    Going,
    Failed(String),
}

impl Life {
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self, Self::Coming | Self::Well)
    }

    pub(crate) fn words(&self) -> String {
        match self {
            Self::Coming => "pending".into(),
            Self::Well => "available".into(),
            Self::Going => "deleting".into(),
            Self::Failed(why) => format!("failed: {why}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Vpc {
    pub(crate) id: VpcId,
    pub(crate) cidr: String,
    pub(crate) dns: Result<Dns, String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dns {
    pub(crate) support: bool,
    pub(crate) hostnames: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InternetGateway {
    pub(crate) id: InternetGatewayId,
    pub(crate) attached: Option<VpcId>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subnet {
    pub(crate) id: SubnetId,
    pub(crate) vpc: VpcId,
    pub(crate) cidr: String,
    pub(crate) zone: ZoneId,
    pub(crate) public_addresses: bool,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ElasticIp {
    pub(crate) id: AllocationId,
    pub(crate) associated: bool,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NatGateway {
    pub(crate) id: NatGatewayId,
    pub(crate) vpc: VpcId,
    pub(crate) subnet: SubnetId,
    pub(crate) allocation: Option<AllocationId>,
    pub(crate) life: Life,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RouteTable {
    pub(crate) id: RouteTableId,
    pub(crate) vpc: VpcId,
    pub(crate) routes: Vec<Route>,
    pub(crate) associations: Vec<Association>,
    pub(crate) tags: Tags,
}

/// A route; the one inside the VPC and those of gateway endpoints left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) to: String,
    /// The id of what it leads to.
    pub(crate) via: String,
    /// Whether that is still there.
    pub(crate) active: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Association {
    pub(crate) id: String,
    pub(crate) subnet: SubnetId,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) id: VpcEndpointId,
    pub(crate) vpc: VpcId,
    pub(crate) service: String,
    pub(crate) route_tables: BTreeSet<RouteTableId>,
    pub(crate) life: Life,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SecurityGroup {
    pub(crate) id: SecurityGroupId,
    pub(crate) vpc: VpcId,
    pub(crate) rules: Result<Vec<FoundRule>, String>,
    pub(crate) tags: Tags,
}

/// A rule that is there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FoundRule {
    pub(crate) id: String,
    pub(crate) rule: Rule,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Volume {
    pub(crate) id: VolumeId,
    pub(crate) gib: i32,
    /// `namespace/name` of the claim it was made for.
    pub(crate) claim: Option<String>,
}

impl Volume {
    pub(crate) fn address(&self) -> Address {
        address("volume", self.id.as_str())
    }
}

impl RouteTable {
    /// The route to everywhere.
    pub(crate) fn default_route(&self) -> Option<&Route> {
        self.routes.iter().find(|route| route.to == "0.0.0.0/0")
    }
}

impl Thing for Vpc {
    const KIND: &'static str = "vpc";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn put(&self, address: &Address, outputs: &mut Outputs) {
        outputs.put(address, &self.id);
    }
}

impl Thing for InternetGateway {
    const KIND: &'static str = "internet-gateway";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn vpc(&self) -> Option<&VpcId> {
        self.attached.as_ref()
    }

    fn refers_to(&self) -> Vec<String> {
        self.attached.iter().map(ToString::to_string).collect()
    }

    fn put(&self, address: &Address, outputs: &mut Outputs) {
        outputs.put(address, &self.id);
    }
}

impl Thing for Subnet {
    const KIND: &'static str = "subnet";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn vpc(&self) -> Option<&VpcId> {
        Some(&self.vpc)
    }

    fn refers_to(&self) -> Vec<String> {
        vec![self.vpc.to_string()]
    }

    fn put(&self, address: &Address, outputs: &mut Outputs) {
        outputs.put(address, &self.id);
    }
}

impl Thing for ElasticIp {
    const KIND: &'static str = "elastic-ip";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn is_used(&self) -> bool {
        self.associated
    }

    fn put(&self, address: &Address, outputs: &mut Outputs) {
        outputs.put(address, &self.id);
    }
}

impl Thing for NatGateway {
    const KIND: &'static str = "nat-gateway";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn vpc(&self) -> Option<&VpcId> {
        Some(&self.vpc)
    }

    fn refers_to(&self) -> Vec<String> {
        let allocation = self.allocation.iter().map(ToString::to_string);
        allocation
            .chain([self.vpc.to_string(), self.subnet.to_string()])
            .collect()
    }

    fn is_alive(&self) -> bool {
        self.life.is_alive()
    }

    fn put(&self, address: &Address, outputs: &mut Outputs) {
        // A gateway on its way out is nothing to route to.
        if self.is_alive() {
            outputs.put(address, &self.id);
        }
    }
}

impl Thing for RouteTable {
    const KIND: &'static str = "route-table";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn vpc(&self) -> Option<&VpcId> {
        Some(&self.vpc)
    }

    fn refers_to(&self) -> Vec<String> {
        let routes = self.routes.iter().map(|route| route.via.clone());
        let subnets = self.associations.iter().map(|a| a.subnet.to_string());
        routes
            .chain(subnets)
            .chain([self.vpc.to_string()])
            .collect()
    }

    fn is_used(&self) -> bool {
        !self.associations.is_empty()
    }

    fn put(&self, address: &Address, outputs: &mut Outputs) {
        outputs.put(address, &self.id);
    }
}

impl Thing for Endpoint {
    const KIND: &'static str = "endpoint";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn vpc(&self) -> Option<&VpcId> {
        Some(&self.vpc)
    }

    fn refers_to(&self) -> Vec<String> {
        let tables = self.route_tables.iter().map(ToString::to_string);
        tables.chain([self.vpc.to_string()]).collect()
    }

    fn is_used(&self) -> bool {
        !self.route_tables.is_empty()
    }

    fn is_alive(&self) -> bool {
        self.life.is_alive()
    }

    fn put(&self, address: &Address, outputs: &mut Outputs) {
        if self.is_alive() {
            outputs.put(address, &self.id);
        }
    }
}

impl Thing for SecurityGroup {
    const KIND: &'static str = "security-group";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn vpc(&self) -> Option<&VpcId> {
        Some(&self.vpc)
    }

    fn refers_to(&self) -> Vec<String> {
        vec![self.vpc.to_string()]
    }

    fn put(&self, address: &Address, outputs: &mut Outputs) {
        outputs.put(address, &self.id);
    }
}
