//! The network against an emulated EC2: from nothing to whole, back to
//! nothing, and everything that may come in between.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod left_overs;
mod support;

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_ec2::types::{AttributeBooleanValue, Tag};
use serde_json::json;
use support::{DESTROYED, Network, one, spec, text};
use trunkline_engine::{FailureKind, Wish};
use trunkline_net::Nat;

const DEPLOYED: Wish = Wish::Deployed;

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_whole_and_back_to_nothing() {
    let net = Network::new().await;
    let spec = spec(&[1, 2, 3], Nat::PerZone);
    let before = net.look().await;
    let planned = net.meet(&spec, DEPLOYED).await;

    let look = net.look().await;
    let vpc = one(&look, "vpcs", "net/vpc/main");
    assert_eq!(vpc["CidrBlock"], "10.20.0.0/16");
    assert_eq!(vpc["enableDnsSupport"], true);
    assert_eq!(vpc["enableDnsHostnames"], true);
    for zone in ["euc1-az1", "euc1-az2", "euc1-az3"] {
        let private = one(&look, "subnets", &format!("net/subnet/private-{zone}"));
        let public = one(&look, "subnets", &format!("net/subnet/public-{zone}"));
        assert_eq!(private["AvailabilityZoneId"], zone);
        assert_eq!(private["VpcId"], vpc["VpcId"]);
        let tags = private["Tags"].as_array().unwrap();
        assert!(tags.contains(&json!({"Key": "kubernetes.io/role/internal-elb", "Value": "1"})));
        assert!(tags.contains(&json!({"Key": "trunkline:role", "Value": "nodes"})));
        let tags = public["Tags"].as_array().unwrap();
        assert!(tags.contains(&json!({"Key": "kubernetes.io/role/elb", "Value": "1"})));
        let nat = one(&look, "nat_gateways", &format!("net/nat-gateway/{zone}"));
        assert_eq!(nat["State"], "available");
        assert_eq!(nat["SubnetId"], public["SubnetId"]);
        let ip = one(&look, "addresses", &format!("net/elastic-ip/{zone}"));
        assert_eq!(
            nat["NatGatewayAddresses"][0]["AllocationId"],
            ip["AllocationId"]
        );
        let table = one(
            &look,
            "route_tables",
            &format!("net/route-table/private-{zone}"),
        );
        assert_eq!(table["Associations"][0]["SubnetId"], private["SubnetId"]);
        let routes = table["Routes"].as_array().unwrap();
        let default = routes
            .iter()
            .find(|r| r["DestinationCidrBlock"] == "0.0.0.0/0");
        assert_eq!(default.unwrap()["NatGatewayId"], nat["NatGatewayId"]);
    }
    let table = one(&look, "route_tables", "net/route-table/public");
    let gateway = one(&look, "internet_gateways", "net/internet-gateway/main");
    assert_eq!(gateway["Attachments"][0]["VpcId"], vpc["VpcId"]);
    let routes = table["Routes"].as_array().unwrap();
    let default = routes
        .iter()
        .find(|r| r["DestinationCidrBlock"] == "0.0.0.0/0");
    assert_eq!(default.unwrap()["GatewayId"], gateway["InternetGatewayId"]);
    let endpoint = one(&look, "endpoints", "net/endpoint/s3");
    assert_eq!(endpoint["ServiceName"], "com.amazonaws.eu-central-1.s3");
    assert_eq!(endpoint["RouteTableIds"].as_array().unwrap().len(), 4);
    let group = one(&look, "security_groups", "net/security-group/nodes");
    let rules = look["rules"].as_array().unwrap().iter();
    let rules: Vec<_> = rules.filter(|r| r["GroupId"] == group["GroupId"]).collect();
    assert_eq!(rules.len(), 2);

    // Every mark once, and exactly those of the plan.
    let marked = net.marked().await;
    assert!(marked.values().all(|count| *count == 1), "{marked:?}");
    let wished = planned
        .plan
        .pairs()
        .into_iter()
        .map(|(of, _)| of.to_string());
    assert_eq!(
        marked.into_keys().collect::<BTreeSet<_>>(),
        wished.collect()
    );

    net.meet(&spec, DESTROYED).await;
    assert_eq!(net.look().await, before);
    let layer = net.layer(&spec);
    assert_eq!(layer.leaks().await.unwrap(), Vec::<String>::new());
    let allowed: BTreeSet<&str> = layer.api_actions().iter().copied().collect();
    let called: BTreeSet<String> = net.calls().iter().map(|call| call.name()).collect();
    let forbidden: Vec<_> = called
        .iter()
        .filter(|c| !allowed.contains(c.as_str()))
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_deploy_reads_a_few_times_and_changes_nothing() {
    let net = Network::new().await;
    let spec = spec(&[1, 2, 3], Nat::PerZone);
    net.meet(&spec, DEPLOYED).await;
    net.aws.clear_record();
    assert_eq!(net.steps(&spec, DEPLOYED).await, Vec::<String>::new());
    let calls = net.calls();
    assert!(calls.iter().all(|call| !call.mutating));
    assert!(calls.len() <= 13, "{} calls", calls.len());
    assert_eq!(
        net.layer(&spec).preflight().await.unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_changed_is_planned_and_mended() {
    let net = Network::new().await;
    let spec = spec(&[1, 2], Nat::Single);
    net.meet(&spec, DEPLOYED).await;
    let look = net.look().await;
    let ec2 = &net.behind;

    let vpc = text(&one(&look, "vpcs", "net/vpc/main")["VpcId"]);
    let off = AttributeBooleanValue::builder().value(false).build();
    let call = ec2.modify_vpc_attribute().vpc_id(vpc);
    call.enable_dns_hostnames(off).send().await.unwrap();

    let on = AttributeBooleanValue::builder().value(true).build();
    let public = text(&one(&look, "subnets", "net/subnet/public-euc1-az1")["SubnetId"]);
    let call = ec2.modify_subnet_attribute().subnet_id(public);
    call.map_public_ip_on_launch(on).send().await.unwrap();

    let table = one(&look, "route_tables", "net/route-table/private-euc1-az1");
    let call = ec2
        .delete_route()
        .route_table_id(text(&table["RouteTableId"]));
    call.destination_cidr_block("0.0.0.0/0")
        .send()
        .await
        .unwrap();

    // A subnet moved to somebody's own table.
    let theirs = ec2.create_route_table().vpc_id(vpc).send().await.unwrap();
    let theirs = theirs
        .route_table()
        .unwrap()
        .route_table_id()
        .unwrap()
        .to_owned();
    let table = one(&look, "route_tables", "net/route-table/private-euc1-az2");
    let association = text(&table["Associations"][0]["RouteTableAssociationId"]);
    let call = ec2
        .replace_route_table_association()
        .route_table_id(&theirs);
    call.association_id(association).send().await.unwrap();

    let group = text(&one(&look, "security_groups", "net/security-group/nodes")["GroupId"]);
    let rules = look["rules"].as_array().unwrap().iter();
    let mut own = rules.filter(|r| r["GroupId"] == group && r["IsEgress"] == false);
    let call = ec2.revoke_security_group_ingress().group_id(group);
    let rule = text(&own.next().unwrap()["SecurityGroupRuleId"]);
    call.security_group_rule_ids(rule).send().await.unwrap();
    let call = ec2.authorize_security_group_ingress().group_id(group);
    let call = call.ip_protocol("tcp").from_port(22).to_port(22);
    call.cidr_ip("0.0.0.0/0").send().await.unwrap();

    let endpoint = text(&one(&look, "endpoints", "net/endpoint/s3")["VpcEndpointId"]);
    let table = one(&look, "route_tables", "net/route-table/public");
    let call = ec2.modify_vpc_endpoint().vpc_endpoint_id(endpoint);
    let call = call.remove_route_table_ids(text(&table["RouteTableId"]));
    call.send().await.unwrap();

    let ip = text(&one(&look, "addresses", "net/elastic-ip/euc1-az1")["AllocationId"]);
    let name = Tag::builder().key("Name").value("mine").build();
    ec2.create_tags()
        .resources(ip)
        .tags(name)
        .send()
        .await
        .unwrap();

    assert_eq!(
        net.steps(&spec, DEPLOYED).await,
        [
            "update net/elastic-ip/euc1-az1",
            "update net/endpoint/s3",
            "update net/route-table/private-euc1-az1",
            "update net/route-table/private-euc1-az2",
            "update net/security-group/nodes",
            "update net/subnet/public-euc1-az1",
            "update net/vpc/main",
        ]
    );
    net.meet(&spec, DEPLOYED).await;
    let planned = net.plan(&spec, DEPLOYED).await;
    assert!(planned.plan.is_empty(), "{:?}", planned.plan.steps);
    // Rules of others are told and left.
    let foreign = &planned.plan.foreign;
    assert_eq!(foreign.len(), 1);
    assert!(foreign[0].contains("tcp/22 from 0.0.0.0/0"), "{foreign:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_come_and_go() {
    let net = Network::new().await;
    let before = net.look().await;
    let (first, second) = (spec(&[1, 2], Nat::Single), spec(&[2, 3], Nat::PerZone));
    let none = spec(&[3, 2], Nat::None);
    for spec in [&first, &second, &none, &first] {
        net.meet(spec, DEPLOYED).await;
        assert_eq!(net.steps(spec, DEPLOYED).await, Vec::<String>::new());
        let marked = net.marked().await;
        assert!(marked.values().all(|count| *count == 1), "{marked:?}");
    }
    net.meet(&first, DESTROYED).await;
    assert_eq!(net.look().await, before);
}

/// Every create, each with the call that makes it.
const CREATES: [&str; 8] = [
    "CreateVpc",
    "CreateInternetGateway",
    "CreateSubnet",
    "AllocateAddress",
    "CreateNatGateway",
    "CreateRouteTable",
    "CreateVpcEndpoint",
    "CreateSecurityGroup",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_nothing_twice() {
    let net = Network::new().await;
    let spec = spec(&[1, 2], Nat::Single);
    let before = net.look().await;
    net.shows_after(Duration::from_millis(300));
    for action in CREATES {
        net.aws
            .fault(json!({"service": "ec2", "action": action, "do": {"type": "drop_answer"}}));
    }
    net.meet(&spec, DEPLOYED).await;
    let lost = net
        .calls()
        .into_iter()
        .filter(|call| call.fault.is_some())
        .count();
    assert_eq!(lost, CREATES.len());
    let marked = net.marked().await;
    assert!(marked.values().all(|count| *count == 1), "{marked:?}");
    net.shows_after(Duration::ZERO);
    assert_eq!(net.steps(&spec, DEPLOYED).await, Vec::<String>::new());
    net.meet(&spec, DESTROYED).await;
    assert_eq!(net.look().await, before);
}

/// The control of the test above: without the consistency window the same
/// harness must see something twice; and the next plan removes the spares.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_window_there_are_spares_and_the_next_plan_removes_them() {
    let net = Network::new().await.with_window(Duration::ZERO);
    let spec = spec(&[1, 2], Nat::Single);
    net.shows_after(Duration::from_millis(300));
    for action in ["CreateVpc", "AllocateAddress"] {
        net.aws
            .fault(json!({"service": "ec2", "action": action, "do": {"type": "drop_answer"}}));
    }
    let planned = net.plan(&spec, DEPLOYED).await;
    net.walk(&spec, &planned).await;
    let marked = net.marked().await;
    assert!(marked["net/vpc/main"] > 1, "{marked:?}");
    assert!(marked["net/elastic-ip/euc1-az1"] > 1, "{marked:?}");

    let net = net.with_window(Duration::from_secs(10));
    net.shows_after(Duration::ZERO);
    net.meet(&spec, DEPLOYED).await;
    net.meet(&spec, DEPLOYED).await;
    assert_eq!(net.steps(&spec, DEPLOYED).await, Vec::<String>::new());
    let marked = net.marked().await;
    assert!(marked.values().all(|count| *count == 1), "{marked:?}");
}

/// EC2 answers a used client token with the id of what it made once.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_token_made_and_is_gone_is_made_anew() {
    let net = Network::new().await;
    let net = net.with_open_intents().with_window(Duration::from_secs(2));
    let spec = spec(&[1, 2], Nat::Single);
    net.meet(&spec, DEPLOYED).await;
    let look = net.look().await;
    let endpoint = text(&one(&look, "endpoints", "net/endpoint/s3")["VpcEndpointId"]);
    let call = net.behind.delete_vpc_endpoints();
    call.vpc_endpoint_ids(endpoint).send().await.unwrap();
    let table = one(&look, "route_tables", "net/route-table/private-euc1-az2");
    let association = text(&table["Associations"][0]["RouteTableAssociationId"]);
    let call = net.behind.disassociate_route_table();
    call.association_id(association).send().await.unwrap();
    let call = net.behind.delete_route_table();
    let call = call.route_table_id(text(&table["RouteTableId"]));
    call.send().await.unwrap();
    assert_eq!(
        net.steps(&spec, DEPLOYED).await,
        [
            "create net/endpoint/s3",
            "create net/route-table/private-euc1-az2"
        ]
    );
    net.meet(&spec, DEPLOYED).await;
    assert_eq!(net.steps(&spec, DEPLOYED).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_or_broken_answers_are_asked_again() {
    let net = Network::new().await;
    let spec = spec(&[1, 2], Nat::Single);
    for (n, action) in CREATES.iter().enumerate() {
        let broken = json!({"type": "fail", "status": 503, "code": "Unavailable"});
        let effect = if n % 2 == 0 {
            json!({"type": "throttle"})
        } else {
            broken
        };
        net.aws
            .fault(json!({"service": "ec2", "action": action, "do": effect}));
    }
    net.aws
        .fault(json!({"service": "ec2", "action": "CreateRoute", "do": {"type": "throttle"}}));
    // An answer of 503 leaves it open whether the work was done: the window.
    let net = net.with_window(Duration::from_secs(3));
    net.meet(&spec, DEPLOYED).await;
    let marked = net.marked().await;
    assert!(marked.values().all(|count| *count == 1), "{marked:?}");
    assert_eq!(net.steps(&spec, DEPLOYED).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_anywhere_leaves_what_the_next_run_goes_on_with() {
    let net = Network::new().await;
    let spec = spec(&[1, 2], Nat::Single);
    let writes = [
        "CreateVpc",
        "ModifyVpcAttribute",
        "AttachInternetGateway",
        "CreateSubnet",
        "AllocateAddress",
        "AuthorizeSecurityGroupIngress",
        "CreateNatGateway",
        "CreateRoute",
        "AssociateRouteTable",
        "CreateVpcEndpoint",
    ];
    let denied = json!({"type": "fail", "status": 403, "code": "UnauthorizedOperation"});
    for action in writes {
        let fault = json!({"service": "ec2", "action": action, "do": denied.clone()});
        net.aws.fault(fault);
    }
    loop {
        let planned = net.plan(&spec, DEPLOYED).await;
        let report = net.walk(&spec, &planned).await;
        for (_, failure, _) in report.failures() {
            assert_eq!(failure.kind, FailureKind::Denied, "{failure}");
        }
        if report.is_done() {
            break;
        }
    }
    let calls = net.calls();
    let hit: BTreeSet<&str> = calls
        .iter()
        .filter(|call| call.fault.is_some())
        .map(|call| call.action.as_str())
        .collect();
    assert_eq!(hit, writes.into_iter().collect());
    let marked = net.marked().await;
    assert!(marked.values().all(|count| *count == 1), "{marked:?}");
    assert_eq!(net.steps(&spec, DEPLOYED).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_unknown() {
    let net = Network::new().await;
    let spec = spec(&[1, 2], Nat::Single);
    net.meet(&spec, DEPLOYED).await;
    let denied = json!({"type": "fail", "status": 403, "code": "UnauthorizedOperation"});
    for action in [
        "DescribeSubnets",
        "DescribeNatGateways",
        "DescribeVpcAttribute",
    ] {
        net.aws
            .fault(json!({"service": "ec2", "action": action, "do": denied.clone()}));
    }
    let planned = net.plan(&spec, DEPLOYED).await;
    assert!(planned.plan.is_empty() || !planned.plan.unknown.is_empty());
    assert_eq!(planned.plan.steps, vec![]);
    let unknown: BTreeSet<&str> = planned
        .plan
        .unknown
        .iter()
        .map(|(of, _)| of.as_str())
        .collect();
    for address in [
        "net/subnet/public-euc1-az1",
        "net/nat-gateway/euc1-az1",
        "net/vpc/main",
    ] {
        assert!(unknown.contains(address), "{address} in {unknown:?}");
    }
}
