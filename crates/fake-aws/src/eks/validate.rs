//! What CreateCluster refuses. The texts are AWS's own, as people have quoted
//! them; each names where.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::invalid_parameter;
use super::network::Subnet;
use super::store::strings;
use super::versions;
use crate::front::AwsError;

/// The rules that need nothing but the request.
pub(super) fn request(request: &Value) -> Result<(), AwsError> {
    name(request["name"].as_str().unwrap_or_default())?;
    if let Some(version) = request["version"].as_str()
        && !versions::offered(version)
    {
        return Err(invalid_parameter(format!(
            "unsupported Kubernetes version {version}"
        )));
    }
    let subnets = strings(&request["resourcesVpcConfig"]["subnetIds"]);
    if subnets.is_empty() {
        return Err(invalid_parameter(
            "subnetIds is required in resourcesVpcConfig",
        ));
    }
    access_config(&request["accessConfig"])?;
    auto_mode(request)?;
    endpoint(&request["resourcesVpcConfig"])
}

/// API model: 1 to 100 of `[0-9A-Za-z][A-Za-z0-9\-_]*`.
fn name(name: &str) -> Result<(), AwsError> {
    let fits = |(at, byte): (usize, u8)| {
        byte.is_ascii_alphanumeric() || (at > 0 && matches!(byte, b'-' | b'_'))
    };
    if (1..=100).contains(&name.len()) && name.bytes().enumerate().all(fits) {
        return Ok(());
    }
    Err(invalid_parameter(format!(
        "The name '{name}' must satisfy regular expression pattern: ^[0-9A-Za-z][A-Za-z0-9\\-_]* \
         and be 1 to 100 characters long"
    )))
}

fn access_config(config: &Value) -> Result<(), AwsError> {
    match config["authenticationMode"].as_str() {
        None | Some("API" | "API_AND_CONFIG_MAP" | "CONFIG_MAP") => Ok(()),
        Some(other) => Err(invalid_parameter(format!(
            "unknown authenticationMode {other}"
        ))),
    }
}

/// The rules of EKS Auto Mode.
pub(super) fn auto_mode(request: &Value) -> Result<(), AwsError> {
    let switches = [
        &request["computeConfig"]["enabled"],
        &request["kubernetesNetworkConfig"]["elasticLoadBalancing"]["enabled"],
        &request["storageConfig"]["blockStorage"]["enabled"],
    ];
    let on = switches.iter().filter(|switch| **switch == true).count();
    if on != 0 && on != switches.len() {
        // kubernetes-sigs/cluster-api-provider-aws #5278
        return Err(invalid_parameter(
            "For EKS Auto Mode, please ensure that all required configs, including computeConfig, \
             kubernetesNetworkConfig, and blockStorage are all either fully enabled or fully \
             disabled.",
        ));
    }
    compute_config(&request["computeConfig"])?;
    // The default is true (API Reference, CreateCluster); hashicorp/terraform-provider-aws #40483
    if on > 0 && request["bootstrapSelfManagedAddons"] != false {
        return Err(invalid_parameter(
            "When EKS Auto Mode is enabled, bootstrapSelfManagedAddons must be set to false.",
        ));
    }
    // "Your cluster must use API or API_AND_CONFIG_MAP" (EKS User Guide, Auto Mode);
    // the default of the API is CONFIG_MAP.
    let mode = request["accessConfig"]["authenticationMode"]
        .as_str()
        .unwrap_or("CONFIG_MAP");
    if on > 0 && mode == "CONFIG_MAP" {
        return Err(invalid_parameter(
            "EKS Auto Mode is only supported with the authentication modes API and \
             API_AND_CONFIG_MAP.",
        ));
    }
    Ok(())
}

/// Built-in node pools and their role come together or not at all.
pub(super) fn compute_config(config: &Value) -> Result<(), AwsError> {
    let pools = strings(&config["nodePools"]);
    let role = config["nodeRoleArn"].as_str().unwrap_or_default();
    if !role.is_empty() && pools.is_empty() {
        // aws/aws-cdk #33894
        return Err(invalid_parameter(
            "When Compute Config nodeRoleArn is not null or empty, nodePool value(s) must be \
             provided.",
        ));
    }
    if role.is_empty() && !pools.is_empty() {
        // terraform-aws-modules/terraform-aws-eks #3366
        return Err(invalid_parameter(
            "When Compute Config nodeRoleArn is null or empty, nodePool list cannot be populated.",
        ));
    }
    match pools
        .iter()
        .find(|pool| !matches!(pool.as_str(), "system" | "general-purpose"))
    {
        Some(pool) => Err(invalid_parameter(format!(
            "nodePool {pool} is not one of [general-purpose, system]"
        ))),
        None => Ok(()),
    }
}

/// An endpoint that nobody can reach is refused.
pub(super) fn endpoint(config: &Value) -> Result<(), AwsError> {
    if config["endpointPublicAccess"] == false && config["endpointPrivateAccess"] != true {
        return Err(invalid_parameter(
            "Private and public endpoint access cannot be false at the same time.",
        ));
    }
    Ok(())
}

/// The rules about the subnets that were found.
pub(super) fn subnets(config: &Value, found: &[Subnet]) -> Result<(), AwsError> {
    let wanted = strings(&config["subnetIds"]);
    if let Some(missing) = wanted
        .iter()
        .find(|id| !found.iter().any(|subnet| subnet.id == **id))
    {
        return Err(no_subnet(missing));
    }
    let distinct =
        |field: fn(&Subnet) -> &str| found.iter().map(field).collect::<BTreeSet<_>>().len();
    if distinct(|subnet| &subnet.vpc) > 1 {
        return Err(invalid_parameter(
            "Subnets specified must belong to the same VPC.",
        ));
    }
    if distinct(|subnet| &subnet.zone) < 2 {
        // awsdocs/amazon-eks-user-guide #795
        return Err(invalid_parameter(
            "Subnets specified must be in at least two different AZs",
        ));
    }
    Ok(())
}

pub(super) fn no_subnet(id: &str) -> AwsError {
    invalid_parameter(format!("The subnet ID '{id}' does not exist"))
}

/// What is said of a cluster role that is not there.
pub(super) fn no_role(arn: &str) -> AwsError {
    invalid_parameter(format!(
        "Role with arn: {arn}, could not be assumed because it does not exist or the trusted \
         entity is not correct"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "name": "tl",
            "version": "1.35",
            "roleArn": "arn:aws:iam::111122223333:role/cluster",
            "resourcesVpcConfig": {"subnetIds": ["subnet-1", "subnet-2"]},
            "accessConfig": {"authenticationMode": "API"},
            "bootstrapSelfManagedAddons": false,
            "computeConfig": {"enabled": true, "nodePools": []},
            "kubernetesNetworkConfig": {"elasticLoadBalancing": {"enabled": true}},
            "storageConfig": {"blockStorage": {"enabled": true}},
        })
    }

    #[test]
    fn an_auto_mode_cluster_without_built_in_pools_is_taken() {
        assert_eq!(request(&good()), Ok(()));
    }

    #[test]
    fn each_rule_refuses_its_violation() {
        let cases: [(&str, Value, &str); 11] = [
            ("/name", json!("-tl"), "pattern"),
            ("/version", json!("1.19"), "unsupported"),
            ("/resourcesVpcConfig", json!({}), "subnetIds"),
            ("/computeConfig", json!({"enabled": false}), "fully enabled"),
            ("/storageConfig", json!({}), "fully enabled"),
            ("/kubernetesNetworkConfig", json!(null), "fully enabled"),
            (
                "/bootstrapSelfManagedAddons",
                json!(null),
                "must be set to false",
            ),
            ("/accessConfig", json!({}), "authentication modes"),
            (
                "/computeConfig",
                json!({"enabled": true, "nodeRoleArn": "arn"}),
                "nodePool value",
            ),
            (
                "/computeConfig",
                json!({"enabled": true, "nodePools": ["system"]}),
                "cannot be populated",
            ),
            (
                "/resourcesVpcConfig",
                json!({"subnetIds": ["s"], "endpointPublicAccess": false}),
                "same time",
            ),
        ];
        for (pointer, value, text) in cases {
            let mut bad = good();
            *bad.pointer_mut(pointer).unwrap() = value;
            let error = request(&bad).unwrap_err();
            assert!(error.message.contains(text), "{pointer}: {}", error.message);
        }
    }

    #[test]
    fn subnets_are_there_in_one_vpc_and_two_zones() {
        let subnet = |id: &str, zone: &str, vpc: &str| Subnet {
            id: id.into(),
            zone: zone.into(),
            vpc: vpc.into(),
        };
        let config = json!({"subnetIds": ["a", "b"]});
        let check = |found: &[Subnet]| subnets(&config, found).map_err(|error| error.message);
        assert_eq!(
            check(&[subnet("a", "1", "v"), subnet("b", "2", "v")]),
            Ok(())
        );
        assert!(
            check(&[subnet("a", "1", "v")])
                .unwrap_err()
                .contains("'b' does not exist")
        );
        assert!(
            check(&[subnet("a", "1", "v"), subnet("b", "1", "v")])
                .unwrap_err()
                .contains("AZs")
        );
        assert!(
            check(&[subnet("a", "1", "v"), subnet("b", "2", "w")])
                .unwrap_err()
                .contains("VPC")
        );
    }
}
