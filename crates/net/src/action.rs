//! Actions: the ways in which a resource of the network is changed, as data.
//!
//! What exists when the plan is made is named by its id, what is still to come
//! by its address. The resource itself is the step's.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use trunkline_ids::{Address, ZoneId};

use crate::{Rule, tags::Tags};

/// One change of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetAction {
    /// Makes it, marked by the request that makes it.
    Create {
        /// What is made.
        make: Make,
        /// All of its tags.
        tags: Tags,
    },
    /// Changes it in place.
    Mend {
        /// What AWS calls it.
        id: String,
        /// The changes, in their order.
        mends: Vec<Mend>,
    },
    /// Takes it apart and deletes it.
    Delete {
        /// What AWS calls it.
        id: String,
        /// What has to be undone before.
        first: Vec<Mend>,
    },
}

/// What is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Make {
    /// A VPC with DNS names.
    Vpc {
        /// Its range.
        cidr: Ipv4Net,
    },
    /// An internet gateway, attached to the VPC.
    InternetGateway,
    /// A subnet.
    Subnet {
        /// The id of its zone.
        zone: ZoneId,
        /// Its range.
        cidr: Ipv4Net,
    },
    /// An Elastic IP address.
    ElasticIp,
    /// A public NAT gateway.
    NatGateway {
        /// The public subnet it lies in.
        subnet: Address,
        /// Its Elastic IP address.
        elastic_ip: Address,
    },
    /// A route table with its routes, associated with its subnets.
    RouteTable {
        /// Where everything else goes.
        default_route: Option<Via>,
        /// The subnets.
        subnets: Vec<Address>,
    },
    /// The gateway endpoint of S3.
    S3Endpoint {
        /// The route tables that lead to it.
        route_tables: Vec<Address>,
    },
    /// A security group with its rules.
    SecurityGroup {
        /// Its name, unique in the VPC.
        name: String,
        /// What it is for.
        description: String,
        /// Its rules.
        rules: Vec<Rule>,
    },
}

/// What a route leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The internet gateway at this address.
    InternetGateway(Address),
    /// The NAT gateway at this address.
    NatGateway(Address),
}

/// One change of something that exists. Each may be done twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mend {
    /// Sets these tags.
    Tags(Tags),
    /// Lets the VPC's resolver answer.
    DnsSupport,
    /// Gives names to public addresses.
    DnsHostnames,
    /// Attaches an internet gateway to the VPC.
    Attach,
    /// Detaches an internet gateway from the VPC with this id.
    Detach(String),
    /// Gives no public addresses by itself.
    NoPublicAddresses,
    /// Waits until a NAT gateway that is being made is available.
    Await,
    /// Sets the route to everywhere.
    DefaultRoute(Via),
    /// Removes the route to everywhere.
    NoDefaultRoute,
    /// Associates these subnets with the route table.
    Associate(Vec<Address>),
    /// Takes an association of a route table away, by its id.
    Disassociate(String),
    /// Changes the route tables of an endpoint.
    RouteTables {
        /// These come.
        add: Vec<Address>,
        /// These go, by their ids.
        remove: Vec<String>,
    },
    /// Adds a rule to a security group.
    Authorize(Rule),
    /// Removes a rule of a security group.
    Revoke {
        /// Its id.
        rule: String,
        /// Its direction.
        direction: crate::Direction,
    },
}

impl Via {
    /// The address it speaks of.
    pub(crate) fn address(&self) -> &Address {
        match self {
            Self::InternetGateway(address) | Self::NatGateway(address) => address,
        }
    }
}
