//! The token webhook: tokens presigned by botocore, judged as an API server
//! would have them judged.

mod support;

use serde_json::json;
use support::boto3;
use trunkline_fake_aws::testing::TestAws;

/// A cluster with an access entry for nobody, and `token` and `review`.
const WORLD: &str = r#"
import base64, time, urllib.request
from botocore.signers import RequestSigner
ec2, iam, eks = client("ec2"), client("iam"), client("eks")
region = "eu-central-1"
def cluster(name, cidr, mode="API"):
    vpc = ec2.create_vpc(CidrBlock=f"{cidr}.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"{cidr}.{n}.0/24", AvailabilityZone=region + z)["Subnet"]["SubnetId"]
               for n, z in enumerate("ab")]
    trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    eks.create_cluster(name=name, roleArn=role, resourcesVpcConfig={"subnetIds": subnets},
        accessConfig={"authenticationMode": mode, "bootstrapClusterCreatorAdminPermissions": False})
    deadline = time.monotonic() + 60
    while eks.describe_cluster(name=name)["cluster"]["status"] != "ACTIVE":
        assert time.monotonic() < deadline
        time.sleep(0.02)
def session_of(user=None, role=None):
    """A boto3 session of a new IAM user, or of an assumed role."""
    if user:
        key = iam.create_access_key(UserName=user)["AccessKey"]
        return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=region)
    key = client("sts").assume_role(RoleArn=role, RoleSessionName="shift")["Credentials"]
    return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], region_name=region)
def token(session, name, **change):
    """What `aws eks get-token` makes (awscli/customizations/eks/get_token.py)."""
    request = {"method": "GET", "body": {}, "context": {}, "headers": {"x-k8s-aws-id": name},
        "url": f"https://sts.{region}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15", **change}
    signer = RequestSigner(client("sts").meta.service_model.service_id, region, "sts", "v4",
        session.get_credentials(), session.events)
    url = signer.generate_presigned_url(request, region_name=region, expires_in=60, operation_name="")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
def review(name, token):
    url = f"{os.environ['AWS_ENDPOINT_URL']}/_trunkline/webhook/token/{name}"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    data = json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as answer:
        review = json.load(answer)
    assert (review["apiVersion"], review["kind"]) == ("authentication.k8s.io/v1", "TokenReview")
    return review["status"]
policy = lambda name: f"arn:aws:eks::aws:cluster-access-policy/{name}"
"#;

async fn script(aws: &TestAws, script: &str) -> serde_json::Value {
    boto3(aws, &format!("{WORLD}\n{script}")).await
}

#[tokio::test]
async fn a_token_is_what_its_access_entry_says() {
    let aws = TestAws::shared().await;
    let seen = script(
        aws,
        r#"
cluster("who", "10.100")
user = iam.create_user(UserName="who-user")["User"]["Arn"]
session = session_of(user="who-user")
answers = [review("who", token(session, "who"))]
eks.create_access_entry(clusterName="who", principalArn=user, kubernetesGroups=["people"])
answers.append(review("who", token(session, "who")))
eks.associate_access_policy(clusterName="who", principalArn=user, policyArn=policy("AmazonEKSClusterAdminPolicy"),
    accessScope={"type": "cluster"})
eks.associate_access_policy(clusterName="who", principalArn=user, policyArn=policy("AmazonEKSViewPolicy"),
    accessScope={"type": "namespace", "namespaces": ["redis", "argocd"]})
answers.append(review("who", token(session, "who")))
eks.delete_access_entry(clusterName="who", principalArn=user)
answers.append(review("who", token(session, "who")))
print(json.dumps([[it["authenticated"], it.get("user", {}).get("username"), it.get("user", {}).get("groups"), it.get("error")] for it in answers]))
"#,
    )
    .await;
    let user = "arn:aws:iam::111122223333:user/who-user";
    let none = format!("{user} has no access entry");
    assert_eq!(
        seen,
        json!([
            [false, null, null, none],
            [true, user, ["people"], null],
            [
                true,
                user,
                [
                    "people",
                    "eks-access-policy:AmazonEKSClusterAdminPolicy",
                    "eks-access-policy:AmazonEKSViewPolicy:redis",
                    "eks-access-policy:AmazonEKSViewPolicy:argocd"
                ],
                null
            ],
            [false, null, null, none],
        ])
    );
}

#[tokio::test]
async fn a_session_of_a_role_is_known_by_the_role() {
    let aws = TestAws::shared().await;
    let seen = script(
        aws,
        r#"
cluster("session", "10.101")
role = iam.create_role(RoleName="session-role", Path="/some/path/", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
eks.create_access_entry(clusterName="session", principalArn=role)
user = review("session", token(session_of(role=role), "session"))["user"]
print(json.dumps([user["username"], user["extra"]["canonicalArn"]]))
"#,
    )
    .await;
    let role = "arn:aws:iam::111122223333:role/some/path/session-role";
    let name = "arn:aws:sts::111122223333:assumed-role/session-role/shift";
    assert_eq!(seen, json!([name, [role]]));
}

#[tokio::test]
async fn forged_and_misdirected_tokens_are_refused() {
    let aws = TestAws::shared().await;
    let seen = script(
        aws,
        r#"
cluster("forged", "10.102")
cluster("other", "10.103")
user = iam.create_user(UserName="forged-user")["User"]["Arn"]
for name in ["forged", "other"]:
    eks.create_access_entry(clusterName=name, principalArn=user)
session = session_of(user="forged-user")
key = session.get_credentials().access_key
good = token(session, "forged")
flip = lambda text: "k8s-aws-v1." + base64.urlsafe_b64encode(
    (lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"))(base64.urlsafe_b64decode(text[11:] + "===").decode()).encode()).decode().rstrip("=")
answers = {
    "good": review("forged", good),
    "of another cluster": review("other", good),
    "a changed signature": review("forged", flip(good)),
    "another secret": review("forged", token(boto3.Session(key, "wrong", region_name=region), "forged")),
    "an unknown key": review("forged", token(boto3.Session("AKIAUNKNOWN", "x", region_name=region), "forged")),
    "no cluster header": review("forged", token(session, "forged", headers={})),
    "another action": review("forged", token(session, "forged", url=f"https://sts.{region}.amazonaws.com/?Action=GetSessionToken&Version=2011-06-15")),
    "another host": review("forged", token(session, "forged", url=f"https://example.com/?Action=GetCallerIdentity&Version=2011-06-15")),
    "no token": review("forged", "x"),
    "no cluster": review("nothing", token(session, "nothing")),
}
iam.delete_access_key(UserName="forged-user", AccessKeyId=key)
answers["a deleted key"] = review("forged", good)
print(json.dumps({what: answer.get("error", answer["authenticated"]) for what, answer in answers.items()}))
"#,
    )
    .await;
    let mismatch = "the signature does not match";
    assert_eq!(
        seen,
        json!({
            "good": true,
            "of another cluster": mismatch,
            "a changed signature": mismatch,
            "another secret": mismatch,
            "an unknown key": "the access key is not known",
            "no cluster header": "client did not sign the x-k8s-aws-id header in the pre-signed URL",
            "another action": "unexpected action parameter in pre-signed URL",
            "another host": "unexpected hostname \"example.com\" in pre-signed URL",
            "no token": "token is missing expected \"k8s-aws-v1.\" prefix",
            "no cluster": "arn:aws:iam::111122223333:user/forged-user has no access entry",
            "a deleted key": "the access key is not known",
        })
    );
}
