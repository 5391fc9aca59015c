//! What a cluster has in EC2: the subnets it is given, and the security group
//! and network interfaces that EKS makes for it and takes away with it.

use serde_json::Value;

use super::store::strings;
use crate::front::{AwsError, Form, Scope, Upstream, ec2_check};
use crate::xml;

const VERSION: &str = "2016-11-15";

/// A subnet that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subnet {
    pub(super) id: String,
    pub(super) zone: String,
    pub(super) vpc: String,
}

/// What EKS has made in EC2 for a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Made {
    pub(super) security_group: Option<String>,
    pub(super) interfaces: Vec<String>,
}

/// EC2 in one region, past the front: these calls are not the caller's.
#[derive(Debug, Clone)]
pub(super) struct Ec2 {
    pub(super) upstream: Upstream,
    pub(super) scope: Scope,
}

impl Ec2 {
    /// The subnets of a request that are there, in its order.
    pub(super) async fn subnets(&self, config: &Value) -> Result<Vec<Subnet>, AwsError> {
        let ids = strings(&config["subnetIds"]);
        let mut form = Form::new([
            ("Action", "DescribeSubnets"),
            ("Version", VERSION),
            ("Filter.1.Name", "subnet-id"),
        ]);
        for (n, id) in ids.iter().enumerate() {
            form.0
                .push((format!("Filter.1.Value.{}", n + 1), id.clone()));
        }
        let answer = self.upstream.query(&self.scope, &form).await?;
        let document = roxmltree::Document::parse(&answer)
            .map_err(|error| AwsError::new(500, "ServerException", error.to_string()))?;
        let text = |node, name| xml::child(node, name).unwrap_or_default().to_owned();
        let found: Vec<Subnet> = xml::items(&document)
            .map(|item| Subnet {
                id: text(item, "subnetId"),
                zone: text(item, "availabilityZone"),
                vpc: text(item, "vpcId"),
            })
            .collect();
        Ok(ids
            .iter()
            .filter_map(|id| found.iter().find(|it| it.id == *id))
            .cloned()
            .collect())
    }

    /// Makes the cluster security group and the network interfaces of the
    /// control plane, which keep subnets and group in use until the cluster is
    /// gone (EKS User Guide, "View Amazon EKS security group requirements").
    pub(super) async fn furnish(
        &self,
        cluster: &str,
        subnets: &[Subnet],
    ) -> Result<Made, AwsError> {
        let vpc = subnets
            .first()
            .map(|subnet| subnet.vpc.as_str())
            .unwrap_or_default();
        let group = self.security_group(cluster, vpc).await?;
        let mut made = Made {
            security_group: Some(group.clone()),
            interfaces: Vec::new(),
        };
        // AWS makes two to four; two zones are what a cluster is sure to have.
        let mut zones: Vec<&str> = Vec::new();
        for subnet in subnets {
            if zones.len() == 2 || zones.contains(&subnet.zone.as_str()) {
                continue;
            }
            zones.push(&subnet.zone);
            made.interfaces
                .push(self.interface(cluster, &subnet.id, &group).await?);
        }
        Ok(made)
    }

    async fn security_group(&self, cluster: &str, vpc: &str) -> Result<String, AwsError> {
        let number: u32 = rand::random();
        let name = format!("eks-cluster-sg-{cluster}-{number}");
        let owner = format!("kubernetes.io/cluster/{cluster}");
        let form = Form::new([
            ("Action", "CreateSecurityGroup"),
            ("Version", VERSION),
            ("GroupName", &name),
            (
                "GroupDescription",
                "EKS created security group applied to ENI that is attached to EKS Control Plane \
                 master nodes, as well as any managed workloads.",
            ),
            ("VpcId", vpc),
            ("TagSpecification.1.ResourceType", "security-group"),
            ("TagSpecification.1.Tag.1.Key", "Name"),
            ("TagSpecification.1.Tag.1.Value", &name),
            ("TagSpecification.1.Tag.2.Key", &owner),
            ("TagSpecification.1.Tag.2.Value", "owned"),
            ("TagSpecification.1.Tag.3.Key", "aws:eks:cluster-name"),
            ("TagSpecification.1.Tag.3.Value", cluster),
        ]);
        let group = self.created(&form, "groupId").await?;
        let rule = Form::new([
            ("Action", "AuthorizeSecurityGroupIngress"),
            ("Version", VERSION),
            ("GroupId", &group),
            ("IpPermissions.1.IpProtocol", "-1"),
            ("IpPermissions.1.Groups.1.GroupId", &group),
        ]);
        self.upstream.query(&self.scope, &rule).await?;
        Ok(group)
    }

    async fn interface(
        &self,
        cluster: &str,
        subnet: &str,
        group: &str,
    ) -> Result<String, AwsError> {
        let description = format!("Amazon EKS {cluster}");
        let form = Form::new([
            ("Action", "CreateNetworkInterface"),
            ("Version", VERSION),
            ("SubnetId", subnet),
            ("Description", &description),
            ("SecurityGroupId.1", group),
        ]);
        self.created(&form, "networkInterfaceId").await
    }

    async fn created(&self, form: &Form, id: &str) -> Result<String, AwsError> {
        let answer = self.upstream.query(&self.scope, form).await?;
        xml::text(&answer, id)
            .ok_or_else(|| AwsError::new(500, "ServerException", format!("no {id} in the answer")))
    }

    /// Takes away what was made. A security group that something else still
    /// uses stays behind, as at AWS (aws-k8s-tester #541).
    pub(super) async fn clear(&self, made: &Made) {
        let delete = |action: &'static str, key: &'static str, id: String| async move {
            let form = Form::new([("Action", action), ("Version", VERSION), (key, &id)]);
            let outcome = match ec2_check(&self.upstream, &self.scope, &form).await {
                Ok(()) => self.upstream.query(&self.scope, &form).await,
                refused => refused.map(|()| String::new()),
            };
            if let Err(error) = outcome {
                tracing::warn!(id, code = error.code, "left behind: {}", error.message);
            }
        };
        for id in &made.interfaces {
            delete("DeleteNetworkInterface", "NetworkInterfaceId", id.clone()).await;
        }
        if let Some(id) = &made.security_group {
            delete("DeleteSecurityGroup", "GroupId", id.clone()).await;
        }
    }
}
