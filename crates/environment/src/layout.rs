//! Which subnet gets which part of the VPC's range.
//!
//! Every zone number of the region has its place, whether it is used or not:
//! the range is cut into eight equal blocks; block 0 to 5 are the private
//! subnets of zone 1 to 6, block 6 is cut again into eight for the public
//! ones, block 7 stays free. So a zone that is added, taken away or moved in
//! the list never moves another one's subnets, which could not be changed
//! without making them anew.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;
use trunkline_ids::ZoneId;

use crate::Network;

/// Whether a subnet has a route to the internet gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// It has: load balancers and NAT gateways live here.
    Public,
    /// It has not: nodes live here.
    Private,
}

/// One subnet of the layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SubnetPlace {
    /// Public or private.
    pub reach: Reach,
    /// The zone it lies in.
    pub zone: ZoneId,
    /// Its range.
    pub cidr: Ipv4Net,
}

impl SubnetPlace {
    /// Its name in addresses: `private-euc1-az1`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.reach {
            Reach::Public => format!("public-{}", self.zone),
            Reach::Private => format!("private-{}", self.zone),
        }
    }
}

impl Network {
    /// All subnets: the public and the private one of each zone, in the order
    /// of the zones.
    #[must_use]
    pub fn subnets(&self) -> Vec<SubnetPlace> {
        let of_zone = |zone: &ZoneId| {
            let slot = slot(zone);
            [
                (Reach::Public, part(part(self.cidr, 6), slot)),
                (Reach::Private, part(self.cidr, slot)),
            ]
            .map(|(reach, cidr)| SubnetPlace {
                reach,
                zone: zone.clone(),
                cidr,
            })
        };
        self.zones.iter().flat_map(of_zone).collect()
    }
}

/// The place of a zone: 0 for `…-az1`. A validated zone ends in 1 to 6.
fn slot(zone: &ZoneId) -> u32 {
    let last = zone.as_str().bytes().last().unwrap_or(b'1');
    u32::from(last.saturating_sub(b'1'))
}

/// The eighth of `net` with this index.
fn part(net: Ipv4Net, index: u32) -> Ipv4Net {
    let prefix = net.prefix_len() + 3;
    let start = u32::from(net.network()) + (index << (32 - prefix));
    // A validated range is /16 to /20 and is cut twice at most: /26.
    Ipv4Net::new_assert(Ipv4Addr::from(start), prefix)
}
