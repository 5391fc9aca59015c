//! EC2's semantics that moto lacks, driven by boto3; what is left is read
//! from moto itself.

mod support;

use serde_json::json;
use support::boto3;
use trunkline_fake_aws::faults::{Pace, Settings};
use trunkline_fake_aws::testing::TestAws;

const WORLD: &str = r#"
import threading, time
ec2, direct = client("ec2"), client("ec2", moto)
by = lambda name, *values: [{"Name": name, "Values": list(values)}]
def network(cidr, gateway=True):
    vpc = ec2.create_vpc(CidrBlock=f"{cidr}.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=f"{cidr}.0.0/24")["Subnet"]["SubnetId"]
    igw = None
    if gateway:
        igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    return vpc, subnet, igw
address = lambda: ec2.allocate_address(Domain="vpc")["AllocationId"]
def nat(subnet, allocation, token, **more):
    return ec2.create_nat_gateway(SubnetId=subnet, AllocationId=allocation, ClientToken=token, **more)["NatGateway"]
def state(id):
    return ec2.describe_nat_gateways(NatGatewayIds=[id])["NatGateways"][0]["State"]
def until(wanted, id):
    deadline = time.monotonic() + 60
    seen = [state(id)]
    while seen[-1] != wanted:
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
        if (now := state(id)) != seen[-1]:
            seen.append(now)
    return seen
"#;

async fn ec2(aws: &TestAws, script: &str) -> serde_json::Value {
    boto3(aws, &format!("{WORLD}\n{script}")).await
}

#[tokio::test]
async fn a_nat_gateway_is_made_once_per_token() {
    let aws = TestAws::shared().await;
    let seen = ec2(
        aws,
        r#"
vpc, subnet, igw = network("10.110")
allocation = address()
first = nat(subnet, allocation, "once")
again = nat(subnet, allocation, "once")
made = []
second = nat(subnet, allocation, "twice")["NatGatewayId"]
failed = ec2.describe_nat_gateways(NatGatewayIds=[second])["NatGateways"][0]
other = address()
racers = [threading.Thread(target=lambda: made.append(nat(subnet, other, "race")["NatGatewayId"])) for _ in range(4)]
[it.start() for it in racers]; [it.join() for it in racers]
print(json.dumps({
    "pending": first["State"], "same": again["NatGatewayId"] == first["NatGatewayId"], "now": again["State"],
    "mismatch": code(nat, subnet=subnet, allocation=other, token="once"),
    "taken": [failed["State"], failed["FailureCode"]],
    "raced": [len(made), len(set(made))],
    "in moto": len(direct.describe_nat_gateways(Filters=by("vpc-id", vpc))["NatGateways"]),
    "interfaces": len(direct.describe_network_interfaces(Filters=by("vpc-id", vpc))["NetworkInterfaces"]),
    "endpoints": len({ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.eu-central-1.s3", ClientToken="e")["VpcEndpoint"]["VpcEndpointId"] for _ in range(2)}),
}))
"#,
    )
    .await;
    assert_eq!(
        seen,
        json!({
            "pending": "pending", "same": true, "now": "available",
            "mismatch": "IdempotentParameterMismatch", "taken": ["failed", "Resource.AlreadyAssociated"],
            "raced": [4, 1], "in moto": 3, "interfaces": 2, "endpoints": 1,
        })
    );
}

#[tokio::test]
async fn at_a_pace_a_nat_gateway_has_all_its_states() {
    let aws = TestAws::start().await;
    aws.settings(Settings {
        pace: Pace::Divided(200.0),
        ..Settings::default()
    });
    let seen = ec2(
        &aws,
        r#"
vpc, subnet, igw = network("10.111")
allocation = address()
tags = [{"ResourceType": "natgateway", "Tags": [{"Key": "whose", "Value": "mine"}]}]
id = nat(subnet, allocation, "paced", TagSpecifications=tags)["NatGatewayId"]
ids = lambda *filters: [it["NatGatewayId"] for it in ec2.describe_nat_gateways(Filters=list(filters))["NatGateways"]]
pending = [ids(*by("state", "available")), ids(*by("state", "pending")) == [id]]
coming = until("available", id)
tagged = [ids(*by("tag:whose", "mine")) == [id], ids(*by("tag:whose", "other")), ids(*by("state", "pending"))]
in_use = [
    code(ec2.release_address, AllocationId=allocation), code(ec2.delete_subnet, SubnetId=subnet),
    code(ec2.detach_internet_gateway, InternetGatewayId=igw, VpcId=vpc), code(ec2.delete_vpc, VpcId=vpc),
]
ec2.delete_nat_gateway(NatGatewayId=id)
still = code(ec2.release_address, AllocationId=allocation)
going = until("deleted", id)
ec2.release_address(AllocationId=allocation)
ec2.detach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
ec2.delete_internet_gateway(InternetGatewayId=igw)
ec2.delete_subnet(SubnetId=subnet)
ec2.delete_vpc(VpcId=vpc)
print(json.dumps({
    "pending": pending, "coming": coming, "tagged": tagged, "in use": in_use, "still": still, "going": going,
    "missing": code(ec2.describe_nat_gateways, NatGatewayIds=["nat-0123456789abcdef0"]),
    "gone": code(ec2.delete_nat_gateway, NatGatewayId=id), "vpcs": code(direct.describe_vpcs, VpcIds=[vpc]),
}))
"#,
    )
    .await;
    let used = "DependencyViolation";
    assert_eq!(
        seen,
        json!({
            "pending": [[], true], "coming": ["pending", "available"], "tagged": [true, [], []],
            "in use": ["InvalidIPAddress.InUse", used, used, used], "still": "InvalidIPAddress.InUse",
            "going": ["deleting", "deleted"], "missing": "NatGatewayNotFound",
            "gone": "NatGatewayNotFound", "vpcs": "InvalidVpcID.NotFound",
        })
    );
}

#[tokio::test]
async fn a_nat_gateway_without_internet_fails() {
    let aws = TestAws::shared().await;
    let seen = ec2(
        aws,
        r#"
vpc, subnet, _ = network("10.112", gateway=False)
allocation = address()
id = nat(subnet, allocation, "failing")["NatGatewayId"]
seen = ec2.describe_nat_gateways(NatGatewayIds=[id])["NatGateways"][0]
ec2.release_address(AllocationId=allocation)
print(json.dumps([seen["State"], seen["FailureCode"], seen["FailureMessage"] == f"Network {vpc} has no Internet gateway attached"]))
"#,
    )
    .await;
    assert_eq!(seen, json!(["failed", "Gateway.NotAttached", true]));
}

#[tokio::test]
async fn a_vpc_and_its_groups_stay_while_they_are_used() {
    let aws = TestAws::shared().await;
    let seen = ec2(
        aws,
        r#"
vpc, subnet, igw = network("10.113")
spare = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
second = code(ec2.attach_internet_gateway, InternetGatewayId=spare, VpcId=vpc)
group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
eni = ec2.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]["NetworkInterfaceId"]
used = [code(ec2.delete_security_group, GroupId=group), code(ec2.delete_subnet, SubnetId=subnet)]
ec2.delete_network_interface(NetworkInterfaceId=eni)
ec2.delete_subnet(SubnetId=subnet)
vpc_used = [code(ec2.delete_vpc, VpcId=vpc)]
ec2.detach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
vpc_used.append(code(ec2.delete_vpc, VpcId=vpc))
ec2.delete_security_group(GroupId=group)
print(json.dumps([second, used, vpc_used, code(ec2.delete_vpc, VpcId=vpc)]))
"#,
    )
    .await;
    let used = "DependencyViolation";
    assert_eq!(
        seen,
        json!(["InvalidParameterValue", [used, used], [used, used], null])
    );
}

#[tokio::test]
async fn what_is_new_is_not_seen_yet() {
    let aws = TestAws::start().await;
    // Long enough never to end during the test; it is then set to nothing.
    aws.settings(Settings {
        visibility_ms: 600_000,
        ..Settings::default()
    });
    let created = ec2(
        &aws,
        r#"
vpc, subnet, igw = network("10.114")
tables = lambda: len(ec2.describe_route_tables(Filters=by("vpc-id", vpc))["RouteTables"])
listed = [len(ec2.describe_vpcs(Filters=by("cidr", "10.114.0.0/16"))["Vpcs"]),
          len(ec2.describe_subnets(Filters=by("vpc-id", vpc))["Subnets"]), tables()]
print(json.dumps({"vpc": vpc, "listed": listed, "default": len(ec2.describe_vpcs()["Vpcs"]),
    "asked": [code(ec2.describe_vpcs, VpcIds=[vpc]), code(ec2.describe_subnets, SubnetIds=[subnet]),
              code(ec2.describe_internet_gateways, InternetGatewayIds=[igw])]}))
"#,
    )
    .await;
    assert_eq!(created["listed"], json!([0, 0, 0]));
    assert_eq!(created["default"], 1);
    assert_eq!(
        created["asked"],
        json!([
            "InvalidVpcID.NotFound",
            "InvalidSubnetID.NotFound",
            "InvalidInternetGatewayID.NotFound"
        ])
    );
    aws.settings(Settings::default());
    let later = ec2(
        &aws,
        r#"print(json.dumps(len(ec2.describe_vpcs()["Vpcs"])))"#,
    )
    .await;
    assert_eq!(later, 2);
}
