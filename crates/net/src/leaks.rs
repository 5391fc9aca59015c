//! What is left by AWS on our behalf: made by EKS or Auto Mode for the
//! cluster, or carrying the environment's mark without being a resource of
//! the spec. By the EC2 API alone.

use aws_sdk_ec2::{
    Client,
    types::{self, Filter, InstanceStateName},
};
use trunkline_aws::ENVIRONMENT_TAG;
use trunkline_engine::Failure;

use crate::{
    NetSpec,
    observe::{read, why},
    tags::{self, Tags},
};

/// Something with tags, in words.
struct Left {
    line: String,
    tags: Tags,
}

/// Looks for left-overs, each as one line.
pub(crate) async fn leaks(ec2: &Client, spec: &NetSpec) -> Result<Vec<String>, Failure> {
    let mut keys = tags::keys_of_cluster(spec.cluster().as_str());
    keys.push(ENVIRONMENT_TAG.to_owned());
    let by = || read::filter("tag-key", keys.iter().map(String::as_str));
    let found = futures::join!(
        interfaces(ec2, by()),
        security_groups(ec2, by()),
        volumes(ec2, by()),
        instances(ec2, by()),
        nat_gateways(ec2, by()),
        elastic_ips(ec2, by()),
    );
    let all = [found.0?, found.1?, found.2?, found.3?, found.4?, found.5?];
    let is_ours = |left: &Left| {
        tags::is_of_cluster(&left.tags, spec.cluster().as_str()) || is_marked(&left.tags, spec)
    };
    let lines = all.into_iter().flatten().filter(is_ours);
    // Marked volumes have addresses: they are kept or deleted by plan.
    let lines =
        lines.filter(|left| !(left.line.starts_with("volume ") && is_marked(&left.tags, spec)));
    Ok(lines.map(|left| left.line).collect())
}

fn is_marked(tags: &Tags, spec: &NetSpec) -> bool {
    tags.get(ENVIRONMENT_TAG)
        .is_some_and(|environment| environment == spec.environment())
}

fn left(what: &str, id: Option<&str>, about: Option<&str>, tags: &[types::Tag]) -> Option<Left> {
    let id = id?;
    Some(Left {
        line: match about.filter(|about| !about.is_empty()) {
            Some(about) => format!("{what} {id} ({about})"),
            None => format!("{what} {id}"),
        },
        tags: tags::read(tags),
    })
}

/// Also what load balancers leave: their interfaces say so in words.
async fn interfaces(ec2: &Client, by: Filter) -> Result<Vec<Left>, Failure> {
    let read = |interface: &types::NetworkInterface| {
        left(
            "network interface",
            interface.network_interface_id(),
            interface.description(),
            interface.tag_set(),
        )
    };
    read::pages!(
        ec2,
        describe_network_interfaces,
        "DescribeNetworkInterfaces",
        read,
        filters(by)
    )
}

async fn security_groups(ec2: &Client, by: Filter) -> Result<Vec<Left>, Failure> {
    let read = |group: &types::SecurityGroup| {
        left(
            "security group",
            group.group_id(),
            group.group_name(),
            group.tags(),
        )
    };
    read::pages!(
        ec2,
        describe_security_groups,
        "DescribeSecurityGroups",
        read,
        filters(by)
    )
}

async fn volumes(ec2: &Client, by: Filter) -> Result<Vec<Left>, Failure> {
    let read = |volume: &types::Volume| {
        let state = volume.state().map(types::VolumeState::as_str);
        left("volume", volume.volume_id(), state, volume.tags())
    };
    read::pages!(ec2, describe_volumes, "DescribeVolumes", read, filters(by))
}

/// Instances, until they are terminated: they are shown for an hour more.
async fn instances(ec2: &Client, by: Filter) -> Result<Vec<Left>, Failure> {
    let read = |reservation: &types::Reservation| Some(reservation.instances().to_vec());
    let all: Vec<Vec<types::Instance>> = ec2
        .describe_instances()
        .filters(by)
        .into_paginator()
        .send()
        .try_collect()
        .await
        .map_err(why("DescribeInstances"))?
        .iter()
        .flat_map(|page| page.reservations())
        .filter_map(read)
        .collect();
    let is_there = |instance: &&types::Instance| {
        let state = instance.state().and_then(|state| state.name());
        !matches!(
            state,
            Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown)
        )
    };
    let line = |instance: &types::Instance| {
        let state = instance.state().and_then(|state| state.name());
        let state = state.map(InstanceStateName::as_str);
        left("instance", instance.instance_id(), state, instance.tags())
    };
    Ok(all
        .iter()
        .flatten()
        .filter(is_there)
        .filter_map(line)
        .collect())
}

async fn nat_gateways(ec2: &Client, by: Filter) -> Result<Vec<Left>, Failure> {
    let all = read::nat_gateways(ec2, by).await?;
    Ok(all
        .into_iter()
        .map(|nat| Left {
            line: format!("NAT gateway {} ({})", nat.id, nat.life.words()),
            tags: nat.tags,
        })
        .collect())
}

async fn elastic_ips(ec2: &Client, by: Filter) -> Result<Vec<Left>, Failure> {
    let all = read::elastic_ips(ec2, by).await?;
    Ok(all
        .into_iter()
        .map(|address| Left {
            line: format!("Elastic IP {}", address.id),
            tags: address.tags,
        })
        .collect())
}
