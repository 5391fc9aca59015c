//! Plans over networks that are whole, half, doubled, unread.

mod properties;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use trunkline_aws::{Aws, Open};
use trunkline_engine::{Action, DeleteOrder, Draft, Plan, Step, Verb, Wish};
use trunkline_ids::{AccountId, Address, ClusterName};

use crate::{
    Direction, Nat, NetAction, NetSpec, Observation, Peer, Rule, ZoneRanges,
    observe::*,
    spec::{Reach, address, private_table, subnet},
    tags,
};

const DEPLOYED: Wish = Wish::Deployed;
const DESTROYED: Wish = Wish::Destroyed { with_data: false };

fn spec(zones: &[u8], nat: Nat) -> NetSpec {
    let ranges = zones.iter().map(|n| ZoneRanges {
        zone: trunkline_ids::ZoneId::new(format!("euc1-az{n}")),
        public: format!("10.20.{}.0/22", 192 + 4 * (n - 1)).parse().unwrap(),
        private: format!("10.20.{}.0/19", 32 * (n - 1)).parse().unwrap(),
    });
    let cidr = "10.20.0.0/16".parse().unwrap();
    let cluster = ClusterName::new("trunkline-sandbox");
    NetSpec::new("sandbox", cluster, cidr, ranges.collect(), nat).unwrap()
}

fn aws() -> Aws {
    let sdk = aws_types::SdkConfig::builder().build();
    Aws::new(
        &sdk,
        "sandbox",
        AccountId::new("111122223333"),
        Arc::new(Open),
    )
}

fn marks(of: &Address) -> tags::Tags {
    tags::wished(&aws(), of)
}

fn nothing() -> Read {
    Read {
        vpcs: Ok(vec![]),
        internet_gateways: Ok(vec![]),
        subnets: Ok(vec![]),
        elastic_ips: Ok(vec![]),
        nat_gateways: Ok(vec![]),
        route_tables: Ok(vec![]),
        endpoints: Ok(vec![]),
        security_groups: Ok(vec![]),
        volumes: Ok(vec![]),
    }
}

fn id<T>(make: impl Fn(String) -> T, prefix: &str, of: &Address) -> T {
    make(format!("{prefix}-{}", of.name()))
}

/// What is read when all is as `spec` wishes.
fn whole(spec: &NetSpec) -> Read {
    use trunkline_ids::*;
    let vpc = VpcId::new("vpc-main");
    let mut read = nothing();
    let own = |kind: &str, name: &str| address(kind, name);
    read.vpcs = Ok(vec![Vpc {
        id: vpc.clone(),
        cidr: spec.cidr().to_string(),
        dns: Ok(Dns {
            support: true,
            hostnames: true,
        }),
        tags: marks(&own("vpc", "main")),
    }]);
    read.internet_gateways = Ok(vec![InternetGateway {
        id: InternetGatewayId::new("igw-main"),
        attached: Some(vpc.clone()),
        tags: marks(&own("internet-gateway", "main")),
    }]);
    let subnet_of = |reach: Reach, zone: &ZoneRanges| {
        let own = subnet(reach, &zone.zone);
        Subnet {
            id: id(SubnetId::new, "subnet", &own),
            vpc: vpc.clone(),
            cidr: zone.of(reach).to_string(),
            zone: zone.zone.clone(),
            public_addresses: false,
            tags: marks(&own),
        }
    };
    let ranges = spec.ranges().iter();
    let subnets: Vec<Subnet> = ranges
        .flat_map(|zone| Reach::ALL.map(|reach| subnet_of(reach, zone)))
        .collect();
    let elastic_ip = |zone: &&ZoneId| ElasticIp {
        id: AllocationId::new(format!("eipalloc-{zone}")),
        associated: true,
        tags: marks(&own("elastic-ip", zone.as_str())),
    };
    read.elastic_ips = Ok(spec.nat_zones().iter().map(elastic_ip).collect());
    let nat = |zone: &&ZoneId| NatGateway {
        id: NatGatewayId::new(format!("nat-{zone}")),
        vpc: vpc.clone(),
        subnet: SubnetId::new(format!("subnet-public-{zone}")),
        allocation: Some(AllocationId::new(format!("eipalloc-{zone}"))),
        life: Life::Well,
        tags: marks(&own("nat-gateway", zone.as_str())),
    };
    read.nat_gateways = Ok(spec.nat_zones().iter().map(nat).collect());
    let table = |own: Address, via: Option<String>, subnets: Vec<&Subnet>| RouteTable {
        id: id(RouteTableId::new, "rtb", &own),
        vpc: vpc.clone(),
        routes: via
            .into_iter()
            .map(|via| Route {
                to: "0.0.0.0/0".into(),
                via,
                active: true,
            })
            .collect(),
        associations: subnets
            .iter()
            .map(|subnet| Association {
                id: format!("rtbassoc-{}", subnet.id),
                subnet: subnet.id.clone(),
            })
            .collect(),
        tags: marks(&own),
    };
    let in_zone = |reach: Reach, zone: Option<&ZoneId>| {
        subnets
            .iter()
            .filter(|s| s.id.as_str().contains(reach.word()) && zone.is_none_or(|z| s.zone == *z))
            .collect::<Vec<_>>()
    };
    let mut tables = vec![table(
        own("route-table", "public"),
        Some("igw-main".into()),
        in_zone(Reach::Public, None),
    )];
    for zone in spec.zones() {
        let via = spec.way_out(zone).map(|zone| format!("nat-{zone}"));
        let subnets = in_zone(Reach::Private, Some(zone));
        tables.push(table(private_table(zone), via, subnets));
    }
    read.endpoints = Ok(vec![Endpoint {
        id: VpcEndpointId::new("vpce-s3"),
        vpc: vpc.clone(),
        service: "com.amazonaws.eu-central-1.s3".into(),
        route_tables: tables.iter().map(|table| table.id.clone()).collect(),
        life: Life::Well,
        tags: marks(&own("endpoint", "s3")),
    }]);
    let found = |(n, rule): (usize, Rule)| FoundRule {
        id: format!("sgr-{n}"),
        tags: BTreeMap::new(),
        rule,
    };
    read.security_groups = Ok(vec![SecurityGroup {
        id: SecurityGroupId::new("sg-nodes"),
        vpc,
        rules: Ok(spec.rules().into_iter().enumerate().map(found).collect()),
        tags: marks(&own("security-group", "nodes")),
    }]);
    read.subnets = Ok(subnets);
    read.route_tables = Ok(tables);
    read
}

fn draft(wish: Wish, spec: &NetSpec, read: Read) -> (Observation, Draft<NetAction>) {
    let seen = Observation::sort(read, spec);
    let draft = super::plan(wish, spec, &seen, &aws());
    (seen, draft)
}

fn assembled(draft: &Draft<NetAction>) -> Plan {
    let erase = |step: &Step<NetAction>| {
        let action = Action {
            layer: "net".into(),
            version: 1,
            body: serde_json::to_value(&step.action).unwrap(),
        };
        let mut erased = Step::new(step.verb, step.address.clone(), &step.service, action)
            .about(step.about.clone())
            .after(step.after.clone())
            .changes(step.changes.clone())
            .because(step.reason.clone())
            .takes(step.estimate);
        erased.loses = step.loses.clone();
        erased
    };
    let steps = draft.steps.iter().map(erase).collect();
    let whole = Draft {
        steps,
        ..Draft::default()
    };
    let order = DeleteOrder::new(crate::apply::order());
    assert!(order.circles().is_empty());
    Plan::assemble([whole], &order, 0).unwrap()
}

/// One line per step, in the order of the plan, then what was said besides.
fn shown(draft: &Draft<NetAction>) -> String {
    let plan = assembled(draft);
    let mut lines: Vec<String> = plan
        .steps
        .iter()
        .map(|step| {
            let changes = step.changes.iter().map(|change| {
                let from = change.from.as_deref().unwrap_or("nothing");
                let to = change
                    .to
                    .as_ref()
                    .map_or("nothing".to_owned(), ToString::to_string);
                format!("\n    {}: {from} -> {to}", change.field)
            });
            format!(
                "{} {} ({}){}",
                step.verb,
                step.address,
                step.about,
                changes.collect::<String>()
            )
        })
        .collect();
    lines.extend(
        draft
            .unknown
            .iter()
            .map(|(of, why)| format!("unknown {of}: {why}")),
    );
    lines.extend(
        draft
            .kept
            .iter()
            .map(|kept| format!("kept {}: {}", kept.id, kept.why)),
    );
    lines.extend(draft.foreign.iter().map(|line| format!("foreign {line}")));
    lines.join("\n")
}

#[test]
fn everything_is_made_out_of_nothing() {
    let (_, draft) = draft(DEPLOYED, &spec(&[1, 2], Nat::Single), nothing());
    let mut lines: Vec<String> = shown(&draft).lines().map(str::to_owned).collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"));
    let plan = assembled(&draft);
    assert_eq!(plan.critical_path().estimate.as_secs(), 4 + 2 + 110 + 2 + 4);
}

#[test]
fn what_is_as_wished_is_left_alone() {
    for nat in [Nat::None, Nat::Single, Nat::PerZone] {
        let spec = spec(&[1, 2, 3], nat);
        let (_, draft) = draft(DEPLOYED, &spec, whole(&spec));
        assert_eq!(draft, Draft::default());
    }
}

#[test]
fn drift_is_mended_field_by_field() {
    let spec = spec(&[1, 2], Nat::PerZone);
    let mut read = whole(&spec);
    read.vpcs.as_mut().unwrap()[0].dns = Ok(Dns {
        support: true,
        hostnames: false,
    });
    read.subnets.as_mut().unwrap()[0].public_addresses = true;
    read.subnets.as_mut().unwrap()[1]
        .tags
        .remove("kubernetes.io/role/internal-elb");
    read.internet_gateways.as_mut().unwrap()[0].attached = None;
    let tables = read.route_tables.as_mut().unwrap();
    tables[1].routes[0].via = "nat-of-somebody".into();
    tables[2].routes[0].active = false;
    tables[2].associations.clear();
    tables[0].routes.push(Route {
        to: "10.9.0.0/16".into(),
        via: "pcx-1".into(),
        active: true,
    });
    let table = tables[0].id.clone();
    read.endpoints.as_mut().unwrap()[0]
        .route_tables
        .remove(&table);
    insta::assert_snapshot!(shown(&draft(DEPLOYED, &spec, read).1));
}

#[test]
fn rules_are_compared_one_by_one() {
    let spec = spec(&[1, 2], Nat::None);
    let mut read = whole(&spec);
    let ssh = Rule {
        direction: Direction::Ingress,
        protocol: "tcp".into(),
        ports: Some((22, 22)),
        peer: Peer::Range("0.0.0.0/0".into()),
        description: String::new(),
    };
    let found = |id: &str, tag: Option<(&str, &str)>| FoundRule {
        id: id.into(),
        rule: ssh.clone(),
        tags: tag
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
    };
    let rules = read.security_groups.as_mut().unwrap()[0]
        .rules
        .as_mut()
        .unwrap();
    rules.remove(0);
    rules.push(found("sgr-theirs", None));
    rules.push(found(
        "sgr-ours",
        Some(("trunkline:environment", "sandbox")),
    ));
    rules.push(found(
        "sgr-auto-mode",
        Some(("eks:eks-cluster-name", "trunkline-sandbox")),
    ));
    insta::assert_snapshot!(shown(&draft(DEPLOYED, &spec, read).1));
}

#[test]
fn a_zone_taken_away_moves_the_routes_before_its_gateway_goes() {
    let (before, after) = (spec(&[1, 2], Nat::Single), spec(&[2, 3], Nat::Single));
    let draft = draft(DEPLOYED, &after, whole(&before)).1;
    insta::assert_snapshot!(shown(&draft));
    let plan = assembled(&draft);
    let at = |verb, name: &str| {
        let found = plan
            .steps
            .iter()
            .position(|s| s.verb == verb && s.address.as_str() == name);
        found.unwrap()
    };
    assert!(
        plan.waits_for[at(Verb::Delete, "net/nat-gateway/euc1-az1")]
            .contains(&at(Verb::Update, "net/route-table/private-euc1-az2"))
    );
}

#[test]
fn what_cannot_be_changed_is_said_and_left() {
    let spec = spec(&[1, 2], Nat::None);
    let mut read = whole(&spec);
    read.subnets.as_mut().unwrap()[1].cidr = "10.20.0.0/20".into();
    insta::assert_snapshot!(shown(&draft(DEPLOYED, &spec, read).1));
}

#[test]
fn the_twin_of_a_lost_answer_goes() {
    let spec = spec(&[1, 2], Nat::Single);
    let mut read = whole(&spec);
    let vpcs = read.vpcs.as_mut().unwrap();
    let twin = Vpc {
        id: trunkline_ids::VpcId::new("vpc-first"),
        ..vpcs[0].clone()
    };
    vpcs.insert(0, twin);
    let ips = read.elastic_ips.as_mut().unwrap();
    let twin = ElasticIp {
        id: trunkline_ids::AllocationId::new("eipalloc-0"),
        associated: false,
        tags: ips[0].tags.clone(),
    };
    ips.insert(0, twin);
    insta::assert_snapshot!(shown(&draft(DEPLOYED, &spec, read).1));
}

#[test]
fn a_failed_gateway_is_made_anew() {
    let spec = spec(&[1, 2], Nat::Single);
    let mut read = whole(&spec);
    read.nat_gateways.as_mut().unwrap()[0].life = Life::Failed("Gateway.NotAttached".into());
    insta::assert_snapshot!(shown(&draft(DEPLOYED, &spec, read).1));
}

#[test]
fn a_pending_gateway_is_waited_for() {
    let spec = spec(&[1, 2], Nat::Single);
    let mut read = whole(&spec);
    read.nat_gateways.as_mut().unwrap()[0].life = Life::Coming;
    read.route_tables.as_mut().unwrap()[1].routes.clear();
    insta::assert_snapshot!(shown(&draft(DEPLOYED, &spec, read).1));
}

#[test]
fn unread_is_not_absent() {
    let spec = spec(&[1, 2], Nat::Single);
    let mut read = nothing();
    read.subnets = Err("EC2 DescribeSubnets: 503".into());
    insta::assert_snapshot!(shown(&draft(DEPLOYED, &spec, read).1));
}

#[test]
fn lost_marks_are_not_absence() {
    let spec = spec(&[1, 2], Nat::Single);
    let mut read = whole(&spec);
    // Both marks of the VPC, one of a subnet, both of the address.
    read.vpcs = Ok(vec![]);
    read.subnets.as_mut().unwrap()[3]
        .tags
        .remove("trunkline:address");
    read.elastic_ips = Ok(vec![]);
    let (_, draft) = draft(DEPLOYED, &spec, read);
    assert!(
        draft.steps.iter().all(|step| step.verb != Verb::Create),
        "{}",
        shown(&draft)
    );
    let unknown: BTreeSet<&str> = draft.unknown.iter().map(|(of, _)| of.as_str()).collect();
    assert!(unknown.contains("net/vpc/main"));
    assert!(unknown.contains("net/subnet/private-euc1-az2"));
    assert!(unknown.contains("net/elastic-ip/euc1-az1"));
}

fn volume() -> Volume {
    Volume {
        id: trunkline_ids::VolumeId::new("vol-1"),
        gib: 8,
        claim: Some("redis/data-redis-0".into()),
    }
}

#[test]
fn data_is_kept_unless_it_is_asked_for() {
    let spec = spec(&[1, 2], Nat::None);
    let read = || Read {
        volumes: Ok(vec![volume()]),
        ..nothing()
    };
    assert_eq!(
        shown(
            &draft(
                DEPLOYED,
                &spec,
                Read {
                    volumes: Ok(vec![volume()]),
                    ..whole(&spec)
                }
            )
            .1
        ),
        ""
    );
    insta::assert_snapshot!(shown(&draft(DESTROYED, &spec, read()).1));
    let with_data = Wish::Destroyed { with_data: true };
    let draft = draft(with_data, &spec, read()).1;
    assert_eq!(
        draft.steps[0].loses.as_deref(),
        Some("the data of redis/data-redis-0, 8 GiB")
    );
    assert!(draft.kept.is_empty());
}

#[test]
fn actions_survive_json() {
    let (_, draft) = draft(DEPLOYED, &spec(&[1, 2], Nat::PerZone), nothing());
    for step in draft.steps {
        let json = serde_json::to_string(&step.action).unwrap();
        assert_eq!(
            serde_json::from_str::<NetAction>(&json).unwrap(),
            step.action
        );
    }
}
