//! The network wished: validated, and with a name for each of its parts.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use trunkline_ids::{Address, ClusterName, Ref, SecurityGroupId, SubnetId, VpcId, ZoneId};

use crate::SpecError;

/// The first part of every address of this layer.
pub(crate) const LAYER: &str = "net";

/// A network that can be made. There is no other way to one than
/// [`NetSpec::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetSpec {
    environment: String,
    cluster: ClusterName,
    cidr: Ipv4Net,
    zones: Vec<ZoneRanges>,
    nat: Nat,
}

/// One zone and the ranges of its two subnets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRanges {
    /// The zone, by its id.
    pub zone: ZoneId,
    /// The subnet of load balancers and NAT gateways.
    pub public: Ipv4Net,
    /// The subnet of nodes.
    pub private: Ipv4Net,
}

/// How private subnets reach the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// Not at all.
    None,
    /// All by one gateway, in the first zone of the list.
    Single,
    /// Each by the gateway of its own zone.
    PerZone,
}

/// Whether a subnet has a route to the internet gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Public,
    Private,
}

/// One rule of a security group. Two are the same when all fields but the
/// description are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Into the group or out of it.
    pub direction: Direction,
    /// `tcp`, `udp`, `icmp`, or `-1` for all.
    pub protocol: String,
    /// The first and the last port; none for protocols without ports.
    pub ports: Option<(i32, i32)>,
    /// Whom it lets through.
    pub peer: Peer,
    /// What it is for.
    pub description: String,
}

/// The direction a rule speaks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards the members of the group.
    Ingress,
    /// From the members of the group.
    Egress,
}

/// The other side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// The members of the same group.
    Itself,
    /// A range, IPv4 or IPv6.
    Range(String),
    /// The members of another group, or a prefix list: by id.
    Other(String),
}

impl NetSpec {
    /// The network of `environment`, for `cluster`, in these zones.
    ///
    /// # Errors
    /// Why there is no such network.
    pub fn new(
        environment: &str,
        cluster: ClusterName,
        cidr: Ipv4Net,
        zones: Vec<ZoneRanges>,
        nat: Nat,
    ) -> Result<Self, SpecError> {
        if !(2..=6).contains(&zones.len()) {
            return Err(SpecError::Zones(zones.len()));
        }
        let mut seen = BTreeSet::new();
        for ZoneRanges { zone, .. } in &zones {
            let address = format!("{LAYER}/subnet/private-{zone}").parse::<Address>();
            address.map_err(|_| SpecError::ZoneId(zone.clone()))?;
            if !seen.insert(zone) {
                return Err(SpecError::ZoneTwice(zone.clone()));
            }
        }
        disjoint(&zones, cidr)?;
        let environment = environment.to_owned();
        Ok(Self {
            environment,
            cluster,
            cidr,
            zones,
            nat,
        })
    }

    /// The VPC.
    #[must_use]
    pub fn vpc(&self) -> Ref<VpcId> {
        Ref::new(address("vpc", "main"))
    }

    /// The private subnet of a zone: nodes and the control plane's interfaces.
    #[must_use]
    pub fn private_subnet(&self, zone: &ZoneId) -> Ref<SubnetId> {
        Ref::new(subnet(Reach::Private, zone))
    }

    /// The private subnets of all zones, in their order.
    #[must_use]
    pub fn private_subnets(&self) -> Vec<Ref<SubnetId>> {
        self.zones().map(|zone| self.private_subnet(zone)).collect()
    }

    /// The public subnet of a zone: load balancers and NAT gateways.
    #[must_use]
    pub fn public_subnet(&self, zone: &ZoneId) -> Ref<SubnetId> {
        Ref::new(subnet(Reach::Public, zone))
    }

    /// The security group of the nodes. Its members may talk to each other and
    /// to everything outside. Nodes and API server reach each other by the
    /// group that EKS makes for the cluster, which the NodeClass selects, too;
    /// a node without that one would need the control plane's interfaces in
    /// this group (`resourcesVpcConfig.securityGroupIds`).
    #[must_use]
    pub fn nodes_security_group(&self) -> Ref<SecurityGroupId> {
        Ref::new(address("security-group", "nodes"))
    }

    /// What must stand before a node can start: its ways out, and the group it
    /// joins.
    #[must_use]
    pub fn needed_by_nodes(&self) -> Vec<Address> {
        let tables = self.zones().map(private_table);
        tables
            .chain([
                address("endpoint", "s3"),
                address("security-group", "nodes"),
            ])
            .collect()
    }

    /// The environment's name.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// The cluster that lives in the network.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// The VPC's range.
    #[must_use]
    pub fn cidr(&self) -> Ipv4Net {
        self.cidr
    }

    pub(crate) fn ranges(&self) -> &[ZoneRanges] {
        &self.zones
    }

    pub(crate) fn zones(&self) -> impl Iterator<Item = &ZoneId> {
        self.zones.iter().map(|ranges| &ranges.zone)
    }

    /// The zones that have a NAT gateway.
    pub(crate) fn nat_zones(&self) -> Vec<&ZoneId> {
        match self.nat {
            Nat::None => Vec::new(),
            Nat::Single => self.zones().take(1).collect(),
            Nat::PerZone => self.zones().collect(),
        }
    }

    /// The zone whose NAT gateway the private subnet of `zone` goes out by.
    pub(crate) fn way_out<'a>(&'a self, zone: &'a ZoneId) -> Option<&'a ZoneId> {
        match self.nat {
            Nat::None => None,
            Nat::Single => self.zones().next(),
            Nat::PerZone => Some(zone),
        }
    }

    /// The rules of the nodes' group.
    ///
    /// The second is the one that AWS adds to every new group by itself.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        let all = |direction, peer, description: &str| Rule {
            direction,
            protocol: "-1".into(),
            ports: None,
            peer,
            description: description.into(),
        };
        vec![
            all(
                Direction::Ingress,
                Peer::Itself,
                "nodes and pods among each other",
            ),
            all(
                Direction::Egress,
                Peer::Range("0.0.0.0/0".into()),
                "everything outbound",
            ),
        ]
    }

    /// Every address wished.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let mut all = vec![
            address("vpc", "main"),
            address("internet-gateway", "main"),
            address("route-table", "public"),
            address("endpoint", "s3"),
            address("security-group", "nodes"),
        ];
        for zone in self.zones() {
            all.push(subnet(Reach::Public, zone));
            all.push(subnet(Reach::Private, zone));
            all.push(private_table(zone));
        }
        for zone in self.nat_zones() {
            all.push(address("elastic-ip", zone.as_str()));
            all.push(address("nat-gateway", zone.as_str()));
        }
        all
    }
}

impl Rule {
    /// Whether both let the same through.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.direction == other.direction
            && self.protocol == other.protocol
            && self.ports == other.ports
            && self.peer == other.peer
    }

    /// In a few words: `in: tcp/22 from 0.0.0.0/0`.
    pub(crate) fn words(&self) -> String {
        let (way, side) = match self.direction {
            Direction::Ingress => ("in", "from"),
            Direction::Egress => ("out", "to"),
        };
        let what = match (self.protocol.as_str(), self.ports) {
            ("-1", _) => "everything".to_owned(),
            (protocol, None) => protocol.to_owned(),
            (protocol, Some((first, last))) if first == last => format!("{protocol}/{first}"),
            (protocol, Some((first, last))) => format!("{protocol}/{first}-{last}"),
        };
        let peer = match &self.peer {
            Peer::Itself => "the group itself",
            Peer::Range(text) | Peer::Other(text) => text,
        };
        format!("{way}: {what} {side} {peer}")
    }
}

impl Reach {
    pub(crate) const ALL: [Self; 2] = [Self::Public, Self::Private];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

impl ZoneRanges {
    pub(crate) fn of(&self, reach: Reach) -> Ipv4Net {
        match reach {
            Reach::Public => self.public,
            Reach::Private => self.private,
        }
    }
}

/// An address of this layer.
pub(crate) fn address(kind: &str, name: &str) -> Address {
    Address::new(LAYER, kind, name)
}

pub(crate) fn subnet(reach: Reach, zone: &ZoneId) -> Address {
    address("subnet", &format!("{}-{zone}", reach.word()))
}

pub(crate) fn private_table(zone: &ZoneId) -> Address {
    address("route-table", &format!("private-{zone}"))
}

fn disjoint(zones: &[ZoneRanges], vpc: Ipv4Net) -> Result<(), SpecError> {
    let all: Vec<Ipv4Net> = zones.iter().flat_map(|z| [z.public, z.private]).collect();
    for (i, subnet) in all.iter().copied().enumerate() {
        if !vpc.contains(&subnet) {
            return Err(SpecError::Outside { subnet, vpc });
        }
        let overlaps = |other: &&Ipv4Net| subnet.contains(*other) || other.contains(&subnet);
        if let Some(other) = all[..i].iter().find(overlaps) {
            return Err(SpecError::Overlap(*other, subnet));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(id: &str, public: &str, private: &str) -> ZoneRanges {
        ZoneRanges {
            zone: ZoneId::new(id),
            public: public.parse().unwrap(),
            private: private.parse().unwrap(),
        }
    }

    fn spec(zones: Vec<ZoneRanges>) -> Result<NetSpec, SpecError> {
        let cidr = "10.20.0.0/16".parse().unwrap();
        NetSpec::new("sandbox", ClusterName::new("c"), cidr, zones, Nat::Single)
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let first = || zone("euc1-az1", "10.20.192.0/22", "10.20.0.0/19");
        let second = |public| zone("euc1-az2", public, "10.20.32.0/19");
        assert_eq!(spec(vec![first()]), Err(SpecError::Zones(1)));
        let twice = spec(vec![first(), first()]);
        assert_eq!(twice, Err(SpecError::ZoneTwice(ZoneId::new("euc1-az1"))));
        let odd = spec(vec![
            first(),
            zone("A/B", "10.20.196.0/22", "10.20.32.0/19"),
        ]);
        assert_eq!(odd, Err(SpecError::ZoneId(ZoneId::new("A/B"))));
        let outside = spec(vec![first(), second("10.21.0.0/22")]);
        assert!(matches!(outside, Err(SpecError::Outside { .. })));
        let overlap = spec(vec![first(), second("10.20.0.0/22")]);
        assert!(matches!(overlap, Err(SpecError::Overlap(..))));
        assert!(spec(vec![first(), second("10.20.196.0/22")]).is_ok());
    }

    #[test]
    fn private_subnets_go_out_as_wished() {
        let zones = ["euc1-az2", "euc1-az1"].map(ZoneId::new);
        let ranges = vec![
            zone("euc1-az2", "10.20.192.0/22", "10.20.0.0/19"),
            zone("euc1-az1", "10.20.196.0/22", "10.20.32.0/19"),
        ];
        let cidr = "10.20.0.0/16".parse().unwrap();
        let ways = |nat| {
            let cluster = ClusterName::new("c");
            let spec = NetSpec::new("sandbox", cluster, cidr, ranges.clone(), nat).unwrap();
            zones.each_ref().map(|zone| spec.way_out(zone).cloned())
        };
        let [first, second] = zones.clone();
        assert_eq!(ways(Nat::None), [None, None]);
        assert_eq!(
            ways(Nat::Single),
            [Some(first.clone()), Some(first.clone())]
        );
        assert_eq!(ways(Nat::PerZone), [Some(first), Some(second)]);
    }
}
