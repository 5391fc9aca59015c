//! The EKS emulator, driven by boto3: states, errors, idempotency, and what a
//! cluster makes and leaves in EC2.

mod support;

use serde_json::json;
use support::boto3;
use trunkline_fake_aws::faults::{Pace, Settings};
use trunkline_fake_aws::testing::TestAws;

/// Subnets in two zones, the roles, and the arguments of a good CreateCluster.
const WORLD: &str = r#"
import time
ec2, iam, eks = client("ec2"), client("iam"), client("eks")
def world(name, cidr):
    vpc = ec2.create_vpc(CidrBlock=f"{cidr}.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"{cidr}.{n}.0/24", AvailabilityZone=f"eu-central-1{z}")["Subnet"]["SubnetId"]
               for n, z in enumerate("ab")]
    trust = lambda service: json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"Service": service}, "Action": ["sts:AssumeRole", "sts:TagSession"]}]})
    role = lambda kind, service: iam.create_role(RoleName=f"{name}-{kind}", Path="/trunkline/",
        AssumeRolePolicyDocument=trust(service))["Role"]["Arn"]
    return vpc, subnets, role("cluster", "eks.amazonaws.com"), role("node", "ec2.amazonaws.com")
def arguments(name, subnets, role, **more):
    return {"name": name, "version": "1.35", "roleArn": role, "clientRequestToken": f"token-{name}",
        "resourcesVpcConfig": {"subnetIds": subnets, "endpointPrivateAccess": True},
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False},
        "bootstrapSelfManagedAddons": False, "computeConfig": {"enabled": True, "nodePools": []},
        "kubernetesNetworkConfig": {"elasticLoadBalancing": {"enabled": True}},
        "storageConfig": {"blockStorage": {"enabled": True}},
        "tags": {"trunkline:address": "cluster/cluster/main"}, **more}
def until(done, what):
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
status = lambda name: eks.describe_cluster(name=name)["cluster"]["status"]
def active(name): until(lambda: status(name) == "ACTIVE", "ACTIVE")
def gone(name): until(lambda: code(eks.describe_cluster, name=name) == "ResourceNotFoundException", "gone")
"#;

async fn eks(aws: &TestAws, script: &str) -> serde_json::Value {
    boto3(aws, &format!("{WORLD}\n{script}")).await
}

#[tokio::test]
async fn a_cluster_lives_from_creating_to_gone() {
    let aws = TestAws::shared().await;
    let seen = eks(
        aws,
        r#"
vpc, subnets, role, node = world("life", "10.90")
wanted = arguments("life", subnets, role)
made = eks.create_cluster(**wanted)["cluster"]
active("life")
cluster = eks.describe_cluster(name="life")["cluster"]
groups = ec2.describe_security_groups(Filters=[{"Name": "tag:aws:eks:cluster-name", "Values": ["life"]}])["SecurityGroups"]
enis = ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkInterfaces"]
blocked = code(ec2.delete_subnet, SubnetId=subnets[0])
again = eks.create_cluster(**wanted)["cluster"]["arn"] == made["arn"]
other = code(eks.create_cluster, **{**wanted, "tags": {}})
taken = code(eks.create_cluster, **{**wanted, "clientRequestToken": "another"})
deleting = eks.delete_cluster(name="life")["cluster"]["status"]
twice = code(eks.delete_cluster, name="life")
gone("life")
left = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
left_enis = ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkInterfaces"]
print(json.dumps({
    "created": made["status"], "arn": cluster["arn"], "endpoint": cluster["endpoint"],
    "private": cluster["resourcesVpcConfig"]["endpointPrivateAccess"],
    "vpc": cluster["resourcesVpcConfig"]["vpcId"] == vpc,
    "mode": cluster["accessConfig"]["authenticationMode"],
    "auto": cluster["computeConfig"]["enabled"], "created at": cluster["createdAt"].year >= 2026,
    "group": [g["GroupId"] for g in groups] == [cluster["resourcesVpcConfig"]["clusterSecurityGroupId"]],
    "named": groups[0]["GroupName"].startswith("eks-cluster-sg-life-"),
    "owned": {t["Key"]: t["Value"] for t in groups[0]["Tags"]}["kubernetes.io/cluster/life"],
    "interfaces": len(enis), "again": again, "other": other, "taken": taken, "blocked": blocked,
    "deleting": deleting, "twice": twice, "left": [g["GroupName"] for g in left], "left enis": len(left_enis),
    "missing": code(eks.delete_cluster, name="life"), "listed": "life" in eks.list_clusters()["clusters"],
}))
"#,
    )
    .await;
    let blocked = seen["blocked"].clone();
    assert_eq!(
        seen,
        json!({
            "created": "CREATING", "arn": "arn:aws:eks:eu-central-1:111122223333:cluster/life",
            "endpoint": "https://127.0.0.1:1", "private": true, "vpc": true, "mode": "API",
            "auto": true, "created at": true, "group": true, "named": true, "owned": "owned",
            "interfaces": 2, "again": true, "other": "InvalidParameterException",
            "taken": "ResourceInUseException", "blocked": blocked, "deleting": "DELETING",
            "twice": "ResourceInUseException", "left": ["default"], "left enis": 0,
            "missing": "ResourceNotFoundException", "listed": false,
        })
    );
    let calls = aws.record();
    let create = calls
        .iter()
        .find(|call| call.action == "CreateCluster" && call.ids.contains(&"life".to_owned()));
    assert_eq!(
        create.unwrap().resource.as_deref(),
        Some("cluster/cluster/main")
    );
    let delete = calls
        .iter()
        .find(|call| call.action == "DeleteCluster" && call.ids.contains(&"life".to_owned()));
    assert_eq!(
        delete.unwrap().resource.as_deref(),
        Some("cluster/cluster/main")
    );
}

#[tokio::test]
async fn what_aws_refuses_is_refused() {
    let aws = TestAws::shared().await;
    let seen = eks(
        aws,
        r#"
vpc, subnets, role, node = world("refused", "10.91")
def refused(**change):
    try:
        eks.create_cluster(**{**arguments("refused", subnets, role), **change})
        return "made"
    except ClientError as error:
        return error.response["Error"]["Code"] + ": " + error.response["Error"]["Message"][:40]
print(json.dumps([
    refused(resourcesVpcConfig={"subnetIds": subnets[:1]}),
    refused(resourcesVpcConfig={"subnetIds": subnets + ["subnet-0123456789abcdef0"]}),
    refused(roleArn=node),
    refused(roleArn=role.replace("/trunkline/", "/")),
    refused(storageConfig={"blockStorage": {"enabled": False}}),
    refused(computeConfig={"enabled": True, "nodePools": [], "nodeRoleArn": node}),
    refused(version="1.20"),
    code(eks.describe_cluster, name="refused"),
    code(eks.describe_access_entry, clusterName="refused", principalArn=role),
]))
"#,
    )
    .await;
    assert_eq!(
        seen,
        json!([
            "InvalidParameterException: Subnets specified must be in at least tw",
            "InvalidParameterException: The subnet ID 'subnet-0123456789abcdef0'",
            format!(
                "InvalidParameterException: {}",
                "Role with arn: arn:aws:iam::111122223333:role/x"
                    .get(..40)
                    .unwrap()
            ),
            format!(
                "InvalidParameterException: {}",
                "Role with arn: arn:aws:iam::111122223333:role/x"
                    .get(..40)
                    .unwrap()
            ),
            "InvalidParameterException: For EKS Auto Mode, please ensure that al",
            "InvalidParameterException: When Compute Config nodeRoleArn is not n",
            "InvalidParameterException: unsupported Kubernetes version 1.20",
            "ResourceNotFoundException",
            "ResourceNotFoundException",
        ])
    );
}

#[tokio::test]
async fn access_entries_and_policies() {
    let aws = TestAws::shared().await;
    let seen = eks(
        aws,
        r#"
vpc, subnets, role, node = world("entries", "10.92")
eks.create_cluster(**arguments("entries", subnets, role))
early = code(eks.create_access_entry, clusterName="entries", principalArn=node, type="EC2")
active("entries")
admin = iam.create_user(UserName="entries-admin")["User"]["Arn"]
policy = lambda name: f"arn:aws:eks::aws:cluster-access-policy/{name}"
create = lambda arn, **more: eks.create_access_entry(clusterName="entries", principalArn=arn, **more)["accessEntry"]
on = lambda call, arn, **more: call(clusterName="entries", principalArn=arn, **more)
nodes = create(node, type="EC2", clientRequestToken="n")
same = create(node, type="EC2", clientRequestToken="n")["accessEntryArn"] == nodes["accessEntryArn"]
taken = code(create, arn=node, type="EC2", clientRequestToken="m")
person = create(admin, tags={"a": "b"})
cluster = {"type": "cluster"}
on(eks.associate_access_policy, admin, policyArn=policy("AmazonEKSClusterAdminPolicy"), accessScope=cluster)
on(eks.associate_access_policy, node, policyArn=policy("AmazonEKSAutoNodePolicy"), accessScope=cluster)
wrong = [
    code(create, arn=admin + "x"), code(create, arn=admin, kubernetesGroups=["system:masters"]),
    code(create, arn=role, type="EC2", kubernetesGroups=["x"]), code(create, arn=role, type="EC3"),
    code(on, call=eks.associate_access_policy, arn=admin, policyArn=policy("Nothing"), accessScope=cluster),
    code(on, call=eks.associate_access_policy, arn=role, policyArn=policy("AmazonEKSViewPolicy"), accessScope=cluster),
    code(on, call=eks.associate_access_policy, arn=admin, policyArn=policy("AmazonEKSViewPolicy"), accessScope={"type": "namespace"}),
    code(on, call=eks.update_access_entry, arn=node, kubernetesGroups=["x"]),
]
listed = sorted(eks.list_access_entries(clusterName="entries")["accessEntries"])
first = eks.list_access_entries(clusterName="entries", maxResults=1)
second = eks.list_access_entries(clusterName="entries", maxResults=1, nextToken=first["nextToken"])
by_policy = eks.list_access_entries(clusterName="entries", associatedPolicyArn=policy("AmazonEKSAutoNodePolicy"))["accessEntries"]
associated = [p["policyArn"] for p in on(eks.list_associated_access_policies, admin)["associatedAccessPolicies"]]
groups = on(eks.update_access_entry, admin, kubernetesGroups=["people"])["accessEntry"]["kubernetesGroups"]
on(eks.disassociate_access_policy, admin, policyArn=policy("AmazonEKSClusterAdminPolicy"))
none = on(eks.list_associated_access_policies, admin)["associatedAccessPolicies"]
on(eks.delete_access_entry, admin)
missing = code(on, call=eks.describe_access_entry, arn=admin)
print(json.dumps({
    "early": early, "same": same, "taken": taken, "wrong": wrong, "node groups": nodes["kubernetesGroups"],
    "person": person["username"] == admin, "listed": listed == sorted([admin, node]),
    "pages": sorted(first["accessEntries"] + second["accessEntries"]) == listed and "nextToken" not in second,
    "by policy": by_policy == [node], "associated": associated, "groups": groups, "none": none, "missing": missing,
}))
"#,
    )
    .await;
    let invalid = "InvalidParameterException";
    assert_eq!(
        seen,
        json!({
            "early": "InvalidRequestException", "same": true, "taken": "ResourceInUseException",
            "wrong": [invalid, invalid, invalid, invalid, invalid, "ResourceNotFoundException", invalid, invalid],
            "node groups": ["system:nodes"], "person": true, "listed": true, "pages": true,
            "by policy": true,
            "associated": ["arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"],
            "groups": ["people"], "none": [], "missing": "ResourceNotFoundException",
        })
    );
}

#[tokio::test]
async fn updates_versions_protection_and_tags() {
    let aws = TestAws::shared().await;
    let seen = eks(
        aws,
        r#"
vpc, subnets, role, node = world("updates", "10.93")
arn = eks.create_cluster(**arguments("updates", subnets, role, deletionProtection=True))["cluster"]["arn"]
active("updates")
protected = code(eks.delete_cluster, name="updates")
def update(**change):
    answer = eks.update_cluster_config(name="updates", **change)["update"]
    seen = lambda: eks.describe_update(name="updates", updateId=answer["id"])["update"]["status"]
    until(lambda: seen() == "Successful" and status("updates") == "ACTIVE", "Successful")
    return answer["type"]
types = [
    update(logging={"clusterLogging": [{"types": ["api", "audit"], "enabled": True}]}),
    update(resourcesVpcConfig={"publicAccessCidrs": ["198.51.100.0/24"]}),
    update(deletionProtection=False),
]
wrong = [
    code(eks.update_cluster_config, name="updates", resourcesVpcConfig={"publicAccessCidrs": ["198.51.100.0/24"]}),
    code(eks.update_cluster_config, name="updates", deletionProtection=True, logging={"clusterLogging": []}),
    code(eks.update_cluster_config, name="updates", accessConfig={"authenticationMode": "CONFIG_MAP"}),
    code(eks.update_cluster_config, name="updates", computeConfig={"enabled": False}),
]
cluster = eks.describe_cluster(name="updates")["cluster"]
eks.tag_resource(resourceArn=arn, tags={"x": "y"})
eks.untag_resource(resourceArn=arn, tagKeys=["trunkline:address"])
versions = eks.describe_cluster_versions()["clusterVersions"]
print(json.dumps({
    "protected": protected, "types": types, "wrong": wrong, "updates": len(eks.list_updates(name="updates")["updateIds"]),
    "logging": cluster["logging"]["clusterLogging"][0]["types"], "cidrs": cluster["resourcesVpcConfig"]["publicAccessCidrs"],
    "tags": eks.list_tags_for_resource(resourceArn=arn)["tags"],
    "default": [v["clusterVersion"] for v in versions if v["defaultVersion"]],
    "one": [v["clusterVersion"] for v in eks.describe_cluster_versions(clusterVersions=["1.34"])["clusterVersions"]],
}))
"#,
    )
    .await;
    let invalid = "InvalidParameterException";
    assert_eq!(
        seen,
        json!({
            "protected": "InvalidRequestException",
            "types": ["LoggingUpdate", "EndpointAccessUpdate", "DeletionProtectionUpdate"],
            "wrong": [invalid, invalid, invalid, invalid], "updates": 3,
            "logging": ["api", "audit"], "cidrs": ["198.51.100.0/24"], "tags": {"x": "y"},
            "default": ["1.35"], "one": ["1.34"],
        })
    );
}

#[tokio::test]
async fn at_a_pace_a_cluster_is_creating_for_a_while() {
    let aws = TestAws::start().await;
    aws.settings(Settings {
        pace: Pace::Divided(600.0),
        ..Settings::default()
    });
    let seen = eks(
        &aws,
        r#"
vpc, subnets, role, node = world("paced", "10.94")
started = time.monotonic()
eks.create_cluster(**arguments("paced", subnets, role))
first = [status("paced"), code(eks.delete_cluster, name="paced"),
         code(eks.update_cluster_config, name="paced", deletionProtection=True)]
active("paced")
print(json.dumps(first + [time.monotonic() - started >= 1.0]))
"#,
    )
    .await;
    let in_use = "ResourceInUseException";
    assert_eq!(seen, json!(["CREATING", in_use, in_use, true]));
}
