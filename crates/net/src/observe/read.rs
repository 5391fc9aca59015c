//! The reads: one paginated call per kind, filtered by the environment's mark.
//! What fails is said in words and never taken for absence.

use aws_sdk_ec2::{
    Client,
    types::{self, Filter},
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use trunkline_aws::ENVIRONMENT_TAG;
use trunkline_engine::Failure;
use trunkline_ids::{
    AllocationId, InternetGatewayId, NatGatewayId, RouteTableId, SecurityGroupId, SubnetId,
    VolumeId, VpcEndpointId, VpcId, ZoneId,
};

use super::{
    Association, Dns, ElasticIp, Endpoint, FoundRule, InternetGateway, Life, NatGateway, Route,
    RouteTable, SecurityGroup, Subnet, Volume, Vpc,
};
use crate::{Direction, Peer, Rule, tags};

/// What a read found, or why it could not be read.
pub(crate) type Found<T> = Result<Vec<T>, String>;

/// Everything read, in no order.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) vpcs: Found<Vpc>,
    pub(crate) internet_gateways: Found<InternetGateway>,
    pub(crate) subnets: Found<Subnet>,
    pub(crate) elastic_ips: Found<ElasticIp>,
    pub(crate) nat_gateways: Found<NatGateway>,
    pub(crate) route_tables: Found<RouteTable>,
    pub(crate) endpoints: Found<Endpoint>,
    pub(crate) security_groups: Found<SecurityGroup>,
    pub(crate) volumes: Found<Volume>,
}

/// Turns an error of EC2 into a failure.
pub(crate) fn why<E>(action: &'static str) -> impl Fn(SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    move |error| trunkline_aws::failure("EC2", action, &error)
}

/// Filters that hold for what is marked for the environment, or for one
/// address of it.
pub(crate) fn marked_as(environment: &str) -> Filter {
    filter(&format!("tag:{ENVIRONMENT_TAG}"), [environment])
}

pub(crate) fn filter<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Filter {
    let values = values.into_iter().map(str::to_owned).collect();
    Filter::builder()
        .name(name)
        .set_values(Some(values))
        .build()
}

/// Calls one paginated Describe and turns its items into things.
macro_rules! pages {
    ($client:expr, $call:ident, $action:literal, $read:expr, $($set:ident($value:expr)),*) => {
        $client
            .$call()
            $(.$set($value))*
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map(|items| items.iter().filter_map($read).collect::<Vec<_>>())
            .map_err(why($action))
    };
}
pub(crate) use pages;

/// All kinds, all at once.
pub(super) async fn all(ec2: &Client, environment: &str) -> Read {
    let filter = || marked_as(environment);
    let read = futures::join!(
        vpcs(ec2, filter()),
        internet_gateways(ec2, filter()),
        subnets(ec2, filter()),
        elastic_ips(ec2, filter()),
        nat_gateways(ec2, filter()),
        route_tables(ec2, filter()),
        endpoints(ec2, filter()),
        security_groups(ec2, filter()),
        volumes(ec2, filter()),
    );
    let words = |failure: Failure| failure.to_string();
    Read {
        vpcs: read.0.map_err(words),
        internet_gateways: read.1.map_err(words),
        subnets: read.2.map_err(words),
        elastic_ips: read.3.map_err(words),
        nat_gateways: read.4.map_err(words),
        route_tables: read.5.map_err(words),
        endpoints: read.6.map_err(words),
        security_groups: read.7.map_err(words),
        volumes: read.8.map_err(words),
    }
}

type Asked<T> = Result<Vec<T>, Failure>;

pub(crate) async fn vpcs(ec2: &Client, by: Filter) -> Asked<Vpc> {
    let read = |vpc: &types::Vpc| {
        Some(Vpc {
            id: VpcId::new(vpc.vpc_id()?),
            cidr: vpc.cidr_block().unwrap_or_default().to_owned(),
            dns: Err("not read".to_owned()),
            tags: tags::read(vpc.tags()),
        })
    };
    pages!(ec2, describe_vpcs, "DescribeVpcs", read, filters(by))
}

pub(crate) async fn internet_gateways(ec2: &Client, by: Filter) -> Asked<InternetGateway> {
    let read = |gateway: &types::InternetGateway| {
        let attached = gateway.attachments().first().and_then(|a| a.vpc_id());
        Some(InternetGateway {
            id: InternetGatewayId::new(gateway.internet_gateway_id()?),
            attached: attached.map(VpcId::new),
            tags: tags::read(gateway.tags()),
        })
    };
    pages!(
        ec2,
        describe_internet_gateways,
        "DescribeInternetGateways",
        read,
        filters(by)
    )
}

pub(crate) async fn subnets(ec2: &Client, by: Filter) -> Asked<Subnet> {
    let read = |subnet: &types::Subnet| {
        Some(Subnet {
            id: SubnetId::new(subnet.subnet_id()?),
            vpc: VpcId::new(subnet.vpc_id()?),
            cidr: subnet.cidr_block().unwrap_or_default().to_owned(),
            zone: ZoneId::new(subnet.availability_zone_id().unwrap_or_default()),
            public_addresses: subnet.map_public_ip_on_launch().unwrap_or_default(),
            tags: tags::read(subnet.tags()),
        })
    };
    pages!(ec2, describe_subnets, "DescribeSubnets", read, filters(by))
}

pub(crate) async fn elastic_ips(ec2: &Client, by: Filter) -> Asked<ElasticIp> {
    let read = |address: &types::Address| {
        Some(ElasticIp {
            id: AllocationId::new(address.allocation_id()?),
            associated: address.association_id().is_some(),
            tags: tags::read(address.tags()),
        })
    };
    // The one Describe here that has no pages.
    let answer = ec2.describe_addresses().filters(by).send().await;
    let answer = answer.map_err(why("DescribeAddresses"))?;
    Ok(answer.addresses().iter().filter_map(read).collect())
}

pub(crate) async fn nat_gateways(ec2: &Client, by: Filter) -> Asked<NatGateway> {
    pages!(
        ec2,
        describe_nat_gateways,
        "DescribeNatGateways",
        nat_gateway,
        filter(by)
    )
}

/// A NAT gateway; none once it is deleted: it is shown for an hour more.
pub(crate) fn nat_gateway(nat: &types::NatGateway) -> Option<NatGateway> {
    let life = match nat.state()? {
        types::NatGatewayState::Pending => Life::Coming,
        types::NatGatewayState::Available => Life::Well,
        types::NatGatewayState::Deleting => Life::Going,
        types::NatGatewayState::Deleted => return None,
        _ => {
            let code = nat.failure_code().unwrap_or("no code");
            let words = nat.failure_message().unwrap_or("no reason given");
            Life::Failed(format!("{code}: {words}"))
        }
    };
    let allocation = nat
        .nat_gateway_addresses()
        .iter()
        .find_map(|address| address.allocation_id());
    Some(NatGateway {
        id: NatGatewayId::new(nat.nat_gateway_id()?),
        vpc: VpcId::new(nat.vpc_id()?),
        subnet: SubnetId::new(nat.subnet_id()?),
        allocation: allocation.map(AllocationId::new),
        life,
        tags: tags::read(nat.tags()),
    })
}

pub(crate) async fn route_tables(ec2: &Client, by: Filter) -> Asked<RouteTable> {
    let read = |table: &types::RouteTable| {
        let association = |a: &types::RouteTableAssociation| {
            Some(Association {
                id: a.route_table_association_id()?.to_owned(),
                subnet: SubnetId::new(a.subnet_id()?),
            })
        };
        Some(RouteTable {
            id: RouteTableId::new(table.route_table_id()?),
            vpc: VpcId::new(table.vpc_id()?),
            routes: table.routes().iter().filter_map(route).collect(),
            associations: table
                .associations()
                .iter()
                .filter_map(association)
                .collect(),
            tags: tags::read(table.tags()),
        })
    };
    pages!(
        ec2,
        describe_route_tables,
        "DescribeRouteTables",
        read,
        filters(by)
    )
}

/// A route, unless it comes by itself: within the VPC, or by a gateway
/// endpoint.
fn route(route: &types::Route) -> Option<Route> {
    let to = route
        .destination_cidr_block()
        .or(route.destination_ipv6_cidr_block())
        .or(route.destination_prefix_list_id())?;
    let via = route
        .gateway_id()
        .or(route.nat_gateway_id())
        .or(route.transit_gateway_id())
        .or(route.vpc_peering_connection_id())
        .or(route.network_interface_id())
        .or(route.egress_only_internet_gateway_id())
        .or(route.carrier_gateway_id())
        .or(route.local_gateway_id())
        .or(route.core_network_arn())
        .unwrap_or("something unknown");
    if via == "local" || via.starts_with("vpce-") {
        return None;
    }
    Some(Route {
        to: to.to_owned(),
        via: via.to_owned(),
        active: route.state() != Some(&types::RouteState::Blackhole),
    })
}

pub(crate) async fn endpoints(ec2: &Client, by: Filter) -> Asked<Endpoint> {
    pages!(
        ec2,
        describe_vpc_endpoints,
        "DescribeVpcEndpoints",
        endpoint,
        filters(by)
    )
}

/// An endpoint; none once it is deleted.
pub(crate) fn endpoint(endpoint: &types::VpcEndpoint) -> Option<Endpoint> {
    // The model writes the states with capitals, the service without.
    let state = endpoint.state()?.as_str().to_ascii_lowercase();
    let life = match state.as_str() {
        "available" => Life::Well,
        "pending" | "pendingacceptance" => Life::Coming,
        "deleting" => Life::Going,
        "deleted" => return None,
        _ => Life::Failed(state),
    };
    let tables = endpoint.route_table_ids().iter();
    Some(Endpoint {
        id: VpcEndpointId::new(endpoint.vpc_endpoint_id()?),
        vpc: VpcId::new(endpoint.vpc_id()?),
        service: endpoint.service_name().unwrap_or_default().to_owned(),
        route_tables: tables.map(RouteTableId::new).collect(),
        life,
        tags: tags::read(endpoint.tags()),
    })
}

pub(crate) async fn security_groups(ec2: &Client, by: Filter) -> Asked<SecurityGroup> {
    let read = |group: &types::SecurityGroup| {
        Some(SecurityGroup {
            id: SecurityGroupId::new(group.group_id()?),
            vpc: VpcId::new(group.vpc_id()?),
            rules: Err("not read".to_owned()),
            tags: tags::read(group.tags()),
        })
    };
    pages!(
        ec2,
        describe_security_groups,
        "DescribeSecurityGroups",
        read,
        filters(by)
    )
}

/// Volumes of claims. Root volumes of nodes go with their node and are left
/// out.
async fn volumes(ec2: &Client, by: Filter) -> Asked<Volume> {
    let read = |volume: &types::Volume| {
        let goes_with_node = volume
            .attachments()
            .iter()
            .any(|a| a.delete_on_termination() == Some(true));
        let tags = tags::read(volume.tags());
        let claim = |key: &str| tags.get(&format!("kubernetes.io/created-for/pvc/{key}"));
        let name = claim("name");
        (!goes_with_node).then_some(())?;
        Some(Volume {
            id: VolumeId::new(volume.volume_id()?),
            gib: volume.size().unwrap_or_default(),
            claim: name.map(|name| match claim("namespace") {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name.clone(),
            }),
        })
    };
    pages!(ec2, describe_volumes, "DescribeVolumes", read, filters(by))
}

/// The DNS attributes of a VPC: two calls, as the API wants it.
pub(super) async fn dns(ec2: &Client, vpc: &VpcId) -> Result<Dns, String> {
    use types::VpcAttributeName::{EnableDnsHostnames, EnableDnsSupport};
    let ask = |attribute| {
        let call = ec2.describe_vpc_attribute().vpc_id(vpc.as_str());
        call.attribute(attribute).send()
    };
    let (support, hostnames) = futures::join!(ask(EnableDnsSupport), ask(EnableDnsHostnames));
    let words = |error| why("DescribeVpcAttribute")(error).to_string();
    let is_on = |value: Option<&types::AttributeBooleanValue>| {
        value.and_then(|value| value.value()).unwrap_or_default()
    };
    Ok(Dns {
        support: is_on(support.map_err(words)?.enable_dns_support()),
        hostnames: is_on(hostnames.map_err(words)?.enable_dns_hostnames()),
    })
}

/// The rules of a security group, with their ids.
pub(super) async fn rules(ec2: &Client, group: &SecurityGroupId) -> Result<Vec<FoundRule>, String> {
    let read = |found: &types::SecurityGroupRule| {
        // Emulators may ignore the filter.
        (found.group_id() == Some(group.as_str())).then_some(())?;
        Some(FoundRule {
            id: found.security_group_rule_id()?.to_owned(),
            rule: rule(found, group),
            tags: tags::read(found.tags()),
        })
    };
    let found: Asked<FoundRule> = pages!(
        ec2,
        describe_security_group_rules,
        "DescribeSecurityGroupRules",
        read,
        filters(filter("group-id", [group.as_str()]))
    );
    found.map_err(|failure| failure.to_string())
}

fn rule(found: &types::SecurityGroupRule, group: &SecurityGroupId) -> Rule {
    let other = found.referenced_group_info().and_then(|g| g.group_id());
    let peer = match (found.cidr_ipv4().or(found.cidr_ipv6()), other) {
        (Some(range), _) => Peer::Range(range.to_owned()),
        (None, Some(id)) if id == group.as_str() => Peer::Itself,
        (None, other) => {
            let id = other.or(found.prefix_list_id()).unwrap_or("unknown");
            Peer::Other(id.to_owned())
        }
    };
    let protocol = found.ip_protocol().unwrap_or("-1").to_owned();
    // Without ports AWS answers -1, or nothing.
    let ports = match (found.from_port(), found.to_port()) {
        (Some(first), Some(last)) if first >= 0 && protocol != "-1" => Some((first, last)),
        _ => None,
    };
    Rule {
        direction: if found.is_egress() == Some(true) {
            Direction::Egress
        } else {
            Direction::Ingress
        },
        protocol,
        ports,
        peer,
        description: found.description().unwrap_or_default().to_owned(),
    }
}
