//! What EC2 refuses while something is in use and moto lets pass. Each rule
//! names where AWS's code and text are known from.

use roxmltree::{Document, Node};

use super::super::answer::AwsError;
use super::super::form::Form;
use super::super::identify::Scope;
use super::super::upstream::Upstream;
use crate::xml;

const VERSION: &str = "2016-11-15";

/// Refuses a request that EC2 would refuse.
pub(crate) async fn check(upstream: &Upstream, scope: &Scope, form: &Form) -> Result<(), AwsError> {
    let guard = Guard { upstream, scope };
    let get = |key| form.get(key).unwrap_or_default();
    match get("Action") {
        "ReleaseAddress" => guard.address(get("AllocationId")).await,
        "DeleteSubnet" => guard.subnet(get("SubnetId")).await,
        "DeleteSecurityGroup" => guard.group(get("GroupId")).await,
        "AttachInternetGateway" => guard.attach(get("InternetGatewayId"), get("VpcId")).await,
        "DetachInternetGateway" => guard.detach(get("VpcId")).await,
        "DeleteVpc" => guard.vpc(get("VpcId")).await,
        _ => Ok(()),
    }
}

struct Guard<'a> {
    upstream: &'a Upstream,
    scope: &'a Scope,
}

impl Guard<'_> {
    /// "Otherwise, Amazon EC2 returns an error (InvalidIPAddress.InUse)" (API
    /// Reference, ReleaseAddress).
    async fn address(&self, id: &str) -> Result<(), AwsError> {
        let used = self
            .any("DescribeAddresses", "allocation-id", id, |item| {
                xml::child(item, "associationId").is_some_and(|it| !it.is_empty())
            })
            .await?;
        refuse(used, "InvalidIPAddress.InUse", || {
            format!("Address {id} is in use.")
        })
    }

    /// Network interfaces keep a subnet: those of NAT gateways, of control
    /// planes, of load balancers.
    async fn subnet(&self, id: &str) -> Result<(), AwsError> {
        let used = self
            .any("DescribeNetworkInterfaces", "subnet-id", id, |_| true)
            .await?;
        violated(used, || {
            format!("The subnet '{id}' has dependencies and cannot be deleted.")
        })
    }

    async fn group(&self, id: &str) -> Result<(), AwsError> {
        let used = self
            .any("DescribeNetworkInterfaces", "group-id", id, |_| true)
            .await?;
        violated(used, || format!("resource {id} has a dependent object"))
    }

    /// hashicorp and cloudfoundry reports, e.g. terraform-aws-modules/terraform-aws-vpc #282.
    async fn attach(&self, gateway: &str, vpc: &str) -> Result<(), AwsError> {
        let taken = self
            .any(
                "DescribeInternetGateways",
                "attachment.vpc-id",
                vpc,
                |item| xml::child(item, "internetGatewayId") != Some(gateway),
            )
            .await?;
        refuse(taken, "InvalidParameterValue", || {
            format!("Network {vpc} already has an internet gateway attached")
        })
    }

    /// hashicorp/terraform #497.
    async fn detach(&self, vpc: &str) -> Result<(), AwsError> {
        let mapped = self
            .any("DescribeNetworkInterfaces", "vpc-id", vpc, |item| {
                item.children().any(|child| {
                    child.tag_name().name() == "association"
                        && xml::child(child, "publicIp").is_some()
                })
            })
            .await?;
        violated(mapped, || {
            format!(
                "Network {vpc} has some mapped public address(es). Please unmap those public \
                 address(es) before detaching the gateway."
            )
        })
    }

    /// moto looks at subnets, VPN gateways and route tables alone.
    async fn vpc(&self, id: &str) -> Result<(), AwsError> {
        let used = self
            .any("DescribeInternetGateways", "attachment.vpc-id", id, |_| {
                true
            })
            .await?
            || self
                .any("DescribeNetworkInterfaces", "vpc-id", id, |_| true)
                .await?
            || self
                .any("DescribeVpcEndpoints", "vpc-id", id, |item| {
                    !xml::child(item, "state").is_some_and(|it| it.eq_ignore_ascii_case("deleted"))
                })
                .await?
            || self
                .any("DescribeSecurityGroups", "vpc-id", id, |item| {
                    xml::child(item, "groupName") != Some("default")
                })
                .await?;
        violated(used, || {
            format!("The vpc '{id}' has dependencies and cannot be deleted.")
        })
    }

    /// Whether one of the entries with that value is such.
    async fn any(
        &self,
        action: &str,
        filter: &str,
        value: &str,
        such: impl Fn(Node) -> bool,
    ) -> Result<bool, AwsError> {
        let form = Form::new([
            ("Action", action),
            ("Version", VERSION),
            ("Filter.1.Name", filter),
            ("Filter.1.Value.1", value),
        ]);
        let answer = self.upstream.query(self.scope, &form).await?;
        let document = Document::parse(&answer)
            .map_err(|error| AwsError::new(500, "InternalError", error.to_string()))?;
        Ok(xml::items(&document).any(such))
    }
}

fn violated(is: bool, message: impl FnOnce() -> String) -> Result<(), AwsError> {
    refuse(is, "DependencyViolation", message)
}

fn refuse(is: bool, code: &str, message: impl FnOnce() -> String) -> Result<(), AwsError> {
    if is {
        Err(AwsError::new(400, code, message()))
    } else {
        Ok(())
    }
}
