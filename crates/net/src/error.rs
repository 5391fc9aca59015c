//! What is wrong with a wish before anything is asked of AWS.

use ipnet::Ipv4Net;
use trunkline_ids::ZoneId;

/// Why there is no such network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Auto Mode wants at least two zones; no region has more than six.
    #[error("{0} zones: a network lies in 2 to 6")]
    Zones(usize),
    /// The same zone twice.
    #[error("zone {0} twice")]
    ZoneTwice(ZoneId),
    /// A zone id is part of addresses.
    #[error("`{0}` is no zone id (expected one as euc1-az1)")]
    ZoneId(ZoneId),
    /// A subnet that does not lie in the VPC.
    #[error("the subnet {subnet} does not lie in {vpc}")]
    Outside {
        /// The subnet's range.
        subnet: Ipv4Net,
        /// The VPC's range.
        vpc: Ipv4Net,
    },
    /// Two subnets that share addresses.
    #[error("the subnets {0} and {1} overlap")]
    Overlap(Ipv4Net, Ipv4Net),
}
