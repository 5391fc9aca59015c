//! Newtypes of the ids, names and ARNs that AWS assigns or that we derive.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Output;

macro_rules! values {
    ($($(#[$doc:meta])* $name:ident = $key:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text as it is.
            #[must_use]
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl Output for $name {
            const NAME: &'static str = $key;
        }
    )*};
}

values! {
    /// An AWS account, 12 digits.
    AccountId = "account-id";
    /// A region, `eu-central-1`.
    Region = "region";
    /// A zone's id, `euc1-az1`: the same place in every account, unlike its
    /// name.
    ZoneId = "zone-id";
    /// The name of a zone in one account, `eu-central-1a`.
    ZoneName = "zone-name";
    /// A VPC, `vpc-…`.
    VpcId = "vpc-id";
    /// A subnet, `subnet-…`.
    SubnetId = "subnet-id";
    /// An internet gateway, `igw-…`.
    InternetGatewayId = "internet-gateway-id";
    /// A NAT gateway, `nat-…`.
    NatGatewayId = "nat-gateway-id";
    /// The allocation of an Elastic IP, `eipalloc-…`.
    AllocationId = "allocation-id";
    /// A route table, `rtb-…`.
    RouteTableId = "route-table-id";
    /// A VPC endpoint, `vpce-…`.
    VpcEndpointId = "vpc-endpoint-id";
    /// A security group, `sg-…`.
    SecurityGroupId = "security-group-id";
    /// An EBS volume, `vol-…`.
    VolumeId = "volume-id";
    /// A bucket's name.
    BucketName = "bucket-name";
    /// An IAM role's ARN.
    RoleArn = "role-arn";
    /// An EKS cluster's name.
    ClusterName = "cluster-name";
}

/// How a Kubernetes API server is reached: the output of a cluster that is
/// `ACTIVE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterEndpoint {
    /// The cluster's name, which its tokens are signed for.
    pub name: String,
    /// `https://…`.
    pub url: String,
    /// The certificate authority, PEM.
    pub certificate_authority: String,
}

impl Output for ClusterEndpoint {
    const NAME: &'static str = "cluster-endpoint";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_text_in_json() {
        assert_eq!(
            serde_json::to_string(&VpcId::new("vpc-1")).unwrap(),
            "\"vpc-1\""
        );
    }
}
