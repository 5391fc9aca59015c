# Makes or deletes a cluster by boto3, a client that is none of ours, and
# prints what came of it as JSON.
#   aws.py create NAME VERSION | delete NAME | identity
import base64
import json
import sys
import time

import boto3
from botocore.config import Config
from botocore.signers import RequestSigner

REGION = "eu-central-1"
DEADLINE = time.monotonic() + 240


def client(service):
    return boto3.client(service, REGION, config=Config(retries={"max_attempts": 1}))


def role(name, service, policies):
    trust = {
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }],
    }
    iam = client("iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    for policy in policies:
        iam.attach_role_policy(RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    return made["Role"]["Arn"]


def subnets():
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=REGION + zone)[
            "Subnet"]["SubnetId"]
        for n, zone in enumerate("ab")
    ]


def token(cluster):
    session = boto3.session.Session()
    sts = session.client("sts", region_name=REGION, endpoint_url=f"https://sts.{REGION}.amazonaws.com")
    signer = RequestSigner(
        sts.meta.service_model.service_id, REGION, "sts", "v4", session.get_credentials(), session.events)
    url = signer.generate_presigned_url(
        {
            "method": "GET",
            "url": f"https://sts.{REGION}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
            "body": {},
            "headers": {"x-k8s-aws-id": cluster},
            "context": {},
        },
        region_name=REGION, expires_in=60, operation_name="")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def settled(eks, name):
    while True:
        cluster = eks.describe_cluster(name=name)["cluster"]
        if cluster["status"] != "CREATING" or time.monotonic() > DEADLINE:
            return cluster
        time.sleep(0.1)


def create(name, version):
    eks = client("eks")
    policies = ["AmazonEKSClusterPolicy", "AmazonEKSComputePolicy", "AmazonEKSBlockStoragePolicy",
                "AmazonEKSLoadBalancingPolicy", "AmazonEKSNetworkingPolicy"]
    eks.create_cluster(
        name=name,
        version=version,
        roleArn=role(f"{name}-cluster", "eks.amazonaws.com", policies),
        resourcesVpcConfig={"subnetIds": subnets()},
        accessConfig={"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False},
        bootstrapSelfManagedAddons=False,
        computeConfig={"enabled": True, "nodePools": []},
        kubernetesNetworkConfig={"elasticLoadBalancing": {"enabled": True}},
        storageConfig={"blockStorage": {"enabled": True}},
    )
    cluster = settled(eks, name)
    issues = [issue["message"] for issue in cluster["health"]["issues"]]
    made = {"status": cluster["status"], "issues": issues}
    if cluster["status"] == "ACTIVE":
        me = client("sts").get_caller_identity()["Arn"]
        made["endpoint"] = cluster["endpoint"]
        made["ca"] = cluster["certificateAuthority"]["data"]
        made["token"] = token(name)
        eks.create_access_entry(clusterName=name, principalArn=me)
        eks.associate_access_policy(
            clusterName=name, principalArn=me, accessScope={"type": "cluster"},
            policyArn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy")
    return made


def delete(name):
    eks = client("eks")
    eks.delete_cluster(name=name)
    while name in eks.list_clusters()["clusters"] and time.monotonic() < DEADLINE:
        time.sleep(0.1)
    return {"clusters": eks.list_clusters()["clusters"]}


def identity():
    return {"arn": client("sts").get_caller_identity()["Arn"]}


command, arguments = sys.argv[1], sys.argv[2:]
print(json.dumps({"create": create, "delete": delete, "identity": identity}[command](*arguments)))
